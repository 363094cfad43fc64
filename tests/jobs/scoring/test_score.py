"""The score stage on real Spark and Delta, with a tiny model of random weights."""

from __future__ import annotations

import math
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from jobs.score import ScoreSettings
from jobs.scoring.scorers import resolve_scorer
from jobs.spark.namespace import Namespace
from schemas import corpus, head_masks, runs, scorers, scores
from tests.jobs.corpus.corpus_cases import corpus_row, insert
from tests.jobs.scoring.scoring_cases import HEADS, WINDOW, add_documents, all_scores, documents, scores_by_id
from tests.udfs.conftest import SENTENCES, byte_level_tokenizer
from tests.udfs.models import tiny_model
from udfs.paired import PairedScorer

Score = Callable[..., dict[str, Any]]


def test_every_document_has_the_score_that_the_scorer_gives_it_without_spark(
    spark: SparkSession, namespace: str, score: Score
) -> None:
    texts = documents(30)
    add_documents(spark, namespace, texts)
    result = score(dtype="float32")
    found = scores_by_id(spark, namespace)
    scorer = PairedScorer(tiny_model("llama"), byte_level_tokenizer(bos=False), HEADS, "uniform", WINDOW)
    for (doc_id, _), expected in zip(texts.items(), scorer.score(texts.values()), strict=True):
        row = found[doc_id]
        assert row["influence_score"] == pytest.approx(expected.influence_score, abs=1e-5)
        assert row["base_nll_sum"] == pytest.approx(expected.base_nll_sum, rel=1e-5)
        assert (row["num_tokens"], row["num_windows"]) == (expected.num_tokens, expected.num_windows)
        assert (row["status"], row["domain"], row["run_id"]) == ("scored", "prose", result["run_id"])
    assert result["num_documents"] == result["scored"] == 30


def test_a_limit_scores_so_many_documents_and_no_more(spark: SparkSession, namespace: str, score: Score) -> None:
    add_documents(spark, namespace, documents(9))
    assert score(limit=4, batch_bytes=500)["num_documents"] == 4
    assert sorted(scores_by_id(spark, namespace)) == ["doc-000", "doc-001", "doc-002", "doc-003"]
    assert score(limit=100)["num_documents"] == 5


def test_a_limit_counts_the_texts_of_an_id(spark: SparkSession, namespace: str, score: Score) -> None:
    add_documents(spark, namespace, documents(1))
    score()
    for text in ("One more text.", "One more text.", "Yet another text."):
        add_documents(spark, namespace, {"doc-000": text})
    assert [score(limit=1)["num_documents"] for _ in range(3)] == [1, 1, 0]


def test_scores_do_not_depend_on_batches_tasks_or_the_order_of_rows(
    spark: SparkSession, namespace: str, score: Score, tmp_path: Path
) -> None:
    add_documents(spark, namespace, documents(20))
    score(tasks=1, batch_bytes=10**6)
    other = str(tmp_path / "other")
    add_documents(spark, other, dict(reversed(documents(20).items())))
    score(namespace=other, tasks=3, batch_bytes=1500, max_batch_tokens=64)
    once, again = scores_by_id(spark, namespace), scores_by_id(spark, other)
    assert once.keys() == again.keys()
    for doc_id, row in once.items():
        assert again[doc_id]["influence_score"] == pytest.approx(row["influence_score"], abs=1e-5)


HOSTILE: dict[str, Any] = {
    "null": None,
    "empty": "",
    "whitespace": " \n\t  \u00a0",
    "one token": "a",
    "nul bytes": "before\x00after \x00\x00 and on",
    "no space": "x" * 200_000,
    "control word": "text <|endoftext|> more text",
    "combining": "e\u0301" * 40 + "\U0001f9d1\u200d\U0001f4bb" * 10,
    "sql": "'; drop table scores; --",
}


