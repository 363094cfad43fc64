"""Which heads retrieve, by their scores; without torch, so that what was detected before is looked up quickly."""

from __future__ import annotations

import math
from collections.abc import Mapping

from udfs.head_mask import Head

# The score from which Wu et al. (arXiv:2404.15574) call a head a retrieval head; by chance a head stays far below it.
RETRIEVES = 0.1


def select_retrieval_heads(scores: Mapping[Head, float], top_fraction: float) -> list[Head]:
    """The ceil(top_fraction * heads) heads with the highest scores, sorted; layer and head decide between equal scores.

    Raises ValueError when top_fraction is not in (0, 1], when no head retrieves, and when fewer heads are above 0 than
    were asked for: a choice among heads that all score 0 would be arbitrary.
    """
    if not 0 < top_fraction <= 1:
        raise ValueError(f"--top-fraction is {top_fraction}; it must be above 0 and at most 1 (the paper's is 0.05)")
    best = max(scores.values(), default=0.0)
    if best < RETRIEVES:
        raise ValueError(
            f"no head of this model retrieves: the best retrieval score is {best:.3f}, at chance, where a retrieval "
            f"head has {RETRIEVES} or more; no mask is written. Use a model that answers the probes"
        )
    # Rounded first, because 0.07 * 100 is a little more than 7 in floating point, and would give an eighth head.
    num_heads = math.ceil(round(top_fraction * len(scores), 9))
    num_copying = sum(score > 0 for score in scores.values())
    if num_copying < num_heads:
        raise ValueError(
            f"--top-fraction {top_fraction} asks for {num_heads} heads, but only {num_copying} of {len(scores)} copied "
            f"anything; use --top-fraction {math.floor(1e4 * num_copying / len(scores)) / 1e4} or less, or more probes"
        )
    ranked = sorted(scores, key=lambda head: (-scores[head], head))
    return sorted(ranked[:num_heads])
