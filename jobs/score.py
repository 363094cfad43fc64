"""Stage score: score every document of a corpus, or of any Delta table, under a mask."""

from __future__ import annotations

import sys

from jobs.cli import main
from jobs.scoring.settings import ScoreSettings
from jobs.scoring.stage import run

__all__ = ["ScoreSettings", "run"]

if __name__ == "__main__":
    sys.exit(main(["score", *sys.argv[1:]]))
