"""Stage ingest: read documents from files or a table into the corpus table."""

from __future__ import annotations

import sys

from jobs.cli import main
from jobs.ingesting.settings import IngestSettings
from jobs.ingesting.stage import run

__all__ = ["IngestSettings", "run"]

if __name__ == "__main__":
    sys.exit(main(["ingest", *sys.argv[1:]]))
