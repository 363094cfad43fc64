"""What a file's first bytes tell."""

from __future__ import annotations

import gzip

import pytest

from udfs.file_kinds import kind_of

ASCII = "plain text"


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be"])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_text_of_two_or_four_bytes_a_letter_is_known_with_a_mark_and_without(encoding: str, mark: str) -> None:
    kind = kind_of((mark + ASCII).encode(encoding)[:64])
    assert kind is not None
    assert encoding[:6].upper() in kind
    assert "iconv" in kind


@pytest.mark.parametrize(
    ("head", "words"),
    [
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0", "git lfs pull"),
        (b"\n <!DOCTYPE html><html>", "HTML page"),
        (gzip.compress(b"x", mtime=0), "gzip"),
        (b"%PDF-1.7", "PDF"),
        (b"PK\x03\x04rest", "zip"),
    ],
)
def test_other_kinds_are_named_with_what_to_do(head: bytes, words: str) -> None:
    assert words in str(kind_of(head))


@pytest.mark.parametrize(
    "text",
    ["", "a", ASCII, "a\0b", "\0", "ünï", "版本", "<p>not a page", "version https://example.org", "\ufeffmarked"],
)
def test_plain_text_is_nothing_else(text: str) -> None:
    assert kind_of(text.encode()) is None
