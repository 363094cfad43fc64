"""python -m tests.benchmarks.selecting: ranking and selecting millions of scored documents, beside other engines.

The stages are submitted to Spark as a user would, on a corpus and a scores table, and are timed from the command to its
end. Beside them the same selection as one plain window, by Spark, DuckDB and Polars, on the same files. Each
measurement has a process of its own. Writes SELECTING.md and selecting.json.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib.metadata
import json
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from jobs.terminal.display import plain_table
from udfs.machine import num_cores

ROOT = Path(__file__).parents[2]
# From each measurement to its stage and arguments, or to an engine.
STAGES = {
    "rank, in bins": ("rank", "--method", "bins"),
    "rank, by windows": ("rank", "--method", "window"),
    "select a fifth": ("selection", "--fraction", "0.2"),
    "select with joins": (
        "selection",
        *("--fraction", "0.2", "--quality-table", "{namespace}/quality", "--dedup-table", "{namespace}/clusters"),
    ),
}
ENGINES = {"plain window, Spark": "spark", "plain window, DuckDB": "duckdb", "plain window, Polars": "polars"}
# What the stages write, which is taken away before each measurement.
WRITTEN = ("rankings", "selections", "selection_runs")


def main() -> None:
    """Run what the arguments name, in turn, and write what came out."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.selecting", description=__doc__)
    parser.add_argument(
        "--tables",
        nargs="+",
        default=["5000000x16", "5000000x2000"],
        metavar="ROWSxBYTES",
        help="rows of the corpus, and bytes of each text",
    )
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--only", nargs="+", default=["rank", "select", "plain"], help="how the names begin")
    parser.add_argument("--memory-gib", type=int, default=8)
    parser.add_argument("--folder", type=Path, help="where the tables go; by default a temporary folder")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent)
    arguments = parser.parse_args()
    folder = Path(tempfile.mkdtemp(dir=arguments.folder))
    names = [name for name in (*STAGES, *ENGINES) if name.startswith(tuple(arguments.only))]
    found = []
    try:
        for tables in arguments.tables:
            rows, text_bytes = tables.split("x")
            namespace = folder / tables
            making = [
                "-m",
                "tests.benchmarks.scored_tables",
                str(namespace),
                "--rows",
                rows,
                "--text-bytes",
                text_bytes,
            ]
            subprocess.run([sys.executable, *making], cwd=ROOT, check=True)
            for number in range(arguments.rounds):
                for name in names:
                    measured = measure(name, namespace, arguments.memory_gib)
                    found.append({"rows": int(rows), "text_bytes": int(text_bytes), "name": name, **measured})
                    say(f"{tables}, round {number + 1} of {arguments.rounds}, {name}: {measured}")
            shutil.rmtree(namespace)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    write(arguments, found)


def measure(name: str, namespace: Path, memory_gib: int) -> dict[str, Any]:
    """Seconds of the command, the most memory that it held, and a hash of the documents that it selected."""
    for table in WRITTEN:
        shutil.rmtree(namespace / table, ignore_errors=True)
    out = namespace / "plain"
    shutil.rmtree(out, ignore_errors=True)
    if engine := ENGINES.get(name):
        command = [sys.executable, "-m", "tests.benchmarks.engines", engine, str(namespace), str(out)]
        command += ["--memory-gib", str(memory_gib)]
    else:
        stage, *argv = (part.format(namespace=namespace) for part in STAGES[name])
        submit = [str(Path(sys.executable).with_name("spark-submit")), "--driver-memory", f"{memory_gib}g"]
        command = [*submit, f"jobs/{stage}.py", *argv, "--namespace", str(namespace)]
        out = namespace / "selections"
    begin = time.perf_counter()
    running = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    peak = 0
    while running.poll() is None:
        peak = max(peak, sum(map(resident_bytes, descendants(running.pid))))
        time.sleep(0.1)
    seconds = time.perf_counter() - begin
    if running.returncode:
        printed = running.stdout.read()[-300:] if running.stdout else ""
        return {"failure": f"exit status {running.returncode}: {printed}", "peak_bytes": peak}
    result = {"seconds": round(seconds, 2), "peak_bytes": peak}
    return result | (fingerprint(out) if out.exists() else {})


def fingerprint(folder: Path) -> dict[str, Any]:
    """How many documents the Parquet files of the folder hold, and a hash of their ids."""
    import pyarrow.parquet as pq

    files = [file for file in folder.rglob("*.parquet") if "_delta_log" not in file.parts]
    ids = sorted(value for file in files for value in pq.ParquetFile(file).read(["doc_id"])["doc_id"].to_pylist())
    return {"selected": len(ids), "which": hashlib.sha256("\n".join(ids).encode()).hexdigest()[:16]}


