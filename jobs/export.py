"""Stage export: write a training mix with its texts as shuffled shards, with a manifest and a data card."""

from __future__ import annotations

import sys

from jobs.cli import main
from jobs.exporting.stage import ExportSettings, run

__all__ = ["ExportSettings", "run"]

if __name__ == "__main__":
    sys.exit(main(["export", *sys.argv[1:]]))
