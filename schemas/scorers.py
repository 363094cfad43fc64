"""Scorers: everything that a score depends on, besides the text."""

from pyspark.sql.types import StructType

from schemas.contract import DOUBLE, INT, STRING, TIMESTAMP, TableContract, finite, optional, required

_FIGURES = ("plain_text_tokens_per_byte", "plain_text_loss")

TABLE = TableContract(
    name="scorers",
    grain="A way of scoring: scores of different scorers do not compare.",
    schema=StructType(
        [
            required("scorer_id", STRING, "Hash of weights, tokenizer, mask, mode, window, dtype, version"),
            required("model_id", STRING, "The model that scores"),
            required("model_name", STRING, "The model as it was named: hub id, folder or GGUF file"),
            required("weights_hash", STRING, "Hash of the model's weights"),
            required("tokenizer_hash", STRING, "Hash of the model's tokenizer"),
            required("mask_id", STRING, "The masked heads, in head_masks"),
            required("mask_mode", STRING, "uniform: equal weights over the past; zero: no output"),
            required("window", INT, "Longest piece of a document read at once, in tokens"),
            required("dtype", STRING, "Number format of weights and activations"),
            required("scoring_version", INT, "Raised when a change of code moves scores"),
            required("created_at", TIMESTAMP, "When the scorer was first used"),
            optional("plain_text_tokens_per_byte", DOUBLE, "Tokens a byte of plain English and code; null if unknown"),
            optional("plain_text_loss", DOUBLE, "Loss of those with all heads on, in nats a token; null if unknown"),
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
