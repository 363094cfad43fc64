"""The detect-heads stage on real Spark and Delta, with the real model and with one that cannot retrieve."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pyspark.sql import SparkSession
from transformers import LlamaConfig, LlamaForCausalLM

from jobs import detect_heads, probes
from jobs.detect_heads import DetectHeadsSettings
from jobs.probes import ProbesSettings
from jobs.spark.namespace import Namespace
from schemas import head_masks, head_scores
from tests.udfs.conftest import byte_level_tokenizer
from tests.udfs.models import tiny_model


@pytest.fixture
def random_model(tmp_path: Path, smollm2_tokenizer: Any) -> str:
    """A folder with random weights that have copied nothing in their life, and a real tokenizer."""
    config = LlamaConfig(
        vocab_size=49_152,
        hidden_size=16,
        intermediate_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        max_position_embeddings=512,
    )
    folder = tmp_path / "random-llama"
    LlamaForCausalLM(config).save_pretrained(folder)
    smollm2_tokenizer.save_pretrained(folder)
    return str(folder)


def test_the_real_models_heads_are_written_once_as_scores_mask_and_file(
    spark: SparkSession,
    namespace: str,
    smollm2_path: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("udfs.known_checkpoints.SETTLED_NS", 0)
    probes.run(ProbesSettings(namespace=namespace, model=smollm2_path, num_probes=3, probe_tokens=500), spark)
    heads_file = tmp_path / "heads.txt"
    settings = DetectHeadsSettings(namespace=namespace, model=smollm2_path, heads_file=str(heads_file))
    found = detect_heads.run(settings, spark)
    with monkeypatch.context() as patched:
        patched.setattr("udfs.checkpoint.resolve_checkpoint", lambda *_, **__: pytest.fail("the model is read again"))
        assert detect_heads.run(settings, spark) == found
    place = Namespace.parse(namespace)
    scores = {(r["layer"], r["head"]): r["retrieval_score"] for r in place.read(spark, head_scores.TABLE).collect()}
    assert len(scores) == 270
    (mask,) = place.read(spark, head_masks.TABLE).collect()
    heads = [tuple(head) for head in mask["heads"]]
    assert len(heads) == 14
    assert {(18, 6), (17, 3)} <= set(heads)
    assert min(scores[head] for head in heads) >= max(scores[head] for head in scores.keys() - set(heads))
    lines = [line for line in heads_file.read_text().splitlines() if not line.startswith("#")]
    assert lines == [f"{layer},{head}" for layer, head in heads]
    assert (mask["mask_id"], mask["detection_id"]) == (found["mask_id"], found["detection_id"])
    assert "18-6" in capsys.readouterr().out


def test_a_model_at_chance_gets_no_mask_and_is_told_so(spark: SparkSession, namespace: str, random_model: str) -> None:
    probes.run(ProbesSettings(namespace=namespace, model=random_model, num_probes=2, probe_tokens=400), spark)
    settings = DetectHeadsSettings(namespace=namespace, model=random_model, allow_implausible_model=True)
    with pytest.raises(ValueError, match="answered none of 2 probes"):
        detect_heads.run(settings, spark)
    assert Namespace.parse(namespace).read(spark, head_masks.TABLE).isEmpty()


def test_probes_of_another_tokenizer_are_not_used(
    spark: SparkSession, namespace: str, random_model: str, tmp_path: Path
) -> None:
    probes.run(ProbesSettings(namespace=namespace, model=random_model, num_probes=1, probe_tokens=400), spark)
    other = tmp_path / "other"
    tiny_model("llama").save_pretrained(other)
    byte_level_tokenizer(bos=True).save_pretrained(other)
    with pytest.raises(ValueError, match=r"no probes for the tokenizer of other@.*attention-influence probes"):
        detect_heads.run(DetectHeadsSettings(namespace=namespace, model=str(other)), spark)


def test_a_probe_longer_than_the_models_context_is_an_error_before_any_work(
    spark: SparkSession, namespace: str, random_model: str, tmp_path: Path, smollm2_tokenizer: Any
) -> None:
    probes.run(ProbesSettings(namespace=namespace, model=random_model, num_probes=1, probe_tokens=400), spark)
    short = tmp_path / "short"
    tiny_model("llama").save_pretrained(short)  # A context of 128 tokens.
    smollm2_tokenizer.save_pretrained(short)
    with pytest.raises(ValueError, match=r"does not fit into the 128 .*--probe-tokens 128"):
        detect_heads.run(DetectHeadsSettings(namespace=namespace, model=str(short)), spark)
