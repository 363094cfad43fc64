"""Stage sql: run Spark SQL over the namespace's tables by their bare names."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from jobs.cli import run_stage
from jobs.querying.sql import SqlSettings, run

__all__ = ["SqlSettings", "main", "run"]


def main(argv: Sequence[str] | None = None) -> int:
    """Run the stage from the command line; returns the exit status."""
    return run_stage(SqlSettings, run, argv)


if __name__ == "__main__":
    sys.exit(main())
