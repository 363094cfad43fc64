"""Rankings: the rank of each scored document within its domain."""

from pyspark.sql.types import StructType

from schemas.contract import DOUBLE, LONG, STRING, TableContract, finite, required

TABLE = TableContract(
    name="rankings",
    grain="A scored document in its domain, under one scorer.",
    schema=StructType(
        [
            required("scorer_id", STRING, "How it was scored: see scorers"),
            required("doc_id", STRING, "The document"),
            required("domain", STRING, "The group that it is ranked in; 'unknown' for documents without one"),
            required("domain_rank", LONG, "1 for the highest influence_score; doc_id decides between equal scores"),
            required("domain_size", LONG, "Scored documents of the domain"),
            required(
                "percentile",
                DOUBLE,
                "Share of the other documents whose influence_score is not higher: 1 - percent_rank from the top. "
                "The best document has 1, also if it is the only one; equal scores have equal values",
            ),
            required("influence_score", DOUBLE, "(masked_loss - base_loss) / base_loss, from scores"),
            required("num_tokens", LONG, "Tokens of the document, from scores"),
            required("text_sha256", STRING, "SHA-256 of the text that was scored, in hex"),
            required("cumulative_tokens", LONG, "Tokens of this document and of all that rank before it in its domain"),
        ]
    ),
    key=("scorer_id", "doc_id"),
    made_by="rank",
    checks={
        "rank_within_domain": "domain_rank between 1 and domain_size",
        "percentile_is_a_share": "percentile >= 0 and percentile <= 1",
        "influence_score_finite": finite("influence_score"),
    },
    # A scorer that is ranked again replaces only its own rows, even while others write those of other scorers.
    partition_by=("scorer_id",),
    added_later={
        "cumulative_tokens": "sum(num_tokens) over (partition by scorer_id, domain order by domain_rank "
        "rows between unbounded preceding and current row)"
    },
)
