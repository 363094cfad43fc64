"""Stage views: create the views current_scores, domain_summary, score_errors, selected_documents in a schema."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from jobs.cli import run_stage
from jobs.querying.views import ViewsSettings, run

__all__ = ["ViewsSettings", "main", "run"]


def main(argv: Sequence[str] | None = None) -> int:
    """Run the stage from the command line; returns the exit status."""
    return run_stage(ViewsSettings, run, argv)


if __name__ == "__main__":
    sys.exit(main())
