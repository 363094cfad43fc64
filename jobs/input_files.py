"""The files that an input names: which of them are read, what their folders say, and whether they are whole."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import unquote

from pyspark.sql import functions as F

from jobs.display import printable
from jobs.statements import local_rows
from jobs.tables import absolute_path, spark_reasons

if TYPE_CHECKING:
    import pandas as pd
    from pyspark.sql import Column, DataFrame, SparkSession

FORMAT_OF_EXTENSION = {
    "parquet": "parquet",
    "parq": "parquet",
    "pq": "parquet",
    "jsonl": "jsonl",
    "ndjson": "jsonl",
    "json": "jsonl",
    "txt": "text",
    "text": "text",
    "md": "text",
    "rst": "text",
}
COMPRESSED = (".gz", ".zst", ".bz2")
# Read as they stand, they would be text of nobody.
NOT_DECOMPRESSED = (".xz", ".lzma", ".lz4", ".lzo", ".snappy", ".deflate", ".br", ".z", ".zip", ".7z", ".rar", ".tar")
ALSO_TAR = (".tgz", ".tbz2", ".txz", ".tzst")
MAX_NAMED = 3
# What a folder has beside its files where these alone are not what it holds.
NOT_BY_FILES = {
    "_delta_log": "it is a Delta table; leave --format out, or give --format delta",
    ".hoodie": "it is a Hudi table, whose files hold deleted rows, too; read it as a table, and write that as Parquet",
    "metadata/version-hint.text": "an Iceberg table, whose files hold deleted rows, too; write it as Parquet first",
    "_temporary": "a job is still writing to it, or has died; let it finish, or remove what it left",
    "_INCOMPLETE.json": "it is an export that was not finished; run that once more",
}
# Of compressed files: so many are looked at by a task.
FILES_PER_TASK = 16
HIVE_NULL = "__HIVE_DEFAULT_PARTITION__"


@dataclass(frozen=True)
class InputFiles:
    """The files of an input, as URIs: those that are read, and those of another kind, which are not.

    num_unchecked: compressed ones on storage that PyArrow does not know, where Spark alone says whether they are whole.
    """

    path: str
    taken: tuple[str, ...]
    others: tuple[str, ...] = ()
    num_unchecked: int = 0

    def load_paths(self, uris: Sequence[str] | None = None) -> list[str]:
        """What Spark is to read: the input itself where all of it is taken, else (or of uris) each file."""
        if uris is None or len(uris) == len(self.taken):
            if not self.others:
                return [without_globs(absolute_path(self.path))]
            uris = self.taken
        return [escape_globs(readable(uri)) for uri in uris]

    def folder_keys(self) -> list[str]:
        """The keys of the key=value folders that the files lie in."""
        folders = (folder for uri in self.taken for folder in _folders(readable(uri))[:-1])
        return list(dict.fromkeys(folder.partition("=")[0] for folder in folders if "=" in folder[1:]))


def list_files(spark: SparkSession, path: str) -> list[str]:
    """Every file that the path, folder or pattern names, empty ones too, as URIs; by Spark, so from any storage."""
    return binary_files(spark, without_globs(path)).inputFiles()


def binary_files(spark: SparkSession, *escaped: str) -> DataFrame:
    """The files as Spark's binaryFile source has them."""
    return spark.read.format("binaryFile").option("recursiveFileLookup", "true").load(list(escaped))


def format_of_files(path: str, uris: Sequence[str]) -> str:
    """parquet, jsonl or text, by the extensions; ValueError where there is no file, or they are of several formats."""
    if (found := common_format(uris)) is not None:
        return found
    extensions = Counter(_extension(name) for name in uris)
    listed = ", ".join(f"{count} .{printable(name, 20)}" for name, count in extensions.most_common(8)) or "no file"
    hidden = count_hidden(path)
    passed_over = (
        f", and {hidden:,} whose names, or folders' names, begin with _ or a dot and are not read" if hidden else ""
    )
    raise ValueError(
        f"--input {path} holds {listed}{passed_over}; say how to read them with --format parquet|jsonl|text"
    )


def common_format(uris: Sequence[str]) -> str | None:
    """The one format that the extensions of all files name; None where they name several, or none."""
    formats = {FORMAT_OF_EXTENSION.get(_extension(name)) for name in uris}
    return formats.pop() if len(formats) == 1 else None


def choose_files(spark: SparkSession, path: str, file_format: str) -> InputFiles:
    """The files that are read as this format: those that its extensions name, or all where none has one of these.

    All are taken as text. Raises ValueError where there is none, for those of a compression that is not read, and for
    compressed files that are not whole.
    """
    _refuse_unfinished(absolute_path(path))
    uris = list_files(spark, absolute_path(path))
    if not uris:
        raise ValueError(f"--input {path} holds no file")
    _refuse_other_compression(uris)
    named = [uri for uri in uris if FORMAT_OF_EXTENSION.get(_extension(uri)) == file_format]
    taken = uris if file_format == "text" or not named else named
    others = sorted(set(uris) - set(taken))
    num_unchecked = 0 if file_format == "parquet" else _refuse_broken(spark, taken)
    return InputFiles(path, tuple(taken), tuple(others), num_unchecked)


def name_some(uris: Sequence[str]) -> str:
    """The first few of the files, in words."""
    names = [printable(readable(uri), 200) for uri in uris[:MAX_NAMED]]
    more = f" and {len(uris) - MAX_NAMED:,} more" if len(uris) > MAX_NAMED else ""
    return ", ".join(names) + more


