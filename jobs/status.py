"""Stage status: show what the scoring runs did or are doing, how fast, and what failed."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from jobs.cli import run_stage
from jobs.scoring.status import StatusSettings, run

__all__ = ["StatusSettings", "main", "run"]


def main(argv: Sequence[str] | None = None) -> int:
    """Run the stage from the command line; returns the exit status."""
    return run_stage(StatusSettings, run, argv)


if __name__ == "__main__":
    sys.exit(main())
