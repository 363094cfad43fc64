"""Documents at which the model itself fails."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pyspark.sql import SparkSession

from tests.jobs.scoring.hostile_models import hostile_model
from tests.jobs.scoring.scoring_cases import add_documents, all_scores, documents, scores_by_id
from tests.udfs.conftest import byte_level_tokenizer

Score = Callable[..., dict[str, Any]]
RAISE = "raise torch.AcceleratorError('CUDA error: device-side assert triggered')"


@pytest.mark.faults
@pytest.mark.timeout(900)
def test_a_document_at_which_the_model_raises_is_marked_with_the_reason_and_the_others_are_scored(
    spark: SparkSession, namespace: str, score: Score, tmp_path: Path
) -> None:
    (token,) = byte_level_tokenizer(bos=False)("~")["input_ids"]
    add_documents(spark, namespace, documents(4) | {"hostile": "This one has a ~ in it."})
    model = hostile_model(tmp_path / "hostile", f"(input_ids == {token}).any()", RAISE)
    result = score(model=model, trust_remote_code=True)
    assert (result["scored"], result["failed"]) == (4, 1)
    marked = scores_by_id(spark, namespace)["hostile"]
    assert (marked["status"], marked["error_class"]) == ("failed", "WorkerDied")
    assert "device-side assert triggered" in marked["error_message"]
    assert "\n" not in marked["error_message"]


@pytest.mark.timeout(600)
def test_a_model_that_raises_at_any_text_stops_the_run_with_the_reason_and_no_document_is_blamed(
    spark: SparkSession, namespace: str, score: Score, tmp_path: Path
) -> None:
    add_documents(spark, namespace, documents(4))
    model = hostile_model(tmp_path / "hostile", "True", "raise RuntimeError('no kernel for this device')")
    with pytest.raises(ValueError, match=r"any text, even a short one.*no kernel for this device"):
        score(model=model, trust_remote_code=True)
    assert all_scores(spark, namespace) == []
