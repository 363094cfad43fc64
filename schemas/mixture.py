"""Mixture: which documents a training mix holds, in which part and how often; without their texts."""

from pyspark.sql.types import StructType

from schemas.contract import INT, LONG, STRING, TableContract, required

ORIGINS = ("selected", "baseline")

TABLE = TableContract(
    name="mixture",
    grain="A document in one part of a training mix.",
    schema=StructType(
        [
            required("mixture_id", STRING, "The mix: see mixture_runs"),
            required("origin", STRING, "selected (of a selection) or baseline (of all scored documents)"),
            required("doc_id", STRING, "The document"),
            required("domain", STRING, "Its domain"),
            required("repeats", INT, "How often this part of the mix holds it"),
            required("num_tokens", LONG, "Tokens of the document, once"),
            required("text_sha256", STRING, "SHA-256 of the text that was scored, in hex"),
        ]
    ),
    key=("mixture_id", "origin", "doc_id"),
    made_by="mix",
    checks={
        "origin_known": f"origin in ({', '.join(repr(origin) for origin in ORIGINS)})",
        "repeats_positive": "repeats >= 1",
        "num_tokens_positive": "num_tokens >= 1",
    },
    # A mix that is made again replaces only its own rows.
    partition_by=("mixture_id",),
)
