"""Stage select: select the best documents of each domain, beside your dedup and quality tables."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from jobs.cli import run_stage
from jobs.selecting.settings import SelectSettings
from jobs.selecting.stage import run

__all__ = ["SelectSettings", "main", "run"]


def main(argv: Sequence[str] | None = None) -> int:
    """Run the stage from the command line; returns the exit status."""
    return run_stage(SelectSettings, run, argv)


if __name__ == "__main__":
    sys.exit(main())
