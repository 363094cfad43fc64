"""Stage rank: rank the scored documents within their domains."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from jobs.cli import run_stage
from jobs.ranking.stage import RankSettings, run

__all__ = ["RankSettings", "main", "run"]


def main(argv: Sequence[str] | None = None) -> int:
    """Run the stage from the command line; returns the exit status."""
    return run_stage(RankSettings, run, argv)


if __name__ == "__main__":
    sys.exit(main())
