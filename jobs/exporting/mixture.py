"""The mix to export: which one, what its shards must hold, and whether the texts that were scored are still there."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC
from typing import TYPE_CHECKING, Any

from jobs.corpus.choices import only_or_named
from jobs.corpus.documents import example_ids
from jobs.terminal.display import printable

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, Row, SparkSession

    from jobs.spark.namespace import Namespace
    from schemas.contract import TableContract

_OTHER_CORPUS = (
    "bring back the corpus that was scored, or score, select and mix again, with the same --corpus-table each time"
)
# From each state in compared.sql to what is wrong with such documents, and what to do.
PROBLEMS = {
    "changed": ("have another text now", _OTHER_CORPUS),
    "missing": ("are gone from the corpus", _OTHER_CORPUS),
    "repeated": (
        "are in several rows of the corpus",
        "leave one row of each, or name a table or view that has one with --corpus-table",
    ),
    "unwritable": (
        "have an id that is no UTF-8",
        "name ids that are text with --doc-id-column, and score, select and mix by them",
    ),
}


@dataclass(frozen=True)
class Mix:
    """A mix: its rows of the mixture table, their counts by part and domain, and what mixture_runs says of it.

    about: as it goes into the manifest; epochs: by origin and domain; versions: of the tables that were read.
    """

    mixture_id: str
    about: dict[str, Any]
    rows: DataFrame
    parts: list[Row]
    epochs: dict[tuple[str, str], float]
    versions: dict[str, int | None]


def find_mix(spark: SparkSession, namespace: Namespace, mixture_id: str | None) -> Mix:
    """The mix that was named, or the only one; ValueError, with a list, where there is no such one, or it is empty."""
    from pyspark.sql import functions as F

    from jobs.spark.statements import run_statement
    from schemas import mixture, mixture_runs

    tables, versions = {}, {}
    for contract in (mixture_runs.TABLE, mixture.TABLE):
        tables[contract.name], versions[contract.name] = namespace.read_at_newest_version(spark, contract)
    runs = tables[mixture_runs.TABLE.name]
    known = run_statement(spark, "exporting/mixtures", mixture_runs=runs).collect()
    chosen = _choose_mix(namespace, known, mixture_id)
    rows = tables[mixture.TABLE.name].where(F.col("mixture_id") == chosen["mixture_id"])
    if not chosen["num_documents"]:
        raise ValueError(
            f"mix {chosen['mixture_id']} of namespace {namespace} holds no document; mix again: attention-influence mix"
        )
    about = {
        "mixture_id": chosen["mixture_id"],
        "selection_id": chosen["selection_id"],
        "scorer_id": chosen["scorer_id"],
        "mixture": _how_made(chosen),
    }
    promised = {
        (row["origin"], row["domain"]): row
        for row in runs.where(F.col("mixture_id") == chosen["mixture_id"]).orderBy("origin", "domain").collect()
    }
    parts = run_statement(spark, "exporting/expected", mixture=rows).collect()
    _require_agreement(chosen["mixture_id"], parts, promised)
    epochs = {key: row["epochs"] for key, row in promised.items()}
    return Mix(mixture_id=chosen["mixture_id"], about=about, rows=rows, parts=parts, epochs=epochs, versions=versions)


def find_selection(spark: SparkSession, namespace: Namespace, mix: Mix) -> dict[str, Any] | None:
    """How the mix's selection was made, and what it took of each domain; None where the namespace does not have it."""
    from schemas import selection_runs

    rows = rows_of(spark, namespace, contract=selection_runs.TABLE, mix=mix)
    if not rows:
        return None
    of_all_domains = {"selection_id", "scorer_id", "settings", "source_versions", "created_at"}
    domains = [{name: value for name, value in row.asDict().items() if name not in of_all_domains} for row in rows]
    return _how_made(rows[0]) | {"domains": domains}


def rows_of(spark: SparkSession, namespace: Namespace, *, contract: TableContract, mix: Mix) -> list[Row]:
    """The table's rows of this mix's selection or scorer, as far as the namespace still has them."""
    from pyspark.sql import functions as F

    if not namespace.exists(spark, contract.name):
        return []
    key = contract.key[0]
    rows = namespace.read(spark, contract).where(F.col(key) == mix.about[key])
    return rows.orderBy(*contract.key).collect()


def require_scored_texts(spark: SparkSession, mix: Mix, documents: DataFrame) -> int:
    """The mix's bytes of text, repeats counted.

    documents: as read_documents returns them. Raises ValueError unless each document of the mix is in one row, with the
    text that was scored and an id that can be written.
    """
    from pyspark.sql import functions as F

    from jobs.spark.statements import run_statement

    compared = run_statement(
        spark,
        "exporting/compared",
        mixture=mix.rows,
        documents=documents.select("doc_id", "text_sha256", "num_bytes"),
    )
    counts = compared.groupBy("state").agg(F.count("*").alias("num_documents"), F.sum("num_bytes").alias("num_bytes"))
    states = {row["state"]: row for row in counts.collect()}
    wrong = [state for state in PROBLEMS if state in states]
    if wrong:
        total = sum(row["num_documents"] for row in states.values())
        problems = ", ".join(
            f"{states[state]['num_documents']:,} {PROBLEMS[state][0]} "
            f"(such as {example_ids(compared.where(F.col('state') == state))})"
            for state in wrong
        )
        remedies = "; ".join(dict.fromkeys(PROBLEMS[state][1] for state in wrong))
        raise ValueError(
            f"of the {total:,} documents of mix {mix.mixture_id}, {problems}; nothing was written: {remedies}"
        )
    return int(states["same"]["num_bytes"])


def _choose_mix(namespace: Namespace, known: list[Row], mixture_id: str | None) -> Row:
    return only_or_named(
        namespace,
        known,
        mixture_id,
        key="mixture_id",
        missing=f"mix yet; make one first: attention-influence mix --namespace {namespace}",
        several=f"{len(known)} mixes",
        describe=lambda row: (
            f"of selection {row['selection_id']}, {row['num_documents']:,} documents, {row['num_tokens']:,} tokens, "
            f"since {row['created_at']:%Y-%m-%d %H:%M}"
        ),
    )


def _require_agreement(mixture_id: str, parts: list[Row], promised: dict[tuple[str, str], Row]) -> None:
    held = {(row["origin"], row["domain"]): (row["num_documents"], row["num_tokens"]) for row in parts}
    for key in sorted(held.keys() | promised.keys()):
        row = promised.get(key)
        said = (row["num_documents"], row["num_tokens"]) if row else (0, 0)
        got = held.get(key, (0, 0))
        if said != got:
            raise ValueError(
                f"mix {mixture_id} is not whole: of {key[0]} {printable(key[1], 60)}, mixture holds {got[0]:,} "
                f"documents with {got[1]:,} tokens, mixture_runs says {said[0]:,} with {said[1]:,}; nothing was "
                "written: mix again"
            )


def _how_made(row: Row) -> dict[str, Any]:
    return {
        # Delta returns times in the session's time zone, which these jobs set to UTC, without naming it.
        "created_at": row["created_at"].astimezone(UTC).isoformat(),
        "settings": _parsed(row["settings"]),
        "source_versions": _parsed(row["source_versions"]),
    }


def _parsed(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text
