"""Datasets of a hub: the files of a subset and split at one commit, and Spark's data source that reads Parquet."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from jobs.hub.address import HubInput
from jobs.hub.errors import hub_errors
from jobs.terminal.display import printable

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

    from jobs.ingesting.columns import InputColumns

DEFAULT_SPLIT = "train"


@dataclass(frozen=True)
class HubFiles:
    """The files of a split, in the dataset's order, as URIs or local paths, and the commit that they are of.

    kind: what they are (parquet, jsonl, text, csv, ...); columns: their names, empty where only reading shows them;
    subset: None where the dataset has one alone.
    """

    hub_input: HubInput
    commit: str
    subset: str | None
    split: str
    kind: str
    files: list[str]
    columns: list[str]

    @property
    def source(self) -> str:
        """Where the documents are from, so that they can be found again: the dataset at the commit."""
        path = f"/{self.hub_input.path}" if self.hub_input.path else ""
        return f"hf://datasets/{self.hub_input.repo_id}@{self.commit}{path}"

    def with_source(self, documents: DataFrame, columns: InputColumns) -> DataFrame:
        """The documents with the dataset as their source, unless a column of the input holds the source."""
        from pyspark.sql import functions as F

        return documents if columns.source else documents.withColumn("source", F.lit(self.source))


def find_files(hub_input: HubInput, subset: str | None, split: str | None) -> HubFiles:
    """The files of the subset and split at the commit that the revision is now.

    Raises ValueError, in one line, for what is not there, may not be read, or cannot be reached.
    """
    from huggingface_hub import HfApi

    _require_no_such_folder(hub_input.repo_id)
    with hub_errors(hub_input):
        commit = str(HfApi().dataset_info(hub_input.repo_id, revision=hub_input.revision).sha)
    builder = _builder(hub_input, commit, subset)
    if hub_input.path is None and len(builder.builder_configs) > 1:
        # If no subset was named, the card may name a default. (For a path, the client makes up a name.)
        subset = builder.config.name
    split = split or DEFAULT_SPLIT
    data_files = builder.config.data_files or {}
    require_split(hub_input, split, subset=subset, known=list(data_files))
    files = [str(file) for file in data_files[split]]
    module = builder.__module__.rsplit(".", 1)[-1]
    kind = "jsonl" if module == "json" else module
    with hub_errors(hub_input):
        columns = _column_names(builder, kind, files)
    return HubFiles(
        hub_input=hub_input, commit=commit, subset=subset, split=split, kind=kind, files=files, columns=columns
    )


def require_split(hub_input: HubInput, split: str, subset: str | None, known: list[str]) -> None:
    """Raise ValueError unless the split is among the known ones."""
    if split not in known:
        where = f" in subset {printable(subset, 60)}" if subset else ""
        listed = ", ".join(printable(str(name), 60) for name in known) or "none"
        raise ValueError(
            f"dataset {hub_input.repo_id} has no split {printable(split, 60)!r}{where}; name one with --split: {listed}"
        )


def _require_no_such_folder(repo_id: str) -> None:
    # The client would read a local folder of this name instead of the dataset.
    if os.path.isdir(repo_id):
        raise ValueError(f"the folder that this runs in has a folder {repo_id}, which would be read: run elsewhere")


def _builder(hub_input: HubInput, commit: str, subset: str | None) -> Any:
    """The client's view of the dataset's card and files: the files of all splits, and their columns."""
    from datasets import load_dataset_builder
    from datasets.utils import logging

    logging.set_verbosity_error()
    chosen = _chosen(hub_input, commit)
    dataset_uri = f"hf://datasets/{hub_input.repo_id}"
    with hub_errors(hub_input, subset), _no_other_cache() as cache_dir:
        return load_dataset_builder(dataset_uri, name=subset, revision=commit, cache_dir=cache_dir, **chosen)


def _chosen(hub_input: HubInput, commit: str) -> dict[str, str]:
    """The client's options to read one file, or the files below a folder."""
    from huggingface_hub import HfApi
    from huggingface_hub.hf_api import RepoFile

    if hub_input.path is None:
        return {}
    with hub_errors(hub_input):
        info = HfApi().get_paths_info(hub_input.repo_id, hub_input.path, revision=commit, repo_type="dataset")
    if not info:
        raise ValueError(f"dataset {hub_input.repo_id} has no file or folder {printable(hub_input.path, 120)}")
    return {"data_files" if isinstance(info[0], RepoFile) else "data_dir": hub_input.path}


@contextmanager
def _no_other_cache() -> Iterator[str]:
    """An empty folder for what the client prepares: where a hub does not answer, it would take what is there, of any
    commit, without a word.
    """
    with tempfile.TemporaryDirectory() as folder:
        yield folder


def _column_names(builder: Any, kind: str, files: list[str]) -> list[str]:
    """Column names from the dataset's card or the first file; empty if only reading rows would show them."""
    if builder.info.features is not None:
        return list(builder.info.features)
    if kind != "parquet" or not files:
        return []
    import pyarrow.parquet as pq
    from huggingface_hub import HfFileSystem

    with HfFileSystem().open(files[0], "rb") as file:
        return list(pq.read_schema(file).names)


def read_hub(spark: SparkSession, hub_files: HubFiles, columns: InputColumns, limit: int | None) -> DataFrame:
    """One row per document, as input_rows describes; with limit, the first of the split, reading no file after them.

    Of Parquet files, only the columns that are named are read. Raises ValueError for columns that are not there.
    """
    from pyspark.sql import functions as F

    from jobs.ingesting.columns import choose_columns

    with hub_errors(hub_files.hub_input):
        rows = (
            spark.read.format(_registered(spark))
            .options(**_options(hub_files, columns))
            .load(hub_files.hub_input.repo_id)
        )
    return choose_columns(first_rows(rows, limit), columns, F.lit(hub_files.source))


def first_rows(rows: DataFrame, limit: int | None) -> DataFrame:
    """The first rows in the order of the files; without a limit, all."""
    # One task reads the files one after another, and stops at the limit. Several tasks would each read up to the limit,
    # and chance would decide whose rows come first.
    return rows if limit is None else rows.coalesce(1).limit(limit)


def _registered(spark: SparkSession) -> str:
    from pyspark_huggingface.huggingface import HuggingFaceDatasets

    spark.dataSource.register(HuggingFaceDatasets)
    return str(HuggingFaceDatasets.name())


def _options(hub_files: HubFiles, columns: InputColumns) -> dict[str, str]:
    """Options of the data source, which parses values as Python literals and takes the token from the environment."""
    options = {"revision": hub_files.commit, "split": hub_files.split}
    if hub_files.subset is not None:
        options["config"] = hub_files.subset
    if hub_files.hub_input.path is not None:
        prefix = f"hf://datasets/{hub_files.hub_input.repo_id}@{hub_files.commit}/"
        files = [file.removeprefix(prefix) for file in hub_files.files]
        options["data_files"] = repr({hub_files.split: files})
    wanted = {_top_level(name, hub_files.columns) for name in columns.named()}
    if hub_files.kind == "text":
        # One document per file, as for other inputs; the client's default is one per line.
        options["sample_by"] = "document"
    # If a column is missing, all are opened: the error lists them, and no rows are read.
    if hub_files.kind == "parquet" and None not in wanted:
        options["columns"] = repr([name for name in hub_files.columns if name in wanted])
    return options


def _top_level(name: str, existing: list[str]) -> str | None:
    """The existing top-level column of a name, in any case: meta for meta.language."""
    from jobs.ingesting.columns import column_path, same_name

    return same_name(name, existing) or same_name(column_path(name)[0], existing)
