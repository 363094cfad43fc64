"""Lines of a hub's files, and of its cache: each as it stands, and all of them or an error that names the file."""

from __future__ import annotations

import bz2
import gzip
from collections.abc import Iterator
from pathlib import Path

import pytest
import zstandard
from huggingface_hub import constants
from pyspark.sql import SparkSession

from jobs.hub.address import HubInput
from jobs.hub.errors import hub_errors
from jobs.ingesting.columns import InputColumns
from jobs.ingesting.hub_lines import read_hub_lines
from tests.jobs.ingesting.small_hub import SmallHub

pytestmark = pytest.mark.spark
COMPRESS = {"gz": gzip.compress, "bz2": bz2.compress, "zst": zstandard.compress}
COLUMNS = InputColumns(doc_id="id", fixed_domain="d")


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[SmallHub]:
    hub = SmallHub()
    monkeypatch.setattr(constants, "ENDPOINT", hub.endpoint)
    yield hub
    hub.close()


def put(hub: SmallHub, files: dict[str, bytes]) -> list[str]:
    commit = hub.add("o/n", files)
    return [f"hf://datasets/o/n@{commit}/{name}" for name in files]


def numbered(first: int, count: int) -> bytes:
    return "".join(f'{{"id": "{n}", "text": "text {n}"}}\n' for n in range(first, first + count)).encode()


def ids(spark: SparkSession, files: list[str]) -> list[str]:
    with hub_errors(HubInput("o/n")):
        return [row["doc_id"] for row in read_hub_lines(spark, files).documents(COLUMNS).collect()]


@pytest.mark.parametrize("kind", COMPRESS)
def test_every_member_of_a_compressed_file_is_read_in_order(spark: SparkSession, hub: SmallHub, kind: str) -> None:
    members = b"".join(COMPRESS[kind](numbered(n, 1)) for n in range(50))
    files = put(hub, {f"a.jsonl.{kind}": members, f"b.jsonl.{kind}": COMPRESS[kind](numbered(50, 50_000))})
    assert ids(spark, files) == [str(n) for n in range(50_050)]


@pytest.mark.parametrize("kind", COMPRESS)
@pytest.mark.parametrize("kept", [0, 2, 30, -1])
def test_a_compressed_file_that_is_cut_anywhere_in_its_second_member_is_named(
    spark: SparkSession, tmp_path: Path, kind: str, kept: int
) -> None:
    first = b"" if kept == 0 else COMPRESS[kind](numbered(0, 1))
    file = tmp_path / f"cut.jsonl.{kind}"
    file.write_bytes(first + COMPRESS[kind](numbered(1, 100))[:kept])
    with pytest.raises(ValueError, match=rf"^dataset o/n cannot be read: .*{file.name} is not whole: ") as raised:
        ids(spark, [str(file)])
    assert "\n" not in str(raised.value)


def test_bytes_that_are_no_unicode_and_ends_of_lines_are_as_in_files(spark: SparkSession, tmp_path: Path) -> None:
    content = b'{"id": "1", "text": "\xff"}\r\n\n\xef\xbb\xbf{"id": "2", "text": "\\u2028"}'
    for name in ("a.jsonl", "b.jsonl"):
        (tmp_path / name).write_bytes(content)
    documents = read_hub_lines(spark, [str(tmp_path / "a.jsonl")]).documents(COLUMNS).collect()
    assert [(row["doc_id"], row["text"], row["was_repaired"]) for row in documents] == [
        ("1", "\ufffd", True),
        ("2", "\u2028", False),
    ]


def test_archives_and_other_compressions_are_refused(spark: SparkSession) -> None:
    with pytest.raises(
        ValueError, match=r"^dataset o/n cannot be read: .*a.jsonl.xz: .*otherwise than as .gz, .zst or"
    ):
        ids(spark, ["hf://datasets/o/n@0/a.jsonl.xz"])


def test_a_hub_that_fails_while_a_file_is_read_is_one_line(spark: SparkSession, hub: SmallHub) -> None:
    files = put(hub, {"a.jsonl.gz": gzip.compress(numbered(0, 3))})
    hub.refuse = ("resolve/", 429)
    with pytest.raises(ValueError, match=r"^dataset o/n cannot be read now: the hub has had too many requests \(429\)"):
        ids(spark, files)
