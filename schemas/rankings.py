"""Rankings: where each scored document stands among those of its domain."""

from pyspark.sql.types import StructType

from schemas.contract import DOUBLE, LONG, STRING, TableContract, finite, required

TABLE = TableContract(
    name="rankings",
    grain="A scored document in its domain, under one scorer.",
    schema=StructType(
        [
            required("scorer_id", STRING, "How it was scored: see scorers"),
            required("doc_id", STRING, "The document"),
            required("domain", STRING, "What it is ranked among; documents without one share 'unknown'"),
            required("domain_rank", LONG, "1 for the highest influence_score; ties go by doc_id"),
            required("domain_size", LONG, "Scored documents of the domain"),
            required(
                "percentile",
                DOUBLE,
                "1 - percent_rank from the top: share of the other documents whose influence_score is not "
                "higher. The best has 1, also when it is the only one; equal scores share a value",
            ),
            required("influence_score", DOUBLE, "(masked_loss - base_loss) / base_loss, from scores"),
            required("num_tokens", LONG, "Tokens of the document, from scores"),
            required("text_sha256", STRING, "SHA-256 of the text that was scored, in hex"),
            required("cumulative_tokens", LONG, "Tokens of this document and of all before it in its domain"),
        ]
    ),
    key=("scorer_id", "doc_id"),
    made_by="rank",
    checks={
        "rank_within_domain": "domain_rank between 1 and domain_size",
        "percentile_is_a_share": "percentile >= 0 and percentile <= 1",
        "influence_score_finite": finite("influence_score"),
    },
    # Ranking a scorer again replaces its rows alone, beside other scorers' writers.
    partition_by=("scorer_id",),
    added_later={
        "cumulative_tokens": "sum(num_tokens) over (partition by scorer_id, domain order by domain_rank "
        "rows between unbounded preceding and current row)"
    },
)
