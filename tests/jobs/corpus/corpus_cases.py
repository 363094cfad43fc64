"""Rows of corpus for tests, with the hashes and sizes of their texts by Python."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import Any

from pyspark.sql import DataFrame, SparkSession

from jobs.spark.statements import local_rows
from schemas import corpus


def corpus_row(doc_id: str, domain: str, text: str | None, source: str | None = None) -> tuple[Any, ...]:
    """A document as corpus holds it."""
    as_bytes = (text or "").encode()
    return doc_id, domain, text, source, hashlib.sha256(as_bytes).hexdigest(), len(as_bytes)


def corpus_rows(spark: SparkSession, documents: Iterable[tuple[Any, ...]]) -> DataFrame:
    """Documents (doc_id, domain, text, source) as rows of corpus."""
    return local_rows(spark, [corpus_row(*document) for document in documents], corpus.TABLE.schema)


def update(identifier: str, text: str, where: str) -> str:
    """SQL that changes texts of corpus, and with them their hashes and sizes, as its constraints want it."""
    return (
        f"update {identifier} set text = {text}, text_sha256 = sha2(cast(coalesce({text}, '') as binary), 256), "
        f"num_bytes = coalesce(octet_length({text}), 0) where {where}"
    )


def insert(identifier: str, documents: str) -> str:
    """SQL that adds to corpus what a query gives as doc_id, domain, text and source, in this order."""
    return (
        f"insert into {identifier} select doc_id, domain, text, source, sha2(cast(coalesce(text, '') as binary), 256), "
        f"coalesce(octet_length(text), 0) from ({documents}) as documents (doc_id, domain, text, source)"
    )
