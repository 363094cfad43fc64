"""Documents of a size that a worker must survive, with the limits that a person has who sets none."""

from __future__ import annotations

import pytest
from pyspark.sql import SparkSession

from jobs.spark.namespace import Namespace
from tests.faults.fault_cases import Stage
from tests.jobs.corpus.corpus_cases import insert
from tests.jobs.scoring.scoring_cases import WINDOW, add_documents, all_scores, documents

NUM_CHARACTERS = 2_000_000


@pytest.mark.timeout(900)
def test_millions_of_one_character_are_scored_and_sixty_megabytes_are_not_read(
    spark: SparkSession, stage: Stage
) -> None:
    add_documents(spark, stage.namespace, documents(20))
    poison = (
        f"select 'one character', 'poison', repeat('x', {NUM_CHARACTERS}), null "
        "union all select '60 MB', 'poison', repeat('Sixty million. ', 4000000), null"
    )
    spark.sql(insert(Namespace.parse(stage.namespace).identifier("corpus"), poison))
    # One thread per worker: with two, on a busy machine, this took more than twice as long.
    stage.run("--tasks", "2", seconds=800)
    found = {row["doc_id"]: row for row in all_scores(spark, stage.namespace)}
    assert found.keys() == {*documents(20), "one character", "60 MB"}
    assert (found["60 MB"]["status"], found["60 MB"]["error_class"]) == ("failed", "TextTooLong")
    long = found["one character"]
    assert (long["status"], long["num_tokens"]) == ("scored", NUM_CHARACTERS)
    assert long["num_windows"] == -(-NUM_CHARACTERS // WINDOW)
    assert {found[doc_id]["status"] for doc_id in documents(20)} == {"scored"}
