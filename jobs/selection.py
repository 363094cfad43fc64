"""Stage select: select the best documents of each domain, beside your dedup and quality tables."""

from __future__ import annotations

import sys

from jobs.cli import main
from jobs.selecting.settings import SelectSettings
from jobs.selecting.stage import run

__all__ = ["SelectSettings", "run"]

if __name__ == "__main__":
    sys.exit(main(["select", *sys.argv[1:]]))
