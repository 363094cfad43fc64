"""The whole main path on a small real corpus and model, and what it found, on a laptop in minutes."""

from __future__ import annotations

import os
import shlex
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import Field

from jobs import detect_heads, ingest, probes, rank, score
from jobs.cli import main
from jobs.demo_inputs import corpus as demo_corpus
from jobs.demo_inputs.model import demo_model_path
from jobs.settings.stage import StageSettings
from jobs.spark.namespace import Namespace
from jobs.terminal.display import plain_table, printable

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

# Chosen for two cores in float32, where the job scores about 250 document tokens a second, both losses: 150
# documents of up to 1,200 characters are about 40,000 tokens. The paper has 800 probes of 4,096 tokens.
MAX_CHARS = 1200
NUM_PROBES = 16
PROBE_TOKENS = 900
WINDOW = 4096
NUM_SHOWN = 2

# Of one scorer: scores of different ones, which another --model makes, do not compare.
QUERIES = (
    "SELECT domain, count(*) AS documents, round(avg(influence_score), 3) AS mean_score, sum(num_tokens) AS tokens "
    "FROM rankings WHERE scorer_id = '{scorer_id}' GROUP BY domain ORDER BY mean_score DESC",
    "SELECT r.domain_rank, r.influence_score, c.source FROM rankings r JOIN corpus c USING (doc_id) "
    "WHERE r.scorer_id = '{scorer_id}' AND r.domain = 'code' ORDER BY r.domain_rank LIMIT 10",
    "SELECT domain, count(*) AS documents, sum(num_tokens) AS tokens FROM rankings "
    "WHERE scorer_id = '{scorer_id}' AND percentile >= 0.8 GROUP BY domain ORDER BY domain",
)


class DemoSettings(StageSettings):
    """Run ingest, probes, detect-heads, score and rank on this machine's own texts, and show what came out."""

    namespace: str = Field("./demo_data", description="folder for the demo's tables")
    model: str | None = Field(None, description="by default SmolLM2-135M-Instruct, which make setup installs")
    allow_implausible_model: bool = Field(False, description="with --model: take one that does not know plain text")
    per_domain: int = Field(30, ge=24, description="documents of each of the five domains")


def run(settings: DemoSettings, spark: SparkSession) -> None:
    """Every stage after the other; what is done already is left alone, so that a second run takes seconds."""
    from udfs.checkpoint import resolve_checkpoint

    started = time.monotonic()
    where, model = os.path.expanduser(settings.namespace), settings.model or demo_model_path()
    step(1, "Gather a corpus from what this machine has")
    file = demo_corpus.gather_demo_corpus(Path(where), MAX_CHARS, settings.per_domain)
    documents = ingest.IngestSettings(
        namespace=where,
        input=str(file),
        domain_column="domain",
        doc_id_column="doc_id",
        source_column="source",
        # Another version of a package brings another text under the same name.
        on_conflict="update",
    )
    ingest.run(documents, spark)
    step(2, f"Make {NUM_PROBES} look-up probes of {PROBE_TOKENS} tokens")
    made = probes.ProbesSettings(namespace=where, model=model, num_probes=NUM_PROBES, probe_tokens=PROBE_TOKENS)
    probes.run(made, spark)
    step(3, "Detect the heads that retrieve")
    heads_file = str(Path(where) / "heads.txt")
    allow = settings.allow_implausible_model
    detected = detect_heads.DetectHeadsSettings(
        namespace=where, model=model, heads_file=heads_file, allow_implausible_model=allow
    )
    detect_heads.run(detected, spark)
    step(4, "Score every document, with those heads and without them")
    window = min(WINDOW, resolve_checkpoint(model).max_positions)
    settings_of_score = score.ScoreSettings(
        namespace=where,
        model=model,
        dtype="float32",
        mode="reconcile",
        window=window,
        allow_implausible_model=allow,
    )
    scored = score.run(settings_of_score, spark)
    step(5, "Rank within domains")
    rank.run(rank.RankSettings(namespace=where, scorer_id=scored["scorer_id"]), spark)
    show_findings(spark, Namespace.parse(where), scored["scorer_id"])
    show_next_steps(where, scored["scorer_id"])
    print(f"\nDone in {time.monotonic() - started:,.0f} s.")


def step(number: int, title: str) -> None:
    """Say what comes next."""
    print(f"\n[{number}/5] {title}", flush=True)


def show_findings(spark: SparkSession, namespace: Namespace, scorer_id: str) -> None:
    """Print the best and the worst documents of each domain, and how fast they were scored."""
    from jobs.spark.statements import run_statement
    from schemas import corpus, rankings, runs

    tables = {"rankings": namespace.read(spark, rankings.TABLE), "documents": namespace.read(spark, corpus.TABLE)}
    values: dict[str, Any] = {"scorer_id": scorer_id, "num_shown": NUM_SHOWN}
    found = run_statement(spark, "demo_inputs/best_and_worst", values, **tables).collect()
    rows = [
        [
            row["domain"],
            f"{row['domain_rank']} of {row['domain_size']}",
            f"{row['influence_score']:.3f}",
            str(row["num_tokens"]),
            printable(row["source"] or row["doc_id"], 36),
            printable(" ".join((row["beginning"] or "").split()), 48),
        ]
        for row in found
    ]
    print(f"\nThe best and worst {NUM_SHOWN} of each domain (scores of different domains do not compare):\n")
    print(plain_table(["domain", "rank", "score", "tokens", "title", "begins"], rows))
    speed = namespace.read(spark, runs.TABLE).filter(f"scorer_id = '{scorer_id}' and tokens_per_second is not null")
    for row in speed.orderBy("started_at", ascending=False).limit(1).collect():
        print(f"\nScored {row['num_tokens']:,} tokens at {row['tokens_per_second']:,.0f} a second, both losses.")


def show_next_steps(where: str, scorer_id: str) -> None:
    """Print where the tables are, and queries that work when pasted."""
    program = Path(sys.argv[0]) if Path(sys.argv[0]).name == "attention-influence" else Path("attention-influence")
    shown = program.relative_to(Path.cwd()) if program.is_relative_to(Path.cwd()) else program
    print(f"\nThe tables are Delta folders in {Path(where).resolve()}. Queries to try:\n")
    for query in QUERIES:
        print(f'{shown} sql --namespace {shlex.quote(where)} "{query.format(scorer_id=scorer_id)}"')


if __name__ == "__main__":
    sys.exit(main(["demo", *sys.argv[1:]]))
