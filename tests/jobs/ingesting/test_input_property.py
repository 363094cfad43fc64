"""Whatever files hold, in whatever columns, encodings and compressions: ingest reads what plain Python reads."""

from __future__ import annotations

import bz2
import gzip
import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from jobs.ingesting.columns import InputColumns
from tests.jobs.ingesting.input_cases import read_documents

TEXTS = st.one_of(
    st.none(),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=40),
    st.sampled_from(["", "[1]", "{", "17", "1e3", "true", " a\n\tb\r\n", "nul \0", "\u2028", '"', "\\", "\\u0041"]),
)
IDS = st.one_of(
    st.integers(-(2**70), 2**70).map(str),
    st.from_regex(r"-?[1-9][0-9]{0,3}(\.[0-9]{1,3})?([eE][+-]?[0-9]{1,2})?", fullmatch=True),
)
TEXT_CHARACTERS = st.characters(exclude_categories=["Cs"], exclude_characters="\0\ufeff")
FOLDERS = st.sampled_from(["", "lang=1.10/", "lang=007/deep/", "lang=__HIVE_DEFAULT_PARTITION__/", "plain/lang=a b/"])
COMPRESSIONS = {
    "": lambda data: data,
    ".gz": gzip.compress,
    ".bz2": bz2.compress,
    ".zst": zstandard.ZstdCompressor().compress,
}
PARTS = st.integers(1, 3)
ENCODINGS = st.sampled_from(["utf-8", "utf-8", "utf-8-sig", "utf-16", "utf-16-be", "utf-32"])
# Beside the named columns: names that could be taken for others, and values of every kind.
EXTRA = st.dictionaries(
    st.sampled_from(["Text", "json", "value", "object", "meta", "a.b", "line", "__file", "né"]),
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=5),
        lambda inner: (
            st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(["id", "text", "k"]), inner, max_size=2)
        ),
        max_leaves=4,
    ),
    max_size=3,
)
LANGS = {"lang=1.10": "1.10", "lang=007": "007", "lang=a b": "a b"}


@dataclass(frozen=True)
class File:
    """A file of an input: where, its documents as (id as written, text, domain or None), and how they are stored."""

    folder: str
    documents: list[tuple[str, str | None, str | None]]
    compression: str
    members: int
    variant: int
    extra: dict[str, Any]


FILES = st.lists(
    st.builds(
        File,
        FOLDERS,
        st.lists(st.tuples(IDS, TEXTS, st.sampled_from([None, "en", "0d", "[x]"])), min_size=1, max_size=4),
        st.sampled_from(sorted(COMPRESSIONS)),
        PARTS,
        st.integers(0, 3),
        EXTRA,
    ),
    min_size=1,
    max_size=3,
)


def domain_of(file: File, own: str | None) -> str | None:
    if own is not None:
        return own
    return next((value for part, value in LANGS.items() if part in file.folder.split("/")), None)


def expected(files: list[File]) -> list[tuple[str, str | None, str | None]]:
    found = [(doc_id, domain_of(file, own), text) for file in files for doc_id, text, own in file.documents]
    return sorted(found, key=str)


def json_line(file: File, doc_id: str, text: str | None, own: str | None) -> bytes:
    """The document as a line: numbers as numbers or strings, keys in another order, beside others."""
    number = doc_id if file.variant % 2 else json.dumps(doc_id)
    ascii_only = file.variant > 1
    more = "".join(f", {json.dumps(key)}: {json.dumps(value)}" for key, value in file.extra.items())
    keys = f'"lang": {json.dumps(own)}, "id" :{number},"text":{json.dumps(text, ensure_ascii=ascii_only)}{more}'
    return ("{" + keys + "}\n").encode()


def write_json_lines(path: Path, file: File) -> None:
    lines = [json_line(file, *document) for document in file.documents]
    parts = [b"".join(lines[first :: file.members]) for first in range(file.members)]
    data = b"".join(COMPRESSIONS[file.compression](part) for part in parts if part)
    path.with_name(f"{path.name}.jsonl{file.compression}").write_bytes(data)