def test_every_bad_document_gets_a_row_and_the_others_their_scores(
    spark: SparkSession, namespace: str, score: Score
) -> None:
    add_documents(spark, namespace, {**HOSTILE, **documents(3)})
    place = Namespace.parse(namespace)
    # A lone surrogate cannot be a Python string for Spark; in a file it is these three bytes.
    more = (
        "select 'surrogate', 'prose', cast(x'6120eda0802062' as string), null "
        "union all select 'huge', 'prose', repeat('long ', 100000), null"
    )
    spark.sql(insert(place.identifier("corpus"), more))
    score(max_text_bytes=300_000)
    found = scores_by_id(spark, namespace)
    status = {doc_id: row["status"] for doc_id, row in found.items()}
    assert status == {
        "null": "empty",
        "empty": "empty",
        "whitespace": "empty",
        "one token": "too_short",
        "nul bytes": "scored",
        "no space": "scored",
        "control word": "scored",
        "combining": "scored",
        "sql": "scored",
        "surrogate": "failed",
        "huge": "failed",
        **dict.fromkeys(documents(3), "scored"),
    }
    assert found["surrogate"]["error_class"] == "InvalidUtf8"
    assert found["huge"]["error_class"] == "TextTooLong"
    assert "500000 bytes" in found["huge"]["error_message"]
    assert found["no space"]["num_windows"] == math.ceil(found["no space"]["num_tokens"] / WINDOW)


def test_any_delta_table_can_be_scored_by_its_own_column_names(
    spark: SparkSession, namespace: str, score: Score, tmp_path: Path
) -> None:
    path = str(tmp_path / "their table")
    theirs = spark.range(4).select("id", F.lit(SENTENCES[1]).alias("body.text"), F.lit("x").alias("kind.of"))
    theirs.write.format("delta").save(path)
    columns = {"doc_id_column": "id", "text_column": "body.text", "domain_column": "kind.of"}
    score(corpus_table=path, **columns)
    found = scores_by_id(spark, namespace)
    assert sorted(found) == ["0", "1", "2", "3"]
    assert {row["domain"] for row in found.values()} == {"x"}


def test_hashes_of_ones_own_table_are_checked_where_its_texts_are_scored(
    spark: SparkSession, namespace: str, score: Score, tmp_path: Path
) -> None:
    path = str(tmp_path / "theirs")
    rows = [corpus_row(doc_id, "x", text) for doc_id, text in documents(4).items()]
    theirs = spark.createDataFrame(rows, corpus.TABLE.schema).withColumnRenamed("text_sha256", "digest")
    theirs.write.format("delta").save(path)
    assert score(corpus_table=path, text_sha256_column="digest")["num_documents"] == 4
    # Scores of the same texts without the column are of the same hashes.
    assert score(corpus_table=path)["num_documents"] == 0
    spark.sql(f"update delta.`{path}` set digest = sha2('another text', 256) where doc_id = 'doc-001'")
    with pytest.raises(
        Exception, match="column digest is not the SHA-256 in hex of column text, as in document doc-001"
    ):
        score(corpus_table=path, text_sha256_column="digest", mode="reconcile")
    assert {row["status"] for row in all_scores(spark, namespace)} == {"scored"}


def test_a_missing_column_is_named_with_those_that_are_there(
    spark: SparkSession, namespace: str, score: Score, tmp_path: Path
) -> None:
    path = str(tmp_path / "theirs")
    spark.range(1).select("id", F.lit("a text").alias("body")).write.format("delta").save(path)
    with pytest.raises(ValueError, match=r"no column 'doc_id'; it has id, body; .*--doc-id-column"):
        score(corpus_table=path)


def test_duplicate_ids_are_an_error_with_examples_before_any_work(
    spark: SparkSession, namespace: str, score: Score
) -> None:
    add_documents(spark, namespace, {"twice": "a text", "once": "another"})
    add_documents(spark, namespace, {"twice": "a text"})
    with pytest.raises(ValueError, match="'twice' in 2 rows"):
        score()
    assert not Namespace.parse(namespace).exists(spark, "scores")


