"""Stage probes: make the look-up probes that show which heads retrieve."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from jobs.cli import run_stage
from jobs.heads.probes import ProbesSettings, run

__all__ = ["ProbesSettings", "main", "run"]


def main(argv: Sequence[str] | None = None) -> int:
    """Run the stage from the command line; returns the exit status."""
    return run_stage(ProbesSettings, run, argv)


if __name__ == "__main__":
    sys.exit(main())
