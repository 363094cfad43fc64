"""Stage status: show what the scoring runs did or are doing, how fast, and what failed."""

from __future__ import annotations

import sys

from jobs.cli import main
from jobs.scoring.status import StatusSettings, run

__all__ = ["StatusSettings", "run"]

if __name__ == "__main__":
    sys.exit(main(["status", *sys.argv[1:]]))
