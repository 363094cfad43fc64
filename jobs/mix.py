"""Stage mix: mix a selection with the corpus that it is of, as an index."""

from __future__ import annotations

import sys

from jobs.cli import main
from jobs.mixing.settings import MixSettings
from jobs.mixing.stage import run

__all__ = ["MixSettings", "run"]

if __name__ == "__main__":
    sys.exit(main(["mix", *sys.argv[1:]]))
