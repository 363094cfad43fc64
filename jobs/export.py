"""Stage export: write a training mix with its texts as shuffled shards, with a manifest and a data card."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from jobs.cli import run_stage
from jobs.exporting.stage import ExportSettings, run

__all__ = ["ExportSettings", "main", "run"]


def main(argv: Sequence[str] | None = None) -> int:
    """Run the stage from the command line; returns the exit status."""
    return run_stage(ExportSettings, run, argv)


if __name__ == "__main__":
    sys.exit(main())
