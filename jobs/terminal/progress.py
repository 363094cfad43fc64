"""How far a long step is: a bar on a terminal, a plain line every few seconds in a log."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

SECONDS_BETWEEN_LINES = 5.0


class Tracker:
    """Counts what is done and shows it; made by progress()."""

    def __init__(self, title: str, total: int | None, unit: str, stream: TextIO) -> None:
        self.done = 0
        self._title, self._total, self._unit, self._stream = title, total, unit, stream
        self._started = self._last_line = time.monotonic()
        self._bar: Progress | None = None
        self._task: TaskID | None = None

    def advance(self, amount: int) -> None:
        """Count amount more units as done."""
        self.advance_to(self.done + amount)

    def advance_to(self, done: int) -> None:
        """Count done units as done in all; a smaller number than before is ignored."""
        self.done = max(self.done, done)
        if self._bar is not None and self._task is not None:
            self._bar.update(self._task, completed=self.done, rate=self._rate_text())
        elif time.monotonic() - self._last_line >= SECONDS_BETWEEN_LINES:
            self._last_line = time.monotonic()
            self._print(self._line())

    def expect(self, total: int | None) -> None:
        """Set the number of units that there are in all."""
        self._total = total
        if self._bar is not None and self._task is not None:
            self._bar.update(self._task, total=total)

    def start(self) -> None:
        """Show the bar, where there is a terminal to show it on."""
        if not self._stream.isatty():
            return
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            TaskProgressColumn(),
            TextColumn("{task.fields[rate]}"),
            TimeRemainingColumn(),
        )
        # The rate of the last minutes, not seconds: batches hold documents of very different lengths.
        self._bar = Progress(*columns, console=Console(file=self._stream), speed_estimate_period=300)
        self._task = self._bar.add_task(self._title, total=self._total, rate="")
        self._bar.start()

    def stop(self, *, finished: bool) -> None:
        """Remove the bar or, where there is none, print a line that says what was done."""
        if self._bar is not None:
            self._bar.stop()
        elif finished:
            seconds = time.monotonic() - self._started
            self._print(f"{self._title}: {self.done:,} {self._unit} in {duration(seconds)}, {self._rate_text()}")

    def _print(self, line: str) -> None:
        # Work goes on although the terminal is gone.
        with suppress(OSError):
            print(line, file=self._stream, flush=True)

    def _rate(self) -> float:
        return self.done / max(time.monotonic() - self._started, 1e-9)

    def _rate_text(self) -> str:
        """The rate with at least two digits: a model may take seconds per unit."""
        rate = self._rate()
        return f"{rate:,.0f} {self._unit}/s" if rate >= 10 else f"{rate:.2g} {self._unit}/s"

    def _line(self) -> str:
        rate = self._rate()
        if self._total is None:
            return f"{self._title}: {self.done:,} {self._unit}, {self._rate_text()}"
        left = duration((self._total - self.done) / rate) if rate > 0 else "an unknown time"
        share = f" ({self.done / self._total:.0%})" if self._total else ""
        return f"{self._title}: {self.done:,} of {self._total:,} {self._unit}{share}, {self._rate_text()}, {left} left"


@contextmanager
def progress(
    title: str, total: int | None = None, unit: str = "documents", stream: TextIO | None = None
) -> Iterator[Tracker]:
    """A tracker to advance while the block runs: `with progress("Scoring", total=n, unit="tokens") as p`.

    stream: stderr unless given, so that what a program reads from stdout stays clean.
    """
    tracker = Tracker(title, total=total, unit=unit, stream=stream or sys.stderr)
    tracker.start()
    finished = False
    try:
        yield tracker
        finished = True
    finally:
        tracker.stop(finished=finished)


def duration(seconds: float) -> str:
    """The time in its one or two largest units: 42 s, 3 min 5 s, 2 h 10 min."""
    whole = max(0, round(seconds))
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"
