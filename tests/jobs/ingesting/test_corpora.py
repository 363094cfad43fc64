"""The settings of known corpora, each on files with that corpus's columns and types."""

from __future__ import annotations

import datetime as dt
import gzip
import json
import re
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
import zstandard

from jobs import ingest, sql
from jobs.ingest import IngestSettings
from jobs.settings.stage import load_settings
from jobs.sql import SqlSettings

CORPORA = Path(__file__).parents[3] / "conf" / "corpora"
NAMES = sorted(path.stem for path in CORPORA.glob("*.yaml"))
TEXTS = [f"text {n} — ünï" for n in range(6)]
URLS = [f"https://example.org/{n}" for n in range(6)]
string, int64, float64 = pa.string(), pa.int64(), pa.float64()


def columns(**types: pa.DataType) -> pa.Table:
    """Six rows of these columns; those of a name that matters hold what is looked for."""
    values: dict[str, Any] = {
        "text": TEXTS,
        "url": URLS,
        "id": [f"<urn:uuid:{n}>" for n in range(6)],
        "blob_id": [f"{n:040x}" for n in range(6)],
        "format": ["textbook_academic", "blogpost"] * 3,
        "repo_name": [f"o/r{n}" for n in range(6)],
    }
    filler = {string: "{}", int64: 3, float64: 0.5}
    arrays = {}
    for name, kind in types.items():
        if name == "metadata" and pa.types.is_struct(kind):
            fields = [pa.array(URLS if f.name == "url" else [filler.get(f.type)] * 6, f.type) for f in kind]
            fields = [
                pa.array([dt.datetime(2024, 1, 1)] * 6, f.type) if pa.types.is_timestamp(f.type) else array
                for f, array in zip(kind, fields, strict=True)
            ]
            arrays[name] = pa.StructArray.from_arrays(fields, fields=list(kind))
        else:
            arrays[name] = pa.array(values.get(name, [filler[kind]] * 6), kind)
    return pa.table(arrays)


WEB = {"dump": string, "url": string, "date": string, "file_path": string, "language": string}
EDU = pa.struct(
    {**WEB, "date": pa.timestamp("s"), "language_score": float64, "token_count": int64, "score": float64}
    | {"int_score": int64}
)
# As the cards say: name of the file, columns, and the domain, id and source that the second document then has.
PARQUET = {
    "fineweb": (
        columns(text=string, id=string, **WEB, language_score=float64, token_count=int64),
        ("web", "<urn:uuid:1>", URLS[1]),
    ),
    "fineweb-edu-dedup": (columns(text=string, id=string, metadata=EDU), ("web-education", "<urn:uuid:1>", URLS[1])),
    "cosmopedia-v2": (
        columns(
            prompt=string, text=string, token_length=int64, audience=string, format=string, seed_data=string
        ),
        ("blogpost", None, None),
    ),
    "python-edu": (
        columns(
            **{"blob_id": string, "repo_name": string, "path": string, "length_bytes": int64, "score": float64},
            **{"int_score": int64, "text": string},
        ),
        ("python", f"{1:040x}", "o/r1"),
    ),
    "open-web-math": (
        columns(url=string, text=string, date=string, metadata=string),
        ("mathematics", None, URLS[1]),
    ),
}  # fmt: skip
LINES = {
    "pile": (
        "00.jsonl.zst",
        [{"text": text, "meta": {"pile_set_name": ["Pile-CC", "Github"][n % 2]}} for n, text in enumerate(TEXTS)],
        ("Github", None),
    ),
    "dolma": (
        "books-0000.json.gz",
        [
            {"id": f"d{n}", "text": text, "source": "books", "added": "2024-04-16", "created": None}
            | ({"metadata": {"url": URLS[n], "tags": ["a"]}} if n % 2 else {})
            for n, text in enumerate(TEXTS)
        ],
        ("books", "d1"),
    ),
}


def settings_of(name: str, *flags: str) -> IngestSettings:
    return load_settings(IngestSettings, ["--config", str(CORPORA / f"{name}.yaml"), *flags], "ingest")


def held(namespace: str) -> dict[str, dict[str, Any]]:
    return {row["text"]: row for row in pq.read_table(Path(namespace) / "corpus").to_pylist()}


@pytest.mark.parametrize("name", NAMES)
def test_the_settings_are_known_ones_of_ingest_alone_and_say_where_the_numbers_are_from(name: str) -> None:
    settings = settings_of(name)
    text = (CORPORA / f"{name}.yaml").read_text()
    assert list(yaml.safe_load(text)) == ["ingest"]
    assert set(yaml.safe_load(text)["ingest"]) <= settings.model_fields_set
    assert "# Published" in text
    assert "# First: " in text


def test_every_corpus_has_a_test_on_files_of_its_schema() -> None:
    assert sorted([*PARQUET, *LINES]) == NAMES


@pytest.mark.parametrize("name", PARQUET)
def test_parquet_with_the_corpuss_columns_is_ingested_by_its_settings(
    name: str, spark, namespace: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table, (domain, doc_id, source) = PARQUET[name]
    path = str(tmp_path / "train-00000-of-00001.parquet")
    pq.write_table(table, path)
    # The subset and split are of a hub; everything else is what is tried here.
    values = settings_of(name).model_dump(exclude={"subset", "split", "config", "json_output"})
    values |= {"input": path, "format": "auto", "namespace": namespace}
    result = ingest.run(IngestSettings(**values), spark)
    assert result["num_new"] == 6
    row = held(namespace)[TEXTS[1]]
    assert (row["domain"], row["source"]) == (domain, source or path)
    assert doc_id in (None, row["doc_id"])


def write_lines(path: Path, rows: list[dict[str, Any]]) -> None:
    content = "".join(json.dumps(row) + "\n" for row in rows).encode()
    compress = zstandard.ZstdCompressor().compress if path.suffix == ".zst" else gzip.compress
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(compress(content))


@pytest.mark.parametrize("name", LINES)
def test_json_lines_of_the_corpuss_layout_are_ingested_by_its_settings(
    name: str, spark, namespace: str, tmp_path: Path
) -> None:
    file, rows, (domain, doc_id) = LINES[name]
    write_lines(tmp_path / "files" / file, rows)
    settings = settings_of(name, "--input", str(tmp_path / "files"), "--namespace", namespace)
    assert ingest.run(settings, spark)["num_new"] == 6
    row = held(namespace)[TEXTS[1]]
    assert (row["domain"], row["source"]) == (domain, str(tmp_path / "files" / file))
    assert doc_id in (None, row["doc_id"])


def test_the_query_for_dolmas_attributes_makes_a_quality_table(spark, namespace: str, tmp_path: Path) -> None:
    spans = {"d0": [[0, 300, 0.9], [300, 400, 0.1]], "d1": [[0, 10, 0.25]], "d2": []}
    rows = [{"id": doc_id, "attributes": {"TAGGER__score": value}} for doc_id, value in spans.items()]
    write_lines(tmp_path / "attributes" / "TAGGER" / "books-0000.json.gz", rows)
    comment = re.findall(r"^#   (.*)$", (CORPORA / "dolma.yaml").read_text(), re.MULTILINE)
    query = "\n".join(comment).split('sql "', 1)[1].split('"\n', 1)[0].replace("/data/dolma", str(tmp_path))
    sql.run(SqlSettings(query=query, namespace=namespace), spark)
    found = {
        row["doc_id"]: row["quality"] for row in spark.read.format("delta").load(str(tmp_path / "quality")).collect()
    }
    assert found == {"d0": pytest.approx((300 * 0.9 + 100 * 0.1) / 400), "d1": 0.25, "d2": None}
