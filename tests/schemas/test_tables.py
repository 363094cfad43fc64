"""Every table's contract: what others rely on, and what its CHECKs let through."""

from __future__ import annotations

import hashlib
import importlib
import math
import pkgutil
from typing import Any

import pytest
from pyspark.sql.types import StructType

import schemas
from schemas import (
    corpus,
    duplicates,
    head_masks,
    head_scores,
    mixture,
    mixture_runs,
    probes,
    rankings,
    runs,
    scorers,
    scores,
    selection_runs,
    selections,
)
from schemas.contract import TableContract

TABLES = [corpus, probes, head_scores, head_masks, scorers, scores, runs, rankings, duplicates]
TABLES += [selections, selection_runs, mixture, mixture_runs]
CONTRACTS: list[TableContract] = [module.TABLE for module in TABLES]
# Typed out from the design, not read from the code.
RELIED_ON = {
    "corpus": "doc_id domain text source",
    "probes": "probe_id prompt answer num_pairs seed",
    "head_scores": "detection_id model_id layer head retrieval_score num_probes",
    "head_masks": "mask_id model_id detection_id heads top_fraction",
    "scorers": "scorer_id weights_hash tokenizer_hash mask_id mask_mode window dtype scoring_version",
    "scores": "doc_id text_sha256 scorer_id domain num_tokens num_windows base_nll_sum masked_nll_sum base_loss "
    "masked_loss influence_score status error_class error_message run_id scored_at",
    "runs": "run_id scorer_id source state num_documents num_tokens tokens_per_second started_at updated_at",
    "duplicates": "doc_id cluster_id",
    "rankings": "scorer_id doc_id domain domain_rank domain_size percentile cumulative_tokens",
    "selections": "selection_id doc_id domain num_tokens",
    "selection_runs": "selection_id domain rule num_documents num_tokens cutoff_score source_versions",
    "mixture": "mixture_id doc_id domain origin repeats",
    "mixture_runs": "mixture_id origin domain num_tokens epochs",
}
# What corpus says of a text that is empty or null.
EMPTY = {"text_sha256": hashlib.sha256(b"").hexdigest(), "num_bytes": 0}
SCORED = {
    "attempt": 1,
    "num_tokens": 10,
    "num_predicted_tokens": 9,
    "base_nll_sum": 18.0,
    "masked_nll_sum": 27.0,
    "base_loss": 2.0,
    "masked_loss": 3.0,
    "influence_score": 0.5,
    "status": "scored",
}
NOT_SCORED = {**dict.fromkeys(SCORED), "attempt": 1, "status": "empty"}


def violated(spark: Any, contract: TableContract, **values: Any) -> set[str]:
    """Names of the checks that a row of these values, and nulls elsewhere, does not satisfy."""
    row = {field.name: values.get(field.name) for field in contract.schema}
    nullable = StructType([type(f)(f.name, f.dataType, True) for f in contract.schema])
    rows = spark.createDataFrame([row], nullable)
    results = rows.selectExpr(*[f"{check} as `{name}`" for name, check in contract.checks.items()]).collect()[0]
    return {name for name in contract.checks if results[name] is not True}


def test_every_module_of_schemas_holds_the_table_of_its_name():
    modules = [importlib.import_module(f"schemas.{found.name}") for found in pkgutil.iter_modules(schemas.__path__)]
    tables = {module.__name__: module.TABLE.name for module in modules if hasattr(module, "TABLE")}
    assert tables == {f"schemas.{name}": name for name in RELIED_ON}


@pytest.mark.parametrize("contract", CONTRACTS, ids=lambda contract: contract.name)
def test_a_contract_has_the_columns_that_others_rely_on_and_says_what_each_means(contract):
    assert set(RELIED_ON[contract.name].split()) <= set(contract.schema.names)
    assert len(set(contract.schema.names)) == len(contract.schema.names)
    assert set(contract.key) | set(contract.partition_by) <= set(contract.schema.names)
    assert all(not contract.schema[name].nullable for name in contract.key)
    assert all(field.metadata["comment"] for field in contract.schema)
    assert contract.grain.endswith(".")
    assert contract.made_by in {"ingest", "probes", "detect-heads", "score", "rank", "dedup", "select", "mix"}


def test_tables_that_several_scorers_write_at_once_are_partitioned_by_scorer():
    assert {contract.name for contract in CONTRACTS if contract.partition_by == ("scorer_id",)} == {
        "scores",
        "rankings",
    }


def test_scores_take_a_scored_and_an_unscored_document(spark):
    assert violated(spark, scores.TABLE, **SCORED) == set()
    assert violated(spark, scores.TABLE, **NOT_SCORED) == set()
    assert violated(spark, scores.TABLE, **NOT_SCORED | {"status": "failed", "error_class": "E"}) == set()


