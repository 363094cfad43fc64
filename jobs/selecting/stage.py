"""Select: the best documents of each domain by a rule, joined with the tables that a person has."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from jobs.selecting.settings import SelectSettings

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

    from jobs.selecting.candidates import Lacking
    from jobs.selecting.rule import Totals


def run(settings: SelectSettings, spark: SparkSession) -> dict[str, Any]:
    """Write the selection and what it took of each domain, print that, and return it."""
    from pyspark.sql import functions as F

    from jobs.corpus.domains import known_domains, require_known_domains
    from jobs.corpus.scored import choose_scorer, no_live_score, require_scored
    from jobs.ranking.places import enough_tasks
    from jobs.selecting.candidates import find_candidates
    from jobs.selecting.joined_tables import open_tables
    from jobs.spark.namespace import Namespace
    from schemas import scores, selection_runs, selections
    from schemas.identity import identity

    namespace = Namespace.parse(settings.namespace)
    all_scores = namespace.read(spark, scores.TABLE)
    scorer_id = choose_scorer(spark, namespace, settings.scorer_id)
    require_scored(all_scores, scorer_id)
    if settings.domain:
        known = known_domains(spark, namespace, scorer_id, settings.document_table())
        require_known_domains("--domain", settings.domain, known)
    tables = open_tables(spark, namespace, settings, scorer_id)
    made_of = {
        "settings": json.dumps(settings.what_was_asked(), sort_keys=True),
        "source_versions": json.dumps(tables.versions, sort_keys=True),
    }
    # A table without versions may have other rows next time: what is made of it is a selection of its own.
    now = datetime.now(UTC)
    selection_id = identity(scorer_id, *made_of.values(), *([str(now)] if None in tables.versions.values() else []))
    if not settings.dry_run:
        namespace.create(spark, selections.TABLE)
        namespace.create(spark, selection_runs.TABLE)
    with (
        enough_tasks(spark, all_scores.count()),
        find_candidates(spark, tables, settings) as (candidates, lacking),
    ):
        selected, totals = select(spark, candidates, settings)
        # Known, perhaps, but with nothing to choose from: what it was given would go to no other domain.
        require_known_domains("--domain", settings.domain, {*totals, *lacking})
        domains = summary(spark, selected, totals, lacking, settings)
        if not domains:
            raise no_live_score(scorer_id, settings.document_table())
        if not settings.dry_run:
            rows = selected.withColumn("selection_id", F.lit(selection_id)).select(*selections.TABLE.schema.names)
            namespace.replace(rows, selections.TABLE, "selection_id", selection_id)
            of_all = {"selection_id": selection_id, "scorer_id": scorer_id, **made_of, "created_at": now}
            made = [tuple((row | of_all)[name] for name in selection_runs.TABLE.schema.names) for row in domains]
            made_rows = spark.createDataFrame(made, selection_runs.TABLE.schema)
            namespace.replace(made_rows, selection_runs.TABLE, "selection_id", selection_id)
    found = {"selection_id": selection_id, "scorer_id": scorer_id, "namespace": settings.namespace, "domains": domains}
    report(settings, found)
    return found


def select(spark: SparkSession, candidates: DataFrame, settings: SelectSettings) -> tuple[DataFrame, Totals]:
    """The candidates that the rule takes, and the documents and tokens of each domain that there were."""
    from jobs.ranking.bins import cut_into_bins
    from jobs.ranking.cutoffs import take_from_top
    from jobs.selecting.rule import limits
    from jobs.spark.statements import run_statement

    bins = cut_into_bins(spark, candidates)
    totals = bins.totals()
    if settings.rule != "threshold":
        return take_from_top(spark, bins, limits(settings, totals)), totals
    sign = -1.0 if settings.end == "bottom" else 1.0
    thresholds = [(domain, sign * settings.value(domain)) for domain in totals]
    rows = spark.createDataFrame(thresholds, "domain string, threshold double")
    return run_statement(spark, "selecting/above_threshold", documents=candidates, thresholds=rows), totals


def summary(
    spark: SparkSession, selected: DataFrame, totals: Totals, lacking: Lacking, settings: SelectSettings
) -> list[dict[str, Any]]:
    """What was taken of each domain, by which rule, and how many documents the joined tables lack."""
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
            **lacking.get(domain, {"without_quality": None, "without_cluster": None}),
            **taken.get(domain, nothing),
        }
        # A domain of which the joins leave nothing is shown, too.
        for domain, (num_documents, num_tokens) in sorted({**dict.fromkeys(lacking, (0, 0)), **totals}.items())
    ]


def report(settings: SelectSettings, found: dict[str, Any]) -> None:
    """Print what was selected, as a table or as JSON."""
    from jobs.terminal.display import plain_table, printable

    if settings.json_output:
        print(json.dumps(found))
        return
    rows = [
        [
            printable(row["domain"], 40),
            row["rule"],
            f"{row['num_documents']:,} of {row['num_candidates']:,}",
            f"{row['num_tokens']:,} of {row['candidate_tokens']:,}",
            "none" if row["cutoff_score"] is None else f"{row['cutoff_score']:.6g}",
        ]
        for row in found["domains"]
    ]
    print(plain_table(["domain", "rule", "documents", "tokens", "cut-off score"], rows))
    num_documents = sum(row["num_documents"] for row in found["domains"])
    num_tokens = sum(row["num_tokens"] for row in found["domains"])
    for table, name in ((settings.quality_table, "without_quality"), (settings.dedup_table, "without_cluster")):
        if table and (count := sum(row[name] for row in found["domains"])):
            what = "kept" if settings.missing == "keep" else "dropped"
            print(f"\n{count:,} scored documents are not in {printable(table, 80)}, and were {what}")
    would_be = "would be selected" if settings.dry_run else "selected"
    print(f"\n{would_be}: {num_documents:,} documents with {num_tokens:,} tokens as selection {found['selection_id']}")
