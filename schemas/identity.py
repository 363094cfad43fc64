"""Identifiers that depend only on content, so that the same thing has the same id everywhere."""

from __future__ import annotations

import hashlib


def identity(*parts: str) -> str:
    """16 hex digits of a hash of the parts. Parts are hashed separately: ("a", "bc") differs from ("ab", "c")."""
    digest = hashlib.sha256()
    for part in parts:
        digest.update(hashlib.sha256(part.encode()).digest())
    return digest.hexdigest()[:16]
