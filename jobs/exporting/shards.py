"""The shards of an export: written by Spark in a shuffled order, then read back and compared with the mix."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pyspark.sql.types import IntegerType, LongType, StringType, StructField, StructType

from jobs.exporting.lines import write_lines
from jobs.spark.spark_errors import spark_reasons
from jobs.spark.statements import run_statement
from jobs.terminal.display import printable

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, Row, SparkSession

    from jobs.exporting.folder import ExportFolder
    from jobs.exporting.mixture import Mix

SCHEMA = StructType(
    [
        StructField("doc_id", StringType()),
        StructField("domain", StringType()),
        StructField("origin", StringType()),
        StructField("copy", IntegerType()),
        StructField("num_tokens", LongType()),
        StructField("text", StringType()),
    ]
)
# How content_hash is made from those columns, for readers who want to check it.
CONTENT_HASH = (
    "lpad(lower(hex(bit_xor(xxhash64(doc_id, domain, origin, int(copy), bigint(num_tokens), sha2(text, 256))))), "
    "16, '0') in Spark SQL"
)
# From --format to Spark's name of it.
FORMATS = {"parquet": "parquet", "jsonl": "json"}
# File names have five digits: with more shards, the order of names would not be the order of rows.
MAX_SHARDS = 100_000


@dataclass(frozen=True)
class ShardSummary:
    """What the shards hold, as manifest.json lists it: per shard, in order, and per part and domain."""

    shards: list[dict[str, Any]]
    parts: list[dict[str, Any]]
    content_hash: str

    def total(self, name: str) -> int:
        """The sum over all shards."""
        return sum(shard[name] for shard in self.shards)


def num_shards(num_bytes: int, shard_bytes: int) -> int:
    """How many shards of about shard_bytes the text fills; ValueError where there would be too many."""
    count = max(1, math.ceil(num_bytes / shard_bytes))
    if count > MAX_SHARDS:
        least = math.ceil(num_bytes / MAX_SHARDS)
        raise ValueError(
            f"--shard-bytes {shard_bytes} makes {count:,} shards of {num_bytes:,} bytes, but {MAX_SHARDS:,} are the "
            f"most; nothing was written: name {least} or more"
        )
    return count


def write_shards(
    mix: Mix, documents: DataFrame, folder: ExportFolder, *, file_format: str, count: int, seed: int
) -> None:
    """Write the copies of the mix's documents as count shards, in the order of a hash across all of them.

    The order is the same in each run. Where one shard ends and the next begins may differ, since Spark samples.
    """
    order = ["shuffle_key", "origin", "doc_id", "copy"]
    with spark_reasons(f"the shards could not be written to {folder.data}"):
        rows = run_statement(
            documents.sparkSession, "exporting/rows", {"seed": seed}, mixture=mix.rows, documents=documents
        )
        shuffled = rows.repartitionByRange(count, *order).sortWithinPartitions(*order).select(SCHEMA.names)
        if file_format == "jsonl":
            write_lines(shuffled, folder)
        else:
            # Spark gives a file its final name only when it is complete, even if the job fails.
            writer = shuffled.write.format("parquet").mode("error").option("compression", "zstd")
            writer.option("maxRecordsPerFile", 0).save(folder.data)


def read_back(spark: SparkSession, folder: ExportFolder, file_format: str) -> ShardSummary:
    """What the shards hold, by reading all of them again.

    Raises ValueError where Spark and PyArrow do not see the same files.
    """
    # A text may be longer than Jackson allows by default.
    options = {"mode": "FAILFAST", "maxStringLen": str(2**31 - 1)} if file_format == "jsonl" else {}
    with spark_reasons(f"the shards could not be read back from {folder.data}"):
        reader = spark.read.format(FORMATS[file_format]).schema(SCHEMA).options(**options)
        shards = reader.load(folder.data_pattern).select("*", "_metadata.file_name")
        rows = run_statement(spark, "exporting/written", shards=shards).collect()
    by_shard = {row["file_name"]: row for row in rows if row["file_name"] is not None}
    sizes = folder.shard_sizes()
    if by_shard.keys() != sizes.keys():
        raise ValueError(
            f"Spark reads {len(by_shard)} shards in {folder.data}, but {len(sizes)} files are there; where the "
            "cluster has another default file system, name --out by a URI (file:/..., hdfs://..., s3://...), and let "
            "one export at a time write to a folder"
        )
    content_hash = 0
    for row in by_shard.values():
        content_hash ^= row["content_hash"]
    return ShardSummary(
        [_counts(by_shard[name]) | {"file": f"data/{name}", "file_bytes": size} for name, size in sizes.items()],
        [
            {"origin": row["origin"], "domain": row["domain"], "documents": row["num_documents"]} | _counts(row)
            for row in rows
            if row["file_name"] is None
        ],
        hex_of(content_hash),
    )


def require_complete(mix: Mix, num_bytes: int, summary: ShardSummary) -> None:
    """Raise ValueError unless the shards hold exactly the mix's documents, and as many bytes of text."""
    expected = {
        (row["origin"], row["domain"]): (
            row["num_documents"],
            row["num_rows"],
            row["num_tokens"],
            hex_of(row["content_hash"]),
        )
        for row in mix.parts
    }
    held = {
        (part["origin"], part["domain"]): (part["documents"], part["rows"], part["tokens"], part["content_hash"])
        for part in summary.parts
    }
    nothing = (0, 0, 0, hex_of(0))
    for key in sorted(expected.keys() | held.keys()):
        want, got = expected.get(key, nothing), held.get(key, nothing)
        if want != got:
            other = ", and other texts or ids than those" if want[:3] == got[:3] else ""
            raise ValueError(
                f"the shards are not the mix: of {key[0]} {printable(key[1], 60)} they hold {got[0]:,} documents in "
                f"{got[1]:,} rows with {got[2]:,} tokens, the mix {want[0]:,} in {want[1]:,} with {want[2]:,}{other}; "
                "a table or the folder was changed meanwhile, and the folder is left marked as incomplete: export again"
            )
    if summary.total("bytes") != num_bytes:
        raise ValueError(
            f"the shards hold {summary.total('bytes'):,} bytes of text, the mix {num_bytes:,}; a table was changed "
            "meanwhile, and the folder is left marked as incomplete: export again"
        )


def hex_of(content_hash: int) -> str:
    """The 64 bits of the hash as 16 hexadecimal digits: many readers of JSON would round a number."""
    return f"{content_hash & (2**64 - 1):016x}"


def _counts(row: Row) -> dict[str, Any]:
    return {
        "rows": row["num_rows"],
        "tokens": row["num_tokens"],
        "bytes": row["num_bytes"],
        "content_hash": hex_of(row["content_hash"]),
    }
