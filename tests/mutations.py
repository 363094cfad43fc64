"""python -m tests.mutations [NAME ...]: faults put into a copy of the project, each of which a test must catch.

For changes that make the tests cheaper: what was caught before must be caught afterwards. Each fault is one replaced
piece of text, and is tried with the tests that are there to catch it, which must pass without it. Run by hand: a fault
that Spark is needed for takes about a minute.
"""

from __future__ import annotations

import argparse
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from jobs.terminal.display import plain_table

ROOT = Path(__file__).parents[1]
COPIED = ("conf", "jobs", "notebooks", "schemas", "tests", "udfs", "pyproject.toml", "README.md", "CONTRIBUTING.md")


@dataclass(frozen=True)
class Mutation:
    """In file, the first before becomes after. tests: as pytest takes them, relative to the folder of tests."""

    file: str
    before: str
    after: str
    tests: str


MUTATIONS = (
    # The mathematics.
    Mutation("udfs/attention.py", "query[num_base_rows:, head] = 0", "query[:, head] = 0", "udfs/test_attention.py"),
    Mutation("udfs/attention.py", "output[num_base_rows:, :, head] = 0", "pass", "udfs/test_attention.py"),
    Mutation(
        "udfs/loss.py",
        "rows % input_ids.shape[0], positions + 1",
        "rows % input_ids.shape[0], positions",
        "udfs/test_loss.py",
    ),
    Mutation("udfs/loss.py", "losses.double().masked_fill", "losses.masked_fill", "udfs/test_loss.py"),
    Mutation(
        "udfs/windows.py",
        "range(0, len(token_ids), size)",
        "range(0, len(token_ids) - size, size)",
        "udfs/test_windows.py",
    ),
    Mutation(
        "udfs/head_choice.py",
        "math.ceil(round(top_fraction * len(scores), 9))",
        "math.ceil(top_fraction * len(scores))",
        "udfs/test_retrieval.py",
    ),
    Mutation(
        "udfs/head_mask.py",
        "for layer, head in sorted(heads)))\n",
        "for layer, head in heads))\n",
        "udfs/test_head_mask.py",
    ),
    Mutation(
        "udfs/known_checkpoints.py",
        "max(there.st_mtime_ns, there.st_ctime_ns)",
        "there.st_mtime_ns",
        "udfs/test_known_checkpoints.py",
    ),
    # From files to a corpus.
    Mutation(
        "jobs/ingesting/upgrade.py", '.option("dataChange", "false")', "", "jobs/ingesting/test_upgrade.py -k stream"
    ),
    Mutation(
        "jobs/ingesting/sql/compared.sql",
        "min(struct(domain, source, text_sha256))",
        "max(struct(domain, source, text_sha256))",
        "jobs/ingesting/test_ingest.py",
    ),
    Mutation(
        "jobs/ingesting/sql/documents.sql",
        "coalesce(sha2(text, 256), 'null')",
        "sha2(text, 256)",
        "jobs/ingesting/test_ingest.py",
    ),
    # Exactly once.
    Mutation(
        "jobs/scoring/pending.py",
        'documents.dropDuplicates(["doc_id", "text_sha256"])',
        "documents",
        "jobs/scoring/test_incremental.py -k twice_is_scored_once",
    ),
    Mutation(
        "jobs/scoring/pending.py",
        'F.col("status") != "failed"',
        'F.col("status") == "scored"',
        "jobs/scoring/test_incremental.py jobs/scoring/test_score.py -k 'bad_document or tried_again'",
    ),
    Mutation(
        "jobs/scoring/commit.py",
        'scored.hint("rebalance", "doc_id")',
        "scored",
        "jobs/scoring/test_commits.py -k one_file",
    ),
    Mutation(
        "jobs/scoring/history.py",
        '(F.col("state") == "finished")',
        '(F.col("state") != "failed")',
        "jobs/scoring/test_history.py",
    ),
    Mutation("jobs/scoring/history.py", "or _has_shrunk_by(commit)", "", "jobs/scoring/test_history.py"),
    Mutation(
        "jobs/scoring/failures.py",
        "log.num_new_failed <=",
        "log.num_new_failed <",
        "jobs/scoring/test_incremental.py -k 'failed or failures'",
    ),
    Mutation("jobs/scoring/budget.py", "max(smallest, min(", "min(smallest, max(", "jobs/scoring/test_budget.py"),
    # From scores to a mix.
    Mutation(
        "jobs/corpus/sql/current_scores.sql",
        "order by scored_at desc",
        "order by scored_at",
        "jobs/ranking/test_rank.py -k latest_counts",
    ),
    Mutation(
        "jobs/corpus/sql/live_scores.sql",
        "where live_texts.doc_id is not null or read_here.run_id is null",
        "",
        "jobs/ranking/test_rank.py -k corpus_has_now",
    ),
    Mutation(
        "jobs/ranking/sql/ranked_by_window.sql",
        "order by order_value desc, doc_id)",
        "order by order_value desc)",
        "jobs/ranking/test_ranking.py",
    ),
    Mutation("jobs/ranking/sql/ranked_in_bins.sql", "bins.tokens_before + ", "", "jobs/ranking/test_ranking.py"),
    Mutation(
        "jobs/ranking/cutoffs.py",
        "tokens > limit.max_tokens",
        "tokens >= limit.max_tokens + 2",
        "jobs/ranking/test_cutoffs.py",
    ),
    Mutation(
        "jobs/ranking/sql/within_limits.sql",
        "<= limits.max_tokens",
        "< limits.max_tokens",
        "jobs/selecting/test_selection.py -k 'tokens'",
    ),
    Mutation(
        "jobs/selecting/sql/one_of_each_cluster.sql",
        "if(cluster_id is null, doc_id, null)",
        "null",
        "jobs/selecting/test_selection.py -k cluster",
    ),
    Mutation(
        "jobs/selecting/candidates.py", '"quality": tables.quality, ', "", "jobs/selecting/test_selection.py -k lacks"
    ),
    Mutation("jobs/mixing/targets.py", "rest < 0 or", "", "jobs/mixing/test_mix.py -k 'shares'"),
    Mutation(
        "jobs/mixing/sql/mix_part.sql",
        "xxhash64(:seed, :origin, doc_id)",
        "xxhash64(:origin, doc_id)",
        "jobs/mixing/test_mix.py -k seed",
    ),
    Mutation("jobs/mixing/sql/mix_part.sql", "1 + floor(", "floor(", "jobs/mixing/test_mix.py -k repeated"),
    Mutation(
        "jobs/exporting/sql/compared.sql", "when num_same = 0 then 'changed'", "", "jobs/exporting/test_export.py"
    ),
    Mutation(
        "jobs/exporting/sql/expected.sql",
        "sequence(1, repeats)",
        "sequence(1, 1)",
        "jobs/exporting/test_export.py -k exactly_as_often",
    ),
    Mutation(
        "jobs/deduplicating/components.py", '"deduplicating/large_star", ', "", "jobs/deduplicating/test_components.py"
    ),
)


