"""A scorer: everything but the text that a score depends on, with an id that changes when any of it does."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Any

from jobs.corpus.choices import only_or_named
from jobs.spark.conflicts import retry_conflicts
from jobs.spark.namespace import Namespace
from jobs.spark.statements import local_rows
from jobs.spark.worker_errors import worker_errors, worker_failure, workers_fail
from schemas import head_masks, scorers
from schemas.identity import identity
from udfs.document_score import SCORING_VERSION
from udfs.head_mask import Head, MaskMode, check_heads, mask_identity, read_heads_file
from udfs.known_checkpoints import Checkpoint, remember_plausible, remembered_checkpoint, resolve_and_remember
from udfs.machine import may_have_gpu

if TYPE_CHECKING:
    from pyspark.sql import Row, SparkSession

    from jobs.settings.scorer import ScorerSettings
    from schemas.contract import TableContract
    from udfs.plausible import PlainTextFigures


@dataclass(frozen=True)
class Scorer:
    """A model, a mask and how they are used. dtype is float32, bfloat16 or float16; window is in tokens."""

    checkpoint: Checkpoint
    heads: tuple[Head, ...]
    mask_mode: MaskMode
    window: int
    dtype: str

    @property
    def mask_id(self) -> str:
        """The mask's id in head_masks."""
        return mask_identity(self.checkpoint.model_id, self.heads)

    @property
    def scorer_id(self) -> str:
        """The scorer's id in scorers."""
        model = self.checkpoint
        parts = (model.weights_hash, model.tokenizer_hash, self.mask_id, self.mask_mode, str(self.window), self.dtype)
        return identity(*parts, str(SCORING_VERSION))

    def recorded_figures(
        self, spark: SparkSession, namespace: Namespace, *, allow_implausible: bool
    ) -> PlainTextFigures | None:
        """The recorded figures of the scorer's model on plain text; None where there are none.

        Raises ValueError where they show that the model does not know plain text, unless that is allowed.
        """
        from udfs.plausible import PlainTextFigures, require_plausible

        if not namespace.exists(spark, scorers.TABLE.name):
            return None
        known = namespace.read(spark, scorers.TABLE)
        row = known.filter(known.scorer_id == self.scorer_id).first()
        if row is None or row["plain_text_tokens_per_byte"] is None or row["plain_text_loss"] is None:
            return None
        figures = PlainTextFigures(
            row["plain_text_tokens_per_byte"], row["plain_text_loss"], self.checkpoint.vocab_size
        )
        require_plausible(figures, self.checkpoint.name, allow=allow_implausible)
        if figures.are_plausible:
            remember_plausible(self.checkpoint)
        return figures

    def record(self, spark: SparkSession, namespace: Namespace, figures: PlainTextFigures | None = None) -> None:
        """Add the scorer, and its mask if that came from a file, to their tables unless they are there.

        A scorer's row that has no figures is given these.
        """
        if figures and figures.are_plausible:
            remember_plausible(self.checkpoint)
        model, now = self.checkpoint, datetime.now(UTC)
        mask = (self.mask_id, model.model_id, None, list(self.heads), None, now)
        hashes = (model.weights_hash, model.tokenizer_hash)
        use = (self.mask_id, self.mask_mode, self.window, self.dtype, SCORING_VERSION)
        # An implausible model that was allowed may have a loss that is not finite: no figure to record.
        measured = [figures.tokens_per_byte, figures.loss] if figures and math.isfinite(figures.loss) else [None, None]
        scorer = (self.scorer_id, model.model_id, model.name, *hashes, *use, now, *measured)
        rows: list[tuple[Any, str, tuple[Any, ...]]] = [
            (head_masks.TABLE, "mask_id", mask),
            (scorers.TABLE, "scorer_id", scorer),
        ]
        for table, key, row in rows:
            namespace.create(spark, table)
            retry_conflicts(partial(_add_once, spark, namespace, table, key=key, row=row))


def _add_once(
    spark: SparkSession, namespace: Namespace, table: TableContract, *, key: str, row: tuple[Any, ...]
) -> None:
    """Add the row, whose first value is its key, or fill the nulls of the one that the table has.

    Conflicts with another run that does the same.
    """
    rows = namespace.read(spark, table)
    known = rows.filter(rows[key] == row[0]).first()
    filled = row if known is None else tuple(new if old is None else old for old, new in zip(known, row, strict=True))
    if known is None or filled != tuple(known):
        # Two appends never conflict: runs that start at the same time would each add it.
        namespace.replace(local_rows(spark, [filled], table.schema), table, column=key, value=row[0])


def measure_figures(spark: SparkSession, plain_text: Any, tasks: int) -> PlainTextFigures:
    """The figures of the scorer's model on plain text, from a worker, which keeps the model for the documents.

    plain_text: the pandas_udf that measures them; tasks: how many will score, for a message. Raises ValueError where
    the model cannot be loaded, or does not know plain text and that is not allowed.
    """
    from udfs.plausible import PlainTextFigures

    rows = spark.range(0, 1, 1, 1).select(plain_text("id").alias("figures")).select("figures.*")
    try:
        with worker_errors():
            return PlainTextFigures(**rows.collect()[0].asDict())
    except Exception as error:
        failure = worker_failure(error)
        if failure is None:
            raise
        raise workers_fail(failure, tasks) from error


