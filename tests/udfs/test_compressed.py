"""Compressed files that were cut off, compared with what the programs that wrote the formats say of them."""

from __future__ import annotations

import bz2
import gzip
import io
import os
import struct
import zlib
from collections.abc import Callable

import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from udfs.compressed import good_text_of_gzip, why_broken

PIECES = [b'{"text": "one"}\n', b"", b"x" * 300_000, bytes(range(256)) * 5, b'{"text": "last"}\n']
SKIPPABLE = struct.pack("<II", 0x184D2A53, 5) + b"hello"


def frames(**options: bool) -> list[bytes]:
    return [zstandard.ZstdCompressor(**options).compress(piece) for piece in PIECES]


def streamed() -> bytes:
    """One frame of many blocks, whose header does not say how long its content is."""
    out = io.BytesIO()
    with zstandard.ZstdCompressor().stream_writer(out, closefd=False) as writer:
        for piece in PIECES * 3:
            writer.write(piece)
            writer.flush(zstandard.FLUSH_BLOCK)
    return out.getvalue()


def seekable(listed: int | None = None) -> bytes:
    """Frames, and after them a table that says where each begins."""
    parts = frames()
    table = b"".join(struct.pack("<II", len(part), len(piece)) for part, piece in zip(parts, PIECES, strict=True))
    table += struct.pack("<IBI", len(parts) if listed is None else listed, 0, 0x8F92EAB1)
    return b"".join(parts) + struct.pack("<II", 0x184D2A5E, len(table)) + table


WHOLE: dict[str, Callable[[], bytes]] = {
    "one frame": lambda: frames()[0],
    "many frames": lambda: b"".join(frames()),
    "with checksums": lambda: b"".join(frames(write_checksum=True)),
    "without sizes": lambda: b"".join(frames(write_content_size=False)),
    "skippable frames": lambda: SKIPPABLE + b"".join(frame + SKIPPABLE for frame in frames()),
    "streamed": streamed,
    "seekable": seekable,
    "several seekable ones concatenated": lambda: seekable() + seekable(),
    "an empty frame": lambda: zstandard.ZstdCompressor().compress(b""),
}


def broken(name: str, data: bytes) -> str | None:
    return why_broken(name, io.BytesIO(data), len(data))


@pytest.mark.parametrize("layout", WHOLE)
def test_a_whole_zstd_file_passes_however_its_frames_lie(layout: str) -> None:
    assert broken("a.jsonl.zst", WHOLE[layout]()) is None


@pytest.mark.parametrize("layout", WHOLE)
def test_a_zstd_file_cut_anywhere_but_between_its_frames_is_not_whole(layout: str) -> None:
    data = WHOLE[layout]()
    ends = {0}
    # The oracle decompresses: a cut that leaves nothing unread is one between frames.
    whole_parts = 0
    for cut in range(1, len(data), max(1, len(data) // 400)):
        reason = broken("a.zst", data[:cut])
        if reason is None:
            ends.add(cut)
            whole_parts += 1
            assert is_whole_to_zstd(data[:cut])
        else:
            assert not is_whole_to_zstd(data[:cut])
    assert whole_parts <= 2 * len(PIECES) + 2


def is_whole_to_zstd(data: bytes) -> bool:
    """What the zstd library makes of the file, frame after frame."""
    while data:
        if data[1:4] == b"\x2a\x4d\x18" and data[0] & 0xF0 == 0x50:
            if len(data) < 8 or len(data) < 8 + struct.unpack("<I", data[4:8])[0]:
                return False
            data = data[8 + struct.unpack("<I", data[4:8])[0] :]
            continue
        reader = zstandard.ZstdDecompressor().decompressobj()
        try:
            reader.decompress(data)
        except zstandard.ZstdError:
            return False
        if not reader.eof:
            return False
        data = reader.unused_data
    return True


def test_what_was_good_is_counted_in_frames_and_bytes() -> None:
    first, second, *_ = frames()
    size = len(first) + len(second) - 1
    assert broken("a.zst", first + second[:-1]) == (
        f"it is cut off in frame 2; 1 frames before it, the first {len(first)} of {size} bytes, are whole"
    )
    assert "something else than zstd" in str(broken("a.zst", first + b"garbage"))


def test_a_seek_table_that_lists_more_frames_than_there_are_shows_that_some_are_gone() -> None:
    assert broken("a.zst", seekable(listed=9)) == "it has 5 frames before a seek table that lists 9"


@pytest.mark.parametrize("name", ["a.jsonl.gz", "a.txt.ZST", "a.bz2"])
def test_a_file_of_no_bytes_is_no_compressed_file(name: str) -> None:
    assert "no bytes" in str(broken(name, b""))


@settings(max_examples=60, deadline=None)
@given(st.lists(st.binary(max_size=3000), min_size=1, max_size=4), st.data())
def test_a_bzip2_file_is_whole_where_its_last_stream_has_ended(pieces: list[bytes], data: st.DataObject) -> None:
    streams = [bz2.compress(piece) for piece in pieces]
    whole = b"".join(streams)
    assert broken("a.bz2", whole) is None
    cut = data.draw(st.integers(1, len(whole) - 1))
    ends = {sum(map(len, streams[:count])) for count in range(len(streams) + 1)}
    assert (broken("a.bz2", whole[:cut]) is None) == (cut in ends)


@pytest.mark.parametrize("cut", [5, 30, 40, 60, 70, 100])
def test_the_text_of_a_gzip_file_is_counted_as_far_as_it_is_there(cut: int) -> None:
    first, second = b'{"text": "one"}\n' * 3, os.urandom(60) + b"\n"
    data = gzip.compress(first) + gzip.compress(second)
    # The oracle takes what is there a byte at a time, the members one after the other.
    engine, found, rest = zlib.decompressobj(wbits=31), b"", data[:cut]
    while rest:
        found += engine.decompress(rest[:1])
        rest = engine.unused_data + rest[1:]
        engine = zlib.decompressobj(wbits=31) if engine.eof else engine
    assert good_text_of_gzip(io.BytesIO(data[:cut])) == (len(found), found.count(b"\n"))


def test_a_whole_gzip_file_and_one_with_a_wrong_checksum_have_no_place_where_they_end_too_early() -> None:
    data = gzip.compress(b"x" * 3_000_000)
    assert good_text_of_gzip(io.BytesIO(data)) is None
    assert good_text_of_gzip(io.BytesIO(data[:-8] + b"\0" * 8)) is None
