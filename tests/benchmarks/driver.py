"""python -m tests.benchmarks.driver: what the stages cost beside their work, on the demo's tables; writes DRIVER.md.

Cold: each stage as a command of its own, over the floor, a command that starts Spark, reads a Delta table and counts
its rows. Warm: the stages in one process, in units of one Delta append with one grouped read there. Medians of three.
Jobs and queries are Spark's own counts, on tables that the process has not opened before. With --before, another
checkout of this project is measured in turn with this one.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import os
import platform
import shlex
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyspark

from jobs.terminal.display import plain_table
from udfs.machine import num_cores

STAGES = {
    "rank": "rank",
    "select": "select --fraction 0.2",
    "mix": "mix",
    "sql": "sql 'select count(*) from scores'",
    "status": "status",
}
# Run by either checkout's own code.
FLOOR = """
from jobs.spark.session import get_session
spark = get_session("floor")
spark.sql("select 1").collect()
spark.table("delta.`{namespace}/scores`").count()
spark.stop()
"""
ROUNDS = 3
# Not this folder, in which there is another checkout's package of the same name.
ELSEWHERE = tempfile.gettempdir()


def main() -> None:
    """Run what the arguments say, and write what came out."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.driver", description=__doc__)
    parser.add_argument("--namespace", default="demo_data", help="the tables of a demo, which are copied")
    parser.add_argument("--before", type=Path, help="a checkout of an earlier version, to measure beside this one")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent)
    parser.add_argument("--warm", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.warm:
        print(json.dumps(measure_warm(arguments.warm)))
        return
    here = Path(__file__).parents[2]
    checkouts = {"before": arguments.before.resolve(), "now": here} if arguments.before else {"now": here}
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        measured = {
            name: measure(code, Path(arguments.namespace), Path(folder) / name) for name, code in checkouts.items()
        }
        for stage in STAGES:
            rows += [[stage, name, *of_checkout[stage]] for name, of_checkout in measured.items()]
    table = plain_table(["stage", "checkout", "jobs", "queries", "cold", "over floor", "warm", "units"], rows)
    floors = ", ".join(f"{name} {of_checkout['floor'][0]}" for name, of_checkout in measured.items())
    text = TEXT.format(
        date=f"{datetime.now(UTC):%Y-%m-%d}",
        cores=num_cores(),
        versions=f"Python {platform.python_version()}, pyspark {pyspark.__version__}",
        floors=floors,
        table=table,
    )
    (arguments.out / "DRIVER.md").write_text(text, encoding="utf-8")
    print(text)


def measure(code: Path, demo: Path, folder: Path) -> dict[str, list[str]]:
    """The cells of each stage's line, and the floor, for the code of one checkout."""
    shutil.copytree(demo, folder)
    # Those of an earlier version may need it; those of one that does not know it do not.
    command(code, ["ingest", "--upgrade", "--namespace", str(folder)], check=False)
    for name in ("selections", "selection_runs", "mixture", "mixture_runs"):
        shutil.rmtree(folder / name, ignore_errors=True)
    for stage in ("rank", "select", "mix"):
        command(code, [*shlex.split(STAGES[stage]), "--namespace", str(folder)])
    floor = statistics.median(run(code, ["-c", FLOOR.format(namespace=folder)]) for _ in range(ROUNDS))
    warm = json.loads(run_for_output(code, [__file__, "--warm", str(folder)]).splitlines()[-1])
    cells = {"floor": [f"{floor:.1f} s"]}
    for stage, argv in STAGES.items():
        argv_here = [*shlex.split(argv), "--namespace", str(folder)]
        cold = statistics.median(command(code, argv_here) for _ in range(ROUNDS))
        seconds = warm[stage]["seconds"]
        cells[stage] = [
            f"{warm[stage]['jobs']}",
            f"{warm[stage]['queries']}",
            f"{cold:.1f} s",
            f"{cold / floor:.2f}",
            f"{seconds:.1f} s",
            f"{seconds / warm['unit']:.1f}",
        ]
    return cells


def command(code: Path, argv: list[str], *, check: bool = True) -> float:
    """Seconds that the stage takes as a command of its own."""
    return run(code, ["-m", "jobs.cli", *argv], check=check)


def run(code: Path, argv: list[str], *, check: bool = True) -> float:
    """Seconds that Python takes for it, with the code of that checkout."""
    begin = time.perf_counter()
    run_for_output(code, argv, check=check)
    return time.perf_counter() - begin


def run_for_output(code: Path, argv: list[str], *, check: bool = True) -> str:
    """What Python prints for it, with the code of that checkout."""
    environment = os.environ | {"PYTHONPATH": str(code)}
    done = subprocess.run(
        [sys.executable, *argv], env=environment, cwd=ELSEWHERE, capture_output=True, text=True, check=False
    )
    if check and done.returncode:
        raise RuntimeError(f"{shlex.join(argv)[:200]} failed:\n{done.stderr[-2000:]}")
    return done.stdout


def measure_warm(namespace: Path) -> dict[str, Any]:
    """Each stage's jobs, queries and seconds in one warm process, and the seconds of a unit."""
    from jobs.spark.session import local_session

    spark: Any = local_session("driver benchmark")
    found: dict[str, Any] = {}
    # The first pass warms up, the second counts, on tables that were not opened before, and all others are timed.
    for name, argv in STAGES.items():
        run_stage(spark, argv, namespace)
        copy = namespace.with_name(f"{namespace.name}-{name}")
        shutil.copytree(namespace, copy)
        before = counts(spark)
        run_stage(spark, argv, copy)
        jobs, queries = (now - then for now, then in zip(counts(spark), before, strict=True))
        seconds = [run_stage(spark, argv, namespace) for _ in range(ROUNDS)]
        found[name] = {"jobs": jobs, "queries": queries, "seconds": statistics.median(seconds)}
    found["unit"] = statistics.median([unit(spark, namespace) for _ in range(ROUNDS + 2)][2:])
    return found


def run_stage(spark: Any, command_line: str, namespace: Path) -> float:
    """Seconds that the stage takes in this process."""
    from jobs.stages import STAGES as REGISTRY

    name, *argv = shlex.split(command_line)
    stage = REGISTRY[name]
    begin = time.perf_counter()
    with contextlib.redirect_stdout(io.StringIO()):
        stage.function()(stage.load_settings([*argv, "--namespace", str(namespace)]), spark)
    return time.perf_counter() - begin


def unit(spark: Any, namespace: Path) -> float:
    """Seconds of one Delta append of a few rows with one grouped read."""
    begin = time.perf_counter()
    path = f"{namespace}-unit"
    spark.createDataFrame([("a", 1.0), ("b", 2.0)], "k string, v double").write.format("delta").mode("append").save(
        path
    )
    spark.read.format("delta").load(path).groupBy("k").count().collect()
    return time.perf_counter() - begin


def counts(spark: Any) -> tuple[int, int]:
    """Spark's jobs and queries so far."""
    spark.sparkContext._jsc.sc().listenerBus().waitUntilEmpty(60_000)
    executions = spark._jsparkSession.sharedState().statusStore().executionsList()
    newest = max((executions.apply(i).executionId() for i in range(executions.size())), default=-1)
    return spark.sparkContext._jsc.sc().dagScheduler().numTotalJobs(), newest + 1


TEXT = """# What the stages cost beside their work

Written by `python -m tests.benchmarks.driver` on {date}. {cores} cores; {versions}. The demo's tables, 150 documents.

Cold is a command by itself; the floor is a command that starts Spark and counts the rows of a Delta table ({floors}).
Warm is the same stage in a process that has run it before, beside the unit: one Delta append with one grouped read.
Jobs and queries are counted in that process on tables that it has not opened before.

```text
{table}
```
"""

if __name__ == "__main__":
    main()
