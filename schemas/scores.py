"""Scores: a scorer's attempts at the texts of documents, with their losses or the reason why there are none."""

from pyspark.sql.types import StructType

from schemas.contract import DOUBLE, INT, LONG, STRING, TIMESTAMP, TableContract, finite, optional, required

STATUSES = ("scored", "empty", "too_short", "failed")
_MEASURES = ("base_nll_sum", "masked_nll_sum", "base_loss", "masked_loss", "influence_score")

TABLE = TableContract(
    name="scores",
    grain="An attempt at a document's text under one scorer. Only a failed one is followed by another. Append-only.",
    schema=StructType(
        [
            required("doc_id", STRING, "The document"),
            required("text_sha256", STRING, "SHA-256 of the text in hex; a null text counts as an empty one"),
            required("scorer_id", STRING, "How it was scored: see scorers"),
            required("attempt", INT, "1, or one more than the failed attempt before it"),
            optional("domain", STRING, "The document's domain; null where the source has none"),
            optional("num_tokens", LONG, "Tokens of the text; null if never tokenized"),
            optional("num_predicted_tokens", LONG, "Tokens that both losses average over"),
            optional("num_windows", INT, "Windows that the text was read in"),
            optional(
                "num_float32_windows",
                INT,
                "Windows read again in float32, because their half-precision loss was not finite",
            ),
            optional("base_nll_sum", DOUBLE, "Summed loss with all heads on, in nats"),
            optional("masked_nll_sum", DOUBLE, "Summed loss with the heads masked, in nats"),
            optional("base_loss", DOUBLE, "Loss with all heads on, in nats per token"),
            optional("masked_loss", DOUBLE, "Loss with the heads masked, in nats per token"),
            optional("influence_score", DOUBLE, "(masked_loss - base_loss) / base_loss"),
            required("status", STRING, "scored, empty, too_short (fewer than 2 tokens) or failed"),
            optional("error_class", STRING, "Kind of error; only where status is failed"),
            optional("error_message", STRING, "What went wrong with this document"),
            required("run_id", STRING, "The run that wrote the row: see runs"),
            required("scored_at", TIMESTAMP, "When the row was written"),
        ]
    ),
    key=("scorer_id", "doc_id", "text_sha256", "attempt"),
    made_by="score",
    checks={
        "status_known": f"status in ({', '.join(repr(status) for status in STATUSES)})",
        "score_exactly_when_scored": "(status = 'scored') = (influence_score is not null)",
        "base_loss_positive_when_scored": "status <> 'scored' or (base_loss is not null and base_loss > 0)",
        "masked_loss_when_scored": "status <> 'scored' or masked_loss is not null",
        "tokens_counted_when_scored": "status <> 'scored' or (num_tokens >= 2 and num_predicted_tokens >= 1)",
        "attempts_counted": "attempt >= 1",
        "error_exactly_when_failed": "(status = 'failed') = (error_class is not null)",
        **{f"{name}_finite": finite(name) for name in _MEASURES},
    },
    # Not liquid clustering, where two scorers that append at once would conflict and retry. Partitions never conflict.
    partition_by=("scorer_id",),
    added_later={"attempt": "1", "num_float32_windows": "null"},
)
