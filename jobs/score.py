"""Stage score: score every document of a corpus, or of any Delta table, under a mask."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from jobs.cli import run_stage
from jobs.scoring.stage import ScoreSettings, run

__all__ = ["ScoreSettings", "main", "run"]


def main(argv: Sequence[str] | None = None) -> int:
    """Run the stage from the command line; returns the exit status."""
    return run_stage(ScoreSettings, run, argv)


if __name__ == "__main__":
    sys.exit(main())
