"""Stage rank: rank the scored documents within their domains."""

from __future__ import annotations

import sys

from jobs.cli import main
from jobs.ranking.stage import RankSettings, run

__all__ = ["RankSettings", "run"]

if __name__ == "__main__":
    sys.exit(main(["rank", *sys.argv[1:]]))
