"""Heads files: what is written is read back, and every other content is an error that says where."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from udfs.head_mask import check_heads, mask_identity, read_heads_file, write_heads_file

HEADS = st.lists(st.tuples(st.integers(0, 99), st.integers(0, 99)), min_size=1, max_size=20, unique=True)


@given(HEADS)
def test_what_is_written_is_read_back_in_order(
    tmp_path_factory: pytest.TempPathFactory, heads: list[tuple[int, int]]
) -> None:
    path = tmp_path_factory.mktemp("heads") / "new folder" / "heads.txt"
    write_heads_file(path, heads, header="model m, detection d")
    assert read_heads_file(path) == sorted(heads)


def test_a_heads_file_is_a_comment_and_a_line_for_each_head(tmp_path: Path) -> None:
    path = tmp_path / "heads.txt"
    write_heads_file(path, [(18, 6), (2, 10), (2, 9)], header="SmolLM2, 3 heads")
    assert path.read_text() == "# SmolLM2, 3 heads\n2,9\n2,10\n18,6\n"


def test_a_heads_file_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"heads file .* cannot be written: .*head_masks has the mask all the same"):
        write_heads_file(tmp_path, [(18, 6)], header="a folder")


@pytest.mark.parametrize("text", ["1,2\n", " 1 , 2 \r\n", "# heads\n\n1,2 # the best\n\n", "1,2", "\ufeff1,2\n"])
def test_blanks_comments_and_line_ends_do_not_matter(text: str, tmp_path: Path) -> None:
    path = tmp_path / "heads.txt"
    path.write_bytes(text.encode())
    assert read_heads_file(path) == [(1, 2)]


@pytest.mark.parametrize("line", ["1", "1,2,3", "1;2", "1-2", "-1,2", "1.0,2", "layer,head", "1,", ",", "{}", "1 2"])
def test_a_malformed_line_is_named_with_its_number(line: str, tmp_path: Path) -> None:
    path = tmp_path / "heads.txt"
    path.write_text(f"# heads\n0,1\n{line}\n")
    with pytest.raises(ValueError, match=r"heads.txt, line 3 is .*must be layer,head, such as 18,6") as error:
        read_heads_file(path)
    assert repr(line) in str(error.value)


def test_a_very_long_line_is_not_printed_whole(tmp_path: Path) -> None:
    path = tmp_path / "heads.txt"
    path.write_text("x" * 100_000)
    with pytest.raises(ValueError, match="line 1") as error:
        read_heads_file(path)
    assert len(str(error.value)) < 400


def test_a_head_named_twice_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "heads.txt"
    path.write_text("1,2\n0,1\n 1, 2\n")
    with pytest.raises(ValueError, match="line 3 names layer 1, head 2 a second time; remove it"):
        read_heads_file(path)


@pytest.mark.parametrize("text", ["", "\n\n", "# nothing but a comment\n"])
def test_a_file_that_names_no_head_is_refused(text: str, tmp_path: Path) -> None:
    path = tmp_path / "heads.txt"
    path.write_text(text)
    with pytest.raises(ValueError, match=r"heads.txt names no head; write a layer,head line"):
        read_heads_file(path)


def test_a_missing_file_a_folder_and_a_binary_file_are_refused(tmp_path: Path) -> None:
    binary = tmp_path / "heads.bin"
    binary.write_bytes(b"\xff\xfe\x00\x80")
    for path in (tmp_path / "missing.txt", tmp_path, binary):
        with pytest.raises(ValueError, match=r"cannot be read.*detect-heads --heads-file writes one") as error:
            read_heads_file(path)
        assert str(path) in str(error.value)


@pytest.mark.parametrize("head", [(3, 0), (0, 4), (-1, 0), (0, -1), (99, 99)])
def test_a_head_out_of_range_is_named_with_what_the_model_has(head: tuple[int, int]) -> None:
    with pytest.raises(
        ValueError, match=f"layer {head[0]}, head {head[1]}, but m@1 has 3 layers of 4 heads.*detect-heads --model"
    ):
        check_heads([(0, 0), head], "m@1", num_layers=3, num_heads=4)


def test_the_corner_heads_are_in_range() -> None:
    check_heads([(0, 0), (2, 3), (0, 3), (2, 0)], "m@1", num_layers=3, num_heads=4)


@given(HEADS)
def test_a_masks_id_depends_on_the_set_of_heads_not_on_its_order(
    heads: list[tuple[int, int]],
) -> None:
    assert mask_identity("m@1", heads) == mask_identity("m@1", reversed(heads))
    assert len(mask_identity("m@1", heads)) == 16


def test_masks_of_other_heads_or_models_have_other_ids() -> None:
    ids = {
        mask_identity("m@1", [(1, 11)]),
        mask_identity("m@1", [(11, 1)]),
        mask_identity("m@1", [(1, 1), (1, 11)]),
        mask_identity("m@1", [(1, 1)]),
        mask_identity("m@2", [(1, 1)]),
    }
    assert len(ids) == 5
