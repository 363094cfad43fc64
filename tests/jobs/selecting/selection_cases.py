"""Scored documents and tables of a user's own, for the tests of select and mix."""

from __future__ import annotations

import random
from collections import defaultdict
from typing import Any

from pyspark.sql import SparkSession

from jobs.spark.namespace import Namespace
from jobs.spark.statements import local_rows
from tests.jobs.ranking.ranking_cases import score_row, write

Document = dict[str, Any]


def scored(num_documents: int = 60, seed: int = 0) -> list[Document]:
    """Documents of three domains, a few without a score, some with equal scores, ids in no order."""
    draw = random.Random(seed)
    rows = []
    for number in range(num_documents):
        domain = draw.choice(["code", "code", "code", "law", "poems"])
        score = draw.choice([0.1, 0.2, 0.2, draw.gauss(0.3, 0.2)])
        tokens = draw.randint(10, 1000)
        doc_id = f"{draw.randrange(10**6):06}-{number}"
        rows.append(
            score_row(doc_id, domain, None if number % 10 == 9 else score, num_tokens=tokens, text_sha256=doc_id * 4)
        )
    return rows


def write_scores(spark: SparkSession, namespace: str, rows: list[Document]) -> None:
    write(spark, namespace, rows)


def write_table(spark: SparkSession, namespace: str, name: str, rows: list[tuple[Any, ...]], schema: str) -> str:
    """A table of a user's own, outside of the namespace; returns what --dedup-table would take."""
    path = f"{Namespace.parse(namespace).folder}-{name}"
    local_rows(spark, rows, schema).write.format("delta").mode("overwrite").save(path)
    return path


def in_order(rows: list[Document]) -> dict[str, list[Document]]:
    """Domain to its scored documents, the best first, ties by id."""
    domains: dict[str, list[Document]] = defaultdict(list)
    for row in rows:
        if row["status"] == "scored":
            domains[row["domain"]].append(row)
    return {
        domain: sorted(members, key=lambda row: (-row["influence_score"], row["doc_id"]))
        for domain, members in domains.items()
    }


def ids(rows: list[Document]) -> set[str]:
    return {row["doc_id"] for row in rows}


def beginning(members: list[Document], max_tokens: int) -> list[Document]:
    """The first ones that hold no more tokens together."""
    taken, tokens = [], 0
    for row in members:
        tokens += row["num_tokens"]
        if tokens > max_tokens:
            break
        taken.append(row)
    return taken
