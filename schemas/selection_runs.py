"""Selection runs: what each selection took from each domain, by which rule, and from which versions of its tables."""

from pyspark.sql.types import StructType

from schemas.contract import DOUBLE, LONG, STRING, TIMESTAMP, TableContract, optional, required

TABLE = TableContract(
    name="selection_runs",
    grain="A domain in a selection.",
    schema=StructType(
        [
            required("selection_id", STRING, "Hash of the settings and of the versions of what was read"),
            required("domain", STRING, "The domain"),
            required("scorer_id", STRING, "The scorer of its scores: see scorers"),
            required("rule", STRING, "The rule for this domain, such as fraction 0.2"),
            required("num_candidates", LONG, "Documents to choose from, after the joins"),
            required("candidate_tokens", LONG, "Their tokens"),
            optional("without_quality", LONG, "Scored documents that the quality table lacks; null without one"),
            optional("without_cluster", LONG, "Scored documents that the dedup table lacks; null without one"),
            required("num_documents", LONG, "Documents selected"),
            required("num_tokens", LONG, "Their tokens"),
            optional("cutoff_order_value", DOUBLE, "The last selected document's order_value; null if there is none"),
            optional("cutoff_score", DOUBLE, "The lowest selected influence_score (highest, from the bottom)"),
            required("settings", STRING, "The settings, as JSON"),
            required("source_versions", STRING, "Table to the Delta version that was read, as JSON"),
            required("created_at", TIMESTAMP, "When it was made"),
        ]
    ),
    key=("selection_id", "domain"),
    made_by="select",
    checks={
        "no_more_than_there_are": "num_documents <= num_candidates and num_tokens <= candidate_tokens",
        "cutoff_where_selected": "(num_documents > 0) = (cutoff_score is not null)",
    },
    partition_by=("selection_id",),
)
