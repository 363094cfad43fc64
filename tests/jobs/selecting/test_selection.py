"""Select: what a rule takes of each domain, beside a dedup and a quality table."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from jobs import selection
from jobs.selecting.settings import SelectSettings
from jobs.settings.stage import load_settings
from jobs.spark.namespace import Namespace
from schemas import selection_runs, selections
from tests.jobs.ranking.ranking_cases import score_row, write
from tests.jobs.selecting.selection_cases import beginning, ids, in_order, scored, write_scores, write_table

Run = Callable[..., set[str]]
ROWS = scored()
DOMAINS = in_order(ROWS)


@pytest.fixture(scope="module")
def filled(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A namespace in which ROWS are scored."""
    namespace = str(tmp_path_factory.mktemp("selection") / "tables")
    write_scores(spark, namespace, ROWS)
    return namespace


def select(spark: SparkSession, namespace: str, *flags: str) -> set[str]:
    """Select with flags; the ids in the selections table."""
    settings = load_settings(SelectSettings, ["--namespace", namespace, *flags], "select")
    found = selection.run(settings, spark)
    table = Namespace.parse(namespace).read(spark, selections.TABLE)
    rows = table.filter(F.col("selection_id") == found["selection_id"]).collect()
    assert len({row["doc_id"] for row in rows}) == len(rows)
    return {row["doc_id"] for row in rows}


@pytest.fixture
def run(spark: SparkSession, filled: str) -> Run:
    return partial(select, spark, filled)


def num_selected(spark: SparkSession, namespace: str) -> int:
    place = Namespace.parse(namespace)
    return place.read(spark, selections.TABLE).count() if place.exists(spark, "selections") else 0


