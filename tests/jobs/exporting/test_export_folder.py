"""Exports that are refused before anything is written, and those that something disturbs."""

from __future__ import annotations

import json
import os
from types import SimpleNamespace
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from jobs.cli import main
from jobs.exporting import shards as export_shards
from jobs.exporting.card import shown
from jobs.exporting.folder import open_folder
from jobs.exporting.lines import require_zstd_lines
from jobs.exporting.shards import num_shards
from jobs.spark.namespace import Namespace
from tests.jobs.exporting.export_cases import (
    TEXTS,
    export_to,
    keys,
    left_in,
    read_rows,
    write_corpus,
    write_mix,
)


def test_numbers_and_text_in_the_card_are_written_as_people_read_them():
    assert [shown(value) for value in (1234567, 2.5, None, "a_b", "x" * 500)][:4] == [
        "1,234,567",
        "2.5",
        "none",
        "a\\_b",
    ]
    assert len(shown("x" * 500)) == 120


@pytest.mark.parametrize("content", [{"notes.txt": b"mine"}, {"data/part-0.parquet": b"x"}, {"manifest.json": b"{}"}])
def test_a_folder_that_is_not_empty_is_an_error_and_nothing_in_it_is_touched(spark, tmp_path, content):
    out = tmp_path / "out"
    for name, data in content.items():
        (out / name).parent.mkdir(parents=True, exist_ok=True)
        (out / name).write_bytes(data)
    # There is no namespace even: this comes before any work.
    with pytest.raises(ValueError, match=r"is not empty .* and is no export that was interrupted"):
        export_to(spark, str(tmp_path / "nowhere"), out)
    assert left_in(out) == content
    with pytest.raises(ValueError, match="is a file; name a folder"):
        export_to(spark, str(tmp_path / "nowhere"), out / next(iter(content)))
    with pytest.raises(ValueError, match=r"cannot be opened: .* name a folder of this machine, or a URI"):
        export_to(spark, str(tmp_path / "nowhere"), "floppy://a/b")


def test_a_text_that_changed_or_went_or_is_there_twice_stops_it_before_anything_is_written(spark, namespace, tmp_path):
    texts = {"doc-001": TEXTS["doc-001"], "doc-002": TEXTS["doc-002"] + ".", "doc-004": TEXTS["doc-004"]}
    write_corpus(spark, namespace, texts | {"doc-005": "other"})
    write_corpus(spark, namespace, {"doc-004": TEXTS["doc-004"]})
    hostile = 'id "with"\n| marks \\'
    write_mix(spark, namespace, {("selected", doc_id): 2 for doc_id in (*texts, "doc-005", "doc-003", hostile)})
    with pytest.raises(ValueError, match="nothing was written: bring back the corpus that was scored, or") as error:
        export_to(spark, namespace, tmp_path / "out")
    assert str(error.value).startswith(
        "of the 6 documents of mix m1, 2 have another text now (such as doc-002, doc-005), "
        '2 are gone from the corpus (such as doc-003, id "with"\\n| marks \\), '
        "1 are in several rows of the corpus (such as doc-004); "
    )
    assert not (tmp_path / "out").exists()


