"""The corpus: the documents to score."""

from pyspark.sql.types import StructType

from schemas.contract import STRING, TableContract, optional, required

UNKNOWN_DOMAIN = "unknown"

TABLE = TableContract(
    name="corpus",
    grain="A document.",
    schema=StructType(
        [
            required("doc_id", STRING, "Identifies the document; SHA-256 of its text if the input has no id"),
            required("domain", STRING, f"The group that it is ranked in; '{UNKNOWN_DOMAIN}' if the input has none"),
            optional("text", STRING, "The document's text as in the input; null stays null"),
            optional("source", STRING, "Where it came from: a file, or the input's own value"),
        ]
    ),
    key=("doc_id",),
    made_by="ingest",
    checks={"doc_id_not_empty": "doc_id <> ''", "domain_not_empty": "domain <> ''"},
)
