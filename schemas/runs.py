"""Runs: what each run of the score stage did, and how fast."""

from pyspark.sql.types import StructType

from schemas.contract import DOUBLE, INT, LONG, STRING, TIMESTAMP, TableContract, finite, optional, required

STATES = ("running", "finished", "failed")
MODES = ("stream", "reconcile")

TABLE = TableContract(
    name="runs",
    grain="A run of the score stage.",
    schema=StructType(
        [
            required("run_id", STRING, "Identifies the run"),
            required("scorer_id", STRING, "The scorer it ran: see scorers"),
            required("source", STRING, "The table that it read; 'corpus' is that of the namespace"),
            optional("source_id", STRING, "Its Delta table and columns, as a hash; null if it is no Delta table"),
            required("mode", STRING, "stream (only what was added to the source) or reconcile (all of it)"),
            optional("source_version", LONG, "The source's Delta version at the start; null if it is no Delta table"),
            required("state", STRING, "running, finished or failed"),
            optional("message", STRING, "Why it failed"),
            optional("num_to_do", LONG, "Documents of the source that were not scored at the start; null if unknown"),
            required("num_skipped", LONG, "Documents that had been scored before"),
            required("num_documents", LONG, "Documents written so far, of any status"),
            required("num_tokens", LONG, "Tokens of those documents"),
            required("num_failed", LONG, "Documents among them whose status is failed"),
            required(
                "num_float32_windows",
                LONG,
                "Windows read again in float32, because their half-precision loss was not finite",
            ),
            optional("tokens_per_second", DOUBLE, "Document tokens per second of scoring; null until some are scored"),
            optional("seconds_left", DOUBLE, "Estimated from the documents that are left; null if unknown"),
            required(
                "num_devices", INT, "Tasks that run a model at the same time, each on a GPU or on a share of the CPUs"
            ),
            required("device_hours", DOUBLE, "Hours times devices so far"),
            required("started_at", TIMESTAMP, "When the run started"),
            required("updated_at", TIMESTAMP, "When the row was written"),
        ]
    ),
    key=("run_id",),
    made_by="score",
    checks={
        "state_known": f"state in ({', '.join(repr(state) for state in STATES)})",
        "mode_known": f"mode in ({', '.join(repr(mode) for mode in MODES)})",
        "counts_not_negative": "num_tokens >= 0 and num_failed >= 0 and num_documents >= num_failed",
        "tokens_per_second_finite": finite("tokens_per_second"),
    },
    # Each run replaces its own row, and concurrent runs would conflict within one partition.
    partition_by=("run_id",),
    added_later={
        **dict.fromkeys(("source_id", "source_version", "message", "num_to_do", "seconds_left"), "null"),
        **dict.fromkeys(("num_skipped", "num_float32_windows", "device_hours"), "0"),
        "mode": "'stream'",
        "num_devices": "1",
    },
)
