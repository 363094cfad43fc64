"""Ingest from a dataset hub: the real clients and Spark's data source, against a small hub on this machine."""

from __future__ import annotations

import gzip
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from huggingface_hub import constants

from jobs import ingest
from jobs.ingest import IngestSettings
from jobs.settings.stage import load_settings
from tests.jobs.ingesting.small_hub import SmallHub, parquet_bytes

ROOT = Path(__file__).parents[3]
TOKEN = "hf_" + "secret" * 4
Ingest = Callable[..., dict[str, Any]]
pytestmark = pytest.mark.spark


def rows_of(shard: int, count: int = 10) -> list[dict[str, Any]]:
    return [
        {"id": f"{shard}-{n}", "text": f"text {n} of {shard}", "meta": {"set": f"s{n % 2}"}, "n": n}
        for n in range(count)
    ]


def shards(count: int = 3, folder: str = "data", split: str = "train") -> dict[str, bytes]:
    return {f"{folder}/{split}-{n:05}-of-{count:05}.parquet": parquet_bytes(rows_of(n)) for n in range(count)}


def lines(rows: list[dict[str, Any]]) -> bytes:
    return "".join(json.dumps(row) + "\n" for row in rows).encode()


def environment(hub: SmallHub, home: Path, **more: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("HF_")}
    return kept | {"HF_ENDPOINT": hub.endpoint, "HF_HOME": str(home), "PYTHONPATH": str(ROOT)} | more


@pytest.fixture(scope="module")
def the_hub() -> Iterator[SmallHub]:
    hub = SmallHub()
    yield hub
    hub.close()


@pytest.fixture
def hub(the_hub: SmallHub) -> SmallHub:
    """The hub, with nothing in it."""
    the_hub.repos.clear()
    the_hub.requests.clear()
    the_hub.refuse = None
    return the_hub


@pytest.fixture(scope="module")
def server(the_hub: SmallHub, tmp_path_factory: pytest.TempPathFactory) -> Iterator[subprocess.Popen[str]]:
    home = tmp_path_factory.mktemp("hub home")
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.jobs.ingesting.stage_server"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=home,
        env=environment(the_hub, home),
    )
    yield process
    assert process.stdin is not None
    process.stdin.close()
    process.wait(60)


@pytest.fixture
def ingested(server: subprocess.Popen[str], namespace: str) -> Ingest:
    """Runs ingest as people do, in a process that has the hub in its environment; its result, or its message."""

    def run(name: str, *flags: str, domain: str | None = "d") -> dict[str, Any]:
        argv = ["--input", name, "--namespace", namespace, "--json", *flags]
        argv += ["--domain", domain] if domain else []
        assert server.stdin is not None
        assert server.stdout is not None
        print(json.dumps(["ingest", argv]), file=server.stdin, flush=True)
        answer = json.loads(server.stdout.readline())
        if answer["status"]:
            assert answer["status"] == 2
            assert answer["out"] == ""
            return {"error": answer["err"].removeprefix("attention-influence ingest: error: ").rstrip("\n")}
        return dict(json.loads(answer["out"]))

    return run


def held(namespace: str) -> dict[str, tuple[str, str, str]]:
    table = pq.read_table(Path(namespace) / "corpus")
    return {row["doc_id"]: (row["domain"], row["text"], row["source"]) for row in table.to_pylist()}


