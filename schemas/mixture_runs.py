"""Mixture runs: how much each training mix holds of each domain and part, and how it was made."""

from pyspark.sql.types import StructType

from schemas.contract import DOUBLE, LONG, STRING, TIMESTAMP, TableContract, required
from schemas.mixture import ORIGINS

TABLE = TableContract(
    name="mixture_runs",
    grain="A domain in one part of a training mix.",
    schema=StructType(
        [
            required("mixture_id", STRING, "Hash of the settings and of the versions of what was read"),
            required("origin", STRING, "selected or baseline"),
            required("domain", STRING, "The domain"),
            required("selection_id", STRING, "The selection of the selected part: see selection_runs"),
            required("scorer_id", STRING, "The scorer of both parts: see scorers"),
            required("available_documents", LONG, "Documents that were available"),
            required("available_tokens", LONG, "Their tokens, each once"),
            required("num_documents", LONG, "Documents taken, each counted once"),
            required("num_tokens", LONG, "Tokens of the mix from them, repeats counted"),
            required("target_tokens", LONG, "Tokens that were asked for"),
            required("epochs", DOUBLE, "num_tokens divided by available_tokens: how often a token is seen on average"),
            required("settings", STRING, "The settings, as JSON"),
            required("source_versions", STRING, "Table to the Delta version that was read, as JSON"),
            required("created_at", TIMESTAMP, "When the mix was made"),
        ]
    ),
    key=("mixture_id", "origin", "domain"),
    made_by="mix",
    checks={
        "origin_known": f"origin in ({', '.join(repr(origin) for origin in ORIGINS)})",
        "not_more_than_asked_for": "num_tokens <= target_tokens",
    },
    partition_by=("mixture_id",),
)
