"""Dump the classes that a small job loads into an archive, once, from which every later JVM starts.

Spark and Delta load some 20,000 classes, from jars, before a first query is answered: half of the time of a short
command. The JVM itself checks that an archive fits its version and its jars, and starts without it where it does not.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from jobs.spark.session import QUICK_JVM, QUIET_ARCHIVE, class_archive, local_session, log_option, require_java
from jobs.spark.tasks import adaptive_plans
from jobs.spark.time_travel import read_version

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


def run_small_job(archive: str) -> None:
    """What the stages do, on a few rows, in a JVM that writes the archive when it ends."""
    options = f'{QUICK_JVM} "-XX:ArchiveClassesAtExit={archive}" {QUIET_ARCHIVE} {log_option()}'
    spark = local_session("class archive", master="local[1]", conf={"spark.driver.extraJavaOptions": options})
    with tempfile.TemporaryDirectory() as folder:
        write_and_query(spark, folder)
        read_files_and_follow(spark, folder)
    spark.stop()


def write_and_query(spark: SparkSession, folder: str) -> None:
    """Tables with constraints, replaced rows, versions, windows, joins and hashes."""
    from pyspark.sql import functions as F

    table = f"delta.`{folder}/table`"
    spark.sql(
        f"create table if not exists {table} (k string not null comment 'key', v double) using delta "
        "partitioned by (k) tblproperties ('delta.constraints.finite' = 'v is null or abs(v) < 9')"
    )
    rows = spark.createDataFrame([("a", 1.0), ("b", 2.0), ("b", 3.0)], "k string, v double")
    rows.select("*").writeTo(table).append()
    replacing = rows.where("k = 'b'").write.format("delta").mode("overwrite").option("replaceWhere", "k = 'b'")
    replacing.save(f"{folder}/table")
    spark.sql(f"show tblproperties {table}").collect()
    spark.sql(f"describe history {table} limit 1").collect()
    spark.sql(f"describe detail {table}").collect()
    ranked = spark.sql(
        "select k, v, row_number() over (partition by k order by v) as n, percent_rank() over (partition by k "
        "order by v desc) as p, sum(v) over (partition by k order by v rows between unbounded preceding and current "
        "row) as s from {versioned}",
        versioned=read_version(spark, table, 1),
    )
    joined = ranked.join(F.broadcast(spark.table(table).select("k")), "k")
    joined.groupBy("k").agg(F.count("*"), F.sum("v"), F.percentile_approx("v", 0.5)).orderBy("k").collect()
    kept = joined.select(F.sha2(F.col("k"), 256), F.to_json(F.struct("*"))).persist()
    kept.toArrow()
    kept.unpersist()
    spark.sql(f"merge into {table} as t using {{new}} as n on t.k = n.k when not matched then insert *", new=rows)


def read_files_and_follow(spark: SparkSession, folder: str) -> None:
    """Files of text and JSON, a stream that follows a table, a Python function of its rows, and a counted commit."""
    from pyspark.sql import DataFrame, Observation
    from pyspark.sql import functions as F

    file = Path(folder) / "lines.jsonl"
    file.write_text('{"k": "c", "v": 4.0}\n')
    spark.read.json(str(file)).collect()
    lines = spark.read.text(str(file)).select("value", "_metadata.file_path")
    lines.select(F.from_json("value", "k string, v double").alias("row"), F.xxhash64("value")).collect()

    @F.pandas_udf("v double")  # type: ignore[call-overload]
    def same(values: pd.Series) -> pd.DataFrame:
        return pd.DataFrame({"v": values})

    def on_batch(batch: DataFrame, number: int) -> None:
        counts = Observation()
        scored = batch.dropDuplicates(["k"]).repartition(1).select("k", same("v").alias("made")).select("k", "made.v")
        with adaptive_plans(batch.sparkSession):
            rows = scored.hint("rebalance", "k").observe(counts, F.count("*").alias("n"))
            rows.write.format("delta").mode("append").option("txnAppId", "a").option("txnVersion", number).save(copied)

    copied = f"{folder}/copied"
    stream = spark.readStream.format("delta").load(f"{folder}/table").writeStream.foreachBatch(on_batch)
    query = stream.trigger(availableNow=True).option("checkpointLocation", f"{folder}/checkpoint").start()
    query.awaitTermination()


def main() -> int:
    """Write the archive, in the place of one for other jars or another Java; where that fails, Spark starts without."""
    require_java()
    archive = class_archive()
    part = archive.with_suffix(".part")
    result = subprocess.run(  # noqa: S603 - this interpreter
        [sys.executable, __file__, str(part)], capture_output=True, text=True, check=False
    )
    if result.returncode == 0 and part.is_file():
        os.replace(part, archive)
    else:
        tail = "\n".join(result.stderr.strip().splitlines()[-5:])
        print(f"make setup: no class archive was made, so Spark starts more slowly:\n{tail}", file=sys.stderr)
    return 0


if __name__ == "__main__":
    if len(sys.argv) > 1:
        run_small_job(sys.argv[1])
    else:
        sys.exit(main())
