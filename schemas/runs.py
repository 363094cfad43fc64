"""Runs: what each scoring job did, and how fast."""

from pyspark.sql.types import StructType

from schemas.contract import DOUBLE, LONG, STRING, TIMESTAMP, TableContract, finite, optional, required

STATES = ("running", "finished", "failed")

TABLE = TableContract(
    name="runs",
    grain="A job run.",
    schema=StructType(
        [
            required("run_id", STRING, "Identifies the run"),
            required("scorer_id", STRING, "The scorer it ran: see scorers"),
            required("source", STRING, "The table that it read"),
            required("state", STRING, "running, finished or failed"),
            required("num_documents", LONG, "Documents written so far, of any status"),
            required("num_tokens", LONG, "Tokens of those documents"),
            required("num_failed", LONG, "Documents among them whose status is failed"),
            optional("tokens_per_second", DOUBLE, "Document tokens a second; null until some"),
            required("started_at", TIMESTAMP, "When the run started"),
            required("updated_at", TIMESTAMP, "When the row was written"),
        ]
    ),
    key=("run_id",),
    made_by="score",
    checks={
        "state_known": f"state in ({', '.join(repr(state) for state in STATES)})",
        "counts_not_negative": "num_tokens >= 0 and num_failed >= 0 and num_documents >= num_failed",
        "tokens_per_second_finite": finite("tokens_per_second"),
    },
)
