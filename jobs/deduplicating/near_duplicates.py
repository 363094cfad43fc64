"""Near-duplicates: pairs of texts that share most of their shingles, found by MinHash with Spark ML.

Comparing all pairs is quadratic. Only texts that share a bucket (see minhash.py) are candidates, and candidates are
compared exactly.

Spark's own approxSimilarityJoin has one hash per band: with 4 bands it finds 99.8 % of the pairs with similarity 0.8,
but also compares 34 % of those with 0.1, such as texts with the same licence header, and its join carries the vectors
of both texts. With 4 hashes per band and 14 bands it is 99.9 % and 0.14 %, and our join carries ids.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pyspark.ml.feature import HashingTF, MinHashLSH, NGram, RegexTokenizer
from pyspark.sql import functions as F

from jobs.deduplicating.components import connected_components
from jobs.deduplicating.minhash import NearRule, meeting_probability
from jobs.spark.statements import run_statement

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

# Scripts that put no spaces between words: each character counts as a word. (?U) makes \w Unicode's.
_SPACELESS = r"\p{IsHan}\p{IsHiragana}\p{IsKatakana}\p{IsThai}\p{IsLao}\p{IsKhmer}\p{IsMyanmar}"
WORDS = rf"(?U)[{_SPACELESS}]|[\w&&[^{_SPACELESS}]]+"
# All words and shingles of a text are in memory at once, as strings: about 30 times its bytes.
MAX_BYTES = 4 * 2**20
# Below MinHashLSH's prime, 2038074743; so many that two shingles of a pair of texts hardly ever collide.
NUM_FEATURES = 2**30
SEED = 2025


def near_duplicates(
    spark: SparkSession, documents: DataFrame, rule: NearRule
) -> tuple[DataFrame, DataFrame, dict[str, Any]]:
    """Each document's representative among equal texts, clusters of similar representatives, and counts of the work.

    The first as exact.sql, the second as connected_components returns it. Raises ValueError, before any text is
    compared, where it would take more comparisons than the rule allows.
    """
    # Texts are read once for all that follows, also while somebody writes to their table.
    signed = signatures(spark, documents, rule).localCheckpoint()
    groups = run_statement(spark, "deduplicating/exact", signatures=signed)
    buckets = run_statement(spark, "deduplicating/buckets", signatures=signed, groups=groups)
    cost = require_affordable(spark, buckets, rule)
    pairs = similar_pairs(spark, documents, buckets=buckets, rule=rule)
    clusters = connected_components(spark, pairs.selectExpr("second_id as node", "first_id as lower"))
    counts = {
        "similarity": rule.similarity,
        "num_hash_tables": rule.num_hash_tables,
        "hashes_per_table": rule.hashes_per_table,
        "found_at_similarity": meeting_probability(rule.similarity, rule.num_hash_tables, rule.hashes_per_table),
        "num_not_compared": signed.where("num_shingles = 0").count(),
    }
    return groups, clusters, counts | cost


def signatures(spark: SparkSession, documents: DataFrame, rule: NearRule) -> DataFrame:
    """One row per document: doc_id, text_sha256, num_shingles, buckets (one per band).

    documents: doc_id, text, text_sha256, num_bytes. num_shingles is 0 where the text has fewer words than a shingle,
    or more than MAX_BYTES.
    """
    text = F.when(F.col("num_bytes") <= MAX_BYTES, F.col("text"))
    shingled = _with_shingles(documents.withColumn("text", text), rule.shingle_words)
    # MinHashLSH refuses an empty set. Spark would push a filter below the shingles, and make them twice.
    not_empty = F.when(F.size("shingles") > 0, F.col("shingles")).otherwise(F.array(F.lit("")))
    filled = shingled.select(
        "doc_id", "text_sha256", F.size(F.array_distinct("shingles")).alias("num_shingles"), not_empty.alias("shingles")
    )
    hashing = HashingTF(inputCol="shingles", outputCol="features", numFeatures=NUM_FEATURES, binary=True)
    num_hashes = rule.num_hash_tables * rule.hashes_per_table
    minhash = MinHashLSH(inputCol="features", outputCol="hashes", numHashTables=num_hashes, seed=SEED)
    # Nothing is learned from the data: the model depends on the number of features alone.
    model = minhash.fit(hashing.transform(spark.range(1).select(F.array(F.lit("")).alias("shingles"))))
    hashed = model.transform(hashing.transform(filled))
    values = {"num_hash_tables": rule.num_hash_tables, "hashes_per_table": rule.hashes_per_table}
    return run_statement(spark, "deduplicating/signatures", values, hashed=hashed)


def require_affordable(spark: SparkSession, buckets: DataFrame, rule: NearRule) -> dict[str, int]:
    """How many comparisons the buckets ask for: num_comparisons, largest_bucket, num_large_buckets.

    Raises ValueError where there are more than the rule allows.
    """
    counted = run_statement(spark, "deduplicating/cost", {"max_bucket": rule.max_bucket}, buckets=buckets).collect()[0]
    if counted["num_comparisons"] > rule.max_pairs:
        raise ValueError(
            f"finding near-duplicates would take {counted['num_comparisons']:,} comparisons, more than --max-pairs "
            f"{rule.max_pairs:,}; nothing was written. {counted['num_large_buckets']:,} buckets hold more than "
            f"--max-bucket {rule.max_bucket:,} texts, the largest {counted['largest_bucket']:,}: lower --max-bucket "
            f"where there are many; else raise --hashes-per-table (now {rule.hashes_per_table}) or --shingle-words "
            f"(now {rule.shingle_words}), which keep texts that share little apart, or raise --max-pairs"
        )
    return dict(counted.asDict())


def similar_pairs(spark: SparkSession, documents: DataFrame, *, buckets: DataFrame, rule: NearRule) -> DataFrame:
    """The pairs that share a bucket and are as similar as the rule asks: first_id < second_id."""
    values = {"max_bucket": rule.max_bucket, "similarity": rule.similarity}
    candidates = run_statement(spark, "deduplicating/candidates", values, buckets=buckets).localCheckpoint()
    either = F.explode(F.array("first_id", "second_id")).alias("doc_id")
    compared = documents.join(candidates.select(either), on="doc_id", how="left_semi")
    # Eight bytes per shingle instead of its words.
    hashes = F.array_distinct(F.transform("shingles", lambda shingle: F.xxhash64(shingle)))
    shingles = _with_shingles(compared, rule.shingle_words).select("doc_id", hashes.alias("shingles"))
    return run_statement(
        spark, "deduplicating/pairs", {"similarity": rule.similarity}, candidates=candidates, shingles=shingles
    )


def _with_shingles(documents: DataFrame, shingle_words: int) -> DataFrame:
    """The documents with their shingles, runs of shingle_words lower-case words; none for a null text."""
    with_text = documents.withColumn("text", F.coalesce("text", F.lit("")))
    tokenizer = RegexTokenizer(inputCol="text", outputCol="words", pattern=WORDS, gaps=False, toLowercase=True)
    words = tokenizer.transform(with_text)
    return NGram(inputCol="words", outputCol="shingles", n=shingle_words).transform(words)
