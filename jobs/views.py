"""Stage views: create the views current_scores, domain_summary, score_errors, selected_documents in a schema."""

from __future__ import annotations

import sys

from jobs.cli import main
from jobs.querying.views import ViewsSettings, run

__all__ = ["ViewsSettings", "run"]

if __name__ == "__main__":
    sys.exit(main(["views", *sys.argv[1:]]))