@pytest.mark.parametrize(
    ("change", "check"),
    [
        ({"influence_score": None}, "score_exactly_when_scored"),
        ({"status": "empty"}, "score_exactly_when_scored"),
        ({"status": "done"}, "status_known"),
        ({"attempt": 0}, "attempts_counted"),
        ({"status": None}, "status_known"),
        ({"influence_score": math.nan}, "influence_score_finite"),
        ({"influence_score": math.inf}, "influence_score_finite"),
        ({"masked_loss": -math.inf}, "masked_loss_finite"),
        ({"base_nll_sum": math.nan}, "base_nll_sum_finite"),
        ({"base_loss": 0.0}, "base_loss_positive_when_scored"),
        ({"base_loss": -1.0}, "base_loss_positive_when_scored"),
        ({"base_loss": None}, "base_loss_positive_when_scored"),
        ({"masked_loss": None}, "masked_loss_when_scored"),
        ({"num_predicted_tokens": 0}, "tokens_counted_when_scored"),
        ({"num_tokens": None}, "tokens_counted_when_scored"),
        ({"error_class": "E"}, "error_exactly_when_failed"),
    ],
)
def test_scores_refuse_a_row_that_would_mislead_a_ranking(spark, change, check):
    assert check in violated(spark, scores.TABLE, **SCORED | change)


def test_a_failed_document_must_say_how(spark):
    assert "error_exactly_when_failed" in violated(spark, scores.TABLE, **NOT_SCORED | {"status": "failed"})


@pytest.mark.parametrize(
    ("contract", "values", "checks"),
    [
        (corpus.TABLE, {"doc_id": "a", "domain": "d"} | EMPTY, set()),
        (corpus.TABLE, {"doc_id": "a", "domain": "d", "text": ""} | EMPTY, set()),
        (corpus.TABLE, {"doc_id": "", "domain": ""} | EMPTY, {"doc_id_not_empty", "domain_not_empty"}),
        (corpus.TABLE, {"doc_id": "a", "domain": "d", "text": "ü"} | EMPTY, {"text_hashed", "text_counted"}),
        (corpus.TABLE, {"doc_id": "a", "domain": "d"}, {"text_hashed", "text_counted"}),
        (
            probes.TABLE,
            {"prompt": "abc", "value_start": 0, "value_end": 3, "num_pairs": 4, "num_tokens": 9},
            set(),
        ),
        (
            probes.TABLE,
            {"prompt": "abc", "value_start": 1, "value_end": 4, "num_pairs": 4, "num_tokens": 9},
            {"value_inside_prompt"},
        ),
        (head_scores.TABLE, {"layer": 0, "head": 0, "retrieval_score": 1.0, "num_probes": 1}, set()),
        (
            head_scores.TABLE,
            {"layer": -1, "head": 0, "retrieval_score": math.nan, "num_probes": 0},
            {"head_exists", "retrieval_score_is_a_share", "probes_positive"},
        ),
        (head_masks.TABLE, {"heads": [{"layer": 1, "head": 2}]}, set()),
        (head_masks.TABLE, {"heads": [], "top_fraction": 0.0}, {"heads_not_empty", "top_fraction_is_a_share"}),
        (scorers.TABLE, {"mask_mode": "zero", "window": 2}, set()),
        (
            scorers.TABLE,
            {"mask_mode": "none", "window": 1},
            {"mask_mode_known", "window_holds_a_prediction"},
        ),
        (
            runs.TABLE,
            {"state": "running", "mode": "stream", "num_documents": 2, "num_tokens": 0, "num_failed": 2},
            set(),
        ),
        (
            runs.TABLE,
            {"state": "x", "num_documents": 1, "num_tokens": 0, "num_failed": 2, "tokens_per_second": math.inf},
            {"state_known", "mode_known", "counts_not_negative", "tokens_per_second_finite"},
        ),
        (duplicates.TABLE, {"doc_id": "b", "cluster_id": "a", "cluster_size": 2, "kind": "near"}, set()),
        (duplicates.TABLE, {"doc_id": "b", "cluster_id": "b", "cluster_size": 1, "kind": "unique"}, set()),
        (
            duplicates.TABLE,
            {"doc_id": "b", "cluster_id": "c", "cluster_size": 2, "kind": "unique"},
            {"unique_exactly_when_alone", "cluster_is_its_smallest"},
        ),
        (
            duplicates.TABLE,
            {"doc_id": "b", "cluster_id": "a", "cluster_size": 1, "kind": "x"},
            {"kind_known", "cluster_is_its_smallest", "unique_exactly_when_alone"},
        ),
        (
            rankings.TABLE,
            {"domain_rank": 1, "domain_size": 1, "percentile": 1.0, "influence_score": -0.5},
            set(),
        ),
        (
            rankings.TABLE,
            {"domain_rank": 3, "domain_size": 2, "percentile": 1.1, "influence_score": math.nan},
            {"rank_within_domain", "percentile_is_a_share", "influence_score_finite"},
        ),
    ],
)
def test_checks_refuse_what_the_table_must_not_hold(spark, contract, values, checks):
    assert violated(spark, contract, **values) == checks
