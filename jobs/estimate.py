"""Stage estimate: say how long scoring would take and what it would cost, before it is spent."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from jobs.cli import run_stage
from jobs.scoring.estimate import EstimateSettings, run

__all__ = ["EstimateSettings", "main", "run"]


def main(argv: Sequence[str] | None = None) -> int:
    """Run the stage from the command line; returns the exit status."""
    return run_stage(EstimateSettings, run, argv)


if __name__ == "__main__":
    sys.exit(main())
