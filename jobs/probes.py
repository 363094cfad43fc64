"""Stage probes: make the look-up probes that show which heads retrieve."""

from __future__ import annotations

import sys

from jobs.cli import main
from jobs.heads.probes import ProbesSettings, run

__all__ = ["ProbesSettings", "run"]

if __name__ == "__main__":
    sys.exit(main(["probes", *sys.argv[1:]]))
