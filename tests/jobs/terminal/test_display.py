from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobs.terminal.display import examples, plain_table, printable


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain, ünïcode 漢字 😀", "plain, ünïcode 漢字 😀"),
        ("two\nlines\tand\r", r"two\nlines\tand\r"),
        ("\x1b[2J\x1b]0;title\x07", r"\x1b[2J\x1b]0;title\x07"),
        ("a\x00b\x7f\x9b", r"a\x00b\x7f\x9b"),
        ("gnp\u202eevil\u2066\u2028", r"gnp\u202eevil\u2066\u2028"),
        ("half \ud800", r"half \ud800"),
    ],
)
def test_what_moves_a_cursor_or_turns_text_round_is_shown_as_an_escape(text, shown):
    assert printable(text) == shown


def test_a_long_text_ends_in_an_ellipsis_and_is_no_wider_than_asked():
    assert printable("abcdef", 6) == "abcdef"
    assert printable("abcdefg", 6) == "abcde…"
    assert printable("x" * 200_000, 60) == "x" * 59 + "…"
    assert printable("\n" * 9, 6) == r"\n\n\…"


@given(st.text(), st.integers(1, 40))
def test_any_text_fits_its_width_on_one_line_of_printable_characters(text, width):
    shown = printable(text, width)
    assert len(shown) <= width
    assert shown.isprintable()


def test_a_plain_table_lines_up_its_columns():
    assert plain_table(["a", "number"], [["long text", "1"], ["", ""]]) == "a          number\nlong text  1\n"


def test_a_message_shows_the_first_three_of_many_safely() -> None:
    assert examples(["a", "b\n", "c"]) == "a, b\\n, c"
    assert examples(["a", "b", "c", "d"]) == "a, b, c, ..."
    assert examples(["long" * 9, "b"], width=5) == "long…, b"
