"""Stage estimate: say how long scoring would take and what it would cost, before it is spent."""

from __future__ import annotations

import sys

from jobs.cli import main
from jobs.scoring.estimate import EstimateSettings, run

__all__ = ["EstimateSettings", "run"]

if __name__ == "__main__":
    sys.exit(main(["estimate", *sys.argv[1:]]))
