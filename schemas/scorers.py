"""Scorers: everything that a score depends on except the text."""

from pyspark.sql.types import StructType

from schemas.contract import DOUBLE, INT, STRING, TIMESTAMP, TableContract, finite, optional, required

_FIGURES = ("plain_text_tokens_per_byte", "plain_text_loss")

TABLE = TableContract(
    name="scorers",
    grain="A way of scoring; scores of different scorers cannot be compared.",
    schema=StructType(
        [
            required("scorer_id", STRING, "Hash of weights, tokenizer, mask, mode, window, dtype, version"),
            required("model_id", STRING, "The model that scores"),
            required("model_name", STRING, "The model as the user named it: hub id, folder or GGUF file"),
            required("weights_hash", STRING, "Hash of the model's weights"),
            required("tokenizer_hash", STRING, "Hash of the model's tokenizer"),
            required("mask_id", STRING, "The masked heads, in head_masks"),
            required(
                "mask_mode", STRING, "uniform: masked heads weight all visible tokens equally; zero: they output 0"
            ),
            required("window", INT, "The most tokens of a document that are read at once"),
            required("dtype", STRING, "Number format of the weights: float32, bfloat16 or float16"),
            required("scoring_version", INT, "Increased when a change of code changes scores"),
            required("created_at", TIMESTAMP, "When the scorer was first used"),
            optional(
                "plain_text_tokens_per_byte", DOUBLE, "Tokens per byte of plain English and code; null if unknown"
            ),
            optional(
                "plain_text_loss",
                DOUBLE,
                "Loss on the same texts with all heads on, in nats per token; null if unknown",
            ),
        ]
    ),
    key=("scorer_id",),
    made_by="score",
    checks={
        "mask_mode_known": "mask_mode in ('uniform', 'zero')",
        "window_holds_a_prediction": "window >= 2",
        **{f"{name}_finite": finite(name) for name in _FIGURES},
    },
    added_later=dict.fromkeys(_FIGURES, "null"),
)
