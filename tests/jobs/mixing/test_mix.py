"""Mix: shares, repeats and targets by tokens, drawn by hash."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from fractions import Fraction

import pytest
from pyspark.sql import Row, SparkSession
from pyspark.sql import functions as F

from jobs import mix, selection
from jobs.mix import MixSettings
from jobs.mixing.targets import domain_shares, part_targets
from jobs.selecting.settings import SelectSettings
from jobs.settings.stage import load_settings
from jobs.spark.namespace import Namespace
from schemas import mixture, mixture_runs
from tests.jobs.ranking.ranking_cases import score_row
from tests.jobs.selecting.selection_cases import ids, in_order, scored, write_scores

Run = Callable[..., list[Row]]
ROWS = scored(200, seed=3)
DOMAINS = in_order(ROWS)
TOKENS = {row["doc_id"]: row["num_tokens"] for row in ROWS}
SELECTED = {domain: members[: len(members) // 2] for domain, members in DOMAINS.items()}


@pytest.fixture(scope="module")
def selected(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    """A namespace, and the selection of the better half of ROWS in it."""
    namespace = str(tmp_path_factory.mktemp("mix"))
    write_scores(spark, namespace, ROWS)
    found = selection.run(SelectSettings(namespace=namespace, fraction=0.5), spark)
    return namespace, found["selection_id"]


@pytest.fixture
def run(spark: SparkSession, selected: tuple[str, str]) -> Run:
    """Mix with flags; the rows of that mix."""
    namespace, selection_id = selected

    def mixed(*flags: str) -> list[Row]:
        always = ["--namespace", namespace, "--selection-id", selection_id]
        found = mix.run(load_settings(MixSettings, [*always, *flags], "mix"), spark)
        table = Namespace.parse(namespace).read(spark, mixture.TABLE)
        rows: list[Row] = table.filter(F.col("mixture_id") == found["mixture_id"]).collect()
        return rows

    return mixed


def tokens_of(rows: list[Row], origin: str, domain: str | None = None) -> int:
    return sum(
        row["num_tokens"] * row["repeats"]
        for row in rows
        if row["origin"] == origin and domain in (None, row["domain"])
    )


@pytest.mark.parametrize("few_rows", [0, 10**6], ids=["bins", "window"])
def test_parts_have_their_shares_by_tokens_to_within_a_document_a_domain(
    run: Run, few_rows: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("jobs.ranking.order.FEW_ROWS", few_rows)
    rows = run()
    most = max(TOKENS.values())
    chosen, baseline = tokens_of(rows, "selected"), tokens_of(rows, "baseline")
    assert abs(chosen - 0.7 * (chosen + baseline)) < 2 * most * len(DOMAINS)
    # All of the selection that there can be.
    assert chosen > sum(TOKENS[row["doc_id"]] for members in SELECTED.values() for row in members) - 3 * most
    assert {row["doc_id"] for row in rows if row["origin"] == "selected"} <= set().union(*map(ids, SELECTED.values()))
    for row in rows:
        assert row["num_tokens"] == TOKENS[row["doc_id"]]
        assert row["repeats"] == 1
    assert len({(row["origin"], row["doc_id"]) for row in rows}) == len(rows)
    # Each part is as the corpus is, by domains.
    in_baseline = sum(TOKENS[row["doc_id"]] for members in DOMAINS.values() for row in members)
    for domain, members in DOMAINS.items():
        share = sum(TOKENS[row["doc_id"]] for row in members) / in_baseline
        assert abs(tokens_of(rows, "baseline", domain) - share * baseline) < 2 * most


def test_the_rest_shares_no_document_with_the_selection(run: Run) -> None:
    rows = run("--baseline", "rest", "--selected-share", "0.5")
    assert {row["doc_id"] for row in rows if row["origin"] == "baseline"}.isdisjoint(
        set().union(*map(ids, SELECTED.values()))
    )
    assert tokens_of(rows, "baseline") > 0


def test_a_seed_draws_the_same_documents_again_and_another_seed_others(run: Run) -> None:
    first = run("--tokens", "20000")
    assert {(row["origin"], row["doc_id"]) for row in run("--tokens", "2e4")} == {
        (row["origin"], row["doc_id"]) for row in first
    }
    other = run("--tokens", "20000", "--seed", "1")
    assert {row["doc_id"] for row in other} != {row["doc_id"] for row in first}
    assert 20_000 * 0.8 < tokens_of(first, "selected") + tokens_of(first, "baseline") <= 20_000


def test_the_best_are_repeated_most_and_the_worst_once(run: Run) -> None:
    rows = run("--selected-share", "1", "--repeats", "4", "--repeat-by", "percentile")
    repeats = {row["doc_id"]: row["repeats"] for row in rows}
    assert set(repeats) == set().union(*map(ids, SELECTED.values()))
    for members in SELECTED.values():
        found = [repeats[row["doc_id"]] for row in members]
        assert found == sorted(found, reverse=True)
        for row in members:
            higher = sum(other["influence_score"] > row["influence_score"] for other in members)
            percentile = 1 - Fraction(higher, len(members) - 1)
            assert repeats[row["doc_id"]] == min(4, 1 + int(percentile * 4))
    assert set(repeats.values()) >= {2, 3, 4}
    flat = run("--selected-share", "1", "--repeats", "3")
    assert {row["repeats"] for row in flat} == {3}
    assert tokens_of(flat, "selected") == 3 * sum(TOKENS[row["doc_id"]] for m in SELECTED.values() for row in m)


def test_domains_get_the_shares_that_were_asked_for(run: Run) -> None:
    rows = run("--domain-share", "law=0.5", "--domain-share", "poems=0.1", "--tokens", "12000")
    for origin, share in (("selected", 0.7), ("baseline", 0.3)):
        for domain, part in (("law", 0.5), ("poems", 0.1), ("code", 0.4)):
            target = 12_000 * share * part
            assert target - max(TOKENS.values()) < tokens_of(rows, origin, domain) <= target


def test_what_a_mix_holds_is_stored_and_printed_with_its_epochs(
    run: Run, spark: SparkSession, selected: tuple[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    rows = run("--repeats", "2", "--json")
    shown = json.loads(capsys.readouterr().out)
    table = Namespace.parse(selected[0]).read(spark, mixture_runs.TABLE)
    stored = table.filter(F.col("mixture_id") == shown["mixture_id"]).collect()
    assert {(row["origin"], row["domain"]) for row in stored} == {
        (origin, domain) for origin in ("selected", "baseline") for domain in DOMAINS
    }
    for row in stored:
        held = [r for r in rows if (r["origin"], r["domain"]) == (row["origin"], row["domain"])]
        there = (SELECTED if row["origin"] == "selected" else DOMAINS)[row["domain"]]
        assert row["num_documents"] == len(held)
        assert row["num_tokens"] == sum(r["num_tokens"] * r["repeats"] for r in held)
        assert row["available_tokens"] == sum(member["num_tokens"] for member in there)
        assert row["epochs"] == pytest.approx(row["num_tokens"] / row["available_tokens"])
    run("--repeats", "2")
    assert "selected: " in (out := capsys.readouterr().out)
    assert "epochs" in out


def test_more_tokens_than_there_are_is_an_error_that_says_how_many_there_are(run: Run) -> None:
    with pytest.raises(ValueError, match=r"--tokens is 1,000,000,000, but the \w+ part of .* suffice for"):
        run("--tokens", "1e9")
    with pytest.raises(ValueError, match=r"--domain-share 'cod' has no scored document; did you mean code\?"):
        run("--domain-share", "cod=0.5")


def test_a_table_without_versions_makes_a_mix_of_its_own_each_time(spark: SparkSession, namespace: str) -> None:
    texts = {f"doc-{number}": f"text {number}" for number in range(6)}
    hashes = {doc_id: hashlib.sha256(text.encode()).hexdigest() for doc_id, text in texts.items()}
    write_scores(spark, namespace, [score_row(doc_id, "code", 0.5, text_sha256=hashes[doc_id]) for doc_id in texts])
    selection.run(SelectSettings(namespace=namespace, fraction=0.5), spark)
    rows = [(doc_id, "code", text) for doc_id, text in texts.items()]
    spark.createDataFrame(rows, "doc_id string, domain string, text string").createOrReplaceTempView("their_texts")
    try:
        found = [mix.run(MixSettings(namespace=namespace, corpus_table="their_texts"), spark) for _ in range(2)]
    finally:
        spark.catalog.dropTempView("their_texts")
    held = Namespace.parse(namespace).read(spark, mixture.TABLE).select("mixture_id").distinct().collect()
    assert {row["mixture_id"] for row in held} == {row["mixture_id"] for row in found}
    assert len(held) == 2


def test_a_domain_that_one_part_lacks_may_have_a_share_of_nothing() -> None:
    assert domain_shares("selected", {"a": 30}, {"b": 0.0}) == {"a": Fraction(1)}
    with pytest.raises(ValueError, match=r"gives 'b' 0.5, but the selected part of the mix has no document of it"):
        domain_shares("selected", {"a": 30}, {"b": 0.5})


def test_naming_the_only_selection_makes_no_other_mix(spark: SparkSession, selected: tuple[str, str]) -> None:
    namespace, selection_id = selected
    by_default = mix.run(MixSettings(namespace=namespace, seed=7), spark)
    assert mix.run(MixSettings(namespace=namespace, seed=7, selection_id=selection_id), spark) == by_default


def test_several_selections_without_a_choice_are_listed(spark: SparkSession, selected: tuple[str, str]) -> None:
    namespace, selection_id = selected
    again = MixSettings(namespace=namespace, selection_id=selection_id)
    first = mix.run(again, spark)
    selection.run(SelectSettings(namespace=namespace, fraction=0.1), spark)
    # Another selection beside it makes it no other mix.
    assert mix.run(again, spark)["mixture_id"] == first["mixture_id"]
    with pytest.raises(ValueError, match=r"has 2 selections; name one with --selection-id:\n  \w{16}  .* documents"):
        mix.run(MixSettings(namespace=namespace), spark)
    with pytest.raises(ValueError, match=r"--selection-id is 'x', but namespace .* has only:"):
        mix.run(MixSettings(namespace=namespace, selection_id="x"), spark)


def test_without_a_total_the_part_that_bounds_the_mix_is_taken_whole() -> None:
    available = {"selected": {"a": 1000, "b": 500}, "baseline": {"a": 10000, "b": 9000}}
    found = part_targets(available, {"selected": Fraction(7, 10), "baseline": Fraction(3, 10)}, {}, None)
    assert found["selected"] == {"a": 1000, "b": 500}
    with pytest.raises(ValueError, match="baseline part of the mix has no documents"):
        part_targets(available | {"baseline": {}}, {"selected": Fraction(1, 2), "baseline": Fraction(1, 2)}, {}, None)


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--domain-share", "a=-0.5"], r"--domain-share a=-0.5 must be 0 or more"),
        (["--domain-share", "a=nan"], r"--domain-share is .*nan.* must be a finite number"),
        (["--domain-share", "a=0.7", "--domain-share", "b=0.4"], r"gives 1.1 in all; it must be at most 1"),
        (["--seed", str(2**63)], r"--seed is"),
        (["--repeats", "3000000000"], r"--repeats is"),
        (["--tokens", "inf"], r"--tokens is .*inf.* must be a finite number"),
    ],
)
def test_shares_that_make_no_sense_are_errors(flags: list[str], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        load_settings(MixSettings, flags, "mix")


def test_shares_and_targets_are_exact() -> None:
    assert domain_shares("selected", {"a": 30, "b": 10}, {}) == {"a": Fraction(3, 4), "b": Fraction(1, 4)}
    assert domain_shares("selected", {"a": 30, "b": 10, "c": 30}, {"b": 0.4}) == {
        "a": Fraction(3, 10),
        "b": Fraction(2, 5),
        "c": Fraction(3, 10),
    }
    with pytest.raises(ValueError, match=r"gives 1\.5 in all"):
        domain_shares("selected", {"a": 30, "b": 10}, {"a": 0.9, "b": 0.6})
    with pytest.raises(ValueError, match=r"gives 0.9 in all; it must be at most 1, or 1 if it names every domain"):
        domain_shares("selected", {"a": 30}, {"a": 0.9})
    available = {"selected": {"a": 70, "b": 70}, "baseline": {"a": 1000, "b": 1000}}
    shares = {"selected": Fraction("0.7"), "baseline": Fraction("0.3")}
    assert part_targets(available, shares, {}, None) == {"selected": {"a": 70, "b": 70}, "baseline": {"a": 30, "b": 30}}
    assert part_targets(available, shares, {}, 100) == {"selected": {"a": 35, "b": 35}, "baseline": {"a": 15, "b": 15}}