def test_an_id_that_no_file_of_text_can_hold_stops_it_before_anything_is_written(spark, namespace, tmp_path):
    write_corpus(spark, namespace, {"doc-001": TEXTS["doc-001"]})
    write_mix(spark, namespace, {("selected", "doc-001"): 2})
    for name in ("corpus", "mixture"):
        table = Namespace.parse(namespace).identifier(name)
        spark.sql(f"update {table} set doc_id = cast(x'646f63ff' as string)")
    with pytest.raises(ValueError, match=r"1 have an id that is no UTF-8 \(such as doc.+\); nothing .*--doc-id-column"):
        export_to(spark, namespace, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_json_lines_that_an_older_spark_could_not_read_back_are_refused():
    require_zstd_lines(SimpleNamespace(version="4.1.0"))
    require_zstd_lines(SimpleNamespace(version="5.0.0-preview"))
    with pytest.raises(ValueError, match=r"Spark 4\.0\.1 reads no JSON lines with zstd.*--format parquet"):
        require_zstd_lines(SimpleNamespace(version="4.0.1"))


def test_there_are_as_many_shards_as_the_bytes_fill_and_no_more_than_file_names_keep_in_order():
    assert [num_shards(num_bytes, 100) for num_bytes in (1, 100, 101, 1000)] == [1, 1, 2, 10]
    with pytest.raises(ValueError, match=r"--shard-bytes 1 makes 300,000 shards of 300,000 bytes, .* name 3 or more"):
        num_shards(300_000, 1)


def test_of_several_mixes_one_must_be_named_and_it_alone_is_written(spark, namespace, tmp_path, capsys):
    write_corpus(spark, namespace, {doc_id: TEXTS[doc_id] for doc_id in ("doc-001", "doc-002")})
    write_mix(spark, namespace, {("selected", "doc-001"): 1, ("selected", "doc-002"): 1})
    write_mix(spark, namespace, {("baseline", "doc-002"): 2}, "m2")
    with pytest.raises(ValueError, match="has 2 mixes; name one with --mixture-id:") as error:
        export_to(spark, namespace, tmp_path / "out")
    assert "\n  m2  of selection sel1, 1 documents, 10 tokens, since 2026-01-01" in str(error.value)
    with pytest.raises(ValueError, match=r"--mixture-id is 'm3', but namespace .* has only:\n  m1"):
        export_to(spark, namespace, tmp_path / "out", mixture_id="m3")
    assert not (tmp_path / "out").exists()
    argv = ["--namespace", namespace, "--out", str(tmp_path / "out"), "--mixture-id", "m2", "--json"]
    capsys.readouterr()
    assert main(["export", *argv]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert (printed["mixture_id"], printed["rows"], printed["tokens"], printed["num_shards"]) == ("m2", 2, 10, 1)
    assert sorted(keys(read_rows(tmp_path / "out"))) == [("baseline", "doc-002", 1), ("baseline", "doc-002", 2)]


def test_tables_that_say_different_things_of_a_mix_stop_it_before_anything_is_written(spark, namespace, tmp_path):
    write_mix(spark, namespace, {("selected", "doc-001"): 3}, extra=5)
    write_mix(spark, namespace, {}, "empty")
    with pytest.raises(
        ValueError, match=r"m1 is not whole: of baseline nothing, mixture holds 0 .* says 0 with 5; noth"
    ):
        export_to(spark, namespace, tmp_path / "out", mixture_id="m1")
    with pytest.raises(ValueError, match=r"mix empty of namespace .* holds no document; mix again"):
        export_to(spark, namespace, tmp_path / "out", mixture_id="empty")
    assert not (tmp_path / "out").exists()


def test_shards_that_are_not_the_mix_leave_the_folder_unfinished_and_the_next_export_removes_that_and_no_more(
    spark, namespace, tmp_path, monkeypatch, capsys
):
    out = tmp_path / "out"
    write_corpus(spark, namespace, {doc_id: TEXTS[doc_id] for doc_id in ("doc-001", "doc-002")})
    write_mix(spark, namespace, {("selected", "doc-001"): 3, ("selected", "doc-002"): 2})
    read_back = export_shards.read_back

    def read_what_someone_changed(*arguments: Any) -> export_shards.ShardSummary:
        (shard,) = (out / "data").glob("part-*")
        table = pq.read_table(shard)
        rows = table.to_pylist()
        rows[0]["text"] = rows[0]["text"][::-1]
        pq.write_table(pa.Table.from_pylist(rows, table.schema), shard)
        (out / "data" / f".{shard.name}.crc").unlink()
        return read_back(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(export_shards, "read_back", read_what_someone_changed)
        with pytest.raises(ValueError, match=r"the shards are not the mix: .*, and other texts or ids than those; a"):
            export_to(spark, namespace, out)
    assert json.loads((out / "_INCOMPLETE.json").read_text())["mixture_id"] == "m1"
    assert not (out / "manifest.json").exists()
    (out / "data" / "part-00000-stale.zstd.parquet").write_bytes(b"half")
    (out / "manifest.json").write_text("{}")
    (out / "notes.txt").write_text("mine")
    since = json.loads((out / "_INCOMPLETE.json").read_text())["created_at"]
    capsys.readouterr()
    manifest = export_to(spark, namespace, out)
    assert f"{out} held an unfinished export of mix m1, begun {since}; it is removed" in capsys.readouterr().err
    assert sorted(keys(read_rows(out))) == [
        *(("selected", "doc-001", copy) for copy in (1, 2, 3)),
        *(("selected", "doc-002", copy) for copy in (1, 2)),
    ]
    assert json.loads((out / "manifest.json").read_text()) == manifest
    assert (out / "notes.txt").read_text() == "mine"
    assert sorted(os.listdir(out)) == ["README.md", "data", "manifest.json", "notes.txt"]


def test_an_export_stops_when_another_one_has_begun_in_its_folder(spark, namespace, tmp_path, monkeypatch):
    out = tmp_path / "out"
    write_corpus(spark, namespace, {"doc-001": TEXTS["doc-001"]})
    write_mix(spark, namespace, {("selected", "doc-001"): 3})
    read_back = export_shards.read_back

    def read_and_then_another_begins(*arguments: Any) -> export_shards.ShardSummary:
        written = read_back(*arguments)
        open_folder(str(out)).begin({"export_id": "other"})
        return written

    monkeypatch.setattr(export_shards, "read_back", read_and_then_another_begins)
    with pytest.raises(ValueError, match="another export has begun in"):
        export_to(spark, namespace, out)
    assert json.loads((out / "_INCOMPLETE.json").read_text()) == {"export_id": "other"}
    assert os.listdir(out) == ["_INCOMPLETE.json"]


def test_of_two_exports_in_one_folder_only_the_last_to_begin_finishes(tmp_path):
    folder = open_folder(str(tmp_path / "out"))
    first, second = {"export_id": "first", "mixture_id": "m1"}, {"export_id": "second"}
    assert folder.begin(first) is None
    assert folder.begin(second) == first
    with pytest.raises(ValueError, match="another export has begun in"):
        folder.finish(first)
    assert left_in(tmp_path / "out").keys() == {"_INCOMPLETE.json"}
    folder.finish(second)
    assert json.loads((tmp_path / "out" / "manifest.json").read_text()) == second
    with pytest.raises(ValueError, match="another export has begun in"):
        folder.finish(first)
    assert left_in(tmp_path / "out").keys() == {"manifest.json"}
    (tmp_path / "out" / "_INCOMPLETE.json").write_text('{"half')
    assert folder.begin(first) == {}
