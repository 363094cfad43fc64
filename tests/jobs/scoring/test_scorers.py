"""Which mask a scorer has: the one that was named, or the only one that was detected."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from pyspark.sql import SparkSession

from jobs.scoring.scorers import choose_heads
from jobs.spark.namespace import Namespace
from schemas import head_masks
from udfs.checkpoint import resolve_checkpoint
from udfs.head_mask import mask_identity


def test_of_several_detected_masks_one_must_be_named_and_those_of_files_do_not_count(
    spark: SparkSession, namespace: str, tiny_model_folder: str
) -> None:
    place, checkpoint = Namespace.parse(namespace), resolve_checkpoint(tiny_model_folder)
    place.create(spark, head_masks.TABLE)
    with pytest.raises(ValueError, match=r"has no mask of .*detect-heads --namespace .* --model .*tiny-llama"):
        choose_heads(spark, place, checkpoint, mask_id=None, heads_file=None)
    # Written in this order: a file's, then two detections' and another file's.
    for heads, detection_id, expected in (
        ([(0, 1)], None, ((0, 1),)),
        ([(0, 0), (2, 3)], "d1", ((0, 0), (2, 3))),
        ([(1, 2)], None, ((0, 0), (2, 3))),
    ):
        mask_id = mask_identity(checkpoint.model_id, heads)
        share = 0.05 if detection_id else None
        row = (mask_id, checkpoint.model_id, detection_id, heads, share, datetime.now(UTC))
        place.append(spark.createDataFrame([row], head_masks.TABLE.schema), head_masks.TABLE)
        assert choose_heads(spark, place, checkpoint, mask_id=None, heads_file=None) == expected
    other = ("another mask", checkpoint.model_id, "d2", [(1, 1)], 0.1, datetime.now(UTC))
    place.append(spark.createDataFrame([other], head_masks.TABLE.schema), head_masks.TABLE)
    with pytest.raises(ValueError, match=r"has several masks of .*; name one with --mask-id:") as error:
        choose_heads(spark, place, checkpoint, mask_id=None, heads_file=None)
    listed = str(error.value).splitlines()[1:]
    assert [line.split(", since")[0] for line in listed] == [
        f"  {mask_identity(checkpoint.model_id, [(0, 0), (2, 3)])}  2 heads, the top 0.05",
        "  another mask  1 heads, the top 0.1",
    ]
    assert choose_heads(spark, place, checkpoint, mask_id="another mask", heads_file=None) == ((1, 1),)
