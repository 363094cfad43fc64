"""Plain text files: what is UTF-8 text is a document, what is something else is named."""

from __future__ import annotations

import gzip

import pytest

from jobs.ingesting.columns import InputColumns
from tests.jobs.ingesting.input_cases import read_documents

NO_TEXT = {
    "utf-16": ("Grüße aus 東京".encode("utf-16"), "UTF-16 text"),
    "utf-16-be-marked": ("\ufeffGrüße".encode("utf-16-be"), "UTF-16 text"),
    "utf-16-unmarked": ("plain letters".encode("utf-16-le"), "UTF-16LE text without"),
    "utf-16-cyrillic": (
        ("не только латиница, и пробелы " * 20).encode("utf-16-le"),
        "a binary file, or text of another encoding",
    ),
    "utf-16-cyrillic-be": ("Привет, это текст".encode("utf-16-be"), "a binary file, or text of another encoding"),
    "utf-16-latin": ("déjà vu".encode("utf-16-le"), "UTF-16LE text without"),
    "utf-32": ("Grüße".encode("utf-32"), "UTF-32 text"),
    "utf-32-unmarked": ("plain letters".encode("utf-32-be"), "UTF-32BE text without"),
    "zipped": (gzip.compress(b"text"), "compressed by gzip"),
    "pdf": (b"%PDF-1.7\n%\xe2\xe3", "a PDF"),
    "pointer": (b"version https://git-lfs.github.com/spec/v1\noid sha256:1\n", "git lfs pull"),
    "binary": (bytes(range(7)) + b"\0\0\0\1" * 50, "a binary file, or text of another encoding"),
}


@pytest.mark.parametrize("name", NO_TEXT)
def test_a_file_that_is_no_utf_8_text_is_refused_by_name(spark, tmp_path, name):
    content, kind = NO_TEXT[name]
    (tmp_path / "good.txt").write_text("good")
    (tmp_path / f"{name}.txt").write_bytes(content)
    with pytest.raises(ValueError, match=rf"{name}\.txt is .*{kind}"):
        read_documents(spark, str(tmp_path), "text", InputColumns(fixed_domain="d"))


def test_text_with_a_mark_a_few_zero_bytes_or_markup_is_a_document_without_the_mark(spark, tmp_path):
    contents = {
        "marked.txt": "\ufeffwith a mark",
        "inside.txt": "a mark \ufeff inside",
        "zeros.txt": "a\0b\0 and much more that is no zero",
        "page.html.txt": "<html>a page is text</html>",
        "gguf.txt": "GGUF is a format, and so are BZh and %PDF-",
        "mention.txt": "version https://example.org",
    }
    for name, text in contents.items():
        (tmp_path / name).write_bytes(text.encode())
    found = read_documents(spark, str(tmp_path), "text", InputColumns(doc_id="path", fixed_domain="d"))
    expected = {name: text.removeprefix("\ufeff") for name, text in contents.items()}
    assert {row["doc_id"].rsplit("/", 1)[1]: row["text"] for row in found.collect()} == expected