def descendants(pid: int) -> list[int]:
    """The process and those that it has started, as far as they live."""
    try:
        files = list(Path(f"/proc/{pid}/task").glob("*/children"))
        children = [int(child) for file in files for child in file.read_text().split()]
    except OSError:
        return []
    return [pid, *(found for child in children for found in descendants(child))]


def resident_bytes(pid: int) -> int:
    """Bytes of memory that the process holds now; 0 if it has ended."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0
    return next((1024 * int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS")), 0)


def write(arguments: argparse.Namespace, found: list[dict[str, Any]]) -> None:
    """SELECTING.md and selecting.json."""
    (arguments.out / "selecting.json").write_text(json.dumps(found, indent=1) + "\n")
    cells = []
    for key, runs in grouped(found).items():
        seconds = [run["seconds"] for run in runs if "seconds" in run]
        rows, text_bytes, name = key
        fastest = f"{min(seconds):.1f} - {max(seconds):.1f}" if seconds else ""
        cells.append(
            [
                f"{rows:,}",
                f"{text_bytes:,}",
                name,
                f"{statistics.median(seconds):.1f} s" if len(seconds) == len(runs) else "failed",
                fastest,
                f"{max(run['peak_bytes'] for run in runs) / 2**30:.1f} GiB",
            ]
        )
    versions = {name: importlib.metadata.version(name) for name in ("pyspark", "duckdb", "polars")}
    text = TEXT.format(
        date=f"{datetime.now(UTC):%Y-%m-%d}",
        cores=num_cores(),
        memory=arguments.memory_gib,
        versions=", ".join(["Python " + platform.python_version(), *(f"{k} {v}" for k, v in versions.items())]),
        rounds=arguments.rounds,
        table=plain_table(["rows", "bytes of a text", "what", "median", "fastest - slowest", "memory"], cells),
        comparisons="\n".join(comparisons(found)),
    )
    (arguments.out / "SELECTING.md").write_text(text)
    print(text)


def grouped(found: list[dict[str, Any]]) -> dict[tuple[int, int, str], list[dict[str, Any]]]:
    """The rounds of each measurement."""
    groups: dict[tuple[int, int, str], list[dict[str, Any]]] = {}
    for row in found:
        groups.setdefault((row["rows"], row["text_bytes"], row["name"]), []).append(row)
    return groups


def comparisons(found: list[dict[str, Any]]) -> list[str]:
    """What the goals are about, as lines of text."""
    medians = {
        key: statistics.median(run["seconds"] for run in runs)
        for key, runs in grouped(found).items()
        if all("seconds" in run for run in runs)
    }
    lines = []
    for rows, text_bytes in dict.fromkeys((row["rows"], row["text_bytes"]) for row in found):
        here = f"{rows:,} rows with texts of {text_bytes:,} bytes"
        same = [
            row
            for row in found
            if (row["rows"], row["text_bytes"]) == (rows, text_bytes) and row["name"] in ("select a fifth", *ENGINES)
        ]
        chosen = {row["which"] for row in same if "which" in row}
        lines.append(f"- {here}: {'the same' if len(chosen) == 1 else 'NOT the same'} documents from all that finished")
        for name in ENGINES:
            ours, theirs = (medians.get((rows, text_bytes, which)) for which in ("select a fifth", name))
            if ours and theirs:
                lines.append(f"- {here}: select takes {ours / theirs:.2f} of the time of the {name}")
    for (rows, text_bytes, name), seconds in medians.items():
        shortest = min(size for number, size, which in medians if (number, which) == (rows, name))
        if text_bytes > shortest:
            ratio = seconds / medians[rows, shortest, name]
            lines.append(f"- {name}, {rows:,} rows: {ratio:.2f} with {text_bytes:,} over {shortest:,} bytes of text")
    return lines


def say(line: str) -> None:
    """Progress, apart from the results."""
    print(line, file=sys.stderr, flush=True)


TEXT = """# How fast documents are ranked and selected

Written by `make bench-select` (`python -m tests.benchmarks.selecting`) on {date}. {cores} cores, {memory} GiB of memory
for the JVM and for DuckDB; Polars has no limit. {versions}. Rounds: {rounds}; median, fastest and slowest.

Scored documents of five domains, one of which has 80 %, half of the scores in steps of a thousandth (ties) and half
log-normal, in a corpus with a text each. Each line is a command by itself, from its start to its end, and writes what
it found: the stages by spark-submit, into their tables, with the checks that these have; the plain window from the same
files to Parquet. *memory*: the most that the command's processes held together.

```text
{table}
```

{comparisons}
"""

if __name__ == "__main__":
    main()
