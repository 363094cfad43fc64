"""Tokens, hours and cost before they are spent, against what scoring then finds."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from pyspark.sql import SparkSession

from jobs.estimate import EstimateSettings, run
from jobs.spark.namespace import Namespace
from schemas import corpus, scores
from tests.jobs.corpus.corpus_cases import corpus_rows
from tests.jobs.scoring.scoring_cases import WINDOW, add_documents, documents
from tests.udfs.conftest import byte_level_tokenizer

Estimate = Callable[..., dict[str, Any]]


@pytest.fixture
def estimate(spark: SparkSession, namespace: str, tiny_model_folder: str, heads_file: str) -> Estimate:
    """Runs the stage with the tiny model, and any other settings."""

    def estimate_with(**settings: Any) -> dict[str, Any]:
        defaults = {"namespace": namespace, "model": tiny_model_folder, "heads_file": heads_file, "window": WINDOW}
        allowed = {"allow_implausible_model": True}
        return run(EstimateSettings(**{**defaults, **allowed, "probe_seconds": 0.5, **settings}), spark)

    return estimate_with


def test_a_sample_of_all_documents_gives_their_tokens_exactly_by_domain(
    spark: SparkSession, namespace: str, estimate: Estimate
) -> None:
    texts = documents(30)
    add_documents(spark, namespace, texts)
    code = corpus_rows(spark, [("code", "code", "for x in range(3): print(x)", None)])
    Namespace.parse(namespace).append(code, corpus.TABLE)
    found = estimate(devices=4, price_per_hour=2.5)
    tokenizer = byte_level_tokenizer(bos=False)
    expected = sum(len(tokenizer(text)["input_ids"]) for text in texts.values())
    by_domain = {domain["name"]: domain for domain in found["domains"]}
    assert by_domain["prose"]["num_tokens"] == pytest.approx(expected)
    assert by_domain["prose"]["num_documents"] == 30
    assert by_domain["code"]["num_documents"] == 1
    assert found["num_documents"] == 31
    assert found["device_hours"] == pytest.approx(found["num_tokens"] / found["tokens_per_second_and_device"] / 3600)
    assert found["hours"] == pytest.approx(found["device_hours"] / 4)
    assert found["cost"] == pytest.approx(found["device_hours"] * 2.5)
    assert not Namespace.parse(namespace).exists(spark, scores.TABLE.name)


def test_the_speed_of_a_device_that_is_not_here_comes_from_its_operations(
    spark: SparkSession, namespace: str, estimate: Estimate, capsys: Any
) -> None:
    add_documents(spark, namespace, documents(12))
    slow, fast = (estimate(device_tflops=tflops, mfu=0.5, json=True) for tflops in (1.0, 10.0))
    assert fast["tokens_per_second_and_device"] == pytest.approx(10 * slow["tokens_per_second_and_device"])
    assert fast["speed_is"] == "from operations and --mfu"
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["num_documents"] == 12


def test_a_peak_without_a_share_of_it_is_an_error(estimate: Estimate) -> None:
    with pytest.raises(ValueError, match="--device-tflops and --mfu belong together"):
        estimate(device_tflops=989)


def test_a_corpus_without_text_is_an_error(spark: SparkSession, namespace: str, estimate: Estimate) -> None:
    add_documents(spark, namespace, {"empty": "", "null": None})
    with pytest.raises(ValueError, match="no document with text"):
        estimate()
