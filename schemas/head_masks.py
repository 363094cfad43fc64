"""Head masks: which heads are masked together."""

from pyspark.sql.types import ArrayType, StructField, StructType

from schemas.contract import DOUBLE, INT, STRING, TIMESTAMP, TableContract, optional, required

HEAD = StructType([StructField("layer", INT), StructField("head", INT)])

TABLE = TableContract(
    name="head_masks",
    grain="A mask: a set of heads of one model.",
    schema=StructType(
        [
            required("mask_id", STRING, "Identifies the mask: a hash of model and heads"),
            required("model_id", STRING, "The model that the heads belong to"),
            optional("detection_id", STRING, "The detection that it comes from; null for a heads file"),
            required("heads", ArrayType(HEAD), "The masked query heads, by layer then head, both from 0"),
            optional("top_fraction", DOUBLE, "Share of all heads that was asked for; null for a heads file"),
            required("created_at", TIMESTAMP, "When the mask was first written"),
        ]
    ),
    key=("mask_id",),
    made_by="detect-heads",
    checks={
        "heads_not_empty": "size(heads) > 0",
        "top_fraction_is_a_share": "top_fraction is null or (top_fraction > 0 and top_fraction <= 1)",
    },
)
