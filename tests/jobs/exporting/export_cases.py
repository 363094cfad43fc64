"""What the tests of export share: hostile documents in a mix, made by plain loops, and shards read without Spark."""

from __future__ import annotations

import datetime as dt
import hashlib
import json
from collections import defaultdict
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import zstandard
from pyspark.sql import SparkSession

from jobs import export
from jobs.export import ExportSettings
from jobs.spark.namespace import Namespace
from schemas import corpus, mixture, mixture_runs
from tests.jobs.corpus.corpus_cases import corpus_rows

NOW = dt.datetime(2026, 1, 1)
SHARD_BYTES = 4000

DOMAINS = [
    "code",
    "a|b",
    "<script>alert(1)</script>",
    "[x](https://evil.example)",
    "`tick` **bold** _i_ $x$",
    "line\n\n# heading",
    "\\| {{ manifest }} www.evil.example",
]
HOSTILE_TEXTS = {
    "quotes": "\"'`´“ \\ \\\\ \\n %s {} :seed {documents}",
    "newlines": "\n\r\n\r\ta\u2028b\u2029c\u0085d\n",
    "html": "</table><script>alert('&amp;')</script><!-- | -->",
    "nul": "\0a\0" + "".join(map(chr, range(32))) + "\x7f",
    "surrogate escapes": '\\ud800 \\\\udfff "\\uD83D" \ufffd\ufffe',
    "emoji": "👩‍👩‍👧‍👦 🏳️‍🌈 é e\u0301 \u202eعربي\u202c \U0010ffff \ufeff",
    "json": '{"text": "other"}\n{"doc_id": 1, "text": null}]',
    "spaces": "   ",
    'id "with"\n| marks \\': "the id is hostile",
    "long": "αβγ " * 2000,
}
TEXTS = {f"doc-{n:03}": f"Number {n}. " + "word " * (n % 90) for n in range(110)} | HOSTILE_TEXTS
DOMAIN_OF = {doc_id: DOMAINS[n % len(DOMAINS)] for n, doc_id in enumerate(TEXTS)}
# Every tenth document is in no part, every third in both.
MIX = {
    (origin, doc_id): 1 + n % 4 if origin == "selected" else 1
    for n, doc_id in enumerate(TEXTS)
    for origin in ("selected", "baseline")
    if (doc_id in HOSTILE_TEXTS or n % 10) and (origin == "selected" or n % 3 == 0)
}


def tokens_of(doc_id: str) -> int:
    return len(TEXTS[doc_id].split()) + 1


def sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def write_corpus(spark: SparkSession, namespace: str, texts: dict[str, str]) -> None:
    place = Namespace.parse(namespace)
    place.create(spark, corpus.TABLE)
    rows = [(doc_id, DOMAIN_OF.get(doc_id, "code"), text, None) for doc_id, text in texts.items()]
    place.append(corpus_rows(spark, rows), corpus.TABLE)


def write_mix(
    spark: SparkSession, namespace: str, mix: dict[tuple[str, str], int], mixture_id: str = "m1", extra: int = 0
) -> None:
    """Tables of a mix, by plain loops; extra: tokens that mixture_runs claims beyond those of mixture."""
    place = Namespace.parse(namespace)
    for contract in (mixture.TABLE, mixture_runs.TABLE):
        place.create(spark, contract)
    rows = [
        (mixture_id, origin, doc_id, DOMAIN_OF[doc_id], repeats, tokens_of(doc_id), sha256(TEXTS[doc_id]))
        for (origin, doc_id), repeats in mix.items()
    ]
    place.append(spark.createDataFrame(rows, mixture.TABLE.schema), mixture.TABLE)
    parts = defaultdict(list)
    for (origin, doc_id), repeats in mix.items():
        parts[origin, DOMAIN_OF[doc_id]].append((doc_id, repeats))
    # A domain of which nothing was taken has its row too.
    parts["baseline", "nothing"] = []
    runs = []
    for (origin, domain), members in parts.items():
        once = sum(tokens_of(doc_id) for doc_id, _ in members)
        taken = sum(tokens_of(doc_id) * repeats for doc_id, repeats in members) + extra
        counts = (len(members), once, len(members), taken, taken, taken / once if once else 0.0)
        settings, versions = json.dumps({"share": 0.5, "rule|": "<b>x</b>"}), json.dumps({"scores": 3})
        runs.append((mixture_id, origin, domain, "sel1", "s1", *counts, settings, versions, NOW))
    place.append(spark.createDataFrame(runs, mixture_runs.TABLE.schema), mixture_runs.TABLE)


def export_to(spark: SparkSession, namespace: str, out: Path | str, **settings: Any) -> dict[str, Any]:
    defaults = {"namespace": namespace, "out": str(out), "shard_bytes": SHARD_BYTES}
    return export.run(ExportSettings(**{**defaults, **settings}), spark)


def read_rows(out: Path) -> list[dict[str, Any]]:
    """All rows, the shards in the order of their names, read without Spark."""
    rows: list[dict[str, Any]] = []
    for path in sorted((out / "data").glob("part-*")):
        if path.name.endswith(".zstd.parquet"):
            rows += pq.read_table(path).to_pylist()
        else:
            lines = zstandard.ZstdDecompressor().decompressobj().decompress(path.read_bytes()).split(b"\n")
            assert lines.pop() == b""
            rows += [json.loads(line) for line in lines]
    return rows


def keys(rows: list[dict[str, Any]]) -> list[tuple[str, str, int]]:
    return [(row["origin"], row["doc_id"], row["copy"]) for row in rows]


def left_in(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
