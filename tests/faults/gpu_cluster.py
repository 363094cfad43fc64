"""Sixteen tasks on two executors with one or two GPUs each, as Spark sees it: what each task was given, as JSON.

No GPU is there: torch says otherwise only while a task looks for its device, and the model itself stays on the CPU,
where it is told on which device it would be.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pyspark
from pyspark import TaskContext
from pyspark.sql import functions as F

from jobs.spark.session import local_session
from tests.jobs.scoring.scoring_cases import HEADS, WINDOW
from tests.udfs.conftest import SENTENCES
from udfs.checkpoint import resolve_checkpoint
from udfs.spark_udfs import ModelSpec, ScorerSpec, _load_scorer

TASKS = (
    "pid long, executor string, address string, device string, num_loads int, begin double, end double, score double"
)


def main(discovery: str, model: str, out: str, num_gpus: str) -> None:
    """Run the tasks and write what they found."""
    os.environ.setdefault("SPARK_HOME", str(Path(pyspark.__file__).parent))
    conf = {
        "spark.worker.resource.gpu.amount": num_gpus,
        "spark.worker.resource.gpu.discoveryScript": discovery,
        "spark.executor.resource.gpu.amount": num_gpus,
        "spark.task.resource.gpu.amount": "1",
        "spark.driver.memory": "1g",
    }
    spark = local_session("gpus", "local-cluster[2,2,1024]", conf)
    spec = ScorerSpec(
        ModelSpec(resolve_checkpoint(model), "float32", 1, allow_implausible=True), tuple(HEADS), "uniform", WINDOW
    )

    def found(batches: Iterator[pd.DataFrame]) -> Iterator[pd.DataFrame]:
        import torch

        from udfs import spark_udfs

        begin = time.time()
        scores = []
        before = {name: getattr(torch.cuda, name) for name in ("is_available", "device_count", "set_device")}
        load_model, move_model = spark_udfs.load_model, spark_udfs.move_model

        def load(checkpoint: Any, dtype: Any, device: str) -> Any:
            model = load_model(checkpoint, dtype, "cpu")
            model.is_on = device
            return model

        torch.cuda.is_available, torch.cuda.device_count = lambda: True, lambda: 2
        torch.cuda.set_device = lambda _device: None
        spark_udfs.load_model = load
        spark_udfs.move_model = lambda model, device: setattr(model, "is_on", device)
        scorer = _load_scorer(spec).made
        device = scorer.model.is_on
        for name, function in before.items():
            setattr(torch.cuda, name, function)
        spark_udfs.load_model, spark_udfs.move_model = load_model, move_model
        for batch in batches:
            scores += [score.influence_score for score in scorer.score(batch["text"])]
        # All four GPUs have work at the same time, and tasks end together, so that workers change GPUs.
        time.sleep(2 - time.time() % 2)
        context = TaskContext.get()
        assert context is not None
        address = context.resources()["gpu"].addresses[0]
        executor = os.environ.get("SPARK_EXECUTOR_ID", "") or os.getcwd()
        row = (os.getpid(), executor, address, device, spark_udfs.num_loads, begin, time.time(), scores[0])
        yield pd.DataFrame([row], columns=[name.split()[0] for name in TASKS.split(", ")])

    texts = spark.range(0, 32, 1, 16).select(F.lit(SENTENCES[0]).alias("text"))
    rows = [row.asDict() for row in texts.mapInPandas(found, TASKS).collect()]
    Path(out).write_text(json.dumps(rows))
    spark.stop()


if __name__ == "__main__":
    main(*sys.argv[1:])
