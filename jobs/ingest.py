"""Stage ingest: read documents from files or a table into the corpus table."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from jobs.cli import run_stage
from jobs.ingesting.stage import IngestSettings, run

__all__ = ["IngestSettings", "main", "run"]


def main(argv: Sequence[str] | None = None) -> int:
    """Run the stage from the command line; returns the exit status."""
    return run_stage(IngestSettings, run, argv)


if __name__ == "__main__":
    sys.exit(main())
