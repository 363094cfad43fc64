"""What a file really is when it is not what its name promises, recognised by its first bytes."""

from __future__ import annotations

LFS = b"version https://git-lfs.github.com/spec/"
# The order matters: the byte-order mark of UTF-32 (little-endian) begins with that of UTF-16.
BEGINNINGS: dict[bytes, str] = {
    LFS: "a Git LFS pointer, not the file itself; fetch it with: git lfs pull",
    b"\xff\xfe\x00\x00": "UTF-32 text (little-endian); convert it to UTF-8 with: iconv -f UTF-32 -t UTF-8",
    b"\x00\x00\xfe\xff": "UTF-32 text (big-endian); convert it to UTF-8 with: iconv -f UTF-32 -t UTF-8",
    b"\xff\xfe": "UTF-16 text (little-endian); convert it to UTF-8 with: iconv -f UTF-16 -t UTF-8",
    b"\xfe\xff": "UTF-16 text (big-endian); convert it to UTF-8 with: iconv -f UTF-16 -t UTF-8",
    b"\x1f\x8b": "compressed by gzip; its name must end in .gz",
    b"\x28\xb5\x2f\xfd": "compressed by zstd; its name must end in .zst",
    b"BZh": "compressed by bzip2; its name must end in .bz2",
    b"\xfd7zXZ\x00": "compressed by xz; decompress it first",
    b"\x04\x22\x4d\x18": "compressed by lz4; decompress it first",
    b"PK\x03\x04": "a zip archive (or an office document); unpack it first",
    b"7z\xbc\xaf\x27\x1c": "a 7z archive; unpack it first",
    b"Rar!\x1a\x07": "a rar archive; unpack it first",
    b"PAR1": "a Parquet file; read it with --format parquet",
    b"%PDF-": "a PDF; extract its text first",
    b"\x89PNG\r\n": "a picture",
    b"\xff\xd8\xff": "a picture",
    b"GIF8": "a picture",
    b"\x7fELF": "a program",
    b"SQLite format 3\x00": "a SQLite database",
    b"\x89HDF\r\n": "an HDF5 file",
    b"GGUF": "a GGUF model",
    b"ARROW1\x00\x00": "an Arrow file",
}
HTML = ("<!doctype html", "<html", "<head")
# A byte in hexadecimal, except zero.
_LETTER = "(?:[1-9A-F][0-9A-F]|0[1-9A-F])"
# Certain even without a byte-order mark: Latin letters with only zero bytes between them.
UNMARKED = {
    "UTF-32LE": rf"^(?:{_LETTER}000000){{2,}}$",
    "UTF-32BE": rf"^(?:000000{_LETTER}){{2,}}$",
    "UTF-16LE": rf"^(?:{_LETTER}00){{2,}}$",
    "UTF-16BE": rf"^(?:00{_LETTER}){{2,}}$",
}


def kind_of(head: bytes) -> str | None:
    """What a file with these first bytes (about 64) is, and what to do with it; None where it may be plain text."""
    for beginning, kind in BEGINNINGS.items():
        if head.startswith(beginning):
            return kind
    if head.lstrip().lower().startswith(tuple(word.encode() for word in HTML)):
        return "an HTML page, such as a server's error; download the file again"
    return unmarked_encoding(head)


def unmarked_encoding(head: bytes) -> str | None:
    """The description of ASCII in two or four bytes per letter, where the bytes certainly are that; else None."""
    import re

    for encoding, pattern in UNMARKED.items():
        size = 4 if "32" in encoding else 2
        whole = head[: len(head) // size * size]
        if len(head) - len(whole) < size and re.match(pattern, whole.hex().upper()):
            return unmarked_kind(encoding)
    return None


def unmarked_kind(encoding: str) -> str:
    """The description of text in this encoding without a byte-order mark, and what to do with it."""
    return f"{encoding} text without a byte-order mark; convert it to UTF-8 with: iconv -f {encoding} -t UTF-8"
