"""MinHash with bands: which texts share a bucket, and with what probability.

The similarity J of two texts is the share of their shingles that both have (Jaccard). One MinHash value is the same for
both with probability J. A band is r such values together, which name the text's bucket in that band; there are k bands.
Two texts share at least one bucket with probability 1 - (1 - J^r)^k. More bands bring more of all pairs together; more
hashes per band keep more of the pairs apart that share little.
The settings call a band a hash table, as Spark's MinHashLSH does: num_hash_tables is k, hashes_per_table is r.
"""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class NearRule:
    """Which texts are near-duplicates, and how many comparisons finding them may take."""

    similarity: float
    shingle_words: int
    num_hash_tables: int
    hashes_per_table: int
    max_bucket: int
    max_pairs: int


def meeting_probability(similarity: float, num_hash_tables: int, hashes_per_table: int) -> float:
    """The probability that two texts of this similarity share a bucket in some band."""
    return float(1 - (1 - similarity**hashes_per_table) ** num_hash_tables)


def num_bands_for(probability: float, similarity: float, hashes_per_table: int) -> int:
    """The fewest bands in which two texts of this similarity share a bucket with at least this probability, below 1."""
    # Anything smaller would take more bands than any computer could hold.
    in_one_band = max(similarity**hashes_per_table, 1e-9)
    if in_one_band >= 1:
        return 1
    return max(1, math.ceil(math.log1p(-probability) / math.log1p(-in_one_band)))