def write_parquet(path: Path, file: File) -> None:
    """The file's own types for strings, and a column of a type that Spark does not read."""
    strings = [pa.string(), pa.large_string(), pa.binary(), pa.string()][file.variant]
    doc_ids, texts, owns = zip(*file.documents, strict=True)
    columns = {
        "id": pa.array(doc_ids, pa.large_string() if file.variant else pa.string()),
        "strange": pa.array([1] * len(texts), pa.time64("ns") if file.variant else pa.timestamp("ns")),
        **{f"{key}!": pa.array([json.dumps(value)] * len(texts)) for key, value in file.extra.items()},
        "text": pa.array([text if text is None else text.encode() for text in texts], strings),
    }
    domains = pa.array(owns, pa.string())
    if domains.null_count < len(owns):
        columns["lang"] = domains.dictionary_encode() if file.variant == 3 else domains
    pq.write_table(
        pa.table(columns),
        path.with_name(f"{path.name}.parquet"),
        compression=["none", "snappy", "zstd", "gzip"][file.variant],
    )


def check(spark: Any, root: Path, files: list[File], file_format: str) -> None:
    shutil.rmtree(root, ignore_errors=True)
    for number, file in enumerate(files):
        path = root / "in" / file.folder / f"part-{number}"
        path.parent.mkdir(parents=True, exist_ok=True)
        (write_parquet if file_format == "parquet" else write_json_lines)(path, file)
    has_domain = any(domain_of(file, own) for file in files for *_, own in file.documents)
    columns = InputColumns(doc_id="id", domain="lang" if has_domain else None, fixed_domain=None)
    found = read_documents(spark, str(root / "in"), file_format, columns).collect()
    assert sorted(((row["doc_id"], row["domain"], row["text"]) for row in found), key=str) == expected(files)


EXAMPLES = settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@EXAMPLES
@given(FILES)
def test_json_lines_are_read_as_python_reads_them(spark: Any, tmp_path: Path, files: list[File]) -> None:
    check(spark, tmp_path / "jsonl", files, "jsonl")


@EXAMPLES
@given(FILES)
def test_parquet_is_read_as_python_reads_it(spark: Any, tmp_path: Path, files: list[File]) -> None:
    check(spark, tmp_path / "parquet", files, "parquet")


@EXAMPLES
@given(
    st.lists(
        st.tuples(FOLDERS, st.text(TEXT_CHARACTERS, max_size=60), st.sampled_from(sorted(COMPRESSIONS)), ENCODINGS),
        min_size=1,
        max_size=4,
    )
)
def test_text_files_are_read_as_python_reads_them_or_refused_by_name(
    spark: Any, tmp_path: Path, files: list[tuple[str, str, str, str]]
) -> None:
    root = tmp_path / "text"
    shutil.rmtree(root, ignore_errors=True)
    refused = []
    for number, (folder, text, compression, encoding) in enumerate(files):
        path = root / "in" / folder / f"part-{number}.txt{compression}"
        path.parent.mkdir(parents=True, exist_ok=True)
        marked = f"\ufeff{text}" if encoding == "utf-16-be" else text
        path.write_bytes(COMPRESSIONS[compression](marked.encode(encoding)))
        refused += [path.name] if encoding.startswith(("utf-16", "utf-32")) else []
    columns = InputColumns(doc_id="path", fixed_domain="d")
    if refused:
        with pytest.raises(ValueError, match=r"is UTF-(16|32) text") as error:
            read_documents(spark, str(root / "in"), "text", columns)
        assert any(name in str(error.value) for name in refused)
        return
    found = read_documents(spark, str(root / "in"), "text", columns).collect()
    assert sorted(row["text"] for row in found) == sorted(text for _, text, _, _ in files)
    assert len({row["doc_id"] for row in found}) == len(files)
