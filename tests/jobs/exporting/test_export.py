from __future__ import annotations

import datetime as dt
import fnmatch
import itertools
import json
import math
import os
import re
import signal
import subprocess
import sys
import time
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

import pyarrow.json
import pytest
from markdown_it import MarkdownIt

from jobs.exporting import mixture as export_mixture
from jobs.exporting.card import data_card
from jobs.spark.namespace import Namespace
from schemas import corpus, selection_runs
from tests.jobs.exporting.export_cases import (
    DOMAIN_OF,
    HOSTILE_TEXTS,
    MIX,
    NOW,
    SHARD_BYTES,
    TEXTS,
    export_to,
    keys,
    read_rows,
    tokens_of,
    write_corpus,
    write_mix,
)

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def mixed(spark, tmp_path_factory) -> str:
    """A namespace with one mix of hostile documents, and a document in the corpus that is not in it."""
    namespace = str(tmp_path_factory.mktemp("mixed") / "namespace")
    write_corpus(spark, namespace, TEXTS)
    write_mix(spark, namespace, MIX)
    place = Namespace.parse(namespace)
    place.create(spark, selection_runs.TABLE)
    how = (json.dumps({"quality_table": "<i>stars</i>", "min_quality": 0.5}), json.dumps({"scores": 7}), NOW)
    rule = ("sel1", "a|b", "s1", "fraction 0.2 <i>", 9, 90, None, None, 3, 30, 0.5, 0.5, *how)
    place.append(spark.createDataFrame([rule], selection_runs.TABLE.schema), selection_runs.TABLE)
    return namespace


@pytest.fixture(scope="module")
def exports(spark, mixed, tmp_path_factory) -> dict[str, Path]:
    """The mix in both formats."""
    folders = {name: tmp_path_factory.mktemp("exports") / "new" / f"{name} [a]" for name in ("parquet", "jsonl")}
    for name, folder in folders.items():
        export_to(spark, mixed, folder, format=name)
    return folders


@pytest.fixture(params=["parquet", "jsonl"])
def exported(request, exports) -> Path:
    folder: Path = exports[request.param]
    return folder


def test_every_document_is_there_exactly_as_often_as_the_mix_says_with_its_own_text(exported):
    rows = read_rows(exported)
    assert Counter(keys(rows)) == Counter(
        (origin, doc_id, copy) for (origin, doc_id), repeats in MIX.items() for copy in range(1, repeats + 1)
    )
    for row in rows:
        assert list(row) == ["doc_id", "domain", "origin", "copy", "num_tokens", "text"]
        doc_id = row["doc_id"]
        assert (row["domain"], row["num_tokens"], row["text"]) == (DOMAIN_OF[doc_id], tokens_of(doc_id), TEXTS[doc_id])


def test_hostile_texts_come_back_byte_for_byte(exported):
    found = {row["doc_id"]: row["text"].encode() for row in read_rows(exported) if row["doc_id"] in HOSTILE_TEXTS}
    assert found == {doc_id: text.encode() for doc_id, text in HOSTILE_TEXTS.items()}


def test_the_manifest_says_what_an_independent_count_finds(exported, mixed):
    manifest = json.loads((exported / "manifest.json").read_text())
    rows = read_rows(exported)
    sizes = [len(row["text"].encode()) for row in rows]
    totals = {"rows": len(rows), "tokens": sum(row["num_tokens"] for row in rows), "bytes": sum(sizes)}
    assert {name: manifest[name] for name in totals} == totals
    assert len(manifest["shards"]) == math.ceil(sum(sizes) / SHARD_BYTES) > 5
    first = 0
    for shard in manifest["shards"]:
        members = slice(first, first := first + shard["rows"])
        assert shard["tokens"] == sum(row["num_tokens"] for row in rows[members])
        assert shard["bytes"] == sum(sizes[members])
        assert shard["file_bytes"] == (exported / shard["file"]).stat().st_size
    assert [shard["file"] for shard in manifest["shards"]] == sorted(
        f"data/{path.name}" for path in (exported / "data").glob("part-*")
    )
    parts: dict[tuple[str, str], list[Any]] = {}
    for row, size in zip(rows, sizes, strict=True):
        part = parts.setdefault((row["origin"], row["domain"]), [set(), 0, 0, 0])
        part[0].add(row["doc_id"])
        part[1:] = [part[1] + 1, part[2] + row["num_tokens"], part[3] + size]
    assert {
        (p["origin"], p["domain"]): (p["documents"], p["rows"], p["tokens"], p["bytes"]) for p in manifest["parts"]
    } == {key: (len(ids), *counts) for key, (ids, *counts) in parts.items()}
    for part in manifest["parts"]:
        once = sum(tokens_of(doc_id) for doc_id in parts[part["origin"], part["domain"]][0])
        assert part["epochs"] == pytest.approx(part["tokens"] / once)


