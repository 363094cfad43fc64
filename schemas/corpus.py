"""The corpus: the documents to score."""

from pyspark.sql.types import StructType

from schemas.contract import LONG, STRING, TableContract, optional, required

UNKNOWN_DOMAIN = "unknown"
# What the columns made of the text must be, so that whoever reads them need not read the text.
TEXT_SHA256 = "sha2(cast(coalesce(text, '') as binary), 256)"
NUM_BYTES = "coalesce(octet_length(text), 0)"

TABLE = TableContract(
    name="corpus",
    grain="A document.",
    schema=StructType(
        [
            required("doc_id", STRING, "Identifies the document; SHA-256 of its text if the input has no id"),
            required("domain", STRING, f"The group that it is ranked in; '{UNKNOWN_DOMAIN}' if the input has none"),
            optional("text", STRING, "The document's text as in the input; null stays null"),
            optional("source", STRING, "Where it came from: a file, or the input's own value"),
            required("text_sha256", STRING, "SHA-256 of the text in hex; a null text counts as an empty one"),
            required("num_bytes", LONG, "Bytes of the text in UTF-8"),
        ]
    ),
    key=("doc_id",),
    made_by="ingest",
    checks={
        "doc_id_not_empty": "doc_id <> ''",
        "domain_not_empty": "domain <> ''",
        # Whoever changes a text by SQL must change its hash, too: scores of the old text would count as current.
        "text_hashed": f"text_sha256 = {TEXT_SHA256}",
        "text_counted": f"num_bytes = {NUM_BYTES}",
    },
    added_later={"text_sha256": TEXT_SHA256, "num_bytes": NUM_BYTES},
    upgraded_by="ingest --upgrade",
)
