"""The ingest stage on files that a test writes, and what the corpus holds then."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from jobs import ingest
from jobs.ingest import IngestSettings
from jobs.spark.namespace import Namespace
from schemas import corpus


def write_lines(path: Path, *documents: dict[str, Any]) -> str:
    path.write_text("".join(json.dumps(document) + "\n" for document in documents), encoding="utf-8")
    return str(path)


def run(spark, namespace, path, **values):
    values = {"domain": "d"} | values if "domain_column" not in values else values
    return ingest.run(IngestSettings(input=path, namespace=namespace, **values), spark)


def held(spark, namespace) -> dict[str, tuple[str, str | None, str | None]]:
    rows = Namespace.parse(namespace).read(spark, corpus.TABLE).collect()
    assert len({row["doc_id"] for row in rows}) == len(rows)
    return {row["doc_id"]: (row["domain"], row["text"], row["source"]) for row in rows}


def num_commits(spark, namespace) -> int:
    return spark.sql(f"describe history {Namespace.parse(namespace).identifier('corpus')}").count()
