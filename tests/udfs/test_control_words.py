"""Control words in a text are plain text for every kind of tokenizer; a text without them keeps its tokens."""

from __future__ import annotations

import json
import warnings
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tokenizers import AddedToken, Tokenizer, processors

from tests.udfs.tokenizers_of_all_kinds import (
    KINDS,
    SPECIAL,
    TEXTS,
    added,
    as_the_file_says,
    byte_level,
    read,
    save,
    text_ids,
    unigram,
    word_piece,
)
from udfs.tokenizer import warn_of_unspellable

MARKERS = ["<think>", "</think>", "<tool_call>", "<|fim_prefix|>", "<｜tool▁sep｜>", "[INST]", "[/INST]"]
# What people add that is text: the model has read its texts with them.
PIECES = ["  ", "    ", "\n\n", "retrieval", "<=>", "[]", "<table>", "</td>", "|||NAME|||"]
PLACES = ["{}", "{} x", "x {}", "x{}x", "a {} b {} c", "{}{}", "\n{}\n"]


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """A folder for each kind of tokenizer, which has markers and pieces among its added tokens."""
    root, made = tmp_path_factory.mktemp("tokenizers"), {}
    for kind, make in KINDS.items():
        tokenizer = make()
        tokenizer.add_tokens(added(*MARKERS, *PIECES))
        made[kind] = save(tokenizer, root / kind)
    return made


@pytest.mark.parametrize("word", [*SPECIAL, *MARKERS])
@pytest.mark.parametrize("kind", KINDS)
def test_a_control_word_in_a_text_is_spelled_and_never_its_own_token(
    kind: str, word: str, folders: dict[str, str]
) -> None:
    tokenizer, file = read(folders[kind]), as_the_file_says(folders[kind])
    control = file.token_to_id(word)
    unknown = file.token_to_id("[UNK]" if kind == "word_piece" else "<unk>")
    for place in PLACES:
        text = place.format(word, word)
        token_ids = text_ids(tokenizer, text)
        if control != unknown:
            assert control not in token_ids, text
        # The letters of all markers are in every vocabulary here, but not of all signs.
        if kind in ("byte_level", "ignoring_merges"):
            assert tokenizer.decode(token_ids) == text


@pytest.mark.parametrize(
    ("kind", "text"),
    [("ignoring_merges", "</s>"), ("byte_fallback", "x<s>x"), ("unigram", "a <s> b"), ("word_piece", "a [CLS] b")],
)
def test_special_words_are_spelled_where_to_read_them_as_text_does_not_do(kind: str, text: str, tmp_path: Path) -> None:
    folder = save(KINDS[kind](), tmp_path)
    file = as_the_file_says(folder)
    control = {file.token_to_id(word) for word in ("<s>", "</s>", "[CLS]")} - {None}
    assert control & set(file.encode(text, add_special_tokens=False).ids)
    assert not control & set(text_ids(read(folder), text))


@pytest.mark.parametrize("kind", ["byte_fallback", "unigram", "word_piece"])
def test_a_control_word_that_can_be_spelled_loses_no_letter(kind: str, folders: dict[str, str]) -> None:
    tokenizer = read(folders[kind])
    for word in ("<s>", "</s>", "<think>", "[INST]"):
        token_ids = text_ids(tokenizer, f"a {word} b")
        assert tokenizer.decode(token_ids).replace(" ", "") == f"a{word}b"


def test_unknown_characters_and_the_unknown_token_in_a_text_are_not_the_same(folders: dict[str, str]) -> None:
    tokenizer, file = read(folders["unigram"]), as_the_file_says(folders["unigram"])
    unknown = file.token_to_id("<unk>")
    assert text_ids(tokenizer, "x 语 y") == file.encode("x 语 y", add_special_tokens=False).ids
    assert unknown in text_ids(tokenizer, "x 语 y")
    assert unknown not in text_ids(tokenizer, "x <unk> y")
    assert file.encode("x <unk> y", add_special_tokens=False).ids.count(unknown) == 1


