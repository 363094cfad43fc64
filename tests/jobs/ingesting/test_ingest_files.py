"""What ingest says of files by their names, and how it takes these."""

from __future__ import annotations

import gzip
import hashlib
import json

import pytest

from tests.jobs.ingesting.ingest_cases import held, run, write_lines


def test_the_name_of_an_input_cannot_move_the_cursor_in_what_is_said_of_it(spark, namespace, tmp_path, capsys):
    folder = tmp_path / "two\nlines\x1b[2J"
    folder.mkdir()
    for path in (folder, f"{folder}/*.jsonl"):
        for file_format in ("auto", "jsonl"):
            with pytest.raises(ValueError, match=r"--input .*two\\nlines\\x1b\[2J") as error:
                run(spark, namespace, str(path), format=file_format)
            assert str(error.value).isprintable()
    write_lines(folder / "docs.jsonl", {"text": "a"})
    run(spark, namespace, str(folder))
    assert rf"read from {tmp_path}/two\nlines\x1b[2J (jsonl)" in capsys.readouterr().out


def test_a_file_uri_is_read_with_percent_signs_and_without(spark, namespace, tmp_path):
    for name in ("a b", "c%20d", "é"):
        (tmp_path / name).mkdir()
        write_lines(tmp_path / name / "docs.jsonl", {"text": name})
    for number, (uri, text) in enumerate(
        {
            f"file://{tmp_path}/a%20b/docs.jsonl": "a b",
            f"file:{tmp_path}/a%20b": "a b",
            f"file://localhost{tmp_path}/a b/*.jsonl": "a b",
            f"file://{tmp_path}/%C3%A9/*.jsonl": "é",
            f"file://{tmp_path}/c%20d/d*.jsonl": "c%20d",
            f"file://{tmp_path}/c%2520d": "c%20d",
        }.items()
    ):
        run(spark, f"{namespace}-{number}", uri)
        assert [text for _, text, _ in held(spark, f"{namespace}-{number}").values()] == [text]
    with pytest.raises(ValueError, match=r"--input file://host/a is on another machine, host"):
        run(spark, namespace, "file://host/a")


@pytest.mark.parametrize("limit", [None, 1])
def test_a_gzip_file_that_is_cut_off_is_named_with_how_far_it_is_good(spark, namespace, tmp_path, limit):
    lines = [json.dumps({"text": hashlib.sha256(bytes([n])).hexdigest()}) + "\n" for n in range(200)]
    folder = tmp_path / "in"
    folder.mkdir()
    (folder / "a.jsonl.gz").write_bytes(gzip.compress("".join(lines).encode()))
    members = [gzip.compress(line.encode()) for line in lines]
    (folder / "b.jsonl.gz").write_bytes(b"".join(members[:150]) + members[150][:12])
    size = len("".join(lines[:150]))
    with pytest.raises(
        ValueError, match=rf"b\.jsonl\.gz.* \(the file is cut off\); its first 150 lines, {size:,} bytes, are good$"
    ):
        run(spark, namespace, str(folder), limit=limit)
    (folder / "b.jsonl.gz").write_bytes(gzip.compress(b'{"text": 1}\n'))
    with pytest.raises(ValueError, match=r"b\.jsonl\.gz, has a number .*leave them out$"):
        run(spark, namespace, str(folder), limit=limit)