def test_the_manifest_says_where_it_all_came_from(exports):
    manifest = json.loads((exports["parquet"] / "manifest.json").read_text())
    assert [manifest[f"{name}_id"] for name in ("mixture", "selection", "scorer")] == ["m1", "sel1", "s1"]
    assert manifest["mixture"]["settings"] == {"share": 0.5, "rule|": "<b>x</b>"}
    assert manifest["mixture"]["source_versions"] == {"scores": 3}
    assert manifest["selection"]["settings"] == {"quality_table": "<i>stars</i>", "min_quality": 0.5}
    assert manifest["selection"]["source_versions"] == {"scores": 7}
    (domain,) = manifest["selection"]["domains"]
    assert domain == {
        **{"domain": "a|b", "rule": "fraction 0.2 <i>", "num_candidates": 9, "candidate_tokens": 90},
        **{"without_quality": None, "without_cluster": None, "num_documents": 3, "num_tokens": 30},
        **{"cutoff_order_value": 0.5, "cutoff_score": 0.5},
    }
    for made in ("mixture", "selection"):
        assert dt.datetime.fromisoformat(manifest[made]["created_at"]).timestamp() == NOW.timestamp()
    # The first commit of each made the table, the second filled it.
    assert manifest["table_versions"] == {"mixture": 1, "mixture_runs": 1, "corpus": 1}
    assert (manifest["seed"], manifest["format"], manifest["settings"]["shard_bytes"]) == (0, "parquet", SHARD_BYTES)
    age = dt.datetime.now(dt.UTC) - dt.datetime.fromisoformat(manifest["created_at"])
    assert dt.timedelta(0) <= age < dt.timedelta(hours=1)
    assert not (exports["parquet"] / "_INCOMPLETE.json").exists()


def test_the_order_is_shuffled_yet_the_same_in_shards_of_other_sizes_on_another_cluster(
    spark, exports, mixed, tmp_path
):
    spark.conf.set("spark.sql.shuffle.partitions", "5")
    try:
        manifest = export_to(spark, mixed, tmp_path / "other", shard_bytes=3 * SHARD_BYTES)
    finally:
        spark.conf.set("spark.sql.shuffle.partitions", "2")
    order = keys(read_rows(exports["parquet"]))
    before = json.loads((exports["parquet"] / "manifest.json").read_text())
    assert len(manifest["shards"]) < len(before["shards"])
    assert keys(read_rows(tmp_path / "other")) == order
    assert keys(read_rows(exports["jsonl"])) == order
    assert manifest["content_hash"] == before["content_hash"]
    neighbours = sum(first < second for first, second in itertools.pairwise(order))
    assert 0.4 < neighbours / len(order) < 0.6


def test_copies_of_a_document_lie_as_far_apart_as_chance_puts_them(exports):
    order = keys(read_rows(exports["parquet"]))
    places = defaultdict(list)
    for place, (_, doc_id, _) in enumerate(order):
        places[doc_id].append(place / len(order))
    gaps = [abs(a - b) for found in places.values() for n, a in enumerate(found) for b in found[:n]]
    assert len(gaps) > 200
    # Two places drawn at random are a third of the whole apart, on average.
    assert sum(gaps) / len(gaps) == pytest.approx(1 / 3, abs=0.05)
    assert sum(gap < 0.02 for gap in gaps) / len(gaps) < 0.1


