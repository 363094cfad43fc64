from __future__ import annotations

import io
import re

import pytest

from jobs.terminal.progress import Tracker, duration, progress


class Terminal(io.StringIO):
    """What a person looks at."""

    def isatty(self) -> bool:
        return True


def test_a_log_gets_plain_lines_with_rate_and_time_left(monkeypatch):
    monkeypatch.setattr("jobs.terminal.progress.SECONDS_BETWEEN_LINES", 0.0)
    log = io.StringIO()
    with progress("Scoring", total=4000, unit="tokens", stream=log) as shown:
        shown.advance(1000)
    first, last = log.getvalue().splitlines()
    assert re.fullmatch(r"Scoring: 1,000 of 4,000 tokens \(25%\), [\d,]+ tokens/s, 0 s left", first)
    assert re.fullmatch(r"Scoring: 1,000 tokens in 0 s, [\d,]+ tokens/s", last)


def test_a_terminal_that_has_gone_stops_no_work(monkeypatch):
    class Gone(io.StringIO):
        def write(self, text: str) -> int:
            raise OSError("Input/output error")

    monkeypatch.setattr("jobs.terminal.progress.SECONDS_BETWEEN_LINES", 0.0)
    with progress("Scoring", total=2, stream=Gone()) as shown:
        shown.advance(2)
    assert shown.done == 2


def test_a_log_gets_no_more_than_a_line_every_few_seconds():
    log = io.StringIO()
    with progress("Scoring", total=1000, stream=log) as shown:
        for _ in range(1000):
            shown.advance(1)
    assert len(log.getvalue().splitlines()) == 1


def test_a_step_of_unknown_length_counts_without_an_estimate(monkeypatch):
    monkeypatch.setattr("jobs.terminal.progress.SECONDS_BETWEEN_LINES", 0.0)
    log = io.StringIO()
    with progress("Reading", stream=log) as shown:
        shown.advance(5)
    assert re.match(r"Reading: 5 documents, [\d,]+ documents/s\n", log.getvalue())


def test_nothing_done_yet_has_no_time_left_and_no_share_of_nothing():
    tracker = Tracker("Scoring", 0, "tokens", io.StringIO())
    assert tracker._line() == "Scoring: 0 of 0 tokens, 0 tokens/s, an unknown time left"


def test_a_step_that_failed_does_not_say_that_it_is_done():
    log = io.StringIO()
    with pytest.raises(RuntimeError), progress("Scoring", total=2, stream=log):
        raise RuntimeError
    assert log.getvalue() == ""


def test_a_terminal_gets_a_bar_with_the_rate():
    terminal = Terminal()
    with progress("Scoring", total=10, unit="tokens", stream=terminal) as shown:
        shown.advance_to(10)
        shown.advance_to(4)
    assert shown.done == 10
    assert "Scoring" in terminal.getvalue()
    assert "100%" in terminal.getvalue()
    assert "tokens/s" in terminal.getvalue()


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(-3, "0 s"), (0.4, "0 s"), (59.4, "59 s"), (59.6, "1 min 0 s"), (3599, "59 min 59 s"), (7800, "2 h 10 min")],
)
def test_a_duration_has_the_units_that_matter(seconds, words):
    assert duration(seconds) == words
