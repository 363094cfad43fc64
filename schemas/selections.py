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
            required("domain", STRING, "The domain that it was chosen from"),
            required(
                "order_value",
                DOUBLE,
                "What documents were ordered by, highest first; doc_id decides between equal values",
            ),
            required("influence_score", DOUBLE, "(masked_loss - base_loss) / base_loss, from scores"),
            optional("quality", DOUBLE, "The quality table's value; null where there is none"),
            optional("cluster_id", STRING, "The dedup table's cluster, whose best document this is; null where none"),
            required("num_tokens", LONG, "Tokens of the document, from scores"),
            required("text_sha256", STRING, "SHA-256 of the text that was scored, in hex"),
        ]
    ),
    key=("selection_id", "doc_id"),
    made_by="select",
    checks={"order_value_finite": finite("order_value"), "influence_score_finite": finite("influence_score")},
    # A selection that is made again replaces only its own rows.
    partition_by=("selection_id",),
)
