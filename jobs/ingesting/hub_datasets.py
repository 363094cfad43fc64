"""Datasets of a hub as ingest reads them: named by hf://datasets/OWNER/NAME, pinned to a commit, read by Spark."""

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
    """What was found: the commit, and the split's files in the dataset's order, as URIs or paths of this machine.

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
        """Where a document is from, so that it can be found again: the dataset at the commit."""
        path = f"/{self.hub_input.path}" if self.hub_input.path else ""
        return f"hf://datasets/{self.hub_input.repo_id}@{self.commit}{path}"

    def with_source(self, documents: DataFrame, columns: InputColumns) -> DataFrame:
        """The documents, from the dataset rather than from a file of it, unless a column says where they are from."""
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
        # Where none is named, the card may say which one it is. (Of a path, the client makes one up.)
        subset = builder.config.name
    split = split or DEFAULT_SPLIT
    data_files = builder.config.data_files or {}
    require_split(hub_input, split, subset, list(data_files))
    files = [str(file) for file in data_files[split]]
    module = builder.__module__.rsplit(".", 1)[-1]
    kind = "jsonl" if module == "json" else module
    with hub_errors(hub_input):
        columns = _column_names(builder, kind, files)
    return HubFiles(hub_input, commit, subset, split, kind, files, columns)


def require_split(hub_input: HubInput, split: str, subset: str | None, known: list[str]) -> None:
    """Raise ValueError unless the split is one of those known."""
    if split not in known:
        where = f" in subset {printable(subset, 60)}" if subset else ""
        listed = ", ".join(printable(str(name), 60) for name in known) or "none"
        raise ValueError(
            f"dataset {hub_input.repo_id} has no split {printable(split, 60)!r}{where}; name one with --split: {listed}"
        )


def _require_no_such_folder(repo_id: str) -> None:
    # The client takes a folder of that name for the dataset, and reads it instead.
    if os.path.isdir(repo_id):
        raise ValueError(f"the folder that this runs in has a folder {repo_id}, which would be read: run elsewhere")


def _builder(hub_input: HubInput, commit: str, subset: str | None) -> Any:
    """What the client makes of the dataset's card and files; it has the files of all splits, and their columns."""
    from datasets import load_dataset_builder
    from datasets.utils import logging

    logging.set_verbosity_error()
    chosen = _chosen(hub_input, commit)
    place = f"hf://datasets/{hub_input.repo_id}"
    with hub_errors(hub_input, subset), _no_other_cache() as cache_dir:
        return load_dataset_builder(place, name=subset, revision=commit, cache_dir=cache_dir, **chosen)


def _chosen(hub_input: HubInput, commit: str) -> dict[str, str]:
    """How the client is told to read one file, or the files below a folder."""
    from huggingface_hub import HfApi
    from huggingface_hub.hf_api import RepoFile

    if hub_input.path is None:
        return {}
    with hub_errors(hub_input):
        found = HfApi().get_paths_info(hub_input.repo_id, hub_input.path, revision=commit, repo_type="dataset")
    if not found:
        raise ValueError(f"dataset {hub_input.repo_id} has no file or folder {printable(hub_input.path, 120)}")
    return {"data_files" if isinstance(found[0], RepoFile) else "data_dir": hub_input.path}


@contextmanager
def _no_other_cache() -> Iterator[str]:
    """An empty folder for what the client prepares: where a hub does not answer, it would take what is there, of any
    commit, without a word.
    """
    with tempfile.TemporaryDirectory() as folder:
        yield folder


def _column_names(builder: Any, kind: str, files: list[str]) -> list[str]:
    """From the dataset's card, or the first file; empty where only reading rows would show them."""
    if builder.info.features is not None:
        return list(builder.info.features)
    if kind != "parquet" or not files:
        return []
    import pyarrow.parquet as pq
    from huggingface_hub import HfFileSystem

    with HfFileSystem().open(files[0], "rb") as file:
        return list(pq.read_schema(file).names)


def read_hub(spark: SparkSession, found: HubFiles, columns: InputColumns, limit: int | None) -> DataFrame:
    """One row for each document, as input_rows has them; with limit, the first of the split, and no file beyond.

    Of Parquet files, only the columns that are named are read. Raises ValueError for columns that are not there.
    """
    from pyspark.sql import functions as F

    from jobs.ingesting.columns import choose_columns

    with hub_errors(found.hub_input):
        rows = spark.read.format(_registered(spark)).options(**_options(found, columns)).load(found.hub_input.repo_id)
    return choose_columns(first_rows(rows, limit), columns, F.lit(found.source))


def first_rows(rows: DataFrame, limit: int | None) -> DataFrame:
    """As many rows, in the order of the files; all of them without a limit."""
    # One task reads the files one after the other, and stops: a limit over several would take from each of them, and
    # whose rows come first would be chance.
    return rows if limit is None else rows.coalesce(1).limit(limit)


def _registered(spark: SparkSession) -> str:
    from pyspark_huggingface.huggingface import HuggingFaceDatasets

    spark.dataSource.register(HuggingFaceDatasets)
    return str(HuggingFaceDatasets.name())


def _options(found: HubFiles, columns: InputColumns) -> dict[str, str]:
    """What the data source is told. It parses values as Python's literals, and asks the environment for the token."""
    options = {"revision": found.commit, "split": found.split}
    if found.subset is not None:
        options["config"] = found.subset
    if found.hub_input.path is not None:
        prefix = f"hf://datasets/{found.hub_input.repo_id}@{found.commit}/"
        files = [file.removeprefix(prefix) for file in found.files]
        options["data_files"] = repr({found.split: files})
    wanted = {_top_level(name, found.columns) for name in columns.named()}
    if found.kind == "text":
        # As of files: one document per file, where the client's default is one per line.
        options["sample_by"] = "document"
    # Where one is not there, all are read: the schema that the message lists, and no rows.
    if found.kind == "parquet" and None not in wanted:
        options["columns"] = repr([name for name in found.columns if name in wanted])
    return options


def _top_level(name: str, existing: list[str]) -> str | None:
    """The column that holds what is named, in any case: of meta.language, meta."""
    from jobs.ingesting.columns import column_path, same_name

    return same_name(name, existing) or same_name(column_path(name)[0], existing)
