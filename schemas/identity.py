"""Identifiers that depend on content alone, so that the same thing has the same id wherever it is made."""

from __future__ import annotations

import hashlib


def identity(*parts: str) -> str:
    """16 hex digits of a hash of the parts; parts are kept apart, so that ("a", "bc") is not ("ab", "c")."""
    digest = hashlib.sha256()
    for part in parts:
        digest.update(hashlib.sha256(part.encode()).digest())
    return digest.hexdigest()[:16]
