"""Stage mix: mix a selection with the corpus that it is of, as an index."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from jobs.cli import run_stage
from jobs.mixing.stage import MixSettings, run

__all__ = ["MixSettings", "main", "run"]


def main(argv: Sequence[str] | None = None) -> int:
    """Run the stage from the command line; returns the exit status."""
    return run_stage(MixSettings, run, argv)


if __name__ == "__main__":
    sys.exit(main())