def test_another_seed_gives_another_order_of_the_same_rows_here_from_a_table_of_other_columns(
    spark, exports, mixed, tmp_path
):
    table = str(tmp_path / "own table")
    documents = Namespace.parse(mixed).read(spark, corpus.TABLE)
    documents.selectExpr("doc_id as id", "domain as lang", "text as body").write.format("delta").save(table)
    names = {"corpus_table": table, "doc_id_column": "id", "text_column": "body", "domain_column": "lang"}
    manifest = export_to(spark, mixed, tmp_path / "out", seed=1, **names)
    before, after = read_rows(exports["parquet"]), read_rows(tmp_path / "out")
    assert keys(before) != keys(after)
    same_place = sum(a == b for a, b in zip(keys(before), keys(after), strict=True))
    assert same_place < len(before) / 10
    assert sorted(before, key=lambda row: keys([row])) == sorted(after, key=lambda row: keys([row]))
    assert manifest["table_versions"] == {"mixture": 1, "mixture_runs": 1, table: 0}


def test_the_code_of_the_card_loads_every_row_with_pyarrow(exported, monkeypatch):
    monkeypatch.chdir(exported)
    blocks = re.findall(r"```python\n(.*?)```", (exported / "README.md").read_text(), re.DOTALL)
    assert len(blocks) == 3
    found: dict[str, Any] = {}
    exec(blocks[0], found)
    assert len(found["data_files"]) > 5
    exec(blocks[2], found)
    if exported.name.startswith("parquet"):
        assert found["rows"].to_table().to_pylist() == read_rows(exported)
    else:
        options = pyarrow.json.ReadOptions(block_size=1 << 20)
        tables = [pyarrow.json.read_json(path, read_options=options) for path in found["data_files"]]
        assert [row for table in tables for row in table.to_pylist()] == read_rows(exported)
        assert found["rows"].equals(tables[-1])


def test_the_cards_own_pattern_takes_this_runs_shards_and_no_others(exported):
    manifest = json.loads((exported / "manifest.json").read_text())
    (pattern,) = re.findall(r'data_files: "(.*)"', (exported / "README.md").read_text())
    other = exported / "data" / f"part-00000-late.{manifest['format']}"
    other.write_bytes(b"of an export that was interrupted")
    try:
        found = sorted(str(path.relative_to(exported)) for path in exported.glob(pattern))
    finally:
        other.unlink()
    assert found == [shard["file"] for shard in manifest["shards"]]


def test_the_cards_pattern_takes_every_shard_where_their_names_differ_in_more_than_the_number(exports):
    manifest = json.loads((exports["parquet"] / "manifest.json").read_text())
    names = [f"data/part-0000{n}-tid-71-a2c4-{5 + n}-1-c000.zstd.parquet" for n in range(3)]
    shards = [manifest["shards"][0] | {"file": name} for name in names]
    (pattern,) = re.findall(r'data_files: "(.*)"', data_card(manifest | {"shards": shards}, None))
    assert fnmatch.filter([*names, "data/part-00000-tid-70-ffff-5-1-c000.zstd.parquet"], pattern) == names


def test_anybody_can_make_the_content_hash_by_its_formula(spark, exported):
    manifest = json.loads((exported / "manifest.json").read_text())
    formula, spark_sql = manifest["content_hash_is"].rsplit(" in ", 1)
    assert spark_sql == "Spark SQL"
    files = [re.sub(r"([\[\]])", r"\\\1", f"{exported}/{shard['file']}") for shard in manifest["shards"]]
    rows = spark.read.format({"parquet": "parquet", "jsonl": "json"}[manifest["format"]]).load(files)
    assert rows.selectExpr(formula).collect()[0][0] == manifest["content_hash"]


def test_the_code_of_the_card_loads_every_row_with_hugging_face_datasets(exported, monkeypatch, tmp_path):
    monkeypatch.setenv("HF_HOME", str(tmp_path))
    monkeypatch.chdir(exported)
    blocks = re.findall(r"```python\n(.*?)```", (exported / "README.md").read_text(), re.DOTALL)
    found: dict[str, Any] = {}
    exec(blocks[0] + blocks[1], found)
    assert list(found["rows"]) == read_rows(exported)