def test_another_text_under_an_id_is_no_error_once_any_run_has_begun(
    spark: SparkSession, namespace: str, score: Score
) -> None:
    add_documents(spark, namespace, {**documents(1), "long": "word " * 400})
    with pytest.raises(ValueError, match="1 of 2 documents failed"):
        score(max_text_bytes=1500, max_failed_fraction=0)
    add_documents(spark, namespace, {"doc-000": "Another text under the same id."})
    assert score()["num_documents"] == 1
    assert score(mask_mode="zero")["num_documents"] == 3


def test_a_scorer_and_its_mask_and_run_are_recorded_once(spark: SparkSession, namespace: str, score: Score) -> None:
    add_documents(spark, namespace, documents(3))
    result = score()
    score()
    place = Namespace.parse(namespace)
    (scorer,) = place.read(spark, scorers.TABLE).collect()
    (mask,) = place.read(spark, head_masks.TABLE).collect()
    (run_row,) = place.read(spark, runs.TABLE).collect()
    assert (scorer["scorer_id"], scorer["window"], scorer["dtype"]) == (result["scorer_id"], WINDOW, "float32")
    assert [tuple(head) for head in mask["heads"]] == HEADS
    assert scorer["mask_id"] == mask["mask_id"]
    assert (run_row["state"], run_row["num_documents"], run_row["num_failed"]) == ("finished", 3, 0)


def test_runs_that_begin_at_once_record_their_scorer_once(
    spark: SparkSession, namespace: str, tiny_model_folder: str, heads_file: str
) -> None:
    settings = ScoreSettings(namespace=namespace, model=tiny_model_folder, heads_file=heads_file, window=WINDOW)
    scorer = resolve_scorer(spark, Namespace.parse(namespace), settings)
    for time in range(3):
        place = Namespace.parse(f"{namespace}/{time}")
        with ThreadPoolExecutor(4) as pool:
            for recorded in [pool.submit(scorer.record, spark, place) for _ in range(4)]:
                recorded.result()
        assert [place.read(spark, table.TABLE).count() for table in (scorers, head_masks)] == [1, 1]


def test_another_way_of_scoring_is_another_scorer_beside_the_first(
    spark: SparkSession, namespace: str, score: Score
) -> None:
    add_documents(spark, namespace, documents(2))
    ways: list[dict[str, Any]] = [{}, {"mask_mode": "zero"}, {"window": 32}, {"dtype": "bfloat16"}]
    scorer_ids = [score(**way)["scorer_id"] for way in ways]
    counts = Namespace.parse(namespace).read(spark, scores.TABLE).groupBy("scorer_id").count().collect()
    assert {row["scorer_id"]: row["count"] for row in counts} == dict.fromkeys(scorer_ids, 2)
    assert len(set(scorer_ids)) == len(ways)


def test_a_dry_run_writes_nothing(spark: SparkSession, namespace: str, score: Score) -> None:
    add_documents(spark, namespace, documents(2))
    assert score(dry_run=True)["num_pending"] == 2
    place = Namespace.parse(namespace)
    assert not any(place.exists(spark, table) for table in ("scores", "scorers", "head_masks", "runs"))


def test_a_dry_run_counts_what_the_run_would_score(spark: SparkSession, namespace: str, score: Score) -> None:
    texts = {"a": "word " * 400, "b": "word " * 500}
    add_documents(spark, namespace, {**texts, "c": "A short one."})
    score(max_text_bytes=1500)
    again = {"mode": "reconcile", "max_text_bytes": 1500}
    found = score(**again, dry_run=True)
    assert (found["num_pending"], found["num_bytes"]) == (2, 4500)
    found = score(**again, dry_run=True, limit=1)
    assert (found["num_pending"], found["num_bytes"]) == (1, 2000)
    assert score(dry_run=True)["num_pending"] == 0
    assert score(**again)["num_documents"] == 2


def test_heads_that_the_model_lacks_are_an_error(
    score: Score, spark: SparkSession, namespace: str, tmp_path: Path
) -> None:
    add_documents(spark, namespace, documents(1))
    wrong = tmp_path / "wrong.txt"
    wrong.write_text("7,0\n")
    with pytest.raises(ValueError, match=r"layer 7, head 0, but tiny-llama@\w+ has 3 layers of 4 heads"):
        score(heads_file=str(wrong))


