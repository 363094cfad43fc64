"""python -m tests.benchmarks.selecting: ranks and cut-offs of millions of scored rows, both ways in one run.

Each measurement has its own process and Spark session (8 GB of driver memory, the JVM's own defaults, as under
spark-submit), does the same with a small table first, and starts from the same Parquet table: scored documents of five
domains, one of which has 80 % of them. Writes SELECTING.md and selecting.json.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

NAMES = {
    "window": "ranks by a window per domain",
    "bins": "ranks in bins",
    "window-filter": "a fifth by window and filter",
    "cut-off": "a fifth by cut-off",
    "joins": "quality and dedup joins",
}
WARM_UP_ROWS = 200_000


def main() -> None:
    """Run what the arguments name, in turn, and write what came out."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.selecting", description=__doc__)
    parser.add_argument("--rows", type=int, nargs="+", default=[5_000_000, 50_000_000])
    parser.add_argument("--rounds", type=int, nargs="+", default=[3, 1], help="rounds of each number of rows")
    parser.add_argument("--memory", default="8g")
    parser.add_argument("--folder", type=Path, help="where the tables go; by default a temporary folder")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent)
    parser.add_argument("--one", nargs=2, metavar=("NAME", "TABLE"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one:
        measure(*arguments.one, arguments.memory)
        return
    if arguments.folder:
        arguments.folder.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(dir=arguments.folder))
    found = []
    try:
        run_one("make", str(folder / f"{WARM_UP_ROWS}"), arguments.memory, WARM_UP_ROWS)
        for num_rows, rounds in zip(arguments.rows, arguments.rounds, strict=True):
            table = str(folder / f"{num_rows}")
            run_one("make", table, arguments.memory, num_rows)
            for number in range(rounds):
                for name in NAMES:
                    found.append({"rows": num_rows, "name": name, **run_one(name, table, arguments.memory, num_rows)})
                    say(f"{num_rows:,} rows, round {number + 1} of {rounds}, {NAMES[name]}: {found[-1]}")
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    write(arguments, found)


def run_one(name: str, table: str, memory: str, num_rows: int) -> dict[str, Any]:
    """What a process of its own measured."""
    command = [sys.executable, "-m", __spec__.name, "--one", name, table, "--memory", memory, "--rows", str(num_rows)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        if name == "make":
            sys.exit("the table was not made")
        return {"failure": f"exit status {done.returncode}"}
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return result


def measure(name: str, table: str, memory: str) -> None:
    """Print, as JSON, what one way took: seconds, rows of the largest task, spilled bytes, memory."""
    from jobs.spark.session import local_session, log_option

    small = Path(table).with_name(f"{WARM_UP_ROWS}")
    with tempfile.TemporaryDirectory() as events:
        conf = {
            "spark.driver.memory": memory,
            # The local session's own options make small runs start early and large ones slow.
            "spark.driver.extraJavaOptions": log_option(),
            "spark.eventLog.enabled": "true",
            "spark.eventLog.dir": Path(events).as_uri(),
            "spark.eventLog.compress": "false",
        }
        spark = local_session("benchmark", conf=conf)
        if name != "make":
            WAYS[name](spark, str(small))
        begin = time.perf_counter()
        found = WAYS[name](spark, table) or {}
        seconds = time.perf_counter() - begin
        peak = max(_peak_bytes(pid) for pid in _descendants(os.getpid()))
        spark.stop()
        # Not the checksums beside them, whose names start with a dot.
        logs = [file for file in Path(events).rglob("[!.]*") if file.is_file()]
        tasks = [task for log in logs for task in _tasks(log)]
    found |= {
        "seconds": round(seconds, 2),
        "largest_task": max((task["rows"] for task in tasks), default=0),
        "spilled": sum(task["spilled"] for task in tasks),
        "peak_bytes": peak,
    }
    print(json.dumps(found))


def make(spark: SparkSession, table: str) -> None:
    """Scored rows in no order: ids of 16 characters, one domain of 80 % and four of 5 %, scores of two shapes."""
    from pyspark.sql import functions as F

    num_rows = int(Path(table).name)
    place = "pmod(xxhash64(id, 1), 100)"
    spark.range(0, num_rows, 1, max(8, num_rows // 2_000_000)).select(
        F.expr("lower(hex(xxhash64(id)))").alias("doc_id"),
        F.expr(f"if({place} < 80, 'web', concat('domain ', {place} div 5))").alias("domain"),
        F.expr(f"if({place} % 2 = 0, exp(randn(1) * 0.5 - 1), round(rand(2), 3))").alias("order_value"),
        F.expr("cast(exp(randn(3) + 6.4) + 2 as bigint)").alias("num_tokens"),
    ).write.parquet(table)


def rank(method: str) -> Any:
    """Full ranks, thrown away at the end."""

    def way(spark: SparkSession, table: str) -> None:
        from jobs.ranking.ranks import ranked
        from jobs.spark.tasks import enough_tasks

        documents = spark.read.parquet(table)
        with enough_tasks(spark, int(Path(table).name)):
            _run(ranked(spark, documents, method))  # type: ignore[arg-type]

    return way


def window_and_filter(spark: SparkSession, table: str) -> dict[str, Any]:
    """What most would write: rank, and keep the first fifth of each domain."""
    from jobs.ranking.ranks import ranked
    from jobs.spark.tasks import enough_tasks

    with enough_tasks(spark, int(Path(table).name)):
        rows = ranked(spark, spark.read.parquet(table), "window").filter("domain_rank <= floor(domain_size * 0.2)")
        return _fingerprint(rows)


def cut_off(spark: SparkSession, table: str) -> dict[str, Any]:
    """As select does it."""
    from jobs.ranking.cutoffs import Limit
    from jobs.ranking.order import domain_totals, take_first
    from jobs.spark.tasks import enough_tasks

    num_rows = int(Path(table).name)
    with enough_tasks(spark, num_rows):
        documents = spark.read.parquet(table)
        totals = domain_totals(documents)
        limits = {domain: Limit(max_documents=count // 5) for domain, (count, _) in totals.items()}
        return _fingerprint(take_first(spark, documents, num_rows=num_rows, limits=limits))


def joins(spark: SparkSession, table: str) -> dict[str, Any]:
    """The quality and the dedup join, and how often each side of them is shuffled."""
    from pyspark.sql import functions as F

    from jobs.spark.statements import run_statement
    from jobs.spark.tasks import enough_tasks

    documents = spark.read.parquet(table).select(
        "doc_id",
        "domain",
        F.col("order_value").alias("influence_score"),
        "num_tokens",
        # Any text serves in the place of a hash.
        F.col("doc_id").alias("text_sha256"),
    )
    quality = documents.select("doc_id", F.expr("rand(5)").alias("quality"))
    clusters = documents.select("doc_id", F.expr("substring(doc_id, 1, 7)").alias("cluster_id"))
    with enough_tasks(spark, int(Path(table).name)):
        joined = run_statement(spark, "selecting/with_quality", documents=documents, quality=quality)
        joined = run_statement(spark, "selecting/with_cluster", documents=joined, clusters=clusters)
        preferred = joined.withColumn("preference", F.col("influence_score"))
        kept = run_statement(spark, "selecting/one_of_each_cluster", documents=preferred)
        plan = _plan(kept).replace(str(Path(table).parent.resolve()), "...")
        _run(kept)
    return {"shuffles": plan.count("Exchange hashpartitioning"), "plan": plan}


WAYS: dict[str, Any] = {
    "make": make,
    "window": rank("window"),
    "bins": rank("bins"),
    "window-filter": window_and_filter,
    "cut-off": cut_off,
    "joins": joins,
}


def _run(rows: DataFrame) -> None:
    rows.write.format("noop").mode("overwrite").save()


def _fingerprint(rows: DataFrame) -> dict[str, Any]:
    """How many rows, and a hash of which: read once, as writing them would."""
    found = rows.selectExpr("count(*)", "bit_xor(xxhash64(doc_id))").collect()[0]
    return {"selected": found[0], "which": f"{found[1] & (2**64 - 1):016x}"}


def _plan(rows: DataFrame) -> str:
    import contextlib
    import io

    text = io.StringIO()
    with contextlib.redirect_stdout(text):
        rows.explain()
    return text.getvalue()


def _tasks(log: Path) -> Iterator[dict[str, int]]:
    """Rows that came to each task by a shuffle or from a file, and bytes that it spilled."""
    for line in log.read_text().splitlines():
        event = json.loads(line)
        metrics = event.get("Task Metrics")
        if event.get("Event") == "SparkListenerTaskEnd" and metrics:
            yield {
                "rows": metrics["Shuffle Read Metrics"]["Total Records Read"],
                "spilled": metrics["Disk Bytes Spilled"],
            }


def _descendants(pid: int) -> list[int]:
    children = [
        int(child) for file in Path(f"/proc/{pid}/task").glob("*/children") for child in file.read_text().split()
    ]
    return [pid, *(found for child in children for found in _descendants(child))]


def _peak_bytes(pid: int) -> int:
    status = Path(f"/proc/{pid}/status").read_text()
    return next((1024 * int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM")), 0)


def write(arguments: argparse.Namespace, found: list[dict[str, Any]]) -> None:
    """SELECTING.md and selecting.json."""
    import pyspark

    from jobs.terminal.display import plain_table

    (arguments.out / "selecting.json").write_text(json.dumps(found, indent=1) + "\n")
    cells = []
    medians: dict[tuple[int, str], float] = {}
    for num_rows in arguments.rows:
        for name, title in NAMES.items():
            runs = [row for row in found if row["rows"] == num_rows and row["name"] == name and "failure" not in row]
            if not runs:
                cells.append([f"{num_rows:,}", title, "failed", "", "", "", ""])
                continue
            seconds = [run["seconds"] for run in runs]
            medians[num_rows, name] = statistics.median(seconds)
            largest = max(run["largest_task"] for run in runs)
            cells.append(
                [
                    f"{num_rows:,}",
                    title,
                    f"{statistics.median(seconds):.1f} s",
                    f"{min(seconds):.1f} - {max(seconds):.1f}",
                    f"{largest:,} ({largest / num_rows:.1%})",
                    f"{max(run['spilled'] for run in runs) / 2**30:.1f} GiB",
                    f"{max(run['peak_bytes'] for run in runs) / 2**30:.1f} GiB",
                ]
            )
    header = ["rows", "what", "median", "fastest - slowest", "largest task", "spilled", "memory"]
    plan = next((row["plan"] for row in reversed(found) if "plan" in row), "")
    text = TEXT.format(
        date=f"{datetime.now(UTC):%Y-%m-%d}",
        cores=os.cpu_count(),
        memory=arguments.memory,
        versions=f"Python {platform.python_version()}, pyspark {pyspark.__version__}",
        rounds=", ".join(
            f"{rounds} of {rows:,} rows" for rows, rounds in zip(arguments.rows, arguments.rounds, strict=True)
        ),
        table=plain_table(header, cells),
        ratios="\n".join(ratios(arguments.rows, medians, found)),
        plan=plan.strip(),
    )
    (arguments.out / "SELECTING.md").write_text(text)
    print(text)


def ratios(sizes: list[int], medians: dict[tuple[int, str], float], found: list[dict[str, Any]]) -> list[str]:
    """What the goals are about, as lines of text."""
    lines = []
    for size in sizes:
        for slow, fast in (("window", "bins"), ("window-filter", "cut-off")):
            if (size, slow) in medians and (size, fast) in medians:
                ratio = medians[size, slow] / medians[size, fast]
                lines.append(f"- {size:,} rows: {NAMES[fast]} {ratio:.2f} times as fast as {NAMES[slow]}")
        chosen = {row["which"] for row in found if row["rows"] == size and "which" in row}
        lines.append(
            f"- {size:,} rows: {'the same' if len(chosen) == 1 else 'NOT the same'} documents selected by both"
        )
    if len(sizes) == 2:
        small, large = sizes
        for name in NAMES:
            if (small, name) in medians and (large, name) in medians:
                growth = medians[large, name] / medians[small, name] / (large / small)
                lines.append(f"- {NAMES[name]}: {growth:.2f} of linear from {small:,} to {large:,} rows")
    return lines


def say(line: str) -> None:
    """Progress, apart from the results."""
    print(line, file=sys.stderr, flush=True)


TEXT = """# How fast documents are ranked and selected

Written by `make bench-select` (`python -m tests.benchmarks.selecting`) on {date}. {cores} cores, {memory} of driver
memory; {versions}. Rounds: {rounds}; median, fastest and slowest.

Scored documents of five domains, one of which has 80 %, half of the scores in steps of a thousandth (ties) and half
log-normal. Each measurement has a Spark session of its own, which has done the same with a small table before, and
reads the table from Parquet. *largest task*: the most rows that came to one task by a shuffle. *memory*: the most that
the JVM or Python held.

```text
{table}
```

{ratios}

The plan of the joins: each of the two tables is shuffled once, the documents once for both, and once more by cluster.

```text
{plan}
```
"""

if __name__ == "__main__":
    main()