def readable(uri: str) -> str:
    """The path without percent signs, and without file: before it."""
    return re.sub("^file:/+", "/", unquote(uri))


def without_globs(path: str) -> str:
    """The path as Spark reads it: a pattern, unless it is the very name of something here."""
    return escape_globs(path) if os.path.exists(path) else path


def escape_globs(path: str) -> str:
    """The path for Spark, which takes what it reads for a pattern."""
    return re.sub(r"([\[\]{}*?\\])", r"\\\1", path)


def file_name() -> Column:
    """The row's file, as a person writes it."""
    return readable_path(F.col("_metadata.file_path"))


def readable_path(uri: Column) -> Column:
    """The path without percent signs, and without file: before it; a plus stays a plus."""
    return F.regexp_replace(F.url_decode(F.replace(uri, F.lit("+"), F.lit("%2B"))), "^file:/+", "/")


def folder_value(file: Column, key: str) -> Column:
    """The value of the key=value folder that the file lies in, as it is written there; null where there is none.

    Spark itself makes numbers and dates of such values: 1.10 would be 1.1, and 007 would be 7.
    """
    found = F.regexp_extract(file, f"^.*/{re.escape(key)}=([^/]*)/", 1)
    # Hive writes characters that no folder's name may hold as percent signs and two digits.
    plain = F.coalesce(F.try_url_decode(F.replace(found, F.lit("+"), F.lit("%2B"))), found)
    return F.when((found != "") & (found != HIVE_NULL), plain)


def count_hidden(path: str) -> int:
    """Files in a folder of this machine that Spark passes over: their name, or a folder's, begins with _ or a dot."""
    root, count = absolute_path(path), 0
    for folder, _, names in os.walk(root):
        below = _folders(folder)[len(_folders(root)) :]
        is_hidden = any(_is_hidden(part) for part in below)
        # Those that Spark itself writes beside its files hold no document.
        count += sum((is_hidden or _is_hidden(name)) and not name.endswith((".crc", "_SUCCESS")) for name in names)
    return count


def _is_hidden(name: str) -> bool:
    return name.startswith((".", "_")) and "=" not in name


def _folders(path: str) -> list[str]:
    return [part for part in re.sub("^[A-Za-z][A-Za-z0-9+.-]*:/+", "/", path).split("/") if part]


def _extension(name: str) -> str:
    stem = name.rsplit("/", 1)[-1].lower()
    for suffix in COMPRESSED:
        stem = stem.removesuffix(suffix)
    return stem.rsplit(".", 1)[1] if "." in stem else "(none)"


def _refuse_unfinished(path: str) -> None:
    """Raise ValueError for a folder of this machine whose files alone are not what it holds.

    A table's folder has the files of deleted rows, too; one that a job is writing to has a part of them.
    """
    folder = re.sub("^file:/+", "/", path)
    for name, what in NOT_BY_FILES.items():
        if os.path.exists(f"{folder}/{name}"):
            raise ValueError(f"--input {path} has a {name}: {what}")


def _refuse_other_compression(uris: Sequence[str]) -> None:
    found = []
    for uri in uris:
        stem = uri.rsplit("/", 1)[-1].lower()
        for suffix in COMPRESSED:
            stem = stem.removesuffix(suffix)
        if stem.endswith((*NOT_DECOMPRESSED, *ALSO_TAR)):
            found.append(uri)
    if found:
        raise ValueError(
            f"{name_some(found)}: archives, and files compressed otherwise than as .gz, .zst or .bz2, are not read; "
            "unpack them, or leave them out of --input"
        )


def _refuse_broken(spark: SparkSession, uris: Sequence[str]) -> int:
    """Raise ValueError that names the compressed files that are not whole: Spark takes some of these for whole.

    Returns how many could not be looked at.
    """
    compressed = [(uri,) for uri in uris if uri.lower().endswith(COMPRESSED)]
    if not compressed:
        return 0
    tasks = max(1, min(len(compressed) // FILES_PER_TASK, 1000))
    names = local_rows(spark, compressed, "uri string").repartition(tasks)
    with spark_reasons("the compressed files of --input cannot be looked at"):
        found = names.mapInPandas(_broken_files, "uri string, reason string").orderBy("uri").collect()
    if broken := [row for row in found if row["reason"]]:
        shown = "; ".join(
            f"{printable(readable(row['uri']), 200)} is not whole: {row['reason']}" for row in broken[:MAX_NAMED]
        )
        more = f"; and {len(broken) - MAX_NAMED:,} more files" if len(broken) > MAX_NAMED else ""
        raise ValueError(f"{shown}{more}; nothing was written: download them again, or leave them out")
    return len(found)


def _broken_files(batches: Iterable[pd.DataFrame]) -> Iterator[pd.DataFrame]:
    """(uri, reason) of those that are not whole, no reason where that cannot be told; in Spark's Python workers."""
    import pandas as pd

    from udfs.compressed import why_broken
    from udfs.storage import open_file

    for batch in batches:
        found = []
        for uri in batch["uri"]:
            try:
                with open_file(uri) as (stream, size):
                    reason = why_broken(uri, stream, size)
            except OSError:
                found.append((uri, ""))
                continue
            if reason is not None:
                found.append((uri, reason))
        yield pd.DataFrame(found, columns=["uri", "reason"])
