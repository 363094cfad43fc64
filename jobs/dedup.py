"""Stage dedup: find documents that are copies or near-copies of each other, as clusters."""

from __future__ import annotations

import sys

from jobs.cli import main
from jobs.deduplicating.stage import DedupSettings, run

__all__ = ["DedupSettings", "run"]

if __name__ == "__main__":
    sys.exit(main(["dedup", *sys.argv[1:]]))
