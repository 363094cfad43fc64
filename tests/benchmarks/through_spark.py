"""python -m tests.benchmarks.through_spark: a batch through Spark and Delta, against a bare loop over the same texts.

Both have their model loaded beforehand. Spark's side is all of a batch: finding what is not scored yet, the texts' way
to the worker and back, and the commit. The rounds alternate. Writes THROUGH_SPARK.md.
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import tempfile
import time
from datetime import UTC, datetime
from io import StringIO
from pathlib import Path

import pyspark
import torch

from jobs.corpus.documents import documents_of
from jobs.scoring.batch_scorer import BatchScorer
from jobs.scoring.run_log import RunLog
from jobs.scoring.scorers import resolve_scorer
from jobs.scoring.stage import ScoreSettings, scoring_plan
from jobs.spark.namespace import Namespace
from jobs.spark.session import local_session
from jobs.terminal.display import plain_table
from jobs.terminal.progress import progress
from schemas import corpus, scores
from tests.benchmarks.__main__ import SMOLLM2_HEADS, smollm2
from tests.benchmarks.workloads import make_workload
from tests.jobs.corpus.corpus_cases import corpus_rows
from udfs.checkpoint import load_model, load_tokenizer
from udfs.machine import num_cores
from udfs.memory import keep_freed_memory
from udfs.paired import PairedScorer


def main() -> None:
    """Run what the arguments say, and write what came out."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.through_spark", description=__doc__)
    parser.add_argument("--tokens", type=int, default=16_000, help="document tokens of a batch")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--tasks", type=int, help="tasks that score at once; by default as many as score takes")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent)
    arguments = parser.parse_args()
    lines, what = measure(arguments.tokens, arguments.rounds, arguments.tasks)
    median = statistics.median(alone / spark_seconds for alone, spark_seconds in lines)
    rows = [
        [f"{number + 1}", f"{alone:.1f} s", f"{through:.1f} s", f"{through - alone:.1f} s", f"{alone / through:.2f}"]
        for number, (alone, through) in enumerate(lines)
    ]
    text = TEXT.format(
        date=f"{datetime.now(UTC):%Y-%m-%d}",
        cores=num_cores(),
        versions=f"Python {platform.python_version()}, pyspark {pyspark.__version__}, torch {torch.__version__}",
        what=what,
        table=plain_table(["round", "bare loop", "through Spark", "more", "bare / Spark"], rows),
        median=f"{median:.2f}",
    )
    (arguments.out / "THROUGH_SPARK.md").write_text(text, encoding="utf-8")
    print(text)


def measure(num_tokens: int, rounds: int, tasks: int | None) -> tuple[list[tuple[float, float]], str]:
    """(seconds alone, seconds through Spark) of each round, and what was scored."""
    folder = tempfile.mkdtemp()
    heads = os.path.join(folder, "heads.txt")
    with open(heads, "w") as file:
        file.writelines(f"{layer},{head}\n" for layer, head in SMOLLM2_HEADS)
    workload = make_workload("short, mean 200", smollm2(), SMOLLM2_HEADS, "cpu", num_tokens, 1024)
    settings = ScoreSettings(
        namespace=folder, model=workload.model, heads_file=heads, dtype="float32", batch_bytes=10**9, tasks=tasks
    )
    spark = local_session("benchmark")
    namespace = Namespace.parse(folder)
    scorer = resolve_scorer(spark, namespace, settings)
    plan = scoring_plan(spark, settings, scorer)
    rows = [(f"{number:05}", "x", text, None) for number, text in enumerate(workload.texts)]
    namespace.create(spark, corpus.TABLE)
    namespace.append(corpus_rows(spark, rows), corpus.TABLE)
    documents = documents_of(namespace.read(spark, corpus.TABLE), settings.document_table())

    def through_spark(chosen: object) -> float:
        namespace.create(spark, scores.TABLE)
        spark.sql(f"delete from {namespace.identifier(scores.TABLE.name)}")
        log = RunLog(spark, namespace, scorer_id=scorer.scorer_id, source="benchmark")
        log.record = lambda *_args, **_kwargs: None  # type: ignore[method-assign]
        begin = time.perf_counter()
        with progress("Scoring", stream=StringIO()) as bar:
            BatchScorer(namespace, plan, log=log, bar=bar).score(spark, chosen)  # type: ignore[arg-type]
        return time.perf_counter() - begin

    few = documents.filter("doc_id < '00004'")
    torch.set_num_threads(num_cores())
    keep_freed_memory()
    model, tokenizer = load_model(scorer.checkpoint, torch.float32, "cpu"), load_tokenizer(scorer.checkpoint)
    bare = PairedScorer(model, tokenizer, SMOLLM2_HEADS)
    bare.score(workload.texts[:4])
    found = []
    for number in range(rounds):
        begin = time.perf_counter()
        bare.score(workload.texts)
        alone = time.perf_counter() - begin
        # Spark ends a worker that was idle for a minute: this one has its model again before the clock starts.
        through_spark(few)
        found.append((alone, through_spark(documents)))
        print(f"round {number + 1}: bare {alone:.1f} s, through Spark {found[-1][1]:.1f} s", flush=True)
    at_once = f"{plan.tasks} task{'s' if plan.tasks > 1 else ''}"
    return found, f"{len(rows)} documents, {sum(workload.num_tokens):,} tokens, {at_once}"


TEXT = """# What Spark and Delta cost beside the scorer

Written by `python -m tests.benchmarks.through_spark` on {date}. {cores} cores; {versions}.
SmolLM2-135M in float32, the short mix: {what}.

Both score the same documents with their model loaded beforehand, in turn. The bare loop is one process with a thread a
core; Spark's tasks share the cores. Through Spark is all of a batch: finding what is not scored yet, the texts' way to
Python workers and back, and the commit.

```text
{table}
```

The median of the rounds is {median} of the bare loop's speed. A batch is of ten minutes by default, shorter in runs of
less than 200 minutes.
"""

if __name__ == "__main__":
    main()
