"""python -m tests.benchmarks.committing: a commit of scores beside none, millions and tens of millions of earlier rows.

The model is replaced by a constant, so that what is left is Spark's and Delta's part: which of 10,000 documents have
been scored already, by the scorer's rows so far, and the append of the others. Writes COMMITTING.md.
"""

from __future__ import annotations

import argparse
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd
import pyspark

from jobs.terminal.display import plain_table
from tests.benchmarks.scored_tables import ROWS_PER_FILE, SCORER, make_corpus
from udfs.machine import num_cores

if TYPE_CHECKING:
    from jobs.scoring.commit import ScoresWriter
    from jobs.spark.namespace import Namespace

DOCUMENTS = 10_000
ROUNDS = 5


def main() -> None:
    """Measure a commit beside each number of rows, and write what came out."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.committing", description=__doc__)
    parser.add_argument("--rows", type=int, nargs="+", default=[0, 5_000_000, 50_000_000])
    parser.add_argument("--folder", type=Path, help="where the tables go; by default a temporary folder")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent)
    arguments = parser.parse_args()
    folder = Path(tempfile.mkdtemp(dir=arguments.folder))
    try:
        seconds = measure(folder, arguments.rows)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    least = statistics.median(seconds[arguments.rows[0]])
    cells = [
        [
            f"{rows:,}",
            f"{statistics.median(found):.1f} s",
            f"{min(found):.1f} - {max(found):.1f}",
            f"{statistics.median(found) / least:.2f}",
        ]
        for rows, found in seconds.items()
    ]
    text = TEXT.format(
        date=f"{datetime.now(UTC):%Y-%m-%d}",
        cores=num_cores(),
        versions=f"Python {platform.python_version()}, pyspark {pyspark.__version__}",
        documents=f"{DOCUMENTS:,}",
        rows_per_file=f"{ROWS_PER_FILE:,}",
        rounds=ROUNDS,
        table=plain_table(["earlier rows", "median", "fastest - slowest", "over the first"], cells),
    )
    (arguments.out / "COMMITTING.md").write_text(text, encoding="utf-8")
    print(text)


def measure(folder: Path, sizes: list[int]) -> dict[int, list[float]]:
    """From each number of earlier rows to the seconds of its commits, which take turns."""
    from jobs.corpus.documents import read_documents
    from jobs.settings.documents import DocumentTable
    from jobs.spark.namespace import Namespace
    from jobs.spark.session import local_session

    for size in sizes:
        making = ["-m", "tests.benchmarks.scored_tables", str(folder / f"{size}"), "--rows", f"{size}"]
        subprocess.run([sys.executable, *making], check=True)
    spark = local_session("benchmark of commits", conf={"spark.driver.memory": "4g"})
    corpus = Namespace.parse(str(folder / "corpus"))
    make_corpus(spark, corpus, DOCUMENTS * (ROUNDS + 1), text_bytes=100)
    documents = read_documents(spark, corpus, DocumentTable(None, "doc_id", "text", "domain"))
    parts = [documents.filter(f"pmod(xxhash64(doc_id), {ROUNDS + 1}) = {number}") for number in range(ROUNDS + 1)]
    writers = {size: writer(Namespace.parse(str(folder / f"{size}"))) for size in sizes}
    seconds: dict[int, list[float]] = {size: [] for size in sizes}
    # In the first round Spark and the files' cache are warmed.
    for number, new in enumerate(parts):
        num_documents = new.count()
        for size in sizes:
            begin = time.perf_counter()
            counts = writers[size].append_scores(spark, new, {})
            if number:
                seconds[size].append(time.perf_counter() - begin)
            if counts["empty"] != num_documents:
                raise RuntimeError(f"not all documents were committed: {counts}")
    spark.stop()
    return seconds


def writer(place: Namespace) -> ScoresWriter:
    """Appends what a constant in the model's place says of each document."""
    from pyspark.sql import functions as F

    from jobs.scoring.commit import ScoresWriter
    from jobs.scoring.plan import ScoringPlan
    from udfs.spark_udfs import SCORE_TYPE

    columns = [part.split()[0] for part in SCORE_TYPE.split(", ")]

    @F.pandas_udf(SCORE_TYPE)  # type: ignore[call-overload]
    def constant(texts: pd.Series) -> pd.DataFrame:
        return pd.DataFrame(index=texts.index, columns=columns).assign(status="empty")

    plan = ScoringPlan(SCORER, paired_scores=constant.asNondeterministic(), tasks=num_cores(), max_text_bytes=10**6)
    return ScoresWriter(place, plan, run_id="benchmark")


TEXT = """# What a commit costs beside earlier scores

Written by `python -m tests.benchmarks.committing` on {date}. {cores} cores; {versions}.

A commit of about {documents} documents that have no score yet, with a constant in the model's place, beside so many
rows that the same scorer has scored before, in files of {rows_per_file} rows: {rounds} commits for each, in turn, after
one that is not counted.

```text
{table}
```
"""

if __name__ == "__main__":
    main()
