"""The id of a probe, which says from which settings it was made; without torch, so that it is compared quickly."""

from __future__ import annotations

import hashlib
import json

# Solved look-ups before the query: the paper's number.
NUM_DEMONSTRATIONS = 3


def probe_identity(
    tokenizer_id: str,
    *,
    seed: int,
    index: int,
    probe_tokens: int,
    prompt: str,
    answer: str,
    num_demonstrations: int = NUM_DEMONSTRATIONS,
) -> str:
    """32 hex digits that depend on all arguments. Whoever makes other probes of the same settings adds a version."""
    parts = (tokenizer_id, seed, index, probe_tokens, num_demonstrations, prompt, answer)
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:32]