def test_only_the_named_columns_of_each_file_are_read_once_and_the_commit_is_said(
    hub: SmallHub, ingested: Ingest, namespace: str
) -> None:
    noise = 24 << 20
    table = pa.table(
        {
            "noise": pa.array([os.urandom(noise // 8) for _ in range(8)]),
            "id": [str(n) for n in range(8)],
            "Text": pa.array([f"text {n}" for n in range(8)], pa.large_string()),
            "meta": [{"set": f"s{n % 2}", "image": {"x": 1}} for n in range(8)],
        }
    )
    commit = hub.add("o/n", {"data/train-00000-of-00001.parquet": parquet_bytes(table, compression="none")})
    flags = ["--doc-id-column", "id", "--text-column", "text", "--domain-column", "meta.set"]
    result = ingested("hf://datasets/o/n", *flags, domain=None)
    assert result["num_new"] == 8
    assert (result["revision"], result["subset"], result["split"]) == (commit, None, "train")
    source = f"hf://datasets/o/n@{commit}"
    assert held(namespace) == {str(n): (f"s{n % 2}", f"text {n}", source) for n in range(8)}
    assert hub.bytes_of(".parquet") < noise // 2
    assert {request.authorization for request in hub.requests} == {None}


def test_a_limit_takes_the_first_rows_in_the_datasets_order_and_reads_no_file_beyond_them(
    hub: SmallHub, ingested: Ingest, namespace: str
) -> None:
    hub.add("o/n", shards(40))
    result = ingested("hf://datasets/o/n", "--doc-id-column", "id", "--limit", "12")
    assert result["num_read"] == 12
    assert held(namespace).keys() == {f"0-{n}" for n in range(10)} | {"1-0", "1-1"}
    assert hub.files_read() == {"train-00000-of-00040.parquet", "train-00001-of-00040.parquet"}


def test_a_dataset_is_read_once_where_its_documents_are_compared_and_written(hub: SmallHub, ingested: Ingest) -> None:
    files = shards(3)
    hub.add("o/n", files)
    assert ingested("hf://datasets/o/n", "--doc-id-column", "id")["num_new"] == 30
    gets = [request.path.rsplit("/", 1)[-1] for request in hub.requests if request.num_bytes]
    # Into the first, the clients look several times, for its columns.
    assert [gets.count(Path(file).name) for file in files][1:] == [1, 1]


CARD = """---
configs:
- config_name: math
  data_files: [{split: train, path: math/train*}, {split: test, path: math/test*}]
- config_name: code
  data_files: code/*
dataset_info:
- config_name: math
  features: [{name: id, dtype: string}, {name: text, dtype: string}, {name: n, dtype: int64}]
- config_name: code
  description: its columns are not in the card
---
"""


@pytest.fixture
def with_subsets(hub: SmallHub) -> SmallHub:
    files = shards(2, "math") | shards(1, "math", "test") | {"code/a.parquet": parquet_bytes(rows_of(7))}
    hub.add("o/n", files | {"README.md": CARD.encode()})
    return hub


@pytest.mark.parametrize(
    ("flags", "shards_of"),
    [(["--subset", "math"], [0, 1]), (["--subset", "math", "--split", "test"], [0]), (["--subset", "code"], [7])],
)
def test_a_subset_and_a_split_are_what_the_card_says(
    with_subsets: SmallHub, ingested: Ingest, namespace: str, flags: list[str], shards_of: list[int]
) -> None:
    result = ingested("hf://datasets/o/n", "--doc-id-column", "id", *flags)
    assert result["subset"] == flags[1]
    assert held(namespace).keys() == {f"{shard}-{n}" for shard in shards_of for n in range(10)}


@pytest.mark.parametrize("path", ["math/test-00000-of-00001.parquet", "code"])
def test_a_file_or_folder_of_a_dataset_can_be_named(
    with_subsets: SmallHub, ingested: Ingest, namespace: str, path: str
) -> None:
    result = ingested(f"hf://datasets/o/n/{path}", "--doc-id-column", "id")
    shard = 7 if path == "code" else 0
    commit = with_subsets.repos["o/n"].refs["main"]
    expected = {f"{shard}-{n}": ("d", f"text {n} of {shard}", f"hf://datasets/o/n@{commit}/{path}") for n in range(10)}
    assert result["revision"] == commit
    assert held(namespace) == expected


def test_an_older_commit_or_a_tag_is_read_as_it_was(hub: SmallHub, ingested: Ingest, namespace: str) -> None:
    old = hub.add("o/n", shards(1))
    hub.repos["o/n"].refs["v1"] = old
    new = hub.repos["o/n"].commit({"data/train-00000-of-00001.parquet": parquet_bytes(rows_of(5))})
    for revision in (old, "v1"):
        result = ingested(f"hf://datasets/o/n@{revision}", "--doc-id-column", "id", "--dry-run")
        assert result.get("revision") == old, result
    assert ingested("hf://datasets/o/n", "--doc-id-column", "id")["revision"] == new
    assert held(namespace).keys() == {f"5-{n}" for n in range(10)}


def test_json_lines_of_a_hub_are_read_up_to_the_limit(hub: SmallHub, ingested: Ingest, namespace: str) -> None:
    files = {f"data/train-{n}.jsonl.gz": gzip.compress(lines(rows_of(n))) for n in range(5)}
    hub.add("o/n", files)
    flags = ["--doc-id-column", "id", "--domain-column", "meta.set", "--limit", "11"]
    assert ingested("hf://datasets/o/n", *flags, domain=None)["num_new"] == 11
    documents = held(namespace)
    assert documents.keys() == {f"0-{n}" for n in range(10)} | {"1-0"}
    assert documents["0-3"][:2] == ("s1", "text 3 of 0")
    assert hub.files_read() == {"train-0.jsonl.gz", "train-1.jsonl.gz"}


def test_json_lines_of_a_hub_are_what_they_are_in_files(hub: SmallHub, ingested: Ingest, namespace: str) -> None:
    good = b'{"id": 1e3, "text": "a", "date": "2024-01-05"}\n{"id": 1000.0, "text": "b", "date": 7}\n'
    hub.add("o/n", {"data/train-0.jsonl": good + b'{"id": "x", "text": 5}'})
    flags = ["--doc-id-column", "id"]
    message = ingested("hf://datasets/o/n", *flags)["error"]
    assert message.startswith("1 of 3 lines cannot be read; the first, line 3 of hf://datasets/o/n@")
    assert "has a number as 'text', where a text must be a string" in message
    commit = hub.repos["o/n"].commit({"data/train-0.jsonl": good})
    assert ingested("hf://datasets/o/n", *flags)["format"] == "jsonl"
    source = f"hf://datasets/o/n@{commit}"
    assert held(namespace) == {"1e3": ("d", "a", source), "1000.0": ("d", "b", source)}
    missing = ingested("hf://datasets/o/n", *flags, "--text-column", "txt")["error"]
    assert missing == "the input has no column 'txt' (did you mean text?); it has: date, id, text"


def test_a_text_file_of_a_hub_is_one_document(hub: SmallHub, ingested: Ingest, namespace: str) -> None:
    hub.add("o/n", {"data/train.txt": b"one\ntwo\n"})
    assert ingested("hf://datasets/o/n")["num_new"] == 1
    assert [text for _, text, _ in held(namespace).values()] == ["one\ntwo\n"]


@pytest.mark.parametrize(
    ("name", "flags", "message"),
    [
        ("o/none", [], "dataset o/none is not there, or is private; check its name, or set HF_TOKEN"),
        ("o/private", [], "dataset o/private is not there, or is private; check its name, or set HF_TOKEN"),
        ("o/gated", [], "dataset o/gated is gated: ask for access on its page, and set HF_TOKEN"),
        ("o/n@v9", ["--subset", "math"], "dataset o/n has no revision v9"),
        ("o/n", [], "dataset o/n has several subsets; name one with --subset: math, code"),
        ("o/n", ["--subset", "maths"], "dataset o/n has no subset 'maths'; it has: math, code"),
        (
            "o/n",
            ["--subset", "code", "--split", "dev"],
            "dataset o/n has no split 'dev' in subset code; name one with --split: train",
        ),
        (
            "o/n",
            ["--subset", "math", "--split", "train[:1%]"],
            "dataset o/n has no split 'train[:1%]' in subset math; name one with --split: train, test",
        ),
        ("o/n/codes", [], "dataset o/n has no file or folder codes"),
        ("o/n", ["--subset", "math", "--text-column", "txt"], "the input has no column 'txt' (did you mean text?); it"),
        ("o/n", ["--subset", "math", "--text-column", "n"], "column 'n' is bigint, but documents are strings"),
        ("o/n", ["--subset", "code", "--domain-column", "meta"], "column 'meta' is struct"),
    ],
)
def test_what_cannot_be_read_is_one_line_that_says_what_to_do(
    with_subsets: SmallHub, ingested: Ingest, name: str, flags: list[str], message: str
) -> None:
    with_subsets.add("o/private", shards(1), private=True, token=TOKEN)
    with_subsets.add("o/gated", shards(1), gated=True, token=TOKEN)
    error = ingested(f"hf://datasets/{name}", *flags, domain=None if "--domain-column" in flags else "d")["error"]
    assert error.startswith(message)
    assert "\n" not in error


@pytest.mark.parametrize("refused", ["/api/datasets/", "resolve/.*parquet"])
def test_a_hub_that_has_too_many_requests_is_one_line_and_nothing_is_written(
    hub: SmallHub, ingested: Ingest, namespace: str, refused: str
) -> None:
    hub.add("o/n", {**shards(1), "README.md": CARD.partition("configs")[0].encode() + b"license: mit\n---\n"})
    hub.refuse = (refused, 429)
    error = ingested("hf://datasets/o/n")["error"]
    assert error.startswith("dataset o/n cannot be read now: the hub has had too many requests (429); wait some min")
    assert "\n" not in error
    assert not list(Path(namespace).glob("corpus/*.parquet"))


def test_a_token_of_the_environment_opens_a_private_dataset_and_is_shown_nowhere(
    hub: SmallHub, namespace: str, tmp_path: Path
) -> None:
    hub.add("o/private", shards(2), private=True, token=TOKEN)
    argv = ["ingest", "--input", "hf://datasets/o/private", "--domain", "d", "--namespace", namespace]
    done = subprocess.run(
        [sys.executable, "-m", "jobs.cli", *argv],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env=environment(hub, tmp_path / "home", HF_TOKEN=TOKEN),
    )
    assert done.returncode == 0, done.stderr
    assert f"split train at commit {hub.repos['o/private'].refs['main']}" in done.stdout
    assert len(held(namespace)) == 20
    of_the_dataset = {request.authorization for request in hub.requests if "o/private" in request.path}
    assert of_the_dataset == {f"Bearer {TOKEN}"}
    assert TOKEN not in done.stdout + done.stderr
    written = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert not [path for path in written if TOKEN.encode() in path.read_bytes()]


def cached(cache: Path, commit: str, files: dict[str, bytes]) -> None:
    """The hub's cache as its client keeps it: blobs, and snapshots that link to them."""
    root = cache / "datasets--o--n"
    for name, content in files.items():
        blob = root / "blobs" / f"{abs(hash(content)):x}"
        link = root / "snapshots" / commit / name
        for path in (blob, link, root / "refs" / "main"):
            path.parent.mkdir(parents=True, exist_ok=True)
        blob.write_bytes(content)
        link.symlink_to(os.path.relpath(blob, link.parent))
    (root / "refs" / "main").write_text(commit)


@pytest.fixture
def offline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    cache = tmp_path / "hub cache, {odd}"
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(cache))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    return cache


@pytest.mark.parametrize("kind", ["parquet", "jsonl.gz"])
def test_what_the_hubs_cache_holds_is_read_without_a_hub(offline: Path, spark, namespace: str, kind: str) -> None:
    commit = "0123456789abcdef0123456789abcdef01234567"
    write = parquet_bytes if kind == "parquet" else lambda rows: gzip.compress(lines(rows))
    files = {f"math/train-{n}.{kind}": write(rows_of(n)) for n in range(2)}
    cached(offline, commit, {**files, f"code/a.{kind}": write(rows_of(7)), "README.md": CARD.encode()})
    settings = {"namespace": namespace, "doc_id_column": "id", "domain_column": "meta.set", "subset": "math"}
    result = ingest.run(IngestSettings(input="hf://datasets/o/n", **settings), spark)
    assert result["revision"] == commit
    source = f"hf://datasets/o/n@{commit}"
    expected = {f"{k}-{n}": (f"s{n % 2}", f"text {n} of {k}", source) for k in range(2) for n in range(10)}
    assert held(namespace) == expected
    with pytest.raises(ValueError, match="dataset o/other at revision main is not in the hub's cache on this machine"):
        ingest.run(IngestSettings(input="hf://datasets/o/other", namespace=namespace, domain="d"), spark)


@pytest.mark.parametrize("kind", ["parquet", "jsonl", "txt"])
def test_a_limit_takes_the_first_of_what_the_hubs_cache_holds(offline: Path, spark, namespace: str, kind: str) -> None:
    write = {"parquet": parquet_bytes, "jsonl": lines, "txt": lines}[kind]
    # The largest file is last, and would be read first.
    sizes = {f"data/train-{n}.{kind}": rows_of(n, 2 + 40 * n) for n in range(3)}
    cached(offline, "0123456789abcdef0123456789abcdef01234567", {name: write(rows) for name, rows in sizes.items()})
    limit = 2 if kind == "txt" else 5
    settings = {"namespace": namespace, "domain": "d", "limit": limit}
    settings |= {} if kind == "txt" else {"doc_id_column": "id"}
    assert ingest.run(IngestSettings(input="hf://datasets/o/n", **settings), spark)["num_new"] == limit
    if kind == "txt":
        texts = {text for _, text, _ in held(namespace).values()}
        assert texts == {lines(rows_of(0, 2)).decode(), lines(rows_of(1, 42)).decode()}
    else:
        assert held(namespace).keys() == {"0-0", "0-1", "1-0", "1-1", "1-2"}


def test_a_hub_that_cannot_be_reached_is_one_line(spark, namespace: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:1")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    with pytest.raises(ValueError, match=r"^dataset o/n cannot be read: the hub cannot be reached; .*$"):
        ingest.run(IngestSettings(input="hf://datasets/o/n", namespace=namespace, domain="d"), spark)


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--input", "x.jsonl", "--split", "train"], "--split is of a dataset of a hub, --input hf://datasets/"),
        (["--input", "x.jsonl", "--subset", "a"], "--subset is of a dataset of a hub"),
        (["--input", "hf://datasets/o/n", "--format", "parquet"], "--format parquet is of other inputs"),
        (["--input", "hf://datasets/squad"], "hf://datasets/squad is no dataset of a hub; write hf://datasets/OWN"),
        (["--input", "hf://models/o/n"], "hf://models/o/n is no dataset of a hub"),
    ],
)
def test_flags_that_do_not_go_with_the_input_are_refused(flags: list[str], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        load_settings(IngestSettings, [*flags, "--domain", "d"], "ingest")
