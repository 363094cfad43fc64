"""Select: the best documents of each domain by a rule, joined with a person's own tables."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from jobs.selecting.settings import SelectSettings

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

    from jobs.selecting.candidates import Unmatched
    from jobs.selecting.rule import Totals
    from jobs.spark.namespace import Namespace


def run(settings: SelectSettings, spark: SparkSession) -> dict[str, Any]:
    """Write the selection and what it took of each domain, print that, and return it."""
    from jobs.corpus.domains import known_domains, require_known_domains
    from jobs.corpus.scored import choose_scorer, no_live_score
    from jobs.selecting.candidates import find_candidates
    from jobs.selecting.joined_tables import open_tables
    from jobs.spark.caching import persisted
    from jobs.spark.namespace import Namespace
    from jobs.spark.tasks import enough_tasks
    from schemas import selection_runs, selections

    namespace = Namespace.parse(settings.namespace)
    scorer_id, num_rows = choose_scorer(spark, namespace, settings.scorer_id)
    source = settings.document_table()
    if settings.domain:
        known = known_domains(spark, namespace, scorer_id=scorer_id, source=source)
        require_known_domains("--domain", settings.domain, known)
    tables = open_tables(spark, namespace, settings=settings, scorer_id=scorer_id, num_rows=num_rows)
    about = _about(settings, scorer_id, tables.versions)
    if not settings.dry_run:
        namespace.create(spark, selections.TABLE)
        namespace.create(spark, selection_runs.TABLE)
    with (
        enough_tasks(spark, num_rows, is_small=tables.is_small),
        find_candidates(spark, tables, settings) as (candidates, unmatched),
    ):
        selected, totals = select(spark, candidates, num_rows=num_rows, settings=settings)
        # A domain may be known and have nothing to choose from: the tokens given to it would go to no other.
        require_known_domains("--domain", settings.domain, {*totals, *unmatched})
        with persisted(selected):
            domains = summary(spark, selected, totals=totals, unmatched=unmatched, settings=settings)
            if not domains:
                raise no_live_score(scorer_id, source)
            if not settings.dry_run:
                _write(spark, namespace, about=about, selected=selected, domains=domains)
    ids = {name: about[name] for name in ("selection_id", "scorer_id")}
    result = {**ids, "namespace": settings.namespace, "domains": domains}
    report(settings, result)
    return result


def _about(settings: SelectSettings, scorer_id: str, versions: dict[str, int | None]) -> dict[str, Any]:
    """The columns of selection_runs that all its rows share; selection_id is a hash of what was read and asked."""
    from schemas.identity import identity

    made_of = {
        "settings": json.dumps(settings.what_was_asked(), sort_keys=True),
        "source_versions": json.dumps(versions, sort_keys=True),
    }
    now = datetime.now(UTC)
    # A table without versions may have other rows next time: what is made of it is a selection of its own.
    unversioned = [str(now)] if None in versions.values() else []
    selection_id = identity(scorer_id, *made_of.values(), *unversioned)
    return {"selection_id": selection_id, "scorer_id": scorer_id, **made_of, "created_at": now}


def _write(
    spark: SparkSession,
    namespace: Namespace,
    *,
    about: dict[str, Any],
    selected: DataFrame,
    domains: list[dict[str, Any]],
) -> None:
    """Replace the rows of this selection, first the documents, then what was taken of each domain."""
    from pyspark.sql import functions as F

    from jobs.spark.statements import local_rows
    from schemas import selection_runs, selections

    selection_id = about["selection_id"]
    rows = selected.withColumn("selection_id", F.lit(selection_id)).select(*selections.TABLE.schema.names)
    namespace.replace(rows, selections.TABLE, column="selection_id", value=selection_id)
    runs = [tuple((row | about)[name] for name in selection_runs.TABLE.schema.names) for row in domains]
    run_rows = local_rows(spark, runs, selection_runs.TABLE.schema)
    namespace.replace(run_rows, selection_runs.TABLE, column="selection_id", value=selection_id)


def select(
    spark: SparkSession, candidates: DataFrame, *, num_rows: int, settings: SelectSettings
) -> tuple[DataFrame, Totals]:
    """The candidates that the rule takes, and how many documents and tokens there were in each domain."""
    from jobs.ranking.order import domain_totals, take_first
    from jobs.selecting.rule import limits
    from jobs.spark.statements import local_rows, run_statement

    totals = domain_totals(candidates)
    if settings.rule != "threshold":
        return take_first(spark, candidates, num_rows=num_rows, limits=limits(settings, totals)), totals
    sign = -1.0 if settings.end == "bottom" else 1.0
    thresholds = [(domain, sign * settings.value(domain)) for domain in totals]
    rows = local_rows(spark, thresholds, "domain string, threshold double")
    return run_statement(spark, "selecting/above_threshold", documents=candidates, thresholds=rows), totals


def summary(
    spark: SparkSession, selected: DataFrame, *, totals: Totals, unmatched: Unmatched, settings: SelectSettings
) -> list[dict[str, Any]]:
    """For each domain: its rule, what was taken, and how many of its documents the joined tables do not have."""
    from jobs.spark.statements import run_statement

    sign = {"sign": -1 if settings.end == "bottom" else 1}
    rows = run_statement(spark, "selecting/selection_summary", sign, selected=selected).collect()
    nothing = {"num_documents": 0, "num_tokens": 0, "cutoff_order_value": None, "cutoff_score": None}
    taken = {row["domain"]: row.asDict() for row in rows}
    where = "" if settings.end == "top" else ", from the bottom"
    return [
        {
            "domain": domain,
            "rule": f"{settings.rule.replace('_', ' ')} {settings.value(domain):.12g}{where}",
            "num_candidates": num_documents,
            "candidate_tokens": num_tokens,
            **unmatched.get(domain, {"without_quality": None, "without_cluster": None}),
            **taken.get(domain, nothing),
        }
        # A domain of which the joins leave nothing is listed, too.
        for domain, (num_documents, num_tokens) in sorted({**dict.fromkeys(unmatched, (0, 0)), **totals}.items())
    ]


def report(settings: SelectSettings, result: dict[str, Any]) -> None:
    """Print what was selected, as a table or as JSON."""
    from jobs.terminal.display import plain_table, printable

    if settings.json_output:
        print(json.dumps(result))
        return
    rows = [
        [
            printable(row["domain"], 40),
            row["rule"],
            f"{row['num_documents']:,} of {row['num_candidates']:,}",
            f"{row['num_tokens']:,} of {row['candidate_tokens']:,}",
            "none" if row["cutoff_score"] is None else f"{row['cutoff_score']:.6g}",
        ]
        for row in result["domains"]
    ]
    print(plain_table(["domain", "rule", "documents", "tokens", "cut-off score"], rows))
    num_documents = sum(row["num_documents"] for row in result["domains"])
    num_tokens = sum(row["num_tokens"] for row in result["domains"])
    for table, name in ((settings.quality_table, "without_quality"), (settings.dedup_table, "without_cluster")):
        if table and (count := sum(row[name] for row in result["domains"])):
            what = "kept" if settings.missing == "keep" else "dropped"
            print(f"\n{count:,} scored documents are not in {printable(table, 80)}, and were {what}")
    would_be = "would be selected" if settings.dry_run else "selected"
    print(f"\n{would_be}: {num_documents:,} documents with {num_tokens:,} tokens as selection {result['selection_id']}")
