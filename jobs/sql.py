"""Stage sql: run Spark SQL over the namespace's tables by their bare names."""

from __future__ import annotations

import sys

from jobs.cli import main
from jobs.querying.sql import SqlSettings, run

__all__ = ["SqlSettings", "run"]

if __name__ == "__main__":
    sys.exit(main(["sql", *sys.argv[1:]]))
