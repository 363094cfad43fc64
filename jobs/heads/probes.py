"""Make the look-up probes that show which heads retrieve."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import Field

from jobs.settings.stage import StageSettings
from jobs.spark.namespace import Namespace
from jobs.spark.statements import local_rows
from jobs.terminal.progress import progress

if TYPE_CHECKING:
    from pyspark.sql import Row, SparkSession

    from udfs.known_checkpoints import Checkpoint
    from udfs.probes import Probe


class ProbesSettings(StageSettings):
    """Make the look-ups that detect-heads shows to a model, and keep them in the probes table.

    They fit the model's tokenizer and replace the probes that were made for it before. The same settings give the
    same probes, so that making them again writes nothing.
    """

    model: str = Field(description="hub id with optional @revision, a model folder, or a .gguf file")
    num_probes: int = Field(800, ge=1, description="how many probes (the paper's 800)")
    probe_tokens: int = Field(4096, ge=1, description="longest probe in tokens, including its answer")
    seed: int = Field(0, ge=-(2**63), lt=2**63, description="seed of the keys, the sentences and their order")
    jsonl: str | None = Field(None, description="also write the probes to this file, one JSON object per line")
    trust_remote_code: bool = Field(False, description="run Python code from the model's repository")
    json_output: bool = Field(False, alias="json", description="print the result as one JSON object")
    dry_run: bool = Field(False, description="check everything, say what would be done, and write nothing")


def run(settings: ProbesSettings, spark: SparkSession) -> dict[str, Any]:
    """Replace the probes of the same tokenizer in one commit, unless these are there already.

    Raises ValueError, with nothing written, for a model that cannot be read, and for probes that do not fit into
    its context or are too short for their demonstrations.
    """
    from udfs.known_checkpoints import remembered_checkpoint, resolve_and_remember

    namespace = Namespace.parse(settings.namespace)
    known = remembered_checkpoint(settings.model, trust_remote_code=settings.trust_remote_code)
    if known and not (settings.jsonl or settings.dry_run) and has_probes(spark, namespace, settings, known):
        return report(settings, known, num_written=0, said=summary(settings, known.model_id))

    from udfs.checkpoint import load_tokenizer
    from udfs.probes import make_probes

    checkpoint = resolve_and_remember(settings.model, trust_remote_code=settings.trust_remote_code)
    tokenizer_id = checkpoint.tokenizer_hash
    probes = make_probes(
        load_tokenizer(checkpoint),
        num_probes=settings.num_probes,
        probe_tokens=settings.probe_tokens,
        seed=settings.seed,
        max_positions=checkpoint.max_positions,
        tokenizer_id=tokenizer_id,
    )
    first = next(probes)
    if settings.dry_run:
        num_written = 0
        said = f"would make {settings.num_probes:,} probes for {checkpoint.model_id}; {shape_of(first)}"
    else:
        num_written = write_probes(spark, namespace, settings, checkpoint, first=first, others=probes)
        said = summary(settings, checkpoint.model_id, first if num_written else None)
    return report(settings, checkpoint, num_written=num_written, said=said)


def report(settings: ProbesSettings, checkpoint: Checkpoint, *, num_written: int, said: str) -> dict[str, Any]:
    """Print what was done, for a person or a program; returns it."""
    result = {
        "tokenizer_id": checkpoint.tokenizer_hash,
        "num_probes": settings.num_probes,
        "probe_tokens": settings.probe_tokens,
        "seed": settings.seed,
        "num_written": num_written,
    }
    print(json.dumps(result) if settings.json_output else said)
    return result


def write_probes(
    spark: SparkSession,
    namespace: Namespace,
    settings: ProbesSettings,
    checkpoint: Checkpoint,
    *,
    first: Probe,
    others: Iterator[Probe],
) -> int:
    """Write the probes to their table unless they are there, and to a file where one is asked for.

    Returns how many were written to the table. The others are made only if something is to be written.
    """
    from schemas import probes as probes_table

    namespace.create(spark, probes_table.TABLE)
    present = has_probes(spark, namespace, settings, checkpoint, first_id=first.probe_id)
    if present and not settings.jsonl:
        return 0
    made = [first]
    with progress("Making probes", total=settings.num_probes, unit="probes") as bar:
        bar.advance(1)
        for probe in others:
            made.append(probe)
            bar.advance(1)
    rows = [{**asdict(probe), "tokenizer_id": checkpoint.tokenizer_hash} for probe in made]
    if settings.jsonl:
        write_jsonl(settings.jsonl, rows)
    if present:
        return 0
    schema = probes_table.TABLE.schema
    frame = local_rows(spark, [tuple(row[name] for name in schema.names) for row in rows], schema)
    namespace.replace(frame, probes_table.TABLE, column="tokenizer_id", value=checkpoint.tokenizer_hash)
    return len(rows)


def has_probes(
    spark: SparkSession,
    namespace: Namespace,
    settings: ProbesSettings,
    checkpoint: Checkpoint,
    first_id: str | None = None,
) -> bool:
    """Whether the table's probes of this tokenizer are those of these settings.

    One is enough, the first: its id depends on every setting but the number, and probes are only written together.
    first_id: where that is known; else it is found by what the table's probes ask.
    """
    from schemas import probes as probes_table
    from udfs.probe_identity import probe_identity

    if not namespace.exists(spark, probes_table.TABLE.name):
        return False
    table = namespace.read(spark, probes_table.TABLE)
    columns = ["probe_id"] if first_id else ["probe_id", "prompt", "answer"]
    rows = table.where(table.tokenizer_id == checkpoint.tokenizer_hash).select(columns).collect()

    def is_first(row: Row) -> bool:
        if first_id:
            return bool(row["probe_id"] == first_id)
        made_from = {"seed": settings.seed, "probe_tokens": settings.probe_tokens, "index": 0}
        found = probe_identity(checkpoint.tokenizer_hash, **made_from, prompt=row["prompt"], answer=row["answer"])
        return bool(row["probe_id"] == found)

    return len(rows) == settings.num_probes and any(map(is_first, rows))


def write_jsonl(path: str, rows: Sequence[dict[str, Any]]) -> None:
    """Write the file whole or not at all; ValueError where it cannot be written."""
    target = Path(path).expanduser()
    scratch = target.with_name(f"{target.name}.{os.getpid()}.tmp")
    try:
        scratch.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
        scratch.replace(target)
    except OSError as error:
        scratch.unlink(missing_ok=True)
        raise ValueError(f"--jsonl {path} cannot be written: {error}; name a file in a folder that exists") from error


def shape_of(probe: Probe) -> str:
    """What a probe is like, for a person."""
    return f"the first has {probe.num_pairs} pairs in {probe.num_tokens:,} tokens"


def summary(settings: ProbesSettings, model_id: str, first: Probe | None = None) -> str:
    """What was done, for a person. first: of the probes that were written, if any were."""
    what = f"{settings.num_probes:,} probes of up to {settings.probe_tokens:,} tokens for the tokenizer of {model_id}"
    if first is None:
        done = f"{what} are in {settings.namespace} already: nothing was written there"
    else:
        done = f"{what} written to probes in {settings.namespace}; {shape_of(first)}"
    return done + (f"\nthey are in {settings.jsonl} too" if settings.jsonl else "")
