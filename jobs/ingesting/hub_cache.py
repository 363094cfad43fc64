"""A dataset that the hub's cache on this machine holds, read without a hub by the readers of files."""

from __future__ import annotations

import os
from dataclasses import replace
from functools import reduce
from typing import TYPE_CHECKING, Any

from pyspark.sql import DataFrame

from jobs.hub.address import HubInput
from jobs.hub.errors import explain_subset, hub_errors
from jobs.ingesting.files import common_format, escape_globs
from jobs.ingesting.hub_datasets import DEFAULT_SPLIT, HubFiles, first_rows, require_split
from jobs.ingesting.read_input import Input, read_input

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

    from jobs.ingesting.columns import InputColumns


def find_cached_files(hub_input: HubInput, subset: str | None, split: str | None) -> HubFiles:
    """The files of the subset and split in the cached snapshot.

    What was never downloaded is not missed: only a card says which files there should be. Raises ValueError for what
    the cache does not hold.
    """
    from datasets.data_files import DataFilesList, sanitize_patterns
    from huggingface_hub import snapshot_download

    with hub_errors(hub_input):
        root = snapshot_download(
            hub_input.repo_id, repo_type="dataset", revision=hub_input.revision, local_files_only=True
        )
    split = split or DEFAULT_SPLIT
    with hub_errors(hub_input):
        patterns, subset = _patterns(hub_input, root, subset)
        by_split = sanitize_patterns(patterns)
        known = [str(name) for name in by_split]
        files = list(DataFilesList.from_patterns(by_split[split], base_path=root)) if split in known else []
    require_split(hub_input, split, subset=subset, known=known)
    names = [os.path.join(root, os.path.relpath(file, root)) for file in files]
    return HubFiles(
        hub_input=hub_input,
        commit=os.path.basename(root),
        subset=subset,
        split=split,
        kind=_format(hub_input, names),
        files=names,
        columns=[],
    )


def _patterns(hub_input: HubInput, root: str, subset: str | None) -> tuple[Any, str | None]:
    """The patterns of each split's files, from the card or the files' own names, and their subset."""
    from datasets.data_files import get_data_patterns
    from datasets.utils.metadata import MetadataConfigs
    from huggingface_hub import DatasetCard

    if hub_input.path is not None:
        path = os.path.join(root, hub_input.path)
        return (hub_input.path if os.path.isfile(path) else f"{hub_input.path}/**"), subset
    card = os.path.join(root, "README.md")
    configs = MetadataConfigs()
    if os.path.isfile(card):
        configs = MetadataConfigs.from_dataset_card_data(DatasetCard.load(card).data)
    if subset is None and configs and (subset := configs.get_default_config_name()) is None:
        raise ValueError(explain_subset(hub_input, None, list(configs)))
    if configs and subset not in configs:
        raise ValueError(explain_subset(hub_input, subset, list(configs)))
    if configs and "data_files" in (config := configs[subset]):
        return config["data_files"], subset if len(configs) > 1 else None
    return get_data_patterns(os.path.join(root, configs[subset].get("data_dir", "") if configs else "")), subset


def _format(hub_input: HubInput, files: list[str]) -> str:
    file_format = common_format(files)
    if file_format is None:
        raise ValueError(
            f"dataset {hub_input.repo_id} is in the hub's cache with {len(files)} files of the split, not all of "
            f"one kind of Parquet, JSON lines or text: {', '.join(os.path.basename(file) for file in files[:3])}"
        )
    return file_format


def read_cached_files(spark: SparkSession, hub_files: HubFiles, columns: InputColumns, limit: int | None) -> Input:
    """The files' documents, as read_input gives them; with limit, the first of the split.

    Spark's data source asks a hub before it reads any.
    """
    if limit is None:
        read = _read(spark, hub_files, files=hub_files.files, columns=columns)
        return replace(read, documents=hub_files.with_source(read.documents, columns))
    # Spark reads the largest files first; the first documents are those of the first files.
    reads = [_read(spark, hub_files, files=[file], columns=columns) for file in _first_files(hub_files, limit)]
    documents = reduce(DataFrame.union, [read.documents for read in reads])
    return replace(reads[0], documents=hub_files.with_source(first_rows(documents, limit), columns))


def _first_files(hub_files: HubFiles, limit: int) -> list[str]:
    """The first files, as many as hold limit documents."""
    import pyarrow.parquet as pq

    num_documents = 0
    for count, file in enumerate(hub_files.files, start=1):
        num_documents += pq.read_metadata(file).num_rows if hub_files.kind == "parquet" else 1
        if num_documents >= limit:
            return hub_files.files[:count]
    return hub_files.files


def _read(spark: SparkSession, hub_files: HubFiles, files: list[str], columns: InputColumns) -> Input:
    root = os.path.commonpath([os.path.dirname(file) for file in files])
    names = [escape_globs(os.path.relpath(file, root)) for file in files]
    path = files[0] if len(names) == 1 else f"{escape_globs(root)}/{{{','.join(names)}}}"
    return read_input(spark, path, file_format=hub_files.kind, columns=columns)
