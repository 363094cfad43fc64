"""The files that an input names: which of them are read, what their folders say, and whether they are whole."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import unquote

from pyspark.sql import functions as F

from jobs.spark.table_names import absolute_path
from jobs.terminal.display import printable

if TYPE_CHECKING:
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
MAX_NAMED = 3
HIVE_NULL = "__HIVE_DEFAULT_PARTITION__"


@dataclass(frozen=True)
class InputFiles:
    """The files of an input, as URIs: those to be read, and those of another kind, which are not read.

    num_unchecked: compressed ones on storage that PyArrow does not know, where Spark alone says whether they are whole.
    """

    path: str
    taken: tuple[str, ...]
    others: tuple[str, ...] = ()
    num_unchecked: int = 0

    def load_paths(self, uris: Sequence[str] | None = None) -> list[str]:
        """The paths for Spark: the input itself if all of its files are read, else each file (of uris)."""
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
    """URIs of all files that the path, folder or pattern names, empty ones too. Listed by Spark, so on any storage."""
    uris = binary_files(spark, without_globs(path)).inputFiles()
    # Spark lists Parquet's _metadata files, but never reads them as data.
    return [uri for uri in uris if not is_hidden(readable(uri).rsplit("/", 1)[-1])]


def binary_files(spark: SparkSession, *escaped: str) -> DataFrame:
    """The files as Spark's binaryFile source has them."""
    return spark.read.format("binaryFile").option("recursiveFileLookup", "true").load(list(escaped))


def format_of_files(path: str, uris: Sequence[str]) -> str:
    """parquet, jsonl or text, by the extensions; ValueError if there is no file or there are several formats."""
    if (file_format := common_format(uris)) is not None:
        return file_format
    extensions = Counter(extension(name) for name in uris)
    listed = ", ".join(f"{count} .{printable(name, 20)}" for name, count in extensions.most_common(8)) or "no file"
    hidden = count_hidden(path) + (not uris and is_hidden(os.path.basename(path)))
    passed_over = (
        f", and {hidden:,} whose names, or folders' names, begin with _ or a dot and are not read" if hidden else ""
    )
    raise ValueError(
        f"--input {printable(path)} holds {listed}{passed_over}; say how to read them with --format parquet|jsonl|text"
    )


def common_format(uris: Sequence[str]) -> str | None:
    """The format that all files' extensions agree on, else None."""
    formats = {FORMAT_OF_EXTENSION.get(extension(name)) for name in uris}
    return formats.pop() if len(formats) == 1 else None


def name_some(uris: Sequence[str]) -> str:
    """The first few of the files, as words of a message."""
    names = [printable(readable(uri), 200) for uri in uris[:MAX_NAMED]]
    more = f" and {len(uris) - MAX_NAMED:,} more" if len(uris) > MAX_NAMED else ""
    return ", ".join(names) + more


def readable(uri: str) -> str:
    """The URI as a path: percent signs decoded, and without file: before it."""
    return re.sub("^file:/+", "/", unquote(uri))


def decoded_uri(path: str) -> str:
    """A file: URI as Spark takes it, without percent signs unless its folder's name has them; another path as it is.

    Raises ValueError for one of another machine.
    """
    match = re.fullmatch("file:(?://([^/]*))?(/.*)", path, re.DOTALL)
    if match is None:
        return path
    host, local = match[1], match[2]
    if host not in (None, "", "localhost"):
        raise ValueError(f"--input {printable(path)} is on another machine, {printable(host, 60)}; copy it to this one")
    # Of a pattern, the folder before it.
    is_there = os.path.exists(re.sub(r"/[^/]*[*?{\[].*", "", local, flags=re.DOTALL))
    return f"file:{local if is_there else unquote(local)}"


def without_globs(path: str) -> str:
    """The path for Spark: a pattern, unless a local file or folder has this very name."""
    return escape_globs(path) if os.path.exists(path) else path


def escape_globs(path: str) -> str:
    """The path with Hadoop's pattern characters escaped; the comma, too, which separates names in braces."""
    return re.sub(r"([\[\]{}*?\\,])", r"\\\1", path)


def file_name(rows: DataFrame) -> Column:
    """The row's file as a person writes it, even if the input has a column called _metadata."""
    return readable_path(rows.metadataColumn("_metadata").getField("file_path"))


def readable_path(uri: Column) -> Column:
    """The column of URIs as paths: percent signs decoded, without file: before them; a plus stays a plus."""
    return F.regexp_replace(F.url_decode(F.replace(uri, F.lit("+"), F.lit("%2B"))), "^file:/+", "/")


def folder_value(file: Column, key: str) -> Column:
    """The value of the key=value folder that holds the file, as it is written there; null if there is none.

    Spark itself makes numbers and dates of such values: 1.10 would be 1.1, and 007 would be 7.
    """
    value = F.regexp_extract(file, f"(?s)^.*/{re.escape(key)}=([^/]*)/", 1)
    # Hive writes characters that folder names must not have as a percent sign and two digits.
    decoded = F.try_url_decode(F.replace(value, F.lit("+"), F.lit("%2B")))
    plain = F.when(decoded.isNotNull() & ~F.contains(decoded, F.lit("\ufffd")), decoded).otherwise(value)
    return F.when((value != "") & (value != HIVE_NULL), plain)


def count_hidden(path: str) -> int:
    """Number of files in a local folder that Spark skips: their name, or a folder's, begins with _ or a dot."""
    root, count = absolute_path(path), 0
    for folder, _, names in os.walk(root):
        below = _folders(folder)[len(_folders(root)) :]
        is_below = any(is_hidden(part) for part in below)
        # Files that Spark itself writes beside its data hold no document.
        count += sum((is_below or is_hidden(name)) and not name.endswith((".crc", "_SUCCESS")) for name in names)
    return count


def is_hidden(name: str) -> bool:
    """Whether Spark skips a file or folder of this name."""
    return name.startswith((".", "_")) and "=" not in name


def _folders(path: str) -> list[str]:
    return [part for part in re.sub("^[A-Za-z][A-Za-z0-9+.-]*:/+", "/", path).split("/") if part]


def stem(name: str) -> str:
    """The file's name in lower case, without the suffixes of compressions that are read."""
    stem = name.rsplit("/", 1)[-1].lower()
    for suffix in COMPRESSED:
        stem = stem.removesuffix(suffix)
    return stem


def extension(name: str) -> str:
    """What the file's name says of its format."""
    without = stem(name)
    return without.rsplit(".", 1)[1] if "." in without else "(none)"
