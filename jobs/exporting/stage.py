"""Export: a training mix with its texts, as shuffled shards of files, a manifest and a data card."""

from __future__ import annotations

import json
import sys
import uuid
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field, model_validator

from jobs.hub.address import parse_hub_input
from jobs.settings.documents import DocumentSettings
from jobs.terminal.display import plain_table, printable

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

    from jobs.exporting.folder import ExportFolder
    from jobs.exporting.hub_upload import HubTarget
    from jobs.exporting.mixture import Mix
    from jobs.exporting.shards import ShardSummary


class ExportSettings(DocumentSettings):
    """Write a training mix with its texts as shuffled shards of files, for training programs that do not read Delta.

    Each document is there as often as the mix repeats it. The folder gets data/, manifest.json and README.md. Until all
    of it is written and read back, it also holds _INCOMPLETE.json, and the next export into it starts anew.
    """

    out: str = Field(
        description="folder or URI to write to: a new one, an empty one, or an interrupted export's; or "
        "hf://datasets/OWNER/NAME, a hub's dataset, created as private if it does not exist"
    )
    staging: str | None = Field(
        None,
        min_length=1,
        description="folder, on this machine and visible to Spark, in which an export to a hub is made before it is "
        "uploaded; it is kept. By default, a temporary one",
    )
    overwrite: bool = Field(False, description="replace the export in the hub's dataset")
    mixture_id: str | None = Field(None, description="which mix to write; needed if there are several")
    format: Literal["parquet", "jsonl"] = Field("parquet", description="Parquet or lines of JSON, both with zstd")
    shard_bytes: int = Field(256_000_000, ge=1, description="about how many bytes of text per shard, uncompressed")
    seed: int = Field(0, ge=0, lt=2**63, description="seed of the shuffled order")
    json_output: bool = Field(False, alias="json", description="print the result as one JSON object")

    @model_validator(mode="after")
    def _of_a_hub(self) -> ExportSettings:
        if parse_hub_input(self.out) is None and (self.staging or self.overwrite):
            flag = "--staging" if self.staging else "--overwrite"
            raise ValueError(f"{flag} is only for an export to a hub, --out hf://datasets/OWNER/NAME; leave it out")
        return self


def run(settings: ExportSettings, spark: SparkSession) -> dict[str, Any]:
    """Write the folder, or the dataset of a hub; returns its manifest, and prints what was written.

    Raises ValueError, with nothing written, for a folder or dataset that holds something else, and for a document whose
    text is no longer the one that was scored. Raises ValueError, with the folder marked as incomplete, for shards that
    are not the mix, and where another export has begun in the folder. A hub gets only a complete export, in one commit.
    """
    if (hub_input := parse_hub_input(settings.out)) is None:
        manifest = _write(spark, settings, settings.out)
        _report(settings, manifest)
        return manifest
    from jobs.exporting.hub_upload import HubTarget as Target
    from jobs.exporting.hub_upload import staging_folder

    target = Target(hub_input, may_replace=settings.overwrite)
    target.require_free()
    with staging_folder(settings.staging) as folder:
        manifest = _write(spark, settings, folder, target=target)
        commit = target.upload(folder)
    _report(settings, manifest, commit)
    return manifest | {"revision": commit}


