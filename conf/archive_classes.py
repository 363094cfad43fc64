"""Dump the classes that a small job loads into an archive, once, from which every later JVM starts.

Spark and Delta load some 20,000 classes, from jars, before a first query is answered: half of the time of a short
command. The JVM itself checks that an archive fits its version and its jars, and starts without it where it does not.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile

from jobs.spark.session import QUICK_JVM, QUIET_ARCHIVE, class_archive, local_session, log_option, require_java


def run_small_job(archive: str) -> None:
    """What most stages do, on a few rows, in a JVM that writes the archive when it ends."""
    from pyspark.sql import functions as F

    options = f'{QUICK_JVM} "-XX:ArchiveClassesAtExit={archive}" {QUIET_ARCHIVE} {log_option()}'
    spark = local_session("class archive", master="local[1]", conf={"spark.driver.extraJavaOptions": options})
    with tempfile.TemporaryDirectory() as folder:
        table = f"delta.`{folder}/table`"
        spark.sql(f"create table {table} (k string not null, v double) using delta partitioned by (k)")
        rows = spark.createDataFrame([("a", 1.0), ("b", 2.0), ("b", 3.0)], "k string, v double")
        rows.write.format("delta").mode("append").save(f"{folder}/table")
        replacing = rows.where("k = 'b'").write.format("delta").mode("overwrite").option("replaceWhere", "k = 'b'")
        replacing.save(f"{folder}/table")
        spark.sql(f"describe history {table} limit 1").collect()
        spark.sql(f"describe detail {table}").collect()
        versioned = f"{table} version as of 1"
        ranked = spark.sql(
            f"select k, v, row_number() over (partition by k order by v) as n from {versioned}"  # noqa: S608 - made here
        )
        joined = ranked.join(F.broadcast(spark.table(table).select("k")), "k")
        joined.groupBy("k").agg(F.count("*"), F.sum("v"), F.percentile_approx("v", 0.5)).orderBy("k").collect()
        joined.select(F.sha2(F.col("k"), 256), F.to_json(F.struct("*"))).toArrow()
    spark.stop()


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
