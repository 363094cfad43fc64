"""Texts are read where texts are needed, and nowhere else."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from typing import Any

import pytest
from pyspark.sql import DataFrame, SparkSession

from jobs.corpus.documents import documents_of
from jobs.settings.documents import DocumentSettings
from jobs.spark.namespace import Namespace
from tests.jobs.corpus.corpus_cases import corpus_rows

TEXTS = {"a": "one text", "b": "", "c": None, "d": "Ünïcode"}


def sha256(text: str | None) -> str:
    return hashlib.sha256((text or "").encode()).hexdigest()


def columns_read(rows: DataFrame) -> list[str]:
    """The columns that each scan of files in the plan reads."""
    plan = rows._jdf.queryExecution().executedPlan().toString()
    return re.findall(r"ReadSchema: struct<([^>]*)>", plan)


@pytest.fixture
def theirs(spark: SparkSession, tmp_path: Any) -> Callable[..., DataFrame]:
    """Documents of a table of somebody's own, with the hash of each text, of which some may be wrong."""

    def read(wrong: tuple[str, ...] = (), *, upper: bool = False, **settings: Any) -> DataFrame:
        rows = [(key, "d", text, sha256(f"{text}!" if key in wrong else text)) for key, text in TEXTS.items()]
        if upper:
            rows = [(key, domain, text, digest.upper()) for key, domain, text, digest in rows]
        path = str(tmp_path / "theirs")
        spark.createDataFrame(rows, "key string, kind string, body string, digest string").write.mode(
            "overwrite"
        ).format("delta").save(path)
        names = {"doc_id_column": "key", "domain_column": "kind", "text_column": "body"}
        source = DocumentSettings(corpus_table=path, **names, **settings).document_table()
        return documents_of(spark.read.format("delta").load(path), source)

    return read


def test_the_corpus_is_read_without_its_texts_unless_they_are_used(spark: SparkSession, namespace: str) -> None:
    corpus_rows(spark, [(key, "d", text, None) for key, text in TEXTS.items()]).write.format("delta").save(
        f"{namespace}/corpus"
    )
    source = DocumentSettings(namespace=namespace).document_table()
    documents = documents_of(spark.table(Namespace.parse(namespace).identifier("corpus")), source)
    about = documents.select("doc_id", "domain", "text_sha256", "num_bytes")
    assert columns_read(about) == ["doc_id:string,domain:string,text_sha256:string,num_bytes:bigint"]
    assert columns_read(documents.select("text")) == ["text:string"]
    assert {row["doc_id"]: row["text_sha256"] for row in about.collect()} == {k: sha256(t) for k, t in TEXTS.items()}


@pytest.mark.parametrize("upper", [False, True])
def test_hashes_of_ones_own_table_are_used_in_place_of_its_texts(theirs: Callable[..., DataFrame], upper: bool) -> None:
    documents = theirs(upper=upper, text_sha256_column="digest")
    assert columns_read(documents.select("doc_id", "text_sha256")) == ["key:string,digest:string"]
    rows = documents.collect()
    assert {row["doc_id"]: row["text"] for row in rows} == TEXTS
    assert {row["doc_id"]: row["text_sha256"] for row in rows} == {key: sha256(text) for key, text in TEXTS.items()}
    # Without the column, the text itself is hashed.
    assert columns_read(theirs().select("doc_id", "text_sha256")) == ["key:string,body:string"]


def test_a_hash_of_another_text_is_found_out_where_the_text_is_read(theirs: Callable[..., DataFrame]) -> None:
    documents = theirs(wrong=("d",), text_sha256_column="digest")
    with pytest.raises(Exception, match="column digest is not the SHA-256 in hex of column body, as in document d"):
        documents.collect()
