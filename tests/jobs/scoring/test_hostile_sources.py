"""Sources that nobody would wish for: full of poison, or changed while they are read."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import pytest
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from jobs.corpus.documents import documents_of
from jobs.score import ScoreSettings
from jobs.scoring import stream
from jobs.scoring.batch_scorer import BatchScorer
from jobs.scoring.bisection import Bisection
from jobs.spark.namespace import Namespace
from schemas import corpus, scores
from tests.jobs.corpus.corpus_cases import corpus_rows, insert, update
from tests.jobs.scoring.scoring_cases import add_documents, documents, scores_by_id

# Most score several times, a minute each on a busy machine.
pytestmark = pytest.mark.faults

Score = Callable[..., dict[str, Any]]
# Given what scores a batch, a class and its method, and what is to happen then.
AfterTheFirst = Callable[[type, str, Callable[[], None]], None]

# Kind -> the text as SQL, what becomes of it, and its class.
POISON = {
    "null": ("null", "empty", None),
    "empty": ("''", "empty", None),
    "whitespace": (r"' \n\t\r\u00a0\u2003'", "empty", None),
    "a million spaces": ("repeat(' ', 1000000)", "empty", None),
    "one character": ("'a'", "too_short", None),
    "nul bytes": (r"concat('before', char(0), 'after ', repeat(char(0), 50))", "scored", None),
    "no utf-8": ("cast(x'6120fffe62c328' as string)", "failed", "InvalidUtf8"),
    "half a surrogate pair": ("cast(x'6120eda0802062' as string)", "failed", "InvalidUtf8"),
    "a lone control word": ("'<|im_end|>'", "scored", None),
    "a control word of the model": ("'<|endoftext|>'", "scored", None),
    "one very long word": ("repeat('pneumono', 2500)", "scored", None),
    "millions of one character": ("repeat('x', 3000000)", "failed", "TextTooLong"),
    "right to left": ("repeat('\u202e\u0645\u0631\u062d\u0628\u0627 \u05e9\u05dc\u05d5\u05dd ', 20)", "scored", None),
    "emoji": ("repeat('\U0001f468\u200d\U0001f469\u200d\U0001f467\U0001f3fd e\u0301', 20)", "scored", None),
}


def test_poison_has_a_row_each_and_leaves_the_scores_of_all_others_as_they_are(
    spark: SparkSession, namespace: str, score: Score, tmp_path: Any
) -> None:
    """One document in fifty of each kind, and one of 60 MB."""
    clean = str(tmp_path / "clean")
    add_documents(spark, clean, documents(100))
    score(namespace=clean)
    add_documents(spark, namespace, documents(100))
    poison = [
        f"select '{kind} {n}' as doc_id, 'poison' as domain, {text} as text, null as source"
        for kind, (text, _, _) in POISON.items()
        for n in range(2)
    ]
    huge = "select '60 MB 0', 'poison', repeat('Sixty million. ', 4000000), null"
    spark.sql(insert(Namespace.parse(namespace).identifier("corpus"), " union all ".join([*poison, huge])))

    score(max_text_bytes=2_000_000)

    found = scores_by_id(spark, namespace)
    assert len(found) == 100 + 2 * len(POISON) + 1
    for doc_id, row in scores_by_id(spark, clean).items():
        assert row["status"] == found[doc_id]["status"] == "scored"
        assert found[doc_id]["influence_score"] == pytest.approx(row["influence_score"], abs=1e-5)
        assert found[doc_id]["base_nll_sum"] == pytest.approx(row["base_nll_sum"], rel=1e-5)
    became = {kind: outcome for kind, (_, *outcome) in POISON.items()}
    became["60 MB"] = ["failed", "TextTooLong"]
    assert {
        doc_id: [row["status"], row["error_class"]] for doc_id, row in found.items() if row["domain"] == "poison"
    } == {f"{kind} {n}": outcome for kind, outcome in became.items() for n in range(2) if f"{kind} {n}" in found}


def key(row: Any) -> tuple[str, str]:
    return row["doc_id"], row["text_sha256"]


def require_all_scored_once(spark: SparkSession, namespace: str) -> None:
    """Each document that is in the corpus now has a score of its text as it is now, and no text has two."""
    place = Namespace.parse(namespace)
    columns = ScoreSettings(namespace=namespace, model="m").document_table()
    now = {key(row) for row in documents_of(place.read(spark, corpus.TABLE), columns).collect()}
    rows = place.read(spark, scores.TABLE).collect()
    scored = {key(row) for row in rows}
    assert len(scored) == len(rows), "a text has two scores"
    assert now <= scored
    assert {row["status"] for row in rows} == {"scored"}


def change_source(spark: SparkSession, namespace: str, change: str) -> None:
    table = Namespace.parse(namespace).identifier("corpus")
    if change == "append":
        add_documents(spark, namespace, documents(3, first=20))
    elif change == "update":
        spark.sql(update(table, "concat(text, ' More of it.')", "doc_id in ('doc-001', 'doc-007')"))
    elif change == "overwrite":
        rows = [(doc_id, "prose", text, None) for doc_id, text in documents(4, first=6).items()]
        theirs = corpus_rows(spark, rows)
        theirs.write.format("delta").mode("overwrite").save(f"{namespace}/corpus")
    elif change == "optimize":
        spark.sql(f"optimize {table}")


@pytest.fixture
def after_the_first_batch(monkeypatch: pytest.MonkeyPatch) -> AfterTheFirst:
    """Has something happen once, when a run has scored its first batch; the source is read one file at a time."""

    def arrange(owner: type, method: str, happen: Callable[[], None]) -> None:
        monkeypatch.setattr(stream, "MAX_BYTES_PER_READ", 1)
        original = getattr(owner, method)
        calls = itertools.count()

        def score_then_change(self: Any, session: SparkSession, batch: DataFrame, *rest: Any) -> Any:
            result = original(self, session, batch, *rest)
            if next(calls) == 0:
                happen()
            return result

        monkeypatch.setattr(owner, method, score_then_change)

    return arrange


FOLLOWED = ("append", "optimize")
NOT_FOLLOWED = r"updated, deleted or overwritten.*--mode reconcile"


@pytest.mark.parametrize(
    ("mode", "change"),
    [*itertools.product(["stream"], ["append", "optimize", "update", "overwrite"]), ("reconcile", "update")],
)
def test_a_source_that_changes_while_it_is_scored_loses_nothing_and_has_nothing_scored_twice(
    mode: str,
    change: str,
    spark: SparkSession,
    namespace: str,
    score: Score,
    after_the_first_batch: AfterTheFirst,
) -> None:
    for part in range(3):
        add_documents(spark, namespace, documents(3, first=3 * part))
    before = sorted(documents(9))
    owner, method = (BatchScorer, "score") if mode == "stream" else (Bisection, "commit")
    after_the_first_batch(owner, method, lambda: change_source(spark, namespace, change))
    if mode == "stream" and change not in FOLLOWED:
        with pytest.raises(ValueError, match=NOT_FOLLOWED):
            score(batch_bytes=500)
        # What was read before is kept.
        assert 0 < len(scores_by_id(spark, namespace)) <= 9
    else:
        # A comparison keeps to the version that it began with.
        assert score(mode=mode, batch_bytes=500)["scored"] >= 9
        assert set(before) <= set(scores_by_id(spark, namespace))
    if change in FOLLOWED:
        score()
    else:
        with pytest.raises(ValueError, match=NOT_FOLLOWED):
            score()
        score(mode="reconcile")
    require_all_scored_once(spark, namespace)
    assert score()["num_documents"] == 0


def test_a_column_added_while_a_source_is_scored_loses_nothing(
    spark: SparkSession,
    namespace: str,
    score: Score,
    after_the_first_batch: AfterTheFirst,
    tmp_path: Any,
) -> None:
    path = str(tmp_path / "theirs")

    def append(first: int, **extra: str) -> None:
        rows = [(doc_id, "x", text) for doc_id, text in documents(3, first=first).items()]
        frame = spark.createDataFrame(rows, "doc_id string, domain string, text string")
        frame = frame.withColumns({name: F.lit(value) for name, value in extra.items()})
        frame.write.format("delta").mode("append").option("mergeSchema", "true").save(path)

    for part in range(3):
        append(3 * part)
    after_the_first_batch(BatchScorer, "score", lambda: append(9, language="en"))
    score(corpus_table=path)
    score(corpus_table=path)
    assert sorted(scores_by_id(spark, namespace)) == sorted(documents(12))
    assert score(corpus_table=path)["num_documents"] == 0


@pytest.mark.parametrize("change", ["rename column note to remark", "drop column note"])
def test_a_column_renamed_or_dropped_since_the_last_run_is_compared_at_most(
    change: str, spark: SparkSession, namespace: str, score: Score, tmp_path: Any
) -> None:
    path = str(tmp_path / "theirs")
    table = f"delta.`{path}`"
    spark.sql(
        f"create table {table} (doc_id string, domain string, text string, note string) using delta "
        "tblproperties ('delta.columnMapping.mode' = 'name')"
    )

    def append(first: int) -> None:
        rows = [(doc_id, "x", text, "a note") for doc_id, text in documents(2, first=first).items()]
        values = ", ".join(str(row[: len(spark.table(table).columns)]) for row in rows)
        spark.sql(f"insert into {table} values {values}")

    append(0)
    score(corpus_table=path)
    append(2)
    spark.sql(f"alter table {table} {change}")
    append(4)
    with pytest.raises(ValueError, match=r"columns .*theirs.* changed.*--mode reconcile"):
        score(corpus_table=path)
    score(corpus_table=path, mode="reconcile")
    assert sorted(scores_by_id(spark, namespace)) == sorted(documents(6))
    append(6)
    assert score(corpus_table=path)["num_documents"] == 2


@pytest.mark.parametrize(("how", "count"), [({"mode": "stream"}, 2), ({"mode": "reconcile"}, 2), ({"limit": 1}, 1)])
def test_an_id_that_is_null_in_what_was_added_is_an_error_that_names_its_column(
    how: dict[str, Any], count: int, spark: SparkSession, namespace: str, score: Score, tmp_path: Any
) -> None:
    path = str(tmp_path / "theirs")

    def append(rows: list[tuple[Any, ...]]) -> None:
        frame = spark.createDataFrame(rows, "key string, domain string, text string")
        frame.write.format("delta").mode("append").save(path)

    append([(doc_id, "x", text) for doc_id, text in documents(3).items()])
    theirs = {"corpus_table": path, "doc_id_column": "key"}
    score(**theirs)
    append([("doc-003", "x", "A text that has an id."), (None, "x", "A text that has none."), (None, "x", "Nor this.")])
    with pytest.raises(
        ValueError, match=rf"{count} of the documents .*theirs.* no id: column 'key' is null; .*--mode rec"
    ):
        score(**how, **theirs)
    assert sorted(scores_by_id(spark, namespace)) == sorted(documents(3))
    spark.sql(f"update delta.`{path}` set key = concat('made of ', text) where key is null")
    assert score(mode="reconcile", **theirs)["scored"] == 3
    assert score(**theirs)["num_documents"] == 0
