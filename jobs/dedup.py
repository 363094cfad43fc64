"""Stage dedup: find documents that are copies or near-copies of each other, as clusters."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from jobs.cli import run_stage
from jobs.deduplicating.stage import DedupSettings, run

__all__ = ["DedupSettings", "main", "run"]


def main(argv: Sequence[str] | None = None) -> int:
    """Run the stage from the command line; returns the exit status."""
    return run_stage(DedupSettings, run, argv)


if __name__ == "__main__":
    sys.exit(main())
