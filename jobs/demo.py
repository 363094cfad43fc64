"""The main path, from texts to ranks, on a small real corpus and model: on a laptop, in minutes."""

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
from jobs.run import Step, run_steps
from jobs.settings.stage import StageSettings
from jobs.spark.namespace import Namespace
from jobs.terminal.display import plain_table, printable

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

# Chosen for two cores, which score about 250 document tokens per second in float32, both losses: 150 documents of up to
# 1,200 characters are about 40,000 tokens. The paper has 800 probes of 4,096 tokens.
MAX_CHARS = 1200
NUM_PROBES = 16
PROBE_TOKENS = 900
WINDOW = 4096
NUM_SHOWN = 2

# All ask for one scorer: scores of different ones, which another --model makes, do not compare.
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
    model: str | None = Field(
        None, description="model to use; by default SmolLM2-135M-Instruct, which make setup installs"
    )
    allow_implausible_model: bool = Field(False, description="with --model: accept one that reads plain text poorly")
    per_domain: int = Field(30, ge=24, description="documents of each of the five domains")


def run(settings: DemoSettings, spark: SparkSession) -> None:
    """Run one stage after the other; they skip what is done already, so that a second run takes seconds."""
    started = time.monotonic()
    namespace = os.path.expanduser(settings.namespace)
    results = run_steps(stages_of(settings, namespace), spark, go_on="run the demo again once that is mended")
    scorer_id = str(results["score"]["scorer_id"])
    show_findings(spark, Namespace.parse(namespace), scorer_id)
    show_next_steps(namespace, scorer_id)
    print(f"\nDone in {time.monotonic() - started:,.0f} s.")


def stages_of(settings: DemoSettings, namespace: str) -> list[Step]:
    """The demo's stages with their settings; the corpus is gathered into a file of the namespace's folder first."""
    from udfs.known_checkpoints import remembered_checkpoint, resolve_and_remember

    model = settings.model or demo_model_path()
    checkpoint = remembered_checkpoint(model) or resolve_and_remember(model)
    file = demo_corpus.gather_demo_corpus(Path(namespace), MAX_CHARS, settings.per_domain)
    documents = ingest.IngestSettings(
        namespace=namespace,
        input=str(file),
        domain_column="domain",
        doc_id_column="doc_id",
        source_column="source",
        # Another version of a package has another text under the same name.
        on_conflict="update",
    )
    looked_up = probes.ProbesSettings(
        namespace=namespace, model=model, num_probes=NUM_PROBES, probe_tokens=PROBE_TOKENS
    )
    detected = detect_heads.DetectHeadsSettings(
        namespace=namespace,
        model=model,
        heads_file=str(Path(namespace) / "heads.txt"),
        allow_implausible_model=settings.allow_implausible_model,
    )
    scored = score.ScoreSettings(
        namespace=namespace,
        model=model,
        dtype="float32",
        window=min(WINDOW, checkpoint.max_positions),
        allow_implausible_model=settings.allow_implausible_model,
    )
    ranked = rank.RankSettings(namespace=namespace)
    return [
        Step("ingest", documents, title="Gather a corpus from what this machine has"),
        Step("probes", looked_up, title=f"Make {NUM_PROBES} look-up probes of {PROBE_TOKENS} tokens"),
        Step("detect-heads", detected, title="Detect the heads that retrieve"),
        Step("score", scored, title="Score every document, with those heads and without them", adapt=follow_or_compare),
        Step("rank", ranked, title="Rank within domains"),
    ]


def follow_or_compare(scored: score.ScoreSettings, results: dict[str, Any]) -> score.ScoreSettings:
    """The settings in the mode that suits what was ingested: a stream cannot follow documents that were changed."""
    counts = results["ingest"]
    is_changed = any(counts[name] for name in ("num_other_text", "num_other_domain", "num_other_source"))
    return scored.model_copy(update={"mode": "reconcile" if is_changed else "stream"})


def show_findings(spark: SparkSession, namespace: Namespace, scorer_id: str) -> None:
    """Print the best and the worst documents of each domain, and how fast they were scored."""
    from jobs.spark.statements import run_statement
    from schemas import corpus, rankings, runs

    tables = {"rankings": namespace.read(spark, rankings.TABLE), "documents": namespace.read(spark, corpus.TABLE)}
    values: dict[str, Any] = {"scorer_id": scorer_id, "num_shown": NUM_SHOWN}
    documents = run_statement(spark, "demo_inputs/best_and_worst", values, **tables).collect()
    rows = [
        [
            row["domain"],
            f"{row['domain_rank']} of {row['domain_size']}",
            f"{row['influence_score']:.3f}",
            str(row["num_tokens"]),
            printable(row["source"] or row["doc_id"], 36),
            printable(" ".join((row["beginning"] or "").split()), 48),
        ]
        for row in documents
    ]
    print(f"\nThe best and worst {NUM_SHOWN} of each domain (scores of different domains do not compare):\n")
    print(plain_table(["domain", "rank", "score", "tokens", "title", "begins"], rows))
    speed = namespace.read(spark, runs.TABLE).filter(f"scorer_id = '{scorer_id}' and tokens_per_second is not null")
    for row in speed.orderBy("started_at", ascending=False).limit(1).collect():
        print(f"\nScored {row['num_tokens']:,} tokens at {row['tokens_per_second']:,.0f} a second, both losses.")


def show_next_steps(namespace: str, scorer_id: str) -> None:
    """Print where the tables are, and queries that work when pasted."""
    program = Path(sys.argv[0]) if Path(sys.argv[0]).name == "attention-influence" else Path("attention-influence")
    shown = program.relative_to(Path.cwd()) if program.is_relative_to(Path.cwd()) else program
    print(f"\nThe tables are Delta folders in {Path(namespace).resolve()}. Queries to try:\n")
    for query in QUERIES:
        print(f'{shown} sql --namespace {shlex.quote(namespace)} "{query.format(scorer_id=scorer_id)}"')


if __name__ == "__main__":
    sys.exit(main(["demo", *sys.argv[1:]]))
