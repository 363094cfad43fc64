"""Stage dedup: which documents are copies or near-copies of each other, as clusters."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from pydantic import Field, model_validator

from jobs.deduplicating.minhash import NearRule, num_bands_for
from jobs.settings.documents import DocumentSettings

if TYPE_CHECKING:
    from pyspark.sql import Row, SparkSession

WANTED_RECALL = 0.999
MAX_HASHES = 1024
KINDS = ("unique", "exact", "near")


class DedupSettings(DocumentSettings):
    """Find documents that have the same text, or nearly the same, and write their clusters to the duplicates table.

    Similarity (Jaccard) is the share of two texts' shingles that both have; shingles are runs of --shingle-words words,
    without case and punctuation. MinHash puts each text into one bucket in each of --num-hash-tables bands, and texts
    that share a bucket are compared. Two texts of similarity J share one with probability
    1 - (1 - J^hashes_per_table)^num_hash_tables.  With 4 hashes per band and 14 bands:

      J         0.9    0.8    0.7    0.5    0.3    0.1
      share   100 %  99.9 %  98 %   60 %   11 %   0.1 %

    More bands find more pairs; each costs 8 bytes per document, and comparisons in proportion. With more hashes per
    band, fewer texts that share little, such as a licence header, are compared, and the same --similarity takes more
    bands.

    A cluster holds all documents that are linked, also through others: the least similar of them may be below
    --similarity. Running again replaces the whole table.
    """

    similarity: float = Field(0.8, gt=0, le=1, description="lowest similarity of near-duplicates")
    shingle_words: int = Field(
        5, ge=1, description="words in a shingle; a text of fewer words is a duplicate only of an equal text"
    )
    num_hash_tables: int | None = Field(
        None, ge=1, description="bands; by default, as many as find 999 of 1,000 pairs at --similarity"
    )
    hashes_per_table: int = Field(4, ge=1, description="MinHash values per band; use fewer where --similarity is low")
    max_bucket: int = Field(
        100,
        ge=1,
        description="compare all texts of a bucket up to this size with each other; in a larger one, each only with "
        "that many first ones by doc_id, which still joins copies of one text but may miss other pairs",
    )
    max_pairs: int = Field(
        100_000_000, ge=1, description="stop before comparing if the buckets need more comparisons than this"
    )
    exact_only: bool = Field(
        False, description="find only documents with exactly the same text, in a fraction of the time"
    )
    json_output: bool = Field(False, alias="json", description="print the result as one JSON object")

    @model_validator(mode="after")
    def _few_hashes(self) -> DedupSettings:
        num_bands = self.near_rule().num_hash_tables
        if num_bands * self.hashes_per_table > MAX_HASHES:
            raise ValueError(
                f"--hashes-per-table {self.hashes_per_table} in {num_bands:,} bands, for --similarity "
                f"{self.similarity}, are more than {MAX_HASHES:,} hashes of each text; take fewer --hashes-per-table "
                "(1 for a low similarity), or fewer --num-hash-tables, which find fewer pairs"
            )
        return self

    def near_rule(self) -> NearRule:
        """The rule for near-duplicates; with enough bands to find nearly all of them, unless a number is given."""
        num_bands = self.num_hash_tables or num_bands_for(WANTED_RECALL, self.similarity, self.hashes_per_table)
        return NearRule(
            similarity=self.similarity,
            shingle_words=self.shingle_words,
            num_hash_tables=num_bands,
            hashes_per_table=self.hashes_per_table,
            max_bucket=self.max_bucket,
            max_pairs=self.max_pairs,
        )


def run(settings: DedupSettings, spark: SparkSession) -> dict[str, Any]:
    """Replace the table of clusters in one commit; returns, and prints, the counts.

    Raises ValueError, with nothing written, for ids that are missing or not unique, and for more comparisons than
    the settings allow.
    """
    from jobs.corpus.documents import check_ids, read_at_newest_version
    from jobs.spark.namespace import Namespace
    from jobs.spark.statements import run_statement
    from schemas import duplicates

    namespace = Namespace.parse(settings.namespace)
    documents, _ = read_at_newest_version(spark, namespace, settings.document_table())
    check_ids(documents)
    namespace.create(spark, duplicates.TABLE)
    counts: dict[str, Any] = {}
    if settings.exact_only:
        groups = run_statement(spark, "deduplicating/exact", signatures=documents.select("doc_id", "text_sha256"))
        clusters = spark.createDataFrame([], "node string, lower string")
    else:
        from jobs.deduplicating.near_duplicates import near_duplicates

        groups, clusters, counts = near_duplicates(spark, documents, settings.near_rule())
    clustered = run_statement(spark, "deduplicating/duplicates", groups=groups, clusters=clusters)
    namespace.replace_all(clustered, duplicates.TABLE)
    written = namespace.read(spark, duplicates.TABLE)
    kinds = {
        row["kind"]: row
        for row in run_statement(spark, "deduplicating/duplicates_summary", duplicates=written).collect()
    }
    result = _result(settings, counts, kinds)
    print(json.dumps(result) if settings.json_output else _report(result))
    return result


def _result(settings: DedupSettings, counts: dict[str, Any], kinds: dict[str, Row]) -> dict[str, Any]:
    by_kind = {
        kind: {name: kinds[kind][name] if kind in kinds else 0 for name in ("num_documents", "num_clusters")}
        for kind in KINDS
    }
    totals = {name: sum(row[name] for row in by_kind.values()) for name in ("num_documents", "num_clusters")}
    return {"namespace": settings.namespace, **totals, "kinds": by_kind, **counts}


def _report(result: dict[str, Any]) -> str:
    from jobs.terminal.display import plain_table

    rows = [[kind, f"{row['num_documents']:,}", f"{row['num_clusters']:,}"] for kind, row in result["kinds"].items()]
    lines = [plain_table(["kind", "documents", "clusters"], rows)]
    if "num_comparisons" in result:
        lines.append(
            f"{result['num_comparisons']:,} comparisons in {result['num_hash_tables']} bands, which find "
            f"{result['found_at_similarity']:.1%} of pairs of similarity {result['similarity']}"
        )
    notes = {
        "num_not_compared": "documents too short or too long to be compared, except for equality",
        "num_large_buckets": "buckets larger than --max-bucket: some of their pairs may be missed",
    }
    lines += [f"  {note}: {result[name]:,}" for name, note in notes.items() if result.get(name)]
    lines.append(
        f"{result['num_documents']:,} documents in {result['num_clusters']:,} clusters written to the duplicates table "
        f"of {result['namespace']}"
    )
    return "\n".join(lines)