def _write(
    spark: SparkSession, settings: ExportSettings, out: str, *, target: HubTarget | None = None
) -> dict[str, Any]:
    """Write the folder, and read it back; returns its manifest. target: created before the work that could be lost."""
    from jobs.corpus.documents import read_at_newest_version
    from jobs.exporting.card import data_card
    from jobs.exporting.folder import CARD, open_folder
    from jobs.exporting.lines import require_zstd_lines
    from jobs.exporting.mixture import find_mix, find_selection, require_scored_texts, rows_of
    from jobs.exporting.shards import num_shards, read_back, require_complete, write_shards
    from jobs.spark.namespace import Namespace
    from schemas import scorers

    namespace = Namespace.parse(settings.namespace)
    folder = open_folder(out)
    folder.require_free()
    mix = find_mix(spark, namespace, settings.mixture_id)
    source = settings.document_table()
    scorer_rows = rows_of(spark, namespace, contract=scorers.TABLE, mix=mix)
    documents, version = read_at_newest_version(spark, namespace, source)
    if settings.format == "jsonl":
        require_zstd_lines(spark)
    num_bytes = require_scored_texts(spark, mix, documents)
    count = num_shards(num_bytes, settings.shard_bytes)
    about = _about(settings, mix, find_selection(spark, namespace, mix))
    if target is not None:
        target.create()
    _begin(folder, out, about)
    write_shards(mix, documents, folder, file_format=settings.format, count=count, seed=settings.seed)
    summary = read_back(spark, folder, settings.format)
    folder.require_own(about["export_id"])
    require_complete(mix, num_bytes, summary)
    versions = mix.versions | {source.table or "corpus": version}
    manifest = about | {"table_versions": versions} | _contents(mix, summary)
    folder.write(CARD, data_card(manifest, scorer_rows[0].asDict() if scorer_rows else None))
    folder.finish(manifest)
    return manifest


def _about(settings: ExportSettings, mix: Mix, selection: dict[str, Any] | None) -> dict[str, Any]:
    """What is known before the shards are written: the marker of an unfinished export, and the manifest's beginning."""
    return {
        "export_id": uuid.uuid4().hex,
        "created_at": datetime.now(UTC).isoformat(timespec="seconds"),
        **mix.about,
        "selection": selection,
        "format": settings.format,
        "seed": settings.seed,
        "settings": settings.model_dump(exclude={"out", "staging", "overwrite", "config", "json_output"}),
    }


def _begin(folder: ExportFolder, out: str, about: dict[str, Any]) -> None:
    """Mark the folder as incomplete, and say what of an unfinished export was removed."""
    before = folder.begin(about)
    if before is None:
        return
    mixture_id, since = (printable(str(before.get(name, "unknown")), 40) for name in ("mixture_id", "created_at"))
    print(
        f"{out} held an unfinished export of mix {mixture_id}, begun {since}; it is removed, and started "
        "anew (if it still runs, it will stop with an error)",
        file=sys.stderr,
    )


def _contents(mix: Mix, summary: ShardSummary) -> dict[str, Any]:
    """The manifest's entries about the rows."""
    from jobs.exporting.shards import CONTENT_HASH, SCHEMA

    return {
        "columns": SCHEMA.names,
        **{name: summary.total(name) for name in ("rows", "tokens", "bytes", "file_bytes")},
        "content_hash": summary.content_hash,
        "content_hash_is": CONTENT_HASH,
        "parts": [part | {"epochs": mix.epochs[part["origin"], part["domain"]]} for part in summary.parts],
        "shards": summary.shards,
    }


def _report(settings: ExportSettings, manifest: dict[str, Any], commit: str | None = None) -> None:
    if settings.json_output:
        shown = {key: value for key, value in manifest.items() if key != "shards"}
        at = {} if commit is None else {"revision": commit}
        print(json.dumps({"out": settings.out, **at, **shown, "num_shards": len(manifest["shards"])}))
        return
    counts = ["documents", "rows", "tokens"]
    rows = [
        [part["origin"], printable(part["domain"], 40), *(f"{part[name]:,}" for name in counts)]
        for part in manifest["parts"]
    ]
    print(plain_table(["part", "domain", *counts], rows))
    print(
        f"mix {manifest['mixture_id']}: {manifest['rows']:,} rows, {manifest['tokens']:,} tokens, "
        f"{manifest['bytes']:,} bytes of text in {len(manifest['shards']):,} shards, "
        f"{manifest['file_bytes']:,} bytes, written to {settings.out} and read back; see its README.md"
        f"{'' if commit is None else f', at commit {commit}'}"
    )
