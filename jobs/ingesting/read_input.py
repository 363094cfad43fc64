"""Inputs of ingest, files of documents or a Delta table, as one DataFrame with the same columns."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pyspark.sql import functions as F

from jobs.hub.errors import hub_errors
from jobs.ingesting.checks import choose_files
from jobs.ingesting.columns import InputColumns, choose_columns, column_path, no_column, same_name
from jobs.ingesting.files import MAX_NAMED, InputFiles, count_hidden, format_of_files, list_files, readable
from jobs.ingesting.json_lines import JsonLines, read_json_lines
from jobs.ingesting.json_values import NO_OBJECT
from jobs.ingesting.parquet import read_parquet
from jobs.ingesting.text import read_text_files
from jobs.spark.spark_errors import spark_reasons
from jobs.spark.table_names import absolute_path, find_table, quote_table_name
from jobs.terminal.display import printable
from udfs.file_kinds import kind_of

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

    from jobs.ingesting.hub_datasets import HubFiles


@dataclass(frozen=True)
class Input:
    """An input that was found, and its documents.

    documents: one row per document, as input_rows describes, none left out; doc_id is null in every row if no id column
    was named. files, lines, hub: where the documents come from; None for inputs of another kind. Callers pass the
    problems in documents to require_readable before they write anything.
    """

    path: str
    file_format: str
    columns: InputColumns
    documents: DataFrame
    files: InputFiles | None = None
    lines: JsonLines | None = None
    hub: HubFiles | None = None

    def errors(self) -> AbstractContextManager[None]:
        """Turn errors of reading the documents into a ValueError of one line."""
        if self.hub is not None:
            return hub_errors(self.hub.hub_input)
        return spark_reasons(f"--input {self.path} cannot be read")

    def about(self) -> dict[str, Any]:
        """Which files were and were not read, and a hub's commit: for the report, and to read the same again."""
        facts: dict[str, Any] = {"num_hidden": 0, "num_other_files": 0, "other_files": [], "num_unchecked": 0}
        if self.files is not None:
            others = self.files.others
            facts |= {"num_other_files": len(others), "num_unchecked": self.files.num_unchecked}
            facts["other_files"] = [readable(uri) for uri in others[:MAX_NAMED]]
        if self.hub is not None:
            return facts | {"revision": self.hub.commit, "subset": self.hub.subset, "split": self.hub.split}
        return facts | {"num_hidden": 0 if self.files is None else count_hidden(self.path)}

    def require_readable(self, num_read: int, num_problems: int, first: Any) -> None:
        """Raise ValueError if there are problems. first: the first of them, with the fields of columns.PROBLEM."""
        if not num_problems:
            return
        file, what = printable(first["file"], 300), first["what"]
        if self.lines is None:
            raise ValueError(f"{file} {what}; nothing was written{_and_others(num_problems)}")
        with self.errors():
            number = self.lines.find_line(first["file"], self.columns) or 0
        kind = kind_of(bytes(first["start"])) if first["start"] else None
        if kind is not None and what == NO_OBJECT and number == 1:
            raise ValueError(f"{file} is no JSON lines, but {kind}; nothing was written")
        start = bytes(first["start"] or b"").decode("utf-8", "replace")
        is_list = what == NO_OBJECT and start.lstrip("\ufeff \t").startswith("[")
        how = "each line must be one object: jq -c '.[]'" if is_list else "correct them, or leave them out"
        raise ValueError(
            f"{num_problems:,} of {num_read:,} lines cannot be read; the first, line {number:,} of {file}, {what}: it "
            f"starts with {printable(start, 60)!r}; nothing was written: {how}"
        )

    def require_columns(self, has: Mapping[str, bool]) -> None:
        """Raise ValueError for a named column that no JSON line has. has: whether any line has a value, by column."""
        if self.lines is None:
            return
        folder_keys = self.lines.folder_keys
        missing = [name for name in self.columns.named() if not has[name] and same_name(name, folder_keys) is None]
        if not missing:
            return
        with self.errors():
            keys = self.lines.existing_keys()
        for name in missing:
            *parents, last = column_path(name)
            if name not in keys and last not in (self._keys_below(parents) if parents else ()):
                raise no_column(name, [*keys, *folder_keys])

    def _keys_below(self, parents: Sequence[str]) -> list[str]:
        assert self.lines is not None
        with self.errors():
            return self.lines.existing_keys(parents)


def detect_format(spark: SparkSession, path: str) -> str:
    """The format of the files at the path by their extensions (parquet, jsonl, text); delta if it is a Delta table.

    Raises ValueError if there is no file, or if the files have several formats or an unknown one.
    """
    path = absolute_path(path)
    with spark_reasons(f"--input {path} cannot be read; for a table by its name, add --format delta"):
        if _is_delta_table(spark, path):
            return "delta"
        return format_of_files(path, list_files(spark, path))


def read_input(spark: SparkSession, path: str, file_format: str, columns: InputColumns) -> Input:
    """The documents at the path, read in this format; ValueError for files and columns that cannot be read."""
    if file_format == "delta":
        table = quote_table_name(path)
        with spark_reasons(f"--input {path} cannot be read as a Delta table"):
            documents = choose_columns(spark.table(table), columns, F.lit(path))
        return Input(path=path, file_format=file_format, columns=columns, documents=documents)
    with spark_reasons(f"--input {path} cannot be read as {file_format}"):
        files = choose_files(spark, path, file_format)
        if file_format == "jsonl":
            lines = read_json_lines(spark, files)
            return Input(
                path=path,
                file_format=file_format,
                columns=columns,
                documents=lines.documents(columns),
                files=files,
                lines=lines,
            )
        read = {"parquet": read_parquet, "text": read_text_files}[file_format]
        return Input(
            path=path, file_format=file_format, columns=columns, documents=read(spark, files, columns), files=files
        )


def _and_others(num_problems: int) -> str:
    return "" if num_problems == 1 else f"; so it is with {num_problems:,} files"


def _is_delta_table(spark: SparkSession, path: str) -> bool:
    if os.path.exists(path):
        return os.path.isdir(f"{path}/_delta_log")
    if re.search(r"[*?{\[]", path):
        return False
    try:
        table = quote_table_name(path)
    except ValueError:
        # No table has such a name; a file may.
        return False
    return find_table(spark, table) is not None