@pytest.mark.parametrize("kind", KINDS)
def test_a_text_without_control_words_keeps_the_tokens_of_tokenizer_json(kind: str, folders: dict[str, str]) -> None:
    tokenizer, file = read(folders[kind]), as_the_file_says(folders[kind], special_as_text=False)
    for text in [*TEXTS.values(), *PIECES, *(f"a {piece} b" for piece in PIECES)]:
        assert text_ids(tokenizer, text) == file.encode(text, add_special_tokens=False).ids, text


@pytest.mark.parametrize("kind", KINDS)
@given(text=st.text(st.sampled_from("ab <>/[]|think s▁é语\n0123"), max_size=40) | st.text(max_size=40))
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_text_has_its_own_tokens_or_none_of_a_control_word(kind: str, text: str, folders: dict[str, str]) -> None:
    tokenizer, file = _opened(folders[kind])
    expected = file.encode(text, add_special_tokens=False).ids
    control = {file.token_to_id(word) for word in [*SPECIAL, *MARKERS, "[CLS]", "[SEP]"]}
    control.discard(file.token_to_id("[UNK]" if kind == "word_piece" else "<unk>"))
    found = text_ids(tokenizer, text)
    assert control.isdisjoint(found)
    if control.isdisjoint(expected) and "<unk>" not in text and "[UNK]" not in text:
        assert found == expected


_open: dict[str, tuple[object, Tokenizer]] = {}


def _opened(folder: str):  # type: ignore[no-untyped-def]
    if folder not in _open:
        _open[folder] = read(folder), as_the_file_says(folder, special_as_text=False)
    return _open[folder]


@pytest.mark.parametrize("kind", KINDS)
def test_words_around_a_control_word_keep_their_tokens(kind: str, folders: dict[str, str]) -> None:
    tokenizer = read(folders[kind])
    before, after = (text_ids(tokenizer, text) for text in ("copy earlier text", "copy earlier text forward"))
    for word in ("<think>", "[INST]", "<|fim_prefix|>"):
        token_ids = text_ids(tokenizer, f"copy earlier text {word} x")
        assert token_ids[: len(before)] == before == after[: len(before)]


def test_a_prefix_token_stays_though_a_text_may_not_name_it(tmp_path: Path) -> None:
    tokenizer = unigram()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", special_tokens=[("<s>", 1), ("</s>", 2)]
    )
    found = read(save(tokenizer, tmp_path))
    assert found("a <s> b")["input_ids"][0] == 1
    assert found("a <s> b")["input_ids"][-1] == 2
    assert found("a <s> b")["input_ids"].count(1) == 1
    assert found(["a <s> b", "c"])["input_ids"] == [found("a <s> b")["input_ids"], found("c")["input_ids"]]


def test_offsets_are_those_of_the_text_with_its_control_words(tmp_path: Path) -> None:
    tokenizer = byte_level()
    tokenizer.add_tokens(added("<think>"))
    text = "copy <think> text"
    encoded = read(save(tokenizer, tmp_path))(text, add_special_tokens=False, return_offsets_mapping=True)
    assert "".join(text[begin:end] for begin, end in encoded["offset_mapping"]) == text


def test_what_another_file_calls_special_is_a_control_word(tmp_path: Path) -> None:
    tokenizer = byte_level()
    tokenizer.add_tokens(added("ENDOFTEXT", "USER:", "SYSTEM:", "plainword"))
    decoder = {"323": {"content": "SYSTEM:", "special": True}}
    names = {"eos_token": "ENDOFTEXT", "additional_special_tokens": ["USER:"], "added_tokens_decoder": decoder}
    folder = save(tokenizer, tmp_path, **names)
    found, file = read(folder), as_the_file_says(folder)
    for word in ("ENDOFTEXT", "USER:", "SYSTEM:"):
        assert file.token_to_id(word) not in text_ids(found, f"a {word} b")
    assert file.token_to_id("plainword") in text_ids(found, "a plainword b")


