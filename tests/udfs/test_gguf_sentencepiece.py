"""Texts through a GGUF file's SentencePiece vocabulary: the ids are those of the sentencepiece package."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer

from tests.udfs.gguf_files import (
    AWKWARD,
    BYTE,
    CONTROL,
    NORMAL,
    UNKNOWN,
    UNUSED,
    USER_DEFINED,
    Pieces,
    sentencepiece_metadata,
    sentencepiece_reader,
    tiny_llama,
    trained_pieces,
    write_gguf,
)
from udfs.checkpoint import load_tokenizer, resolve_checkpoint
from udfs.gguf_file import Vocabulary
from udfs.gguf_tokenizer import write_tokenizer
from udfs.prefix_tokens import prefix_tokens

SPECIAL: Pieces = [("<unk>", 0.0, UNKNOWN), ("<s>", 0.0, CONTROL), ("</s>", 0.0, CONTROL)]
SPACE = "\u2581"


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("ATTENTION_INFLUENCE_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture(scope="module", params=[True, False], ids=["bytes", "no-bytes"])
def pieces(request: pytest.FixtureRequest) -> Pieces:
    return trained_pieces(["<sep>", "foo", SPACE * 3], byte_fallback=request.param)


def tokenizer_of(folder: Path, pieces: Pieces, **metadata: Any) -> Any:
    file = write_gguf(folder / "m.gguf", tiny_llama(len(pieces)), sentencepiece_metadata(pieces), **metadata)
    return load_tokenizer(resolve_checkpoint(str(file)))


def written(pieces: Pieces, *, prefix: bool | None, folder: Path) -> Any:
    tokens, scores, types = (list(column) for column in zip(*pieces, strict=True))
    write_tokenizer(Vocabulary("llama", None, tokens, types, scores, [], 1, 2, 0, None, False, None, prefix), folder)
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.encode_special_tokens = True
    return tokenizer


@pytest.mark.parametrize("prefix", [True, False, None])
def test_awkward_texts_get_the_ids_of_sentencepiece(prefix: bool | None, pieces: Pieces, tmp_path: Path) -> None:
    tokenizer = tokenizer_of(tmp_path, pieces, **{"tokenizer.ggml.add_space_prefix": prefix})
    expected = sentencepiece_reader(pieces, prefix=prefix is not False)
    for text in AWKWARD:
        assert tokenizer(text)["input_ids"] == [1, *expected.encode(text)], text
    assert len(set(tokenizer("the loss rises")["input_ids"])) < 8


@pytest.mark.parametrize(("metadata", "start"), [({}, [1]), ({"tokenizer.ggml.add_bos_token": False}, [])])
def test_texts_start_as_the_file_says(metadata: dict[str, Any], start: list[int], tmp_path: Path) -> None:
    pieces = trained_pieces()
    assert prefix_tokens(tokenizer_of(tmp_path, pieces, **metadata)) == start


def test_a_bos_token_that_is_not_the_first_is_taken_from_the_file(tmp_path: Path) -> None:
    pieces = [*trained_pieces(), ("<bos>", 0.0, CONTROL)]
    tokenizer = tokenizer_of(tmp_path, pieces, **{"tokenizer.ggml.bos_token_id": len(pieces) - 1})
    assert prefix_tokens(tokenizer) == [len(pieces) - 1]


def test_offsets_point_into_the_text(tmp_path: Path) -> None:
    text = "caf\u00e9  foo the loss"
    found = tokenizer_of(tmp_path, trained_pieces(["foo"]))(text, return_offsets_mapping=True)
    offsets = found["offset_mapping"][1:]
    assert [begin for begin, _ in offsets] == sorted(begin for begin, _ in offsets)
    assert {text[begin:end] for begin, end in offsets} >= {"foo"}
    assert offsets[-1][1] == len(text)


def test_a_text_comes_back_from_its_ids(tmp_path: Path) -> None:
    tokenizer = tokenizer_of(tmp_path, trained_pieces(["<sep>"]))
    for text in AWKWARD:
        ids = tokenizer(text, add_special_tokens=False)["input_ids"]
        assert tokenizer.decode(ids) == text.replace(SPACE, " "), text


@given(st.lists(st.text(max_size=40), min_size=1, max_size=30))
@settings(max_examples=30, deadline=None)
def test_any_text_gets_the_ids_of_sentencepiece(texts: list[str]) -> None:
    pieces = trained_pieces(["<sep>", "foo"])
    with tempfile.TemporaryDirectory() as folder:
        tokenizer, expected = (
            written(pieces, prefix=True, folder=Path(folder)),
            sentencepiece_reader(pieces, prefix=True),
        )
        for text in texts:
            assert tokenizer.encode(text).ids == expected.encode(text)


@st.composite
def vocabularies(draw: st.DrawFn) -> Pieces:
    alphabet = draw(st.sampled_from(["ab", "a", "an", f"a{SPACE}"]))
    made = draw(st.lists(st.text(alphabet, min_size=2, max_size=6), min_size=1, max_size=12, unique=True))
    user_defined = draw(st.lists(st.text(alphabet + "x", min_size=1, max_size=3), max_size=2, unique=True))
    texts = [text for text in [*alphabet, *made] if text not in user_defined] + [SPACE] * (SPACE not in alphabet)
    scores = draw(st.permutations(range(len(texts))))
    in_bytes = [(f"<0x{byte:02X}>", 0.0, BYTE) for byte in range(256)] if draw(st.booleans()) else []
    return [
        *SPECIAL,
        *in_bytes,
        *((text, 0.0, USER_DEFINED) for text in user_defined),
        *((text, -float(score), NORMAL) for text, score in zip(texts, scores, strict=True) if text not in user_defined),
    ]


@given(
    vocabularies(), st.booleans(), st.lists(st.text(f"aaabbbnx {SPACE}\u00e9", max_size=14), min_size=1, max_size=20)
)
@settings(max_examples=300, deadline=None)
def test_any_vocabulary_of_distinct_scores_is_read_as_by_sentencepiece(
    pieces: Pieces, prefix: bool, texts: list[str]
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        tokenizer, expected = (
            written(pieces, prefix=prefix, folder=Path(folder)),
            sentencepiece_reader(pieces, prefix=prefix),
        )
        for text in [*texts, *(piece for piece, _, kind in pieces if kind == USER_DEFINED)]:
            assert tokenizer.encode(text).ids == expected.encode(text), text


@given(
    st.lists(st.tuples(st.text("ab", min_size=2, max_size=4), st.integers(0, 2)), max_size=8, unique_by=lambda p: p[0]),
    st.lists(st.text("ab", max_size=12), min_size=1, max_size=20),
)
@settings(max_examples=300, deadline=None)
def test_pieces_of_one_score_are_read_as_by_sentencepiece_or_refused(
    made: list[tuple[str, int]], texts: list[str]
) -> None:
    pieces: Pieces = [*SPECIAL, *((text, -9.0, NORMAL) for text in f"ab{SPACE}")]
    pieces += [(text, -float(score), NORMAL) for text, score in made]
    with tempfile.TemporaryDirectory() as folder:
        try:
            tokenizer = written(pieces, prefix=False, folder=Path(folder))
        except ValueError as error:
            assume("have one score" not in str(error))
            raise
        for text in texts:
            assert tokenizer.encode(text).ids == sentencepiece_reader(pieces, prefix=False).encode(text), text


@pytest.mark.parametrize(
    ("extra", "message"),
    [
        ([("ab", -1.0, NORMAL), ("ba", -1.0, NORMAL)], "'ab' and 'ba' have one score"),
        ([("ab", -1.0, UNUSED)], "'ab' is unused but made by merges"),
        ([("a\u00e9", -1.0, NORMAL)], r"'a\\xe9' has the character '\\xe9', which is no piece"),
        ([("<0x00>", 0.0, BYTE)], "has 1 pieces for bytes, not the 256"),
        ([("a b", 0.0, USER_DEFINED), (f"a{SPACE}b", 0.0, NORMAL)], "the piece .* twice"),
        ([("<unk2>", 0.0, UNKNOWN)], "has 2 unknown pieces, not one"),
    ],
)
def test_a_vocabulary_that_cannot_be_written_exactly_is_refused(
    extra: Pieces, message: str, tmp_path: Path, cache: Path
) -> None:
    pieces = [*SPECIAL, *((text, -9.0, NORMAL) for text in f"ab{SPACE}"), *extra]
    with pytest.raises(ValueError, match=message):
        tokenizer_of(tmp_path, pieces)
    assert not list(cache.iterdir())


def test_runs_of_spaces_are_found_as_the_file_writes_them_or_as_sentencepiece_does(tmp_path: Path) -> None:
    pieces = trained_pieces([SPACE * 2, SPACE * 4, f"x{SPACE}y"])
    expected = sentencepiece_reader(pieces, prefix=False)
    # llama.cpp's converters write a user-defined piece's spaces as such, and add_space_prefix for Gemma as false.
    stored = [(piece.replace(SPACE, " ") if kind == USER_DEFINED else piece, s, kind) for piece, s, kind in pieces]
    tokenizer = tokenizer_of(tmp_path, stored, **{"tokenizer.ggml.add_space_prefix": False})
    for text in ("a  b", "    if x y:", "      x  y       ", *AWKWARD):
        assert tokenizer(text, add_special_tokens=False)["input_ids"] == expected.encode(text), text


def test_a_piece_that_is_unused_and_never_made_is_no_obstacle(tmp_path: Path) -> None:
    pieces = [*trained_pieces(byte_fallback=False), ("[PAD7]", -1e4, UNUSED), ("%", -1e4, UNUSED)]
    tokenizer, expected = tokenizer_of(tmp_path, pieces), sentencepiece_reader(pieces, prefix=True)
    for text in ("[PAD7]", "a%b %% ", *AWKWARD):
        assert tokenizer(text, add_special_tokens=False)["input_ids"] == expected.encode(text), text
