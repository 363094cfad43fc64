"""Probes: synthetic look-ups that show which heads retrieve."""

from pyspark.sql.types import StructType

from schemas.contract import INT, LONG, STRING, TableContract, required

TABLE = TableContract(
    name="probes",
    grain="A retrieval probe: a JSON context, three demonstrations and one query, for one tokenizer.",
    schema=StructType(
        [
            required("probe_id", STRING, "Identifies the probe: a hash of its prompt, answer and tokenizer"),
            required("prompt", STRING, "JSON context, three demonstrations and the query, up to the answer"),
            required("answer", STRING, "The value of the queried key, as it stands in the context"),
            required("num_pairs", INT, "Key-value pairs in the JSON context"),
            required("seed", LONG, "Seed from which this probe was drawn"),
            required("value_start", INT, "First character of the queried value inside prompt, from 0"),
            required("value_end", INT, "Character after the queried value inside prompt"),
            required("num_tokens", INT, "Tokens of prompt and answer together under the tokenizer"),
            required("tokenizer_id", STRING, "The tokenizer that the probe was fitted to"),
        ]
    ),
    key=("probe_id",),
    made_by="probes",
    checks={
        "value_inside_prompt": "0 <= value_start and value_start < value_end and value_end <= length(prompt)",
        "counts_positive": "num_pairs > 0 and num_tokens > 0",
    },
)
