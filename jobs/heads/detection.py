"""Find a model's retrieval heads with the probes, and write them as a mask."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from jobs.settings.stage import StageSettings
from jobs.spark.namespace import Namespace
from jobs.spark.statements import local_rows
from jobs.spark.tasks import num_tasks, threads_per_task
from jobs.spark.worker_errors import worker_errors
from jobs.terminal.progress import progress
from schemas.identity import identity

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

    from udfs.known_checkpoints import Checkpoint

Scores = dict[tuple[int, int], float]
# Probes per task between two updates of the progress bar.
PROBES_PER_TASK = 2


@dataclass(frozen=True)
class Detection:
    """A detection: its probes, the tokens of each by its id, and the mean score of each head, once it was made."""

    probes: DataFrame
    lengths: dict[str, int]
    detection_id: str
    scores: Scores = field(default_factory=dict)
    num_answered: int = 0


class DetectHeadsSettings(StageSettings):
    """Find the heads of a model that copy the answers of the probes, and write the best of them as a mask.

    A detection on the same probes is not repeated. A model whose heads do no better than chance gets no mask.
    """

    model: str = Field(description="hub id with optional @revision, a model folder, or a .gguf file")
    top_fraction: float = Field(0.05, gt=0, le=1, description="share of all heads to mask (the paper's 0.05)")
    heads_file: str | None = Field(None, description="also write the heads to this file, one layer,head per line")
    dtype: Literal["float32", "bfloat16", "float16"] = Field(
        "float32", description="number format; half precision moves about one argmax in 140"
    )
    limit: int | None = Field(None, ge=1, description="use at most this many probes")
    tasks: int | None = Field(
        None,
        ge=1,
        description="Spark tasks; by default, on one machine, one per core as memory allows, or one if it has a GPU",
    )
    trust_remote_code: bool = Field(False, description="run Python code from the model's repository")
    allow_implausible_model: bool = Field(
        False,
        description="accept a model that reads plain English and code poorly: letters or bytes as tokens, another "
        "language, random weights",
    )
    json_output: bool = Field(False, alias="json", description="print the result as one JSON object")
    dry_run: bool = Field(False, description="check everything, say what would be done, and write nothing")


def run(settings: DetectHeadsSettings, spark: SparkSession) -> dict[str, Any]:
    """Detect the heads, or look up what was detected before; writes head_scores, then head_masks and the heads file.

    Raises ValueError when no head of the model retrieves: then its head_scores are kept to look at, but no mask.
    """
    from schemas import head_masks, head_scores
    from udfs.head_choice import select_retrieval_heads

    namespace = Namespace.parse(settings.namespace)
    if settings.heads_file and Path(settings.heads_file).expanduser().is_dir():
        raise ValueError(f"--heads-file {settings.heads_file} is a folder; name a file in it")
    checkpoint, found = look_up_quickly(spark, namespace, settings)
    if settings.dry_run:
        print(f"would run {checkpoint.model_id} on {len(found.lengths)} probes")
        return {"detection_id": found.detection_id, "num_probes": len(found.lengths)}
    for table in (head_scores.TABLE, head_masks.TABLE):
        namespace.create(spark, table)
    if not found.scores:
        found = detect(spark, settings, checkpoint, found)
        ids = (found.detection_id, checkpoint.model_id)
        rows = [(*ids, *head, score, found.num_answered) for head, score in sorted(found.scores.items())]
        namespace.append(local_rows(spark, rows, head_scores.TABLE.schema), head_scores.TABLE)
    heads = select_retrieval_heads(found.scores, settings.top_fraction)
    mask_id = write_mask(spark, namespace, settings, checkpoint, detection_id=found.detection_id, heads=heads)
    result = {
        "model_id": checkpoint.model_id,
        "detection_id": found.detection_id,
        "mask_id": mask_id,
        "num_probes": len(found.lengths),
        "num_answered": found.num_answered,
        "heads": [
            {"layer": head[0], "head": head[1], "retrieval_score": found.scores[head]}
            for head in by_score(heads, found.scores)
        ],
    }
    print(json.dumps(result) if settings.json_output else summary(result, len(found.scores)))
    return result


def look_up_quickly(
    spark: SparkSession, namespace: Namespace, settings: DetectHeadsSettings
) -> tuple[Checkpoint, Detection]:
    """The model and look_up of it: without torch where the model is known, and the detection was made before."""
    from udfs.known_checkpoints import remembered_checkpoint, resolve_and_remember

    known = remembered_checkpoint(settings.model, trust_remote_code=settings.trust_remote_code)
    if known and (found := look_up(spark, namespace, settings, known)).scores:
        return known, found
    # What is not known yet is found of this very model: every byte of it is looked at.
    checkpoint = resolve_and_remember(settings.model, trust_remote_code=settings.trust_remote_code)
    return checkpoint, look_up(spark, namespace, settings, checkpoint)


def look_up(
    spark: SparkSession, namespace: Namespace, settings: DetectHeadsSettings, checkpoint: Checkpoint
) -> Detection:
    """The detection that is asked for, with what it found where it was made before."""
    from schemas import head_scores

    probes = choose_probes(spark, namespace, checkpoint, limit=settings.limit)
    lengths = {row["probe_id"]: row["num_tokens"] for row in probes.select("probe_id", "num_tokens").collect()}
    detection = Detection(probes, lengths, identity(checkpoint.model_id, settings.dtype, *sorted(lengths)))
    if not namespace.exists(spark, head_scores.TABLE.name):
        return detection
    table = namespace.read(spark, head_scores.TABLE)
    rows = table.filter(table.detection_id == detection.detection_id).collect()
    scores = {(row["layer"], row["head"]): row["retrieval_score"] for row in rows}
    return replace(detection, scores=scores, num_answered=rows[0]["num_probes"] if rows else 0)


def choose_probes(spark: SparkSession, namespace: Namespace, checkpoint: Checkpoint, *, limit: int | None) -> DataFrame:
    """The probes made for this model's tokenizer, in the order of their ids.

    Raises ValueError when there are none, or when one is longer than the model's context.
    """
    from schemas import probes

    table = namespace.read(spark, probes.TABLE)
    chosen = table.filter(table.tokenizer_id == checkpoint.tokenizer_hash).orderBy("probe_id")
    longest = chosen.agg({"num_tokens": "max"}).first()
    remake = f"attention-influence probes --namespace {namespace} --model {checkpoint.name}"
    if longest is None or longest[0] is None:
        raise ValueError(f"there are no probes for the tokenizer of {checkpoint.model_id}; make them: {remake}")
    if longest[0] > checkpoint.max_positions:
        raise ValueError(
            f"a probe of {longest[0]} tokens does not fit into the {checkpoint.max_positions} that "
            f"{checkpoint.model_id} reads; make shorter ones: {remake} --probe-tokens {checkpoint.max_positions}"
        )
    return chosen.limit(limit) if limit else chosen


def detect(
    spark: SparkSession, settings: DetectHeadsSettings, checkpoint: Checkpoint, detection: Detection
) -> Detection:
    """The detection with what it finds, probe by probe on the workers, with progress."""
    from udfs.retrieval import CopyResult, mean_scores
    from udfs.spark_udfs import ModelSpec, copy_score_udf

    tasks = num_tasks(spark, asked=settings.tasks, checkpoint=checkpoint, pass_tokens=max(detection.lengths.values()))
    model = ModelSpec(
        checkpoint=checkpoint,
        dtype=settings.dtype,
        num_threads=threads_per_task(spark, tasks),
        allow_implausible=settings.allow_implausible_model,
    )
    udf = copy_score_udf(model)
    results: list[CopyResult] = []
    probes, probe_ids = detection.probes, list(detection.lengths)
    step = tasks * PROBES_PER_TASK
    with progress("Detecting heads", total=len(probe_ids), unit="probes") as bar:
        for begin in range(0, len(probe_ids), step):
            part = probes.filter(probes.probe_id.isin(probe_ids[begin : begin + step])).repartition(tasks)
            copied = part.select(udf("prompt", "answer", "value_start", "value_end").alias("copied")).select("copied.*")
            with worker_errors():
                results += [CopyResult(**row.asDict()) for row in copied.collect()]
            bar.advance(len(results) - begin)
    num_answered = sum(result.answered for result in results)
    return replace(detection, scores=mean_scores(results), num_answered=num_answered)


def write_mask(
    spark: SparkSession,
    namespace: Namespace,
    settings: DetectHeadsSettings,
    checkpoint: Checkpoint,
    *,
    detection_id: str,
    heads: list[tuple[int, int]],
) -> str:
    """Add the heads to head_masks unless they are there, and write the heads file that is asked for; the mask's id."""
    from schemas import head_masks
    from udfs.head_mask import mask_identity, write_heads_file

    model_id = checkpoint.model_id
    mask_id = mask_identity(model_id, heads)
    masks = namespace.read(spark, head_masks.TABLE)
    if masks.filter(masks.mask_id == mask_id).isEmpty():
        mask = (mask_id, model_id, detection_id, heads, settings.top_fraction, datetime.now(UTC))
        namespace.append(local_rows(spark, [mask], head_masks.TABLE.schema), head_masks.TABLE)
    if settings.heads_file:
        header = f"retrieval heads of {model_id}, detection {detection_id}, mask {mask_id}"
        write_heads_file(settings.heads_file, heads, header)
    return mask_id


def by_score(heads: Sequence[tuple[int, int]], scores: Scores) -> list[tuple[int, int]]:
    """The heads, best first."""
    return sorted(heads, key=lambda head: (-scores[head], head))


def summary(result: dict[str, Any], num_heads: int) -> str:
    """The detection, for a person."""
    lines = [
        f"{result['model_id']}: answered {result['num_answered']} of {result['num_probes']} probes; the top "
        f"{len(result['heads'])} of {num_heads} heads are mask {result['mask_id']}",
        "  layer-head  retrieval score",
    ]
    for head in result["heads"]:
        name = f"{head['layer']}-{head['head']}"
        lines.append(f"  {name:>10}  {head['retrieval_score']:.3f}")
    return "\n".join(lines)