def test_without_a_mask_the_error_says_how_to_get_one(score: Score, spark: SparkSession, namespace: str) -> None:
    add_documents(spark, namespace, documents(1))
    with pytest.raises(ValueError, match="detect-heads"):
        score(heads_file=None)


def test_a_model_that_fails_in_the_worker_fails_the_run_with_its_own_words(
    spark: SparkSession, namespace: str, score: Score, tmp_path: Path
) -> None:
    add_documents(spark, namespace, documents(1))
    broken = tmp_path / "broken"
    model = tiny_model("llama")
    model.model.norm.weight.fill_(float("nan"))
    model.save_pretrained(broken)
    byte_level_tokenizer(bos=True).save_pretrained(broken)
    with pytest.raises(ValueError, match="own logits are not finite: its weights are damaged"):
        score(model=str(broken))
    (row,) = Namespace.parse(namespace).read(spark, runs.TABLE).collect()
    assert row["state"] == "failed"


def test_the_model_is_one_nondeterministic_udf_that_is_given_only_the_text(
    spark: SparkSession, namespace: str, tiny_model_folder: str, capsys: pytest.CaptureFixture[str]
) -> None:
    from jobs.scoring.plan import ScoringPlan
    from jobs.scoring.score_rows import score_rows
    from udfs.checkpoint import resolve_checkpoint
    from udfs.spark_udfs import ModelSpec, ScorerSpec, paired_score_udf

    model = ModelSpec(resolve_checkpoint(tiny_model_folder), "float32", 1)
    spec = ScorerSpec(model, tuple(HEADS), "uniform", WINDOW)
    documents_frame = spark.createDataFrame(
        [("d", "x", "text", "hash", 4, 1)],
        "doc_id string, domain string, text string, text_sha256 string, num_bytes int, attempt int",
    )
    plan = ScoringPlan("s", paired_scores=paired_score_udf(spec), tasks=1, max_text_bytes=1000)
    # A filter on the score must not run the model a second time.
    score_rows(documents_frame, plan, "r").filter("influence_score > 0").explain("formatted")
    text = capsys.readouterr().out
    assert text.count("ArrowEvalPython (") == 1
    (arguments,) = [line for line in text.splitlines() if line.startswith("Arguments: [score(")]
    assert "doc_id" not in arguments
    assert "domain" not in arguments


def test_a_worker_loads_the_model_once_for_all_its_partitions(spark: SparkSession, tiny_model_folder: str) -> None:
    from udfs.checkpoint import resolve_checkpoint
    from udfs.spark_udfs import ModelSpec, ScorerSpec, paired_score_udf

    # A window of its own: no other test has loaded this scorer into a worker.
    model = ModelSpec(resolve_checkpoint(tiny_model_folder), "float32", 1, allow_implausible=True)
    spec = ScorerSpec(model, tuple(HEADS), "uniform", 40)

    def loads(batches: Any) -> Any:
        import os

        import pandas as pd

        from udfs import spark_udfs

        # A worker whose input is left unread is not used again.
        for _ in batches:
            pass
        yield pd.DataFrame({"pid": [os.getpid()], "num_loads": [spark_udfs.num_loads]})

    def counts() -> dict[int, int]:
        rows = spark.range(0, 8, 1, 8).mapInPandas(loads, "pid long, num_loads long").collect()
        return {row["pid"]: row["num_loads"] for row in rows}

    texts = spark.range(0, 32, 1, 8).select(F.lit(SENTENCES[0]).alias("text"))
    before = counts()
    for _ in range(2):
        texts.select(paired_score_udf(spec)("text").alias("s")).select("s.*").collect()
    loaded = {pid: number - before.get(pid, 0) for pid, number in counts().items()}
    # Sixteen tasks on two slots: at most two workers, each with one load.
    assert sum(loaded.values()) in (1, 2)
    assert max(loaded.values()) == 1
