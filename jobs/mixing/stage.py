"""Mix: an index of a training mix, of a selection and of the corpus that it was selected from."""

from __future__ import annotations

import json
from contextlib import ExitStack
from datetime import UTC, datetime
from fractions import Fraction
from functools import reduce
from typing import TYPE_CHECKING, Any

from jobs.mixing.settings import MixSettings

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


def run(settings: MixSettings, spark: SparkSession) -> dict[str, Any]:
    """Write the mix and what it holds, print that, and return it."""
    from pyspark.sql import functions as F

    from jobs.corpus.domains import known_domains, require_known_domains
    from jobs.mixing.parts import choose_selection, draw, read_parts, summary
    from jobs.mixing.targets import part_targets
    from jobs.ranking.bins import cut_into_bins
    from jobs.ranking.cutoffs import Limit, take_from_top
    from jobs.ranking.places import enough_tasks
    from jobs.spark.caching import persisted
    from jobs.spark.namespace import Namespace
    from schemas import mixture, mixture_runs, scores

    namespace = Namespace.parse(settings.namespace)
    selection = choose_selection(spark, namespace, settings.selection_id)
    if settings.domain_share:
        known = known_domains(spark, namespace, selection["scorer_id"], settings.document_table())
        require_known_domains("--domain-share", settings.domain_share, known)
    parts, versions = read_parts(spark, namespace, settings, selection)
    now = datetime.now(UTC)
    asked, mixture_id = _identity(settings, selection, versions, now)
    with ExitStack() as stack:
        # No part has more documents than there are scores, which Delta counts without reading them.
        stack.enter_context(enough_tasks(spark, namespace.read(spark, scores.TABLE).count()))
        drawn = {
            origin: stack.enter_context(persisted(draw(spark, settings, origin, part)))
            for origin, part in parts.items()
        }
        bins = {origin: cut_into_bins(spark, documents) for origin, documents in drawn.items()}
        tokens = {origin: {domain: t for domain, (_, t) in cut.totals().items()} for origin, cut in bins.items()}
        share = Fraction(str(settings.selected_share))
        total = None if settings.tokens is None else int(settings.tokens)
        targets = part_targets(tokens, {"selected": share, "baseline": 1 - share}, settings.domain_share, total)
        namespace.create(spark, mixture.TABLE)
        namespace.create(spark, mixture_runs.TABLE)
        taken = [
            take_from_top(spark, bins[origin], {domain: Limit(max_tokens=t) for domain, t in of_domains.items()})
            .withColumns({"origin": F.lit(origin), "mixture_id": F.lit(mixture_id), "num_tokens": F.col("tokens_once")})
            .select(*mixture.TABLE.schema.names)
            for origin, of_domains in targets.items()
        ]
        namespace.replace(reduce(lambda a, b: a.unionByName(b), taken), mixture.TABLE, "mixture_id", mixture_id)
        held = summary(spark, namespace, mixture_id, drawn, targets)
    run_values = {
        **selection,
        "mixture_id": mixture_id,
        "settings": asked,
        "source_versions": json.dumps(versions, sort_keys=True),
        "created_at": now,
    }
    rows = [tuple((row | run_values)[name] for name in mixture_runs.TABLE.schema.names) for row in held]
    namespace.replace(
        spark.createDataFrame(rows, mixture_runs.TABLE.schema), mixture_runs.TABLE, "mixture_id", mixture_id
    )
    found = {"mixture_id": mixture_id, **selection, "namespace": settings.namespace, "parts": held}
    report(settings, found)
    return found


def _identity(
    settings: MixSettings, selection: dict[str, str], versions: dict[str, int | None], now: datetime
) -> tuple[str, str]:
    """(the settings that decide what is mixed, as JSON; the mix's id, by them and what was read)."""
    from schemas import selections
    from schemas.identity import identity

    # The identity has the selection beside them, whether it was named or is the only one.
    asked = json.dumps(
        settings.model_dump(exclude={"namespace", "config", "json_output", "selection_id"}), sort_keys=True
    )
    # A selection's rows follow from its id, whatever else has been selected since.
    others = {name: version for name, version in versions.items() if name != selections.TABLE.name}
    # A table without versions may have other rows next time: what is made of it is a mix of its own.
    unversioned = [str(now)] if None in others.values() else []
    return asked, identity(selection["selection_id"], asked, json.dumps(others, sort_keys=True), *unversioned)


def report(settings: MixSettings, found: dict[str, Any]) -> None:
    """Print what the mix holds, as a table or as JSON."""
    from jobs.terminal.display import plain_table, printable

    if settings.json_output:
        print(json.dumps(found))
        return
    rows = [
        [
            row["origin"],
            printable(row["domain"], 40),
            f"{row['num_documents']:,} of {row['available_documents']:,}",
            f"{row['num_tokens']:,} of {row['available_tokens']:,}",
            f"{row['epochs']:.3f}",
        ]
        for row in found["parts"]
    ]
    print(plain_table(["part", "domain", "documents", "tokens", "epochs"], rows))
    in_all = sum(row["num_tokens"] for row in found["parts"])
    for origin in dict.fromkeys(row["origin"] for row in found["parts"]):
        of_part = [row for row in found["parts"] if row["origin"] == origin]
        tokens, available = (sum(row[name] for row in of_part) for name in ("num_tokens", "available_tokens"))
        print(f"{origin}: {tokens:,} tokens, {tokens / max(in_all, 1):.1%} of the mix, {tokens / available:.3f} epochs")
    print(f"mixed {in_all:,} tokens as {found['mixture_id']}")
