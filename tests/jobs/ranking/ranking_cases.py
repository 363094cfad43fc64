"""Rows of scores in a namespace, and documents as bins and cut-offs take them."""

from __future__ import annotations

import datetime as dt
from typing import Any

from hypothesis import strategies as st
from pyspark.sql import SparkSession

from jobs.spark.namespace import Namespace
from jobs.spark.statements import local_rows
from schemas import scorers, scores

NOW = dt.datetime(2026, 1, 1)

Row = tuple[str, str, float, int]
SCHEMA = "doc_id string, domain string, order_value double, num_tokens bigint"
ROWS = st.lists(
    st.tuples(
        st.sampled_from(["code", "law", "a 'quoted' \\ domain"]),
        st.one_of(
            st.sampled_from([0.0, -0.0, 0.5, 0.5, 1e300, -1e-300]),
            st.floats(allow_nan=False, allow_infinity=False),
        ),
        st.integers(2, 10**12),
    ),
    min_size=1,
    max_size=60,
)


def score_row(doc_id: str, domain: str | None, score: float | None, **changes: Any) -> dict[str, Any]:
    """A row of scores; not scored where score is None."""
    scored = score is not None
    row = {
        "doc_id": doc_id,
        "text_sha256": "f" * 64,
        "scorer_id": "s1",
        "attempt": 1,
        "domain": domain,
        "num_tokens": 10,
        "num_predicted_tokens": 9,
        "num_windows": 1,
        "num_float32_windows": 0,
        "base_nll_sum": 18.0 if scored else None,
        "masked_nll_sum": 27.0 if scored else None,
        "base_loss": 2.0 if scored else None,
        "masked_loss": 3.0 if scored else None,
        "influence_score": score,
        "status": "scored" if scored else "empty",
        "error_class": None,
        "error_message": None,
        "run_id": "r",
        "scored_at": NOW,
    }
    return row | changes


def scorer_row(scorer_id: str) -> tuple[Any, ...]:
    return (scorer_id, "m", "tiny", "w", "t", f"mask-{scorer_id}", "uniform", 64, "float32", 1, NOW, 0.25, 2.5)


def write(
    spark: SparkSession, namespace: str, rows: list[dict[str, Any]], scorer_ids: tuple[str, ...] = ("s1",)
) -> None:
    tables = Namespace.parse(namespace)
    for contract in (scores.TABLE, scorers.TABLE):
        tables.create(spark, contract)
    tables.append(local_rows(spark, [scorer_row(name) for name in scorer_ids], scorers.TABLE.schema), scorers.TABLE)
    if rows:
        tables.append(
            local_rows(
                spark, [tuple(row[name] for name in scores.TABLE.schema.names) for row in rows], scores.TABLE.schema
            ),
            scores.TABLE,
        )


def documents_of(rows: list[tuple[str, float, int]]) -> list[Row]:
    """The rows with ids that are not in the order of anything else."""
    return [(f"{number * 7919 % 1009:04}é", *row) for number, row in enumerate(rows)]
