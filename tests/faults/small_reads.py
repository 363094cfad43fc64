"""The score stage, reading one file of its source at a time: python -m tests.faults.small_reads --flags."""

from __future__ import annotations

import sys

from jobs import score
from jobs.scoring import stream

if __name__ == "__main__":
    stream.MAX_BYTES_PER_READ = 1
    sys.exit(score.main(sys.argv[1:]))
