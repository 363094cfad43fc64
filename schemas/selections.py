"""Selections: the documents that a rule chose from each domain."""

from pyspark.sql.types import StructType

from schemas.contract import DOUBLE, LONG, STRING, TableContract, finite, optional, required

TABLE = TableContract(
    name="selections",
    grain="A selected document.",
    schema=StructType(
        [
            required("selection_id", STRING, "The selection: see selection_runs"),
            required("doc_id", STRING, "The document"),
            required("domain", STRING, "What it was chosen from"),
            required("order_value", DOUBLE, "What documents were ordered by, the highest first; ties went by doc_id"),
            required("influence_score", DOUBLE, "(masked_loss - base_loss) / base_loss, from scores"),
            optional("quality", DOUBLE, "The quality table's value; null where there is none"),
            optional("cluster_id", STRING, "The dedup table's cluster, of which this is the best; null where none"),
            required("num_tokens", LONG, "Tokens of the document, from scores"),
            required("text_sha256", STRING, "SHA-256 of the text that was scored, in hex"),
        ]
    ),
    key=("selection_id", "doc_id"),
    made_by="select",
    checks={"order_value_finite": finite("order_value"), "influence_score_finite": finite("influence_score")},
    # Making a selection again replaces its rows alone.
    partition_by=("selection_id",),
)