@pytest.mark.parametrize("few_rows", [0, 10**6], ids=["bins", "window"])
def test_a_fraction_of_the_documents_of_each_domain_is_taken_with_exceptions_by_domain(
    run: Run, few_rows: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("jobs.ranking.order.FEW_ROWS", few_rows)
    by_default = {domain: members[: len(members) * 2 // 10] for domain, members in DOMAINS.items()}
    assert run() == set().union(*map(ids, by_default.values()))
    half = {domain: members[: len(members) // 2] for domain, members in DOMAINS.items()}
    half["code"] = DOMAINS["code"][: len(DOMAINS["code"]) * 3 // 10]
    assert run("--fraction", "0.5", "--domain", "code=0.3") == set().union(*map(ids, half.values()))
    assert run("--fraction", "1") == set().union(*map(ids, DOMAINS.values()))


def test_a_fraction_of_the_tokens_is_never_more_than_that(run: Run) -> None:
    expected = set()
    for members in DOMAINS.values():
        expected |= ids(beginning(members, sum(row["num_tokens"] for row in members) * 3 // 10))
    assert run("--token-fraction", "0.3") == expected


def test_a_budget_of_tokens_is_divided_by_the_tokens_of_the_domains(run: Run) -> None:
    tokens = {domain: sum(row["num_tokens"] for row in members) for domain, members in DOMAINS.items()}
    expected = ids(beginning(DOMAINS["code"], 2000))
    others = tokens["law"] + tokens["poems"]
    for domain in ("law", "poems"):
        expected |= ids(beginning(DOMAINS[domain], 5000 * tokens[domain] // others))
    assert run("--tokens", "7e3", "--domain", "code=2000") == expected
    assert run("--tokens", "0") == set()
    assert run("--tokens", "73e9") == set().union(*map(ids, DOMAINS.values()))


def test_a_threshold_takes_what_reaches_it_from_either_end(run: Run) -> None:
    everything = [row for members in DOMAINS.values() for row in members]
    above = {row["doc_id"] for row in everything if row["influence_score"] >= 0.2}
    assert run("--threshold", "0.2") == above
    below = {row["doc_id"] for row in everything if row["influence_score"] <= (0.1 if row["domain"] == "law" else 0.2)}
    assert run("--threshold", "0.2", "--domain", "law=0.1", "--end", "bottom") == below


def test_the_lowest_scores_are_taken_from_the_bottom_ties_by_id(run: Run) -> None:
    expected = set()
    for members in DOMAINS.values():
        lowest = sorted(members, key=lambda row: (row["influence_score"], row["doc_id"]))
        expected |= ids(lowest[: len(members) // 4])
    assert run("--fraction", "0.25", "--end", "bottom") == expected


def test_one_document_of_each_cluster_is_kept_the_best_by_what_is_preferred(
    run: Run, spark: SparkSession, filled: str
) -> None:
    everything = [row for members in DOMAINS.values() for row in members]
    clusters = [(row["doc_id"], f"c{number % 9}") for number, row in enumerate(everything)]
    table = write_table(spark, filled, "clusters", clusters, "doc_id string, cluster_id string")
    kept = {"score": set[str](), "length": set[str]()}
    for cluster in {name for _, name in clusters}:
        members = [row for row, (_, name) in zip(everything, clusters, strict=True) if name == cluster]
        kept["score"].add(min(members, key=lambda row: (-row["influence_score"], row["doc_id"]))["doc_id"])
        kept["length"].add(min(members, key=lambda row: (-row["num_tokens"], row["doc_id"]))["doc_id"])
    assert run("--fraction", "1", "--dedup-table", table) == kept["score"]
    assert run("--fraction", "1", "--dedup-table", table, "--prefer", "length") == kept["length"]


def test_the_rule_is_of_what_the_joins_leave(run: Run, spark: SparkSession, filled: str) -> None:
    """Half of what is good enough, not what is good enough of a half."""
    quality = [(row["doc_id"], number % 4 / 4) for number, row in enumerate(ROWS)]
    table = write_table(spark, filled, "stars", quality, "id string, stars double")
    good = {doc_id for doc_id, value in quality if value >= 0.5}
    left = {domain: [row for row in members if row["doc_id"] in good] for domain, members in DOMAINS.items()}
    expected = set().union(*(ids(members[: len(members) // 2]) for members in left.values()))
    flags = ["--quality-table", table, "--quality-id-column", "id", "--quality-column", "stars"]
    assert run("--fraction", "0.5", *flags, "--min-quality", "0.5") == expected


@pytest.mark.parametrize("method", ["window", "bins"])
def test_ranks_of_influence_and_quality_are_combined_within_domains(
    run: Run, spark: SparkSession, filled: str, method: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("jobs.selecting.candidates.choose_method", lambda *_: method)
    monkeypatch.setattr("jobs.ranking.bins.SMALLEST_BIN", 2)
    infinite = {0: -math.inf, 10: math.inf}
    quality = {row["doc_id"]: infinite.get(n * 7 % 11, (n * 7 % 11) / 10) for n, row in enumerate(ROWS)}
    table = write_table(spark, filled, "quality", list(quality.items()), "doc_id string, quality double")
    expected = set()
    for members in DOMAINS.values():

        def value(row: Any, members: Any = members) -> float:
            others = max(len(members) - 1, 1)
            influence = 1 - sum(other["influence_score"] > row["influence_score"] for other in members) / others
            better = 1 - sum(quality[other["doc_id"]] > quality[row["doc_id"]] for other in members) / others
            return 0.7 * influence + 0.3 * better

        expected |= ids(sorted(members, key=lambda row: (-round(value(row), 9), row["doc_id"]))[: len(members) // 2])
    assert run("--fraction", "0.5", "--quality-table", table, "--combine", "influence=0.7,quality=0.3") == expected


def test_documents_that_a_table_lacks_are_kept_dropped_or_an_error(
    run: Run, spark: SparkSession, filled: str, capsys: pytest.CaptureFixture[str]
) -> None:
    everything = [row for members in DOMAINS.values() for row in members]
    some = sorted(ids(everything))[5:]
    rows = [(doc_id, 1.0 if number % 2 else float("nan")) for number, doc_id in enumerate(some)]
    table = write_table(spark, filled, "partial", rows, "doc_id string, quality double")
    flags = ["--fraction", "1", "--quality-table", table]
    without = 5 + len(some[::2])
    before = num_selected(spark, filled)
    with pytest.raises(ValueError, match=rf"has no quality for {without} scored documents, such .* --missing keep or"):
        run(*flags)
    assert num_selected(spark, filled) == before
    assert run(*flags, "--missing", "keep", "--min-quality", "0.5") == ids(everything)
    capsys.readouterr()
    assert run(*flags, "--missing", "drop") == set(some[1::2])
    assert f"{without} scored documents are not in {table[:60]}" in capsys.readouterr().out
    nothing = write_table(spark, filled, "nothing", [("nobody", 1.0)], "doc_id string, quality double")
    assert run("--fraction", "1", "--quality-table", nothing, "--missing", "drop", "--json") == set()
    found = json.loads(capsys.readouterr().out)["domains"]
    assert [(row["domain"], row["num_candidates"], row["without_quality"]) for row in found] == [
        (domain, 0, len(members)) for domain, members in sorted(DOMAINS.items())
    ]
    stored = Namespace.parse(filled).read(spark, selection_runs.TABLE).filter("without_quality > 0").collect()
    assert {row["without_cluster"] for row in stored} == {None}


def test_a_table_with_two_rows_for_a_document_is_an_error_that_shows_it(
    run: Run, spark: SparkSession, filled: str
) -> None:
    twice = min(ids(DOMAINS["law"]))
    rows = [(row["doc_id"], "c") for row in ROWS] + [(twice, "d")]
    table = write_table(spark, filled, "twice", rows, "doc_id string, cluster_id string")
    before = num_selected(spark, filled)
    with pytest.raises(ValueError, match=f"has several rows for 1 documents, such as {twice}; it must have one row"):
        run("--dedup-table", table)
    assert num_selected(spark, filled) == before


def test_what_was_taken_is_stored_with_its_cut_off_and_the_versions_that_were_read(
    run: Run, spark: SparkSession, filled: str, capsys: pytest.CaptureFixture[str]
) -> None:
    clusters = [(row["doc_id"], row["doc_id"]) for row in ROWS]
    table = write_table(spark, filled, "versioned", clusters, "doc_id string, cluster_id string")
    write_table(spark, filled, "versioned", clusters, "doc_id string, cluster_id string")
    run("--fraction", "0.5", "--dedup-table", table, "--json")
    found = json.loads(capsys.readouterr().out)
    table_of_runs = Namespace.parse(filled).read(spark, selection_runs.TABLE)
    rows = table_of_runs.filter(F.col("selection_id") == found["selection_id"]).orderBy("domain").collect()
    assert [row["domain"] for row in rows] == sorted(DOMAINS)
    for row, shown in zip(rows, found["domains"], strict=True):
        members = DOMAINS[row["domain"]]
        taken = members[: len(members) // 2]
        assert (row["num_candidates"], row["num_documents"]) == (len(members), len(taken))
        assert row["candidate_tokens"] == sum(member["num_tokens"] for member in members)
        assert row["num_tokens"] == sum(member["num_tokens"] for member in taken)
        assert row["cutoff_score"] == row["cutoff_order_value"] == taken[-1]["influence_score"]
        assert (row["rule"], row["scorer_id"]) == ("fraction 0.5", "s1")
        assert json.loads(row["source_versions"])[table] == 1
        assert shown["num_tokens"] == row["num_tokens"]


def test_the_same_selection_is_made_again_in_the_place_of_itself_whatever_the_order_of_the_rows(
    spark: SparkSession, namespace: str
) -> None:
    write_scores(spark, namespace, ROWS)
    run = partial(select, spark, namespace)
    first = run("--fraction", "0.3")
    assert run("--fraction", "0.3") == first
    scores = Namespace.parse(namespace).identifier("scores")
    spark.table(scores).orderBy(F.xxhash64("doc_id")).repartition(5).write.format("delta").mode("overwrite").save(
        f"{Namespace.parse(namespace).folder}/scores"
    )
    assert run("--fraction", "0.3") == first
    table = Namespace.parse(namespace).read(spark, selections.TABLE)
    # Another version of the scores makes another selection, beside the first.
    assert table.select("selection_id").distinct().count() == 2
    assert table.count() == 2 * len(first)


def test_a_dry_run_says_what_would_be_selected_and_writes_nothing(
    spark: SparkSession, namespace: str, capsys: pytest.CaptureFixture[str]
) -> None:
    write_scores(spark, namespace, ROWS)
    found = selection.run(SelectSettings(namespace=namespace, dry_run=True), spark)
    shown = capsys.readouterr().out
    assert "would be selected: " in shown
    assert found["domains"][0]["num_documents"] == len(DOMAINS["code"]) * 2 // 10
    place = Namespace.parse(namespace)
    assert not place.exists(spark, "selections")
    assert not place.exists(spark, "selection_runs")


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--fraction", "0"], "--fraction is '?0'?, but must be greater than 0"),
        (["--fraction", "1.5"], "--fraction is '?1.5'?, but must be less than or equal to 1"),
        (["--domain", "code=2"], r"--domain code=2.0 must be above 0 and at most 1"),
        (["--fraction", "0.2", "--tokens", "5"], "--fraction and --tokens are rules, and only one may be given"),
        (["--tokens", "10", "--domain", "code=11"], "gives 11 tokens to code, more than the 10 of --tokens"),
        (["--tokens", "73e9", "--domain", "code=0.3"], "code=0.3 must be a number of tokens, as --tokens is: 0, or 1"),
        (
            ["--tokens", "0.2"],
            "--tokens 0.2 must be a number of tokens: 0, or 1 or more; a share of them is --token-frac",
        ),
        (["--tokens", "5", "--domain", "code=-1"], "code=-1.0 must be a number of tokens"),
        (["--tokens", "inf"], "--tokens is '?inf'?, but must be a finite number"),
        (["--threshold", "nan"], "--threshold is '?nan'?, but must be a finite number"),
        (["--domain", "code=nan", "--tokens", "5"], "--domain is .*nan.*, but must be a finite number"),
        (["--min-quality", "1"], "--min-quality needs a --quality-table"),
        (["--combine", "influence=1,stars=2", "--quality-table", "t"], "must be weights such as influence=0.7"),
        (
            ["--combine", "influence=1,quality=2", "--quality-table", "t", "--missing", "keep"],
            "needs a quality for each",
        ),
    ],
)
def test_settings_that_make_no_sense_are_errors(flags: list[str], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        load_settings(SelectSettings, flags, "select")


@pytest.mark.parametrize("name", ["a,b", "a=b", "[x]", "{x}", "x]", 'say "x"', '"x"', "c:\\d", "é: #"])
def test_a_domain_of_any_name_can_be_given_as_json_or_in_a_file(name: str, tmp_path: Path) -> None:
    values = json.dumps({name: 0.3})
    assert load_settings(SelectSettings, ["--domain", values, "--domain", "code=0.5"], "select").domain == {
        name: 0.3,
        "code": 0.5,
    }
    config = tmp_path / "pipeline.yaml"
    config.write_text(f"select:\n  domain: {values}\n")
    assert load_settings(SelectSettings, ["--config", str(config)], "select").domain == {name: 0.3}


@pytest.mark.parametrize("text", ["a,b=0.3", "a=b=0.3", "[x]=0.3", "{x}=0.3", 'a"b=0.3', "code"])
def test_a_domain_that_cannot_be_told_from_its_value_is_answered_with_how_to_write_it(text: str) -> None:
    with pytest.raises(
        ValueError, match=r"--domain .*; a name with = , .* is written as JSON, --domain '{\"a,b\": 0.3}'"
    ):
        load_settings(SelectSettings, ["--domain", text], "select")


def test_bad_input_is_an_error_before_anything_is_written(spark: SparkSession, namespace: str) -> None:
    write_scores(spark, namespace, ROWS)
    run = partial(select, spark, namespace)
    numbers = write_table(spark, namespace, "numbers", [(1, "c")], "doc_id bigint, cluster_id string")
    words = write_table(spark, namespace, "words", [("a", "good")], "doc_id string, quality string")
    cases = {
        r"--domain 'cod' has no scored document; did you mean code\?": ["--domain", "cod=0.3"],
        r"--dedup-id-column is 'doc_id', whose values .* are bigint; they must be strings": ["--dedup-table", numbers],
        r"--cluster-column is 'cluster', which .* lacks; did you mean cluster_id\?": [
            *("--dedup-table", numbers, "--cluster-column", "cluster", "--dedup-id-column", "cluster_id")
        ],
        r"--quality-column is 'quality', whose values .* are string; they must be numbers": ["--quality-table", words],
        r"--quality-table is 'nothing', but there is no such table": ["--quality-table", "nothing"],
    }
    for message, flags in cases.items():
        with pytest.raises(ValueError, match=message):
            run(*flags)
    assert num_selected(spark, namespace) == 0
    write(spark, namespace, [score_row("a", "d", 0.5, scorer_id="s2")], ("s2",))
    with pytest.raises(ValueError, match="has 2 scorers; name one with --scorer-id"):
        run()
