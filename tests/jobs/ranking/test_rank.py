from __future__ import annotations

import datetime as dt
import hashlib
import json
import random
from collections import defaultdict
from typing import Any

import pytest
from pyspark.sql import functions as F
from pyspark.testing import assertDataFrameEqual

from jobs import rank
from jobs.corpus.scored import scored_documents
from jobs.rank import RankSettings
from jobs.ranking import ranks as ranking
from jobs.spark.namespace import Namespace
from jobs.spark.statements import run_statement
from schemas import corpus, rankings, scores
from tests.jobs.corpus.corpus_cases import corpus_rows
from tests.jobs.ranking.ranking_cases import NOW, score_row, write
from tests.jobs.scoring.scoring_cases import run_row, write_runs


def ranked(spark, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    table = spark.createDataFrame(rows, scores.TABLE.schema)
    scored = scored_documents(
        run_statement(spark, "corpus/current_scores", live_scores=table.filter("scorer_id = 's1'"))
    )
    places = ranking.ranked(spark, scored.withColumn("order_value", F.col("influence_score")), "window")
    return [row.asDict() for row in places.collect()]


def oracle(rows: list[dict[str, Any]], scorer_id: str) -> dict[str, tuple[str, int, int, float, float]]:
    """By plain loops: doc_id to domain, rank, size, percentile, score."""
    newest: dict[str, dict[str, Any]] = {}
    for row in rows:
        before = newest.get(row["doc_id"])
        if row["scorer_id"] == scorer_id and (before is None or row["scored_at"] > before["scored_at"]):
            newest[row["doc_id"]] = row
    domains = defaultdict(list)
    for row in newest.values():
        if row["status"] == "scored":
            domains[(row["domain"] or "").strip() or "unknown"].append(row)
    found = {}
    for domain, members in domains.items():
        for row in members:
            higher = sum(other["influence_score"] > row["influence_score"] for other in members)
            tied_before = sum(
                other["influence_score"] == row["influence_score"] and other["doc_id"] < row["doc_id"]
                for other in members
            )
            others = len(members) - 1
            percentile = (others - higher) / others if others else 1.0
            place = (domain, higher + tied_before + 1, len(members), percentile, row["influence_score"])
            found[row["doc_id"]] = place
    return found


@pytest.fixture
def scattered(spark):
    """Spark as on a large table: rows reach their domain from several places, not sorted by chance."""
    spark.conf.set("spark.sql.shuffle.partitions", "7")
    yield spark
    spark.conf.set("spark.sql.shuffle.partitions", "2")


def test_ranks_agree_with_plain_loops_on_random_tables(scattered):
    spark = scattered
    draw = random.Random(7)
    rows = []
    for n in range(3000):
        doc_id = f"{draw.choice('aBz_é')}{draw.randrange(1500)}"
        domain = draw.choice([f"domain {draw.randrange(400)}", None, " ", "unknown"])
        score = draw.choice([None, 0.0, -0.0, 0.5, -0.5, draw.gauss(0.3, 0.2), 1e300])
        scorer_id = draw.choice(["s1", "s1", "s2"])
        moment = NOW + dt.timedelta(seconds=draw.randrange(10**6), microseconds=n)
        rows.append(score_row(doc_id, domain, score, scorer_id=scorer_id, scored_at=moment, text_sha256=str(n)))
    found = ranked(spark, rows)
    expected = oracle(rows, "s1")
    assert len(expected) > 500
    assert min(size for _, _, size, _, _ in expected.values()) == 1
    assert {row["doc_id"] for row in found} == set(expected)
    for row in found:
        domain, domain_rank, domain_size, percentile, score = expected[row["doc_id"]]
        assert (row["domain"], row["domain_rank"], row["domain_size"]) == (domain, domain_rank, domain_size)
        assert row["percentile"] == pytest.approx(percentile, abs=1e-12)
        assert row["influence_score"] == score


def test_the_best_has_percentile_1_ties_share_theirs_and_the_only_one_has_1(spark):
    rows = [score_row(doc_id, "d", score) for doc_id, score in zip("edcba", (0.9, 0.5, 0.5, 0.5, 0.1), strict=True)]
    rows += [score_row("only", "alone", -3.0), score_row("empty", "d", None), score_row("nothing", "void", None)]
    found = {row["doc_id"]: (row["domain_rank"], row["domain_size"], row["percentile"]) for row in ranked(spark, rows)}
    assert found == {
        "e": (1, 5, 1.0),
        "b": (2, 5, 0.75),
        "c": (3, 5, 0.75),
        "d": (4, 5, 0.75),
        "a": (5, 5, 0.0),
        "only": (1, 1, 1.0),
    }


def test_of_a_document_whose_text_changed_only_the_latest_counts_and_none_where_that_failed(spark):
    later = {"scored_at": NOW + dt.timedelta(days=1), "text_sha256": "new"}
    failed = later | {"status": "failed", "error_class": "E"}
    rows = [
        score_row("better", "d", 0.1),
        score_row("better", "e", 0.9, **later),
        score_row("broken", "d", 0.8),
        score_row("broken", "d", None, **failed),
    ]
    found = ranked(spark, rows)
    assert [(row["doc_id"], row["domain"], row["text_sha256"]) for row in found] == [("better", "e", "new")]


def test_only_scores_of_texts_that_the_corpus_has_now_are_ranked(spark, namespace):
    def sha256(text):
        return hashlib.sha256(text.encode()).hexdigest()

    later = {"scored_at": NOW + dt.timedelta(days=1)}
    write(
        spark,
        namespace,
        [
            # Its text was changed, and changed back, which needs no new score.
            score_row("changed", "d", 0.3, text_sha256=sha256("first")),
            score_row("changed", "d", 0.9, text_sha256=sha256("second"), **later),
            score_row("deleted", "d", 0.8, text_sha256=sha256("third")),
            score_row("same", "d", 0.5, text_sha256=sha256("fourth")),
        ],
    )
    place = Namespace.parse(namespace)
    place.create(spark, corpus.TABLE)
    texts = [("changed", "d", "first", None), ("same", "d", "fourth", None)]
    place.append(corpus_rows(spark, texts), corpus.TABLE)
    write_runs(spark, namespace, run_row(run_id="r"))

    def found(**settings):
        rank.run(RankSettings(namespace=namespace, **settings), spark)
        rows = place.read(spark, rankings.TABLE).orderBy("domain", "domain_rank").collect()
        return [(row["doc_id"], row["domain"], row["influence_score"]) for row in rows]

    assert found() == [("same", "d", 0.5), ("changed", "d", 0.3)]
    # What the scorer has read of another table is not looked for in the corpus, which earlier runs called by its name.
    more = [score_row("elsewhere", "d", 0.4, run_id="r2"), score_row("gone", "d", 0.6, run_id="r0")]
    place.append(spark.createDataFrame(more, scores.TABLE.schema), scores.TABLE)
    earlier = run_row(run_id="r0", source=place.identifier("corpus"))
    write_runs(spark, namespace, run_row(run_id="r2", source="`theirs`"), earlier)
    assert found() == [("same", "d", 0.5), ("elsewhere", "d", 0.4), ("changed", "d", 0.3)]
    # A document's domain is the one that it has now, as everything else about it.
    spark.sql(f"update {place.identifier('corpus')} set domain = 'new' where doc_id = 'same'")
    assert found() == [("elsewhere", "d", 0.4), ("changed", "d", 0.3), ("same", "new", 0.5)]
    # A table that is named is the only one.
    spark.createDataFrame(
        [(1, "deleted", "third"), (2, "deleted", "third")], "n int, id string, body string"
    ).write.format("delta").save(f"{namespace}/theirs")
    theirs = {
        "corpus_table": f"{namespace}/theirs",
        "doc_id_column": "id",
        "text_column": "body",
        "domain_column": "id",
    }
    assert found(**theirs) == [("deleted", "deleted", 0.8)]


def test_where_no_text_that_was_scored_is_left_the_ranking_stays_and_that_is_said(spark, namespace):
    write(spark, namespace, [score_row("a", "d", 0.5)])
    rank.run(RankSettings(namespace=namespace), spark)
    place = Namespace.parse(namespace)
    place.create(spark, corpus.TABLE)
    place.append(corpus_rows(spark, [("a", "d", "another text", None)]), corpus.TABLE)
    write_runs(spark, namespace, run_row(run_id="r"))
    with pytest.raises(
        ValueError, match=r"s1 has scored none of the texts that the namespace's corpus has now.*--corpus"
    ):
        rank.run(RankSettings(namespace=namespace), spark)
    assert place.read(spark, rankings.TABLE).count() == 1


def test_a_domain_that_is_not_unicode_is_repaired_and_ranked(spark):
    rows = spark.createDataFrame([score_row("a", "x", 0.5)], scores.TABLE.schema)
    broken = rows.withColumn("domain", F.expr("cast(x'6672616ee761' as string)"))
    current = run_statement(spark, "corpus/current_scores", live_scores=broken)
    assert [row["domain"] for row in current.collect()] == ["fran\ufffda"]
    assert current.join(spark.createDataFrame([("fran\ufffda",)], "domain string"), "domain").count() == 1


def test_ranking_twice_gives_the_same_rows_and_leaves_other_scorers_alone(spark, namespace, capsys):
    write(spark, namespace, [score_row("a", "d", 0.5), score_row("b", None, 0.1)])
    place = Namespace.parse(namespace)
    rank.run(RankSettings(namespace=namespace), spark)
    first = place.read(spark, rankings.TABLE).collect()
    write(
        spark, namespace, [score_row("c", "d", 0.7, scorer_id="s2"), score_row("a", "d", 0.2, scorer_id="s2")], ("s2",)
    )
    rank.run(RankSettings(namespace=namespace, scorer_id="s2"), spark)
    rank.run(RankSettings(namespace=namespace, scorer_id="s1"), spark)
    found = place.read(spark, rankings.TABLE)
    assertDataFrameEqual(found.where("scorer_id = 's1'"), first)
    assert {row["doc_id"]: row["domain_rank"] for row in found.where("scorer_id = 's2'").collect()} == {"c": 1, "a": 2}
    shown = capsys.readouterr().out
    assert "d: 2 documents, best c (0.7000), worst a (0.2000)" in shown
    assert "unknown: 1 documents, best b (0.1000), worst b (0.1000)" in shown


def test_a_document_that_is_scored_no_more_leaves_the_ranking(spark, namespace, capsys):
    write(spark, namespace, [score_row("a", "d", 0.5), score_row("b", "d", 0.1)])
    rank.run(RankSettings(namespace=namespace), spark)
    later = score_row("a", "d", None, scored_at=NOW + dt.timedelta(days=1), text_sha256="new")
    place = Namespace.parse(namespace)
    place.append(spark.createDataFrame([later], scores.TABLE.schema), scores.TABLE)
    capsys.readouterr()
    rank.run(RankSettings(namespace=namespace, json=True), spark)
    shown = json.loads(capsys.readouterr().out)
    assert shown["scorer_id"] == "s1"
    assert [(row["domain"], row["num_documents"], row["best_doc_id"]) for row in shown["domains"]] == [("d", 1, "b")]
    assert [row["doc_id"] for row in place.read(spark, rankings.TABLE).collect()] == ["b"]


def test_several_scorers_without_a_choice_are_listed(spark, namespace):
    rows = [score_row("a", "d", 0.5), score_row("a", "d", None, scorer_id="s2")]
    write(spark, namespace, rows, ("s1", "s2"))
    with pytest.raises(ValueError, match="has 2 scorers; name one with --scorer-id:") as error:
        rank.run(RankSettings(namespace=namespace), spark)
    assert "\n  s2  tiny, mask mask-s2 (uniform), window 64, float32, since 2026-01-01" in str(error.value)
    with pytest.raises(ValueError, match=r"--scorer-id is 's3', but namespace .* has only:\n  s1"):
        rank.run(RankSettings(namespace=namespace, scorer_id="s3"), spark)
    with pytest.raises(ValueError, match=r"s2 has no scored document \(1 empty\)"):
        rank.run(RankSettings(namespace=namespace, scorer_id="s2"), spark)


def test_a_scorer_that_has_scored_nothing_yet_is_no_choice(spark, namespace):
    write(spark, namespace, [score_row("a", "d", 0.5)], ("s1", "s2"))
    rank.run(RankSettings(namespace=namespace), spark)
    assert {row["scorer_id"] for row in Namespace.parse(namespace).read(spark, rankings.TABLE).collect()} == {"s1"}
    with pytest.raises(ValueError, match=r"s2 has no scored document \(no rows at all\)"):
        rank.run(RankSettings(namespace=namespace, scorer_id="s2"), spark)


def test_a_scorer_that_scored_nothing_has_no_ranking(spark, namespace):
    write(spark, namespace, [score_row("a", "d", None), score_row("b", "d", None)])
    with pytest.raises(ValueError, match=r"no scored document \(2 empty\)"):
        rank.run(RankSettings(namespace=namespace), spark)
    assert not Namespace.parse(namespace).exists(spark, "rankings")
