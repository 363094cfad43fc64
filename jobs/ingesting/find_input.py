"""An input by what it is: files, a Delta table, a dataset of a hub, or one that the hub's cache holds."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from jobs.hub.address import HubInput, parse_hub_input
from jobs.hub.errors import hub_errors
from jobs.ingesting.hub_datasets import HubFiles, find_files, first_rows, read_hub
from jobs.ingesting.read_input import Input, detect_format, read_input

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

    from jobs.ingesting.columns import InputColumns


def find_input(
    spark: SparkSession,
    path: str,
    file_format: str,
    columns: InputColumns,
    *,
    subset: str | None = None,
    split: str | None = None,
    limit: int | None = None,
) -> Input:
    """The documents of the input. file_format auto: the format that the files' extensions name.

    limit: of a dataset of a hub, that many are read, in its own order; of others, all. Raises ValueError for what is
    not there, or cannot be read.
    """
    hub_input = parse_hub_input(path)
    if hub_input is not None:
        return _hub_input(
            spark, path=path, hub_input=hub_input, columns=columns, subset=subset, split=split, limit=limit
        )
    return read_input(
        spark, path, file_format=detect_format(spark, path) if file_format == "auto" else file_format, columns=columns
    )


def _hub_input(
    spark: SparkSession,
    path: str,
    hub_input: HubInput,
    columns: InputColumns,
    subset: str | None,
    split: str | None,
    limit: int | None,
) -> Input:
    # Imported first, so that a missing package of the hub extra is reported at once.
    import pyspark_huggingface  # noqa: F401
    from huggingface_hub import constants

    from jobs.ingesting.hub_cache import find_cached_files, read_cached_files
    from jobs.ingesting.hub_lines import read_hub_lines

    is_offline = constants.is_offline_mode()
    hub: HubFiles = (find_cached_files if is_offline else find_files)(hub_input, subset, split)
    if hub.kind == "jsonl":
        with hub_errors(hub_input):
            lines = read_hub_lines(spark, hub.files)
        documents = first_rows(hub.with_source(lines.documents(columns), columns), limit)
        # The names of existing columns are looked up in no more lines than the limit.
        lines = replace(lines, lines=first_rows(lines.lines, limit))
        return Input(path=path, file_format=hub.kind, columns=columns, documents=documents, lines=lines, hub=hub)
    if is_offline:
        return replace(read_cached_files(spark, hub, columns=columns, limit=limit), hub=hub)
    return Input(
        path=path,
        file_format=hub.kind,
        columns=columns,
        documents=read_hub(spark, hub, columns=columns, limit=limit),
        hub=hub,
    )
