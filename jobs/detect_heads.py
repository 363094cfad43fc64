"""Stage detect-heads: find a model's retrieval heads with the probes, and write them as a mask."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from jobs.cli import run_stage
from jobs.heads.detection import DetectHeadsSettings, run

__all__ = ["DetectHeadsSettings", "main", "run"]


def main(argv: Sequence[str] | None = None) -> int:
    """Run the stage from the command line; returns the exit status."""
    return run_stage(DetectHeadsSettings, run, argv)


if __name__ == "__main__":
    sys.exit(main())
