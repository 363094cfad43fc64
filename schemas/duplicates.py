"""Duplicates: clusters of documents with equal or nearly equal texts."""

from pyspark.sql.types import StructType

from schemas.contract import LONG, STRING, TableContract, required

TABLE = TableContract(
    name="duplicates",
    grain="A document in its cluster of duplicates.",
    schema=StructType(
        [
            required("doc_id", STRING, "The document"),
            required(
                "cluster_id",
                STRING,
                "The smallest doc_id of its cluster; the rows where it equals doc_id are one document per cluster",
            ),
            required("cluster_size", LONG, "Documents of the cluster; 1 for a document without duplicates"),
            required(
                "kind",
                STRING,
                "The cluster's kind. unique: one document; exact: all documents have the same text; near: texts differ",
            ),
            required("text_sha256", STRING, "SHA-256 of the text that was compared, in hex; a missing text is empty"),
        ]
    ),
    key=("doc_id",),
    made_by="dedup",
    checks={
        "kind_known": "kind in ('unique', 'exact', 'near')",
        "unique_exactly_when_alone": "cluster_size >= 1 and (cluster_size = 1) = (kind = 'unique')",
        # The smallest id of a cluster is no larger than any of its members'.
        "cluster_is_its_smallest": "cluster_id <= doc_id and (cluster_size > 1 or cluster_id = doc_id)",
    },
)