def resolve_scorer(spark: SparkSession, namespace: Namespace, settings: ScorerSettings) -> Scorer:
    """The scorer that the settings describe; ValueError for a model or mask that is missing, and a window too long."""
    checkpoint = resolve_and_remember(settings.model, trust_remote_code=settings.trust_remote_code)
    return _scorer_of(spark, namespace, settings, checkpoint)


def remembered_scorer(spark: SparkSession, namespace: Namespace, settings: ScorerSettings) -> Scorer | None:
    """resolve_scorer by what is known of the model's files, without torch, to find that there is nothing to score.

    None where the files are not known as they are now, or whether the model may be used; to score, resolve the scorer.
    """
    checkpoint = remembered_checkpoint(
        settings.model,
        trust_remote_code=settings.trust_remote_code,
        must_be_plausible=not settings.allow_implausible_model,
    )
    return None if checkpoint is None else _scorer_of(spark, namespace, settings, checkpoint)


def _scorer_of(spark: SparkSession, namespace: Namespace, settings: ScorerSettings, checkpoint: Checkpoint) -> Scorer:
    if settings.window > checkpoint.max_positions:
        raise ValueError(
            f"--window {settings.window} is beyond the {checkpoint.max_positions} tokens that {checkpoint.model_id} "
            f"reads; use --window {checkpoint.max_positions} or less"
        )
    return Scorer(
        checkpoint=checkpoint,
        heads=choose_heads(spark, namespace, checkpoint, mask_id=settings.mask_id, heads_file=settings.heads_file),
        mask_mode=settings.mask_mode,
        window=settings.window,
        dtype=choose_dtype(spark, settings.dtype),
    )


def choose_heads(
    spark: SparkSession, namespace: Namespace, checkpoint: Checkpoint, *, mask_id: str | None, heads_file: str | None
) -> tuple[Head, ...]:
    """The heads of the mask with this id, or of the file, or of the only mask that was detected for this model.

    Raises ValueError for both at once, for a mask that is missing or of another model, where none is named and several
    were detected, and for heads that the model does not have.
    """
    if mask_id and heads_file:
        raise ValueError(f"--mask-id {mask_id} and --heads-file {heads_file} both name a mask; give one of them")
    if heads_file:
        heads = read_heads_file(heads_file)
    else:
        mask = choose_mask(spark, namespace, checkpoint, mask_id=mask_id)
        heads = [(head["layer"], head["head"]) for head in mask["heads"]]
    check_heads(heads, checkpoint.model_id, num_layers=checkpoint.num_layers, num_heads=checkpoint.num_heads)
    return tuple(sorted(heads))


def choose_mask(spark: SparkSession, namespace: Namespace, checkpoint: Checkpoint, *, mask_id: str | None) -> Row:
    """The mask that was named, or the only one of the model; ValueError where that is not one, or of another model."""
    table = namespace.read(spark, head_masks.TABLE)
    is_wanted = table.mask_id == mask_id if mask_id else table.model_id == checkpoint.model_id
    masks = sorted(table.filter(is_wanted).collect(), key=lambda row: (row["created_at"], row["mask_id"]))
    if not mask_id:
        # A mask that came from a file is somebody's experiment, unless there is no other.
        masks = [row for row in masks if row["detection_id"]] or masks
    mask = only_or_named(
        namespace,
        masks,
        mask_id or None,
        key="mask_id",
        missing=(
            f"{f'mask {mask_id!r}' if mask_id else f'mask of {checkpoint.model_id}'}; detect the heads first: "
            f"attention-influence detect-heads --namespace {namespace} --model {checkpoint.name}"
        ),
        several=f"several masks of {checkpoint.model_id}",
        describe=lambda row: (
            f"{len(row['heads'])} heads, "
            f"{'of a file' if row['top_fraction'] is None else 'the top {:g}'.format(row['top_fraction'])}, "
            f"since {row['created_at']:%Y-%m-%d %H:%M}"
        ),
    )
    if mask["model_id"] != checkpoint.model_id:
        raise ValueError(f"mask {mask_id} is of {mask['model_id']}, not of {checkpoint.model_id}; name one of its own")
    return mask


def choose_dtype(spark: SparkSession, asked: str) -> str:
    """The number format that was asked for; for auto, half precision where tasks have a GPU, else float32.

    The driver decides, so that all workers agree and the scorer's id says which it is.
    """
    if asked != "auto":
        return asked
    if may_have_gpu():
        import torch

        from udfs.precision import resolve_dtype

        if torch.cuda.is_available():
            return str(resolve_dtype("auto", "cuda")).removeprefix("torch.")
    return "bfloat16" if spark.conf.get("spark.task.resource.gpu.amount", "") else "float32"
