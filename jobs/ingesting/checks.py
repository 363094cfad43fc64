"""Which files of an input are read, and checks that fail before any is: cut files, links, tables by their files."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from jobs.ingesting.files import (
    COMPRESSED,
    FORMAT_OF_EXTENSION,
    MAX_NAMED,
    InputFiles,
    extension,
    is_hidden,
    list_files,
    name_some,
    readable,
    stem,
)
from jobs.spark.spark_errors import is_spark_error, spark_reasons
from jobs.spark.statements import local_rows
from jobs.spark.table_names import absolute_path
from jobs.terminal.display import printable

if TYPE_CHECKING:
    import pandas as pd
    from pyspark.sql import SparkSession

# Compressions and archives that Spark does not undo: read as they are, they would be garbage.
NOT_DECOMPRESSED = (".xz", ".lzma", ".lz4", ".lzo", ".snappy", ".deflate", ".br", ".z", ".zip", ".7z", ".rar", ".tar")
ALSO_TAR = (".tgz", ".tbz2", ".txz", ".tzst")
# Names in a folder which show that its data files alone are not what it holds.
NOT_BY_FILES = {
    "_delta_log": "it is a Delta table; leave --format out, or give --format delta",
    ".hoodie": "it is a Hudi table, whose files hold deleted rows, too; read it as a table, and write that as Parquet",
    "metadata/version-hint.text": "an Iceberg table, whose files hold deleted rows, too; write it as Parquet first",
    "_temporary": "a job is still writing to it, or has died; let it finish, or remove what it left",
    "_INCOMPLETE.json": "it is an export that was not finished; run that once more",
}
# Compressed files that one task checks.
FILES_PER_TASK = 16


def choose_files(spark: SparkSession, path: str, file_format: str) -> InputFiles:
    """The files to read as this format: those with one of its extensions, or all if no file has one.

    For the text format, all files are read. Raises ValueError if there is no file, for a compression that is not read,
    and for compressed files that are not whole.
    """
    _refuse_broken_links(readable(absolute_path(path)))
    uris = list_files(spark, absolute_path(path))
    if not uris:
        raise ValueError(f"--input {printable(path)} holds no file")
    _refuse_unfinished(uris)
    named = [uri for uri in uris if FORMAT_OF_EXTENSION.get(extension(uri)) == file_format]
    taken = uris if file_format == "text" or not named else named
    refuse_other_compression(uris, taken, file_format)
    others = sorted(set(uris) - set(taken))
    num_unchecked = 0 if file_format == "parquet" else _refuse_broken(spark, taken)
    return InputFiles(path, tuple(taken), others=tuple(others), num_unchecked=num_unchecked)


def _refuse_unfinished(uris: Sequence[str]) -> None:
    """Raise ValueError if a local file lies in a folder whose data files alone are not what it holds.

    A table's folder has the files of deleted rows, too; one that a job is writing to has a part of them.
    """
    folders = {os.path.dirname(path) for uri in uris if (path := readable(uri)).startswith("/")}
    above = {parent for folder in folders for parent in (folder, *map(str, Path(folder).parents))}
    for folder in sorted(above):
        for name, what in NOT_BY_FILES.items():
            if os.path.exists(f"{folder}/{name}"):
                raise ValueError(f"the folder {printable(folder, 300)} has a {name}: {what}")


def _refuse_broken_links(path: str) -> None:
    """Raise ValueError for a local link that leads nowhere, or back to a folder that contains it."""
    for folder, folders, names in os.walk(path):
        for name in (*folders, *names):
            link = f"{folder}/{name}"
            if os.path.islink(link) and not is_hidden(name):
                to = os.path.realpath(link)
                if not os.path.exists(to):
                    raise ValueError(f"{printable(link, 300)} is a link to what is not there; remove it, or fetch that")
                if os.path.realpath(folder).startswith(f"{to}/") or os.path.realpath(folder) == to:
                    raise ValueError(f"{printable(link, 300)} is a link to a folder that it lies in; remove it")


def refuse_other_compression(uris: Sequence[str], taken: Sequence[str], file_format: str) -> None:
    """Raise ValueError for files to be read, and others of the format, with a compression that is not read."""
    archives = []
    for uri in uris:
        name = stem(uri)
        suffix = next((ending for ending in (*NOT_DECOMPRESSED, *ALSO_TAR) if name.endswith(ending)), None)
        if suffix is not None:
            within = FORMAT_OF_EXTENSION.get(name.removesuffix(suffix).rsplit(".", 1)[-1])
            archives += [uri] if uri in taken or within == file_format else []
    if archives:
        raise ValueError(
            f"{name_some(archives)}: archives, and files compressed otherwise than as .gz, .zst or .bz2, are not read; "
            "unpack them, or leave them out of --input"
        )


def _refuse_broken(spark: SparkSession, uris: Sequence[str]) -> int:
    """Raise ValueError naming the compressed files that are not whole; Spark reads some of them without an error.

    Returns how many could not be looked at.
    """
    compressed = [(uri,) for uri in uris if uri.lower().endswith(COMPRESSED)]
    if not compressed:
        return 0
    tasks = max(1, min(len(compressed) // FILES_PER_TASK, 1000))
    names = local_rows(spark, compressed, "uri string").repartition(tasks)
    with spark_reasons("the compressed files of --input cannot be looked at"):
        checked = names.mapInPandas(_broken_files, "uri string, reason string").orderBy("uri").collect()
    if broken := [row for row in checked if row["reason"]]:
        shown = "; ".join(
            f"{printable(readable(row['uri']), 200)} is not whole: {row['reason']}" for row in broken[:MAX_NAMED]
        )
        more = f"; and {len(broken) - MAX_NAMED:,} more files" if len(broken) > MAX_NAMED else ""
        raise ValueError(f"{shown}{more}; nothing was written: download them again, or leave them out")
    return len(checked)


@contextmanager
def good_parts_named(files: InputFiles | None) -> Iterator[None]:
    """Add to a Spark error about a .gz file how far the file is good. The file is read only then."""
    try:
        yield
    except ValueError as error:
        named = [uri for uri in (files.taken if files else ()) if printable(readable(uri)) in str(error)]
        uri = max(named, key=len, default="")
        if error.__cause__ is None or not is_spark_error(error.__cause__) or not uri.lower().endswith(".gz"):
            raise
        good = _good_text(uri)
        if good is None:
            raise
        raise ValueError(f"{error}; its first {good[1]:,} lines, {good[0]:,} bytes, are good") from error


def _good_text(uri: str) -> tuple[int, int] | None:
    from udfs.compressed import good_text_of_gzip
    from udfs.storage import open_file

    try:
        with open_file(uri) as (stream, _):
            return good_text_of_gzip(stream)
    except OSError:
        return None


def _broken_files(batches: Iterable[pd.DataFrame]) -> Iterator[pd.DataFrame]:
    """(uri, reason) of files that are not whole; an empty reason if that is unknown. Runs in Spark's Python workers."""
    import pandas as pd

    from udfs.compressed import why_broken
    from udfs.storage import open_file

    for batch in batches:
        checked = []
        for uri in batch["uri"]:
            try:
                with open_file(uri) as (stream, size):
                    reason = why_broken(uri, stream, size)
            except OSError:
                checked.append((uri, ""))
                continue
            if reason is not None:
                checked.append((uri, reason))
        yield pd.DataFrame(checked, columns=["uri", "reason"])
