"""python -m tests.benchmarks.through_spark: a batch through Spark and Delta, against a bare loop over the same texts.

Both have their model loaded beforehand. Spark's side is all of a batch: finding what is not scored yet, the texts' way
to the worker and back, and the commit. The rounds alternate.
"""

from __future__ import annotations

import os
import statistics
import sys
import tempfile
import time
from io import StringIO

import torch

from jobs.documents import documents_of
from jobs.progress import progress
from jobs.run_log import RunLog
from jobs.score import ScoreSettings, scoring_plan
from jobs.scorers import resolve_scorer
from jobs.scoring import BatchScorer
from jobs.session import local_session
from jobs.tables import Namespace
from schemas import corpus, scores
from tests.benchmarks.__main__ import SMOLLM2_HEADS, smollm2
from tests.benchmarks.workloads import make_workload
from udfs.checkpoint import load_model, load_tokenizer
from udfs.memory import keep_freed_memory
from udfs.paired import PairedScorer


def main(num_tokens: int = 16_000, rounds: int = 3, tasks: int = 1) -> None:
    """Print each round's seconds, and the median of the ratios."""
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
    scorer = resolve_scorer(settings, spark, namespace)
    plan = scoring_plan(settings, spark, scorer)
    rows = [(f"{number:05}", "x", text, None) for number, text in enumerate(workload.texts)]
    namespace.create(spark, corpus.TABLE)
    namespace.append(spark.createDataFrame(rows, corpus.TABLE.schema), corpus.TABLE)
    documents = documents_of(namespace.read(spark, corpus.TABLE), settings.document_source())

    def through_spark(chosen: object) -> float:
        namespace.create(spark, scores.TABLE)
        spark.sql(f"delete from {namespace.identifier(scores.TABLE.name)}")
        log = RunLog(spark, namespace, scorer.scorer_id, "benchmark")
        log.record = lambda *_args, **_kwargs: None  # type: ignore[method-assign]
        begin = time.perf_counter()
        with progress("Scoring", stream=StringIO()) as bar:
            BatchScorer(namespace, plan, log, bar).score(spark, chosen)  # type: ignore[arg-type]
        return time.perf_counter() - begin

    through_spark(documents.filter("doc_id < '00004'"))
    torch.set_num_threads(os.cpu_count() or 1)
    keep_freed_memory()
    model, tokenizer = load_model(scorer.checkpoint, torch.float32, "cpu"), load_tokenizer(scorer.checkpoint)
    bare = PairedScorer(model, tokenizer, SMOLLM2_HEADS)
    bare.score(workload.texts[:4])
    ratios = []
    for number in range(rounds):
        begin = time.perf_counter()
        bare.score(workload.texts)
        alone = time.perf_counter() - begin
        spark_seconds = through_spark(documents)
        ratios.append(alone / spark_seconds)
        print(
            f"round {number + 1}: bare {alone:.1f} s, through Spark {spark_seconds:.1f} s, {ratios[-1]:.2f}", flush=True
        )
    count = sum(workload.num_tokens)
    print(f"{len(rows)} documents, {count:,} tokens, {tasks} tasks: through Spark at {statistics.median(ratios):.2f}")


if __name__ == "__main__":
    main(*[int(argument) for argument in sys.argv[1:]])