def main() -> None:
    """Try each fault, and print what became of it; exit status 1 where one was not caught."""
    parser = argparse.ArgumentParser(prog="python -m tests.mutations", description=__doc__)
    parser.add_argument("names", nargs="*", help="parts of file names; all faults by default")
    parser.add_argument("--code", type=Path, default=ROOT, help="another checkout, to try the faults that it has there")
    arguments = parser.parse_args()
    wanted = [m for m in MUTATIONS if not arguments.names or any(name in m.file for name in arguments.names)]
    rows = []
    for mutation in wanted:
        begin = time.monotonic()
        found = outcome(mutation, arguments.code)
        rows.append([found, mutation.file, f"{mutation.before[:40]!r}", f"{time.monotonic() - begin:.0f} s"])
        print(*rows[-1], file=sys.stderr, flush=True)
    print(plain_table(["outcome", "file", "what was replaced", "time"], rows))
    sys.exit(any(row[0] == "MISSED" for row in rows))


def outcome(mutation: Mutation, code: Path) -> str:
    """caught; MISSED; or why it could not be tried."""
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "copy"
        copy.mkdir()
        for name in COPIED:
            (shutil.copytree if (code / name).is_dir() else shutil.copy)(code / name, copy / name)
        file = copy / mutation.file
        text = file.read_text(encoding="utf-8") if file.exists() else ""
        if mutation.before not in text:
            return "no such text"
        file.write_text(text.replace(mutation.before, mutation.after, 1), encoding="utf-8")
        environment = os.environ | {"PYTHONPATH": str(copy), "OMP_NUM_THREADS": "1", "PYTHONDONTWRITEBYTECODE": "1"}
        done = subprocess.run(
            [sys.executable, "-m", "pytest", "-x", "-q", "--no-header", *shlex.split(mutation.tests)],
            cwd=copy / "tests",
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
    # 1: tests failed. Others: none was found, or pytest itself failed.
    return {0: "MISSED", 1: "caught"}.get(done.returncode, f"pytest ended with {done.returncode}")


if __name__ == "__main__":
    main()
