"""The score stage, reading one file of its source at a time: python -m tests.faults.small_reads --flags."""

from __future__ import annotations

import sys

from jobs.cli import main
from jobs.scoring import stream

if __name__ == "__main__":
    stream.MAX_BYTES_PER_READ = 1
    sys.exit(main(["score", *sys.argv[1:]]))
