"""Export to a dataset hub: the real client against a small hub on this machine, which keeps commits."""

from __future__ import annotations

import io
import json
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from huggingface_hub import constants

from jobs.export import ExportSettings
from jobs.exporting.hub_upload import HubTarget, staging_folder
from jobs.hub.address import HubInput
from jobs.settings.stage import load_settings
from tests.jobs.exporting.export_cases import MIX, TEXTS, export_to, write_corpus, write_mix
from tests.jobs.ingesting.small_hub import SmallHub

TOKEN = "hf_" + "secret" * 4


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[SmallHub]:
    hub = SmallHub()
    monkeypatch.setattr(constants, "ENDPOINT", hub.endpoint)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    # Xet, the other way to upload, is a protocol of its own, which this hub does not speak.
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    (tmp_path / "temporary").mkdir()
    yield hub
    hub.close()


@pytest.fixture
def folder(tmp_path: Path) -> str:
    """What looks like a finished export."""
    root = tmp_path / "finished"
    (root / "data").mkdir(parents=True)
    (root / "data" / "part-0.parquet").write_bytes(b"shard")
    (root / "data" / ".part-0.parquet.crc").write_bytes(b"sum")
    (root / "manifest.json").write_text("{}")
    (root / "README.md").write_text("card")
    return str(root)


def newest(hub: SmallHub, name: str = "o/mix") -> dict[str, bytes]:
    repo = hub.repos[name]
    return {path: content for path, content in repo.commits[repo.refs["main"]].items() if path != ".gitattributes"}


def copies_in(files: dict[str, bytes]) -> list[tuple[str, str, int, str]]:
    rows = [
        row
        for path in sorted(files)
        if path.startswith("data/")
        for row in pq.read_table(io.BytesIO(files[path])).to_pylist()
    ]
    return [(row["origin"], row["doc_id"], row["copy"], row["text"]) for row in rows]


def test_an_export_is_a_private_dataset_in_one_commit_and_another_takes_its_place_when_told_to(
    spark, hub: SmallHub, namespace: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_corpus(spark, namespace, TEXTS)
    write_mix(spark, namespace, MIX)
    expected = sorted(
        (origin, doc_id, copy, TEXTS[doc_id]) for (origin, doc_id), count in MIX.items() for copy in range(1, count + 1)
    )
    result = export_to(spark, namespace, "hf://datasets/o/mix", json=True)
    repo, files = hub.repos["o/mix"], newest(hub)
    assert repo.private
    assert len(repo.messages) == 2
    assert sorted(copies_in(files)) == expected
    assert set(files) == {"README.md", "manifest.json", *(shard["file"] for shard in result["shards"])}
    assert json.loads(files["manifest.json"])["export_id"] == result["export_id"]
    assert result["revision"] == json.loads(capsys.readouterr().out)["revision"] == repo.refs["main"]
    assert list((tmp_path / "temporary").iterdir()) == []

    with pytest.raises(ValueError, match=r"o/mix is not empty \(it holds README.md, data/.*--overwrite, or name anoth"):
        export_to(spark, namespace, "hf://datasets/o/mix")
    again = export_to(spark, namespace, "hf://datasets/o/mix", overwrite=True, seed=1, staging=str(tmp_path / "kept"))
    assert len(repo.messages) == 3
    assert sorted(copies_in(newest(hub))) == expected
    assert copies_in(newest(hub)) != copies_in(files)
    assert set(newest(hub)) == {"README.md", "manifest.json", *(shard["file"] for shard in again["shards"])}
    assert (tmp_path / "kept" / "manifest.json").is_file()
    assert TOKEN.encode() not in b"".join(newest(hub).values())


def test_a_mix_that_is_not_there_leaves_no_dataset_and_no_folder(
    spark, hub: SmallHub, namespace: str, tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match="make it first: attention-influence mix"):
        export_to(spark, namespace, "hf://datasets/o/mix")
    assert hub.repos == {}
    assert list((tmp_path / "temporary").iterdir()) == []


def test_a_dataset_that_is_no_export_is_never_replaced(hub: SmallHub) -> None:
    hub.add("o/mix", {"train.parquet": b"mine", ".gitattributes": b""}, token=TOKEN)
    with pytest.raises(ValueError, match=r"it holds train.parquet\); nothing in it was touched: it is no export"):
        HubTarget(HubInput("o/mix"), may_replace=True).require_free()


def test_a_folder_of_a_dataset_is_free_whatever_lies_beside_it(hub: SmallHub, folder: str) -> None:
    hub.add("o/mix", {"train.parquet": b"mine", "run-10/manifest.json": b"{}"}, token=TOKEN)
    target = HubTarget(HubInput("o/mix", path="run-1"), may_replace=False)
    target.require_free()
    target.create()
    commit = target.upload(folder)
    assert commit == hub.repos["o/mix"].refs["main"]
    assert newest(hub) == {
        "train.parquet": b"mine",
        "run-10/manifest.json": b"{}",
        "run-1/manifest.json": b"{}",
        "run-1/README.md": b"card",
        "run-1/data/part-0.parquet": b"shard",
    }


def test_a_commit_that_came_meanwhile_is_not_written_over_and_the_export_is_kept(hub: SmallHub, folder: str) -> None:
    hub.add("o/mix", {".gitattributes": b""}, token=TOKEN)
    target = HubTarget(HubInput("o/mix"), may_replace=False)
    target.require_free()
    hub.repos["o/mix"].commit({"theirs.parquet": b"theirs"})
    with pytest.raises(
        ValueError, match=f"o/mix got another commit since this began: .* export is in {folder}: upload"
    ):
        target.upload(folder)
    assert newest(hub) == {"theirs.parquet": b"theirs"}


@pytest.mark.parametrize("refused", ["/api/repos/create", "/preupload/", "/commit/"])
def test_a_token_that_may_not_write_is_one_line_and_changes_nothing(hub: SmallHub, folder: str, refused: str) -> None:
    target = HubTarget(HubInput("o/mix"), may_replace=False)
    target.require_free()
    hub.refuse = (refused, 403)

    def export() -> None:
        target.create()
        target.upload(folder)

    with pytest.raises(
        ValueError, match=r"^dataset o/mix may not be used so, with this token or without one: set HF_T"
    ):
        export()
    assert hub.repos == {} or newest(hub) == {}


def test_without_a_token_nothing_is_begun(hub: SmallHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HF_TOKEN")
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "none"))
    with pytest.raises(ValueError, match="dataset o/mix is written to with a token: set HF_TOKEN in the environment"):
        HubTarget(HubInput("o/mix"), may_replace=False).require_free()
    assert hub.requests == []


@pytest.mark.parametrize("is_finished", [True, False])
def test_a_temporary_folder_stays_only_where_it_holds_a_finished_export(hub: SmallHub, is_finished: bool) -> None:
    def fail() -> None:
        with staging_folder(None) as folder:
            kept.append(Path(folder))
            if is_finished:
                Path(folder, "manifest.json").write_text("{}")
            raise ValueError("the hub is full")

    kept: list[Path] = []
    with pytest.raises(ValueError, match="the hub is full"):
        fail()
    assert kept[0].exists() == is_finished


def test_flags_of_a_hub_are_refused_for_a_folder() -> None:
    for flags in (["--overwrite"], ["--staging", "x"]):
        with pytest.raises(ValueError, match=f"{flags[0]} is only for an export to a hub"):
            load_settings(ExportSettings, ["--out", "./x", *flags], "export")
