"""The first fifth of each domain by one plain window, as one would write it without this project: three engines.

Each reads the files of the same tables, joins the scores with the texts that there are now, and writes Parquet. Run by
selecting.py in a process of its own: python -m tests.benchmarks.engines ENGINE NAMESPACE OUT --memory-gib N.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable

from udfs.machine import num_cores

# Spark's defaults, which this project's local sessions change for small tables.
AS_SUBMITTED = {"spark.sql.adaptive.enabled": "true", "spark.sql.shuffle.partitions": "200"}
# The same words for Spark and for DuckDB.
STATEMENT = """
with live as (
    select scores.doc_id, corpus.domain, scores.influence_score, scores.num_tokens, scores.text_sha256
    from scores
    inner join corpus on scores.doc_id = corpus.doc_id and scores.text_sha256 = corpus.text_sha256
    where scores.status = 'scored'
),
ranked as (
    select
        *,
        row_number() over (partition by domain order by influence_score desc, doc_id) as domain_rank,
        count(*) over (partition by domain) as domain_size
    from live
)
select doc_id, domain, influence_score, num_tokens, text_sha256 from ranked where domain_rank * 5 <= domain_size
"""


def spark_window(namespace: str, out: str, memory_gib: int) -> None:
    """Spark SQL."""
    from jobs.spark.session import local_session

    # Spark's own JVM options, as under spark-submit: those of a small job make a large one slow.
    conf = {"spark.driver.memory": f"{memory_gib}g", "spark.driver.extraJavaOptions": "", **AS_SUBMITTED}
    spark = local_session("plain window", conf=conf)
    for name in ("scores", "corpus"):
        spark.read.format("delta").load(f"{namespace}/{name}").createOrReplaceTempView(name)
    spark.sql(STATEMENT).write.parquet(out)
    spark.stop()


def duckdb_window(namespace: str, out: str, memory_gib: int) -> None:
    """DuckDB, which writes to disk what its memory does not hold."""
    import duckdb

    database = duckdb.connect(config={"memory_limit": f"{memory_gib}GiB", "threads": num_cores()})
    database.execute(f"set temp_directory = '{out}-temporary'")
    for name, files in (("scores", _files(namespace, "scores")), ("corpus", _files(namespace, "corpus"))):
        database.execute(f"create view {name} as select * from read_parquet('{files}')")
    os.makedirs(out)
    database.execute(f"copy ({STATEMENT}) to '{out}/part.parquet' (format parquet)")


def polars_window(namespace: str, out: str, memory_gib: int) -> None:
    """Polars, by its streaming engine; it has no limit of memory."""
    import polars as pl

    scores = pl.scan_parquet(_files(namespace, "scores")).filter(pl.col("status") == "scored")
    texts = pl.scan_parquet(_files(namespace, "corpus")).select("doc_id", "text_sha256", "domain")
    columns = ("doc_id", "domain", "influence_score", "num_tokens", "text_sha256")
    live = scores.drop("domain").join(texts, on=["doc_id", "text_sha256"], how="inner").select(columns)
    in_order = live.sort("domain", "influence_score", "doc_id", descending=[False, True, False])
    place, size = pl.int_range(1, pl.len() + 1).over("domain"), pl.len().over("domain")
    os.makedirs(out)
    in_order.filter(place * 5 <= size).sink_parquet(f"{out}/part.parquet")


ENGINES: dict[str, Callable[[str, str, int], None]] = {
    "spark": spark_window,
    "duckdb": duckdb_window,
    "polars": polars_window,
}


def _files(namespace: str, table: str) -> str:
    """A pattern for the table's files, none of which has been replaced."""
    return f"{namespace}/{table}/{'scorer_id=*/' if table == 'scores' else ''}*.parquet"


def main() -> None:
    """Run one engine."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.engines", description=__doc__)
    parser.add_argument("engine", choices=ENGINES)
    parser.add_argument("namespace")
    parser.add_argument("out")
    parser.add_argument("--memory-gib", type=int, default=8)
    arguments = parser.parse_args()
    ENGINES[arguments.engine](arguments.namespace, arguments.out, arguments.memory_gib)


if __name__ == "__main__":
    main()
