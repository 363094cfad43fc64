"""What ingest says of files by their names, and how it takes these."""

from __future__ import annotations

import pytest

from tests.jobs.test_ingest import run, write_lines


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
