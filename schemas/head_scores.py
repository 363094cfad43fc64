"""Head scores: how often each head copies the queried value."""

from pyspark.sql.types import StructType

from schemas.contract import DOUBLE, INT, STRING, TableContract, required

TABLE = TableContract(
    name="head_scores",
    grain="A head under one detection.",
    schema=StructType(
        [
            required("detection_id", STRING, "Identifies the detection: a hash of model and probes"),
            required("model_id", STRING, "The model that the head belongs to"),
            required("layer", INT, "Layer, from 0"),
            required("head", INT, "Query head within the layer, from 0"),
            required("retrieval_score", DOUBLE, "Share of answer tokens that it copied, mean over probes"),
            required("num_probes", INT, "Probes that the mean is over: those that the model answered"),
        ]
    ),
    key=("detection_id", "layer", "head"),
    made_by="detect-heads",
    checks={
        "head_exists": "layer >= 0 and head >= 0",
        "retrieval_score_is_a_share": "retrieval_score >= 0 and retrieval_score <= 1",
        "probes_positive": "num_probes > 0",
    },
)