def test_hostile_names_are_text_in_the_card_and_nothing_else(exports):
    card = (exports["parquet"] / "README.md").read_text()
    html = MarkdownIt("commonmark", {"html": True}).enable("table").render(card.split("---\n", 2)[2])
    assert "<script" not in html
    assert "<b>" not in html
    assert "<i>" not in html
    assert set(re.findall('href="([^"]*)"', html)) == {"https://arxiv.org/abs/2505.07293"}
    assert "<h1>heading" not in html
    cells = set(re.findall("<td[^>]*>(.*?)</td>", html, re.DOTALL))
    expected = {
        "code",
        "a|b",
        "&lt;script&gt;alert(1)&lt;/script&gt;",
        "[x](https://evil.example)",
        "`tick` **bold** _i_ $x$",
        "line\\n\\n# heading",
        "\\| {{ manifest }} www.evil.example",
        "fraction 0.2 &lt;i&gt;",
        "rule|",
        "&lt;b&gt;x&lt;/b&gt;",
        "min_quality",
        "&lt;i&gt;stars&lt;/i&gt;",
    }
    assert expected <= cells
    # What makes a link of a bare address on some pages is escaped too.
    assert "www.evil" not in card
    assert "https://evil" not in card


@pytest.mark.parametrize(
    ("baseline", "said"),
    [("all", "of all documents that were scored"), ("rest", "of the documents that were scored and not selected")],
)
def test_the_card_says_of_which_documents_the_baseline_is_and_nothing_that_the_settings_do_not(exports, baseline, said):
    manifest = json.loads((exports["parquet"] / "manifest.json").read_text())
    assert "The *baseline* part" not in data_card(manifest, None)
    manifest["mixture"]["settings"] = {"baseline": baseline}
    card = data_card(manifest | {"selection": None}, None)
    assert f"The *baseline* part is {said}" in card
    # Of a selection that the namespace no longer has, nothing is known but its id.
    assert "selection sel1 chose" in card
    assert "The selection was made" not in card


def test_what_is_written_to_the_tables_meanwhile_is_not_exported_and_the_versions_are_those_that_were_read(
    spark, namespace, tmp_path, monkeypatch
):
    write_corpus(spark, namespace, {"doc-001": TEXTS["doc-001"]})
    write_mix(spark, namespace, {("selected", "doc-001"): 2})
    require_scored_texts = export_mixture.require_scored_texts

    def when_others_have_written(*arguments: Any) -> int:
        write_corpus(spark, namespace, {"doc-001": "another text"})
        write_mix(spark, namespace, {("baseline", "doc-001"): 1})
        return require_scored_texts(*arguments)

    monkeypatch.setattr(export_mixture, "require_scored_texts", when_others_have_written)
    manifest = export_to(spark, namespace, tmp_path / "out")
    assert manifest["table_versions"] == {"mixture": 1, "mixture_runs": 1, "corpus": 1}
    rows = read_rows(tmp_path / "out")
    assert sorted(keys(rows)) == [("selected", "doc-001", 1), ("selected", "doc-001", 2)]
    assert {row["text"] for row in rows} == {TEXTS["doc-001"]}


@pytest.mark.parametrize(
    ("file_format", "unfinished"), [("parquet", "_temporary/*/_temporary/*/part-*"), ("jsonl", "_temporary/*/part-*")]
)
def test_a_killed_export_leaves_no_manifest_and_the_next_one_is_whole(
    spark, exports, mixed, tmp_path, file_format, unfinished
):
    out = tmp_path / "out"
    command = [sys.executable, "-m", "jobs.cli", "export", "--namespace", mixed, "--out", str(out)]
    command += ["--format", file_format]
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen(
            [*command, "--shard-bytes", "300"], cwd=ROOT, stdout=log, stderr=log, start_new_session=True
        )
    try:
        deadline = time.monotonic() + 200
        # Of Spark, or ours: shards are being written.
        while not list(out.glob(f"data/{unfinished}")) and time.monotonic() < deadline:
            assert process.poll() is None, (tmp_path / "log").read_text()
            time.sleep(0.005)
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    assert (out / "_INCOMPLETE.json").exists()
    assert not (out / "manifest.json").exists()
    manifest = export_to(spark, mixed, out, format=file_format)
    assert read_rows(out) == read_rows(exports[file_format])
    hadoops = {"_SUCCESS", *(path.name for path in (out / "data").glob(".*.crc"))}
    assert {path.name for path in (out / "data").iterdir()} - hadoops == {
        Path(shard["file"]).name for shard in manifest["shards"]
    }
    assert sorted(os.listdir(out)) == ["README.md", "data", "manifest.json"]
    with pytest.raises(ValueError, match="is not empty"):
        export_to(spark, mixed, out)
