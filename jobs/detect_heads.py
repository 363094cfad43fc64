"""Stage detect-heads: find a model's retrieval heads with the probes, and write them as a mask."""

from __future__ import annotations

import sys

from jobs.cli import main
from jobs.heads.detection import DetectHeadsSettings, run

__all__ = ["DetectHeadsSettings", "run"]

if __name__ == "__main__":
    sys.exit(main(["detect-heads", *sys.argv[1:]]))
