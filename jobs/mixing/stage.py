"""Mix: an index of a training mix, made of a selection and of the corpus that it was selected from."""

from __future__ import annotations

import json
from contextlib import ExitStack
from datetime import UTC, datetime
from fractions import Fraction
from functools import reduce
from typing import TYPE_CHECKING, Any

from jobs.mixing.settings import MixSettings

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, Row, SparkSession

    from jobs.spark.namespace import Namespace


def run(settings: MixSettings, spark: SparkSession) -> dict[str, Any]:
    """Write the mix and what it holds, print that, and return it."""
    from pyspark.sql import functions as F

    from jobs.corpus.domains import known_domains, require_known_domains
    from jobs.mixing.parts import choose_selection, count_drawn, draw, read_parts, summary
    from jobs.spark.caching import persisted
    from jobs.spark.namespace import Namespace
    from jobs.spark.tasks import enough_tasks
    from schemas import mixture, mixture_runs

    namespace = Namespace.parse(settings.namespace)
    selection = choose_selection(spark, namespace, settings.selection_id)
    if settings.domain_share:
        known = known_domains(spark, namespace, scorer_id=selection["scorer_id"], source=settings.document_table())
        require_known_domains("--domain-share", settings.domain_share, known)
    parts = read_parts(spark, namespace, settings=settings, selection=selection)
    about = _about(settings, selection, parts.versions)
    mixture_id = about["mixture_id"]
    with ExitStack() as stack:
        stack.enter_context(enough_tasks(spark, parts.num_rows, is_small=parts.is_small))
        drawn = {
            origin: stack.enter_context(persisted(draw(spark, part, settings=settings, origin=origin)))
            for origin, part in parts.documents.items()
        }
        available = count_drawn(drawn)
        targets = _targets(settings, available)
        namespace.create(spark, mixture.TABLE)
        namespace.create(spark, mixture_runs.TABLE)
        rows = _take(spark, parts.num_rows, drawn=drawn, targets=targets).withColumn("mixture_id", F.lit(mixture_id))
        rows = stack.enter_context(persisted(rows.select(*mixture.TABLE.schema.names)))
        held = summary(spark, rows, available=available, targets=targets)
        namespace.replace(rows, mixture.TABLE, column="mixture_id", value=mixture_id)
    _write_runs(spark, namespace, about=about, held=held)
    result = {"mixture_id": mixture_id, **selection, "namespace": settings.namespace, "parts": held}
    report(settings, result)
    return result


def _about(settings: MixSettings, selection: dict[str, str], versions: dict[str, int | None]) -> dict[str, Any]:
    """The columns of mixture_runs that all its rows share; mixture_id is a hash of what was read and asked."""
    from schemas import selections
    from schemas.identity import identity

    # The selection is part of the identity by itself, whether it was named or is the only one.
    other = {"namespace", "config", "json_output", "selection_id", "text_sha256_column"}
    asked = json.dumps(settings.model_dump(exclude=other), sort_keys=True)
    # A selection's rows follow from its id, whatever else has been selected since.
    others = {name: version for name, version in versions.items() if name != selections.TABLE.name}
    now = datetime.now(UTC)
    # A table without versions may have other rows next time: what is made of it is a mix of its own.
    unversioned = [str(now)] if None in others.values() else []
    return {
        **selection,
        "mixture_id": identity(selection["selection_id"], asked, json.dumps(others, sort_keys=True), *unversioned),
        "settings": asked,
        "source_versions": json.dumps(versions, sort_keys=True),
        "created_at": now,
    }


def _write_runs(spark: SparkSession, namespace: Namespace, about: dict[str, Any], held: list[dict[str, Any]]) -> None:
    """Replace what mixture_runs says of this mix: one row per part and domain."""
    from jobs.spark.statements import local_rows
    from schemas import mixture_runs

    rows = [tuple((row | about)[name] for name in mixture_runs.TABLE.schema.names) for row in held]
    table = local_rows(spark, rows, mixture_runs.TABLE.schema)
    namespace.replace(table, mixture_runs.TABLE, column="mixture_id", value=about["mixture_id"])


def _targets(settings: MixSettings, available: list[Row]) -> dict[str, dict[str, int]]:
    """From each part to its domains' tokens."""
    from jobs.mixing.targets import part_targets

    selected_share = Fraction(str(settings.selected_share))
    shares = {"selected": selected_share, "baseline": 1 - selected_share}
    tokens: dict[str, dict[str, int]] = {origin: {} for origin, share in shares.items() if share}
    for row in sorted(available, key=lambda row: str(row["domain"])):
        tokens[row["origin"]][row["domain"]] = row["tokens"]
    return part_targets(
        tokens,
        shares,
        wanted=settings.domain_share,
        total=None if settings.tokens is None else int(settings.tokens),
    )


def _take(
    spark: SparkSession, num_rows: int, *, drawn: dict[str, DataFrame], targets: dict[str, dict[str, int]]
) -> DataFrame:
    """The documents of all parts, each with its origin, and num_tokens without repeats."""
    from pyspark.sql import functions as F

    from jobs.ranking.cutoffs import Limit
    from jobs.ranking.order import take_first

    parts = [
        take_first(
            spark,
            drawn[origin],
            num_rows=num_rows,
            limits={domain: Limit(max_tokens=tokens) for domain, tokens in of_domains.items()},
        ).withColumns({"origin": F.lit(origin), "num_tokens": F.col("tokens_once")})
        for origin, of_domains in targets.items()
    ]
    return reduce(lambda above, below: above.unionByName(below), parts)


def report(settings: MixSettings, result: dict[str, Any]) -> None:
    """Print what the mix holds, as a table or as JSON."""
    from jobs.terminal.display import plain_table, printable

    if settings.json_output:
        print(json.dumps(result))
        return
    rows = [
        [
            row["origin"],
            printable(row["domain"], 40),
            f"{row['num_documents']:,} of {row['available_documents']:,}",
            f"{row['num_tokens']:,} of {row['available_tokens']:,}",
            f"{row['epochs']:.3f}",
        ]
        for row in result["parts"]
    ]
    print(plain_table(["part", "domain", "documents", "tokens", "epochs"], rows))
    in_all = sum(row["num_tokens"] for row in result["parts"])
    for origin in dict.fromkeys(row["origin"] for row in result["parts"]):
        of_part = [row for row in result["parts"] if row["origin"] == origin]
        tokens, available = (sum(row[name] for row in of_part) for name in ("num_tokens", "available_tokens"))
        print(f"{origin}: {tokens:,} tokens, {tokens / max(in_all, 1):.1%} of the mix, {tokens / available:.3f} epochs")
    print(f"mixed {in_all:,} tokens as {result['mixture_id']}")