def test_ends_of_texts_that_look_like_a_tag_are_control_words_unless_there_are_other_tags(tmp_path: Path) -> None:
    for number, (tags, is_control) in enumerate(((["<end>"], True), (["<table>", "<b>"], False))):
        tokenizer = byte_level()
        tokenizer.add_tokens(added("<s/>", "</s>", *tags))
        folder = save(tokenizer, tmp_path / str(number))
        control = as_the_file_says(folder).token_to_id("</s>")
        assert (control not in text_ids(read(folder), "old</s> new")) == is_control


def test_a_letter_that_a_model_pads_with_is_a_letter(tmp_path: Path) -> None:
    tokenizer = byte_level()
    tokenizer.add_special_tokens([AddedToken("!", normalized=False, special=True)])
    tokenizer.add_tokens(added("<think>"))
    found = read(save(tokenizer, tmp_path, pad_token="!"))
    assert found.decode(text_ids(found, "heads! <think> !")) == "heads! <think> !"


def test_a_control_word_that_only_the_settings_name_is_text(tmp_path: Path) -> None:
    content = json.loads(unigram().to_str())
    special = [token["content"] for token in content["added_tokens"]]
    content["added_tokens"] = []
    folder = save(Tokenizer.from_str(json.dumps(content)), tmp_path, bos_token="<s>", eos_token="</s>")
    file = as_the_file_says(folder)
    assert {"<s>", "</s>"} <= set(special)
    assert file.token_to_id("<s>") in file.encode("the <s>the</s>").ids
    assert not {file.token_to_id("<s>"), file.token_to_id("</s>")} & set(text_ids(read(folder), "the <s>the</s>"))


def test_the_pieces_for_bytes_are_no_control_words(tmp_path: Path) -> None:
    tokenizer = KINDS["byte_fallback"]()
    tokenizer.add_tokens(added("<0xE8>", "<think>"))
    folder = save(tokenizer, tmp_path)
    assert text_ids(read(folder), "语 <think>")[1:4] == [
        as_the_file_says(folder).token_to_id(f"<0x{b:02X}>") for b in "语".encode()
    ]


def test_the_hash_says_where_control_words_have_become_text(tmp_path: Path) -> None:
    plain, marked = byte_level(), byte_level()
    marked.add_tokens(added("<think>"))
    named = read(save(marked, tmp_path / "b", eos_token="<think>"))
    special = byte_level()
    special.add_special_tokens([AddedToken("<think>", normalized=False, special=True)])
    fingerprints = [read(save(t, tmp_path / n)).fingerprint for n, t in {"a": plain, "c": marked, "d": special}.items()]
    assert len(set(fingerprints)) == 3
    assert named.fingerprint == fingerprints[1]


def test_letters_that_a_vocabulary_cannot_spell_are_said_once(tmp_path: Path) -> None:
    tokenizer = word_piece()
    content = json.loads(tokenizer.to_str())
    for sign in ("[", "##[", "]", "##]"):
        content["model"]["vocab"].pop(sign, None)
    folder = save(Tokenizer.from_str(json.dumps(content)), tmp_path)
    with pytest.warns(
        UserWarning, match=r"cannot spell 3 of its control words as plain text, such as '\[UNK\]', '\[CLS"
    ):
        warn_of_unspellable("tiny", read(folder))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warn_of_unspellable("tiny", read(folder))
        warn_of_unspellable("other", read(save(byte_level(), tmp_path / "other")))


def test_letters_that_are_lost_without_an_unknown_token_are_said_too(tmp_path: Path) -> None:
    content = json.loads(byte_level().to_str())
    content["model"]["vocab"] = {
        word: n for n, word in enumerate(w for w in content["model"]["vocab"] if "<" not in w[1:] and w != "<")
    }
    content["model"]["merges"] = []
    content["added_tokens"] = []
    tokenizer = Tokenizer.from_str(json.dumps(content))
    tokenizer.add_special_tokens(["<s>"])
    with pytest.warns(UserWarning, match=r"cannot spell 1 of its control words as plain text, such as '<s>'"):
        warn_of_unspellable("tiny", read(save(tokenizer, tmp_path)))
