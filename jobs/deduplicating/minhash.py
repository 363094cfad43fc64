"""MinHash: which texts meet in a bucket, and with what probability.

Two texts are as similar as the share of both their shingles that they have in common (Jaccard, J). A MinHash value of
both is equal with probability J. A bucket is r of them together, and there is one in each of k hash tables, so that
two texts meet in one of them with probability 1 - (1 - J^r)^k: with more tables more of all pairs do, with more hashes
a table fewer of those that share little.
"""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class NearRule:
    """Which texts are near-duplicates, and how much work finding them may take."""

    similarity: float
    shingle_words: int
    num_hash_tables: int
    hashes_per_table: int
    max_bucket: int
    max_pairs: int


def meeting_probability(similarity: float, num_hash_tables: int, hashes_per_table: int) -> float:
    """The probability that two texts of this similarity share a bucket."""
    return float(1 - (1 - similarity**hashes_per_table) ** num_hash_tables)


def num_tables_for(probability: float, similarity: float, hashes_per_table: int) -> int:
    """The fewest hash tables in which two texts of this similarity share a bucket with this probability, below 1."""
    # What is smaller would need more tables than anyone can have.
    in_one_table = max(similarity**hashes_per_table, 1e-9)
    if in_one_table >= 1:
        return 1
    return max(1, math.ceil(math.log1p(-probability) / math.log1p(-in_one_table)))
