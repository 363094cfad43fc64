"""Large tables of a namespace, made by one statement each: a corpus and its scores, to measure what reads them.

python -m tests.benchmarks.scored_tables NAMESPACE --rows N --text-bytes B makes those that selecting.py reads.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from jobs.spark.namespace import Namespace

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame, SparkSession
    from pyspark.sql.types import StructType

SCORER = "benchmark-scorer"
# Rows of a commit of ten minutes: so large are the files.
ROWS_PER_FILE = 100_000
# Characters of a hash in hex, of which texts are made, so that they do not compress to nothing.
PIECE = 16


def make_corpus(spark: SparkSession, place: Namespace, num_rows: int, text_bytes: int) -> None:
    """Documents of one domain of 80 % and four of 5 %, with texts of about so many bytes."""
    from pyspark.sql import functions as F

    from schemas import corpus

    place.create(spark, corpus.TABLE)
    pieces = [F.hex(F.xxhash64("id", F.lit(number))) for number in range(max(1, text_bytes // PIECE))]
    share = F.pmod(F.xxhash64("id", F.lit(-1)), F.lit(100))
    rows = _ids(spark, num_rows).withColumn("text", F.concat(*pieces))
    values = {
        "doc_id": _doc_id(),
        "domain": F.when(share < 80, "web").otherwise(F.concat(F.lit("domain "), (share / 5).cast("int"))),
        "text": F.col("text"),
        "text_sha256": F.sha2("text", 256),
        "num_bytes": F.octet_length("text").cast("bigint"),
    }
    place.append(with_schema(rows, corpus.TABLE.schema, values), corpus.TABLE)


def make_scores(spark: SparkSession, place: Namespace) -> None:
    """A score of each document of the corpus: half of them in steps of a thousandth (ties), half log-normal."""
    from pyspark.sql import functions as F

    from schemas import corpus, runs, scores

    influence = F.when(F.rand(1) < 0.5, F.exp(F.randn(2) * 0.5 - 1)).otherwise(F.round(F.rand(3), 3))
    documents = place.read(spark, corpus.TABLE).select("doc_id", "domain", "text_sha256")
    place.create(spark, scores.TABLE)
    place.append(with_schema(documents, scores.TABLE.schema, score_values(influence)), scores.TABLE)
    place.create(spark, runs.TABLE)
    place.append(spark.createDataFrame([_finished_run()], runs.TABLE.schema), runs.TABLE)


def make_earlier_scores(spark: SparkSession, place: Namespace, num_rows: int) -> None:
    """Scores of documents that are in no corpus, without the constraints, which are slow for so many."""
    from pyspark.sql import functions as F

    from schemas import scores

    place.create(spark, replace(scores.TABLE, checks={}))
    if num_rows:
        rows = _ids(spark, num_rows).withColumn("id", -1 - F.col("id"))
        hashes = {"doc_id": _doc_id(), "text_sha256": F.sha2(F.col("id").cast("string"), 256), "domain": F.lit("web")}
        values = {**score_values(F.rand(1)), **hashes}
        place.append(with_schema(rows, scores.TABLE.schema, values), scores.TABLE)


def make_joined(spark: SparkSession, place: Namespace) -> None:
    """A quality of each document, and clusters of a few documents, as tables of the user's own."""
    from pyspark.sql import functions as F

    from schemas import corpus

    documents = place.read(spark, corpus.TABLE).select("doc_id")
    tables = {
        "quality": documents.select("doc_id", F.rand(5).alias("quality")),
        "clusters": documents.select("doc_id", F.substring("doc_id", 1, 7).alias("cluster_id")),
    }
    for name, table in tables.items():
        table.write.format("delta").save(f"{place.folder}/{name}")


def score_values(influence: Column) -> dict[str, Column]:
    """The columns of a scored row but for doc_id, domain and text_sha256."""
    from pyspark.sql import functions as F

    return {
        "scorer_id": F.lit(SCORER),
        "attempt": F.lit(1),
        "num_tokens": F.exp(F.randn(4) + 6.4) + 2,
        "num_predicted_tokens": F.lit(1),
        "num_windows": F.lit(1),
        "num_float32_windows": F.lit(0),
        **{name: F.exp(F.randn(6) * 0.2) for name in ("base_nll_sum", "masked_nll_sum", "base_loss", "masked_loss")},
        "influence_score": influence,
        "status": F.lit("scored"),
        "run_id": F.lit(_finished_run()["run_id"]),
        "scored_at": F.current_timestamp(),
    }


def with_schema(rows: DataFrame, schema: StructType, values: Mapping[str, Column]) -> DataFrame:
    """The schema's columns: these values, or else the rows' own of that name, or else null."""
    from pyspark.sql import functions as F

    own = {name: F.col(name) for name in rows.columns}
    found = {field.name: values.get(field.name, own.get(field.name, F.lit(None))) for field in schema}
    return rows.select(*(found[field.name].cast(field.dataType).alias(field.name) for field in schema))


def _ids(spark: SparkSession, num_rows: int) -> DataFrame:
    return spark.range(0, num_rows, 1, max(1, num_rows // ROWS_PER_FILE))


def _doc_id() -> Column:
    from pyspark.sql import functions as F

    return F.lower(F.hex(F.xxhash64("id")))


def _finished_run() -> dict[str, object]:
    from tests.jobs.scoring.scoring_cases import run_row

    return run_row(run_id="earlier", scorer_id=SCORER, state="finished", updated_at=datetime(2026, 1, 2, tzinfo=UTC))


def main() -> None:
    """Make a corpus, its scores, and tables to join them with; or scores alone."""
    from jobs.spark.session import local_session

    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.scored_tables", description=__doc__)
    parser.add_argument("namespace")
    parser.add_argument("--rows", type=int, required=True)
    parser.add_argument("--text-bytes", type=int, help="without it, there are scores of other documents alone")
    arguments = parser.parse_args()
    # Spark's own JVM options: those of a small job make a large one slow.
    spark = local_session("tables", conf={"spark.driver.memory": "6g", "spark.driver.extraJavaOptions": ""})
    place = Namespace.parse(arguments.namespace)
    if arguments.text_bytes is None:
        make_earlier_scores(spark, place, arguments.rows)
    else:
        make_corpus(spark, place, arguments.rows, arguments.text_bytes)
        make_scores(spark, place)
        make_joined(spark, place)
    spark.stop()


if __name__ == "__main__":
    main()
