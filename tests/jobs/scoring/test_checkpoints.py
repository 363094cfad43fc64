"""Where a run keeps what it has read: never taken for another's, and where it cannot be kept, the run says so."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from pyspark.errors import PySparkException
from pyspark.sql import SparkSession

from jobs.scoring.source_errors import explained
from jobs.spark.namespace import Namespace
from schemas import runs
from tests.jobs.scoring.scoring_cases import add_documents, all_scores, documents, scores_by_id

Score = Callable[..., dict[str, Any]]


def own_checkpoint(folder: Path) -> Path:
    """The one stream's checkpoint under the folder."""
    (metadata,) = folder.glob("*/*/metadata")
    return metadata.parent


@pytest.mark.faults
def test_scorers_sources_and_namespaces_may_share_a_folder_for_checkpoints(
    spark: SparkSession, namespace: str, score: Score, tmp_path: Path
) -> None:
    add_documents(spark, namespace, documents(3))
    other = str(tmp_path / "other")
    add_documents(spark, other, documents(2))
    shared = str(tmp_path / "shared")
    assert score(checkpoint=shared)["num_documents"] == 3
    assert score(checkpoint=shared, mask_mode="zero")["num_documents"] == 3
    assert score(checkpoint=shared, corpus_table=f"{other}/corpus")["num_skipped"] == 2
    # What the first namespace's stream has read is not in the scores of another namespace.
    assert score(checkpoint=shared, corpus_table=f"{namespace}/corpus", namespace=other)["num_documents"] == 3
    assert len(all_scores(spark, namespace)) == 6
    assert sorted(scores_by_id(spark, other)) == sorted(documents(3))


def test_scores_that_were_thrown_away_are_made_again(spark: SparkSession, namespace: str, score: Score) -> None:
    add_documents(spark, namespace, documents(3))
    score()
    score(mode="reconcile")
    # The checkpoints and the rows of the runs stay.
    shutil.rmtree(f"{namespace}/scores")
    assert score()["num_documents"] == 3
    assert score()["num_documents"] == 0
    assert sorted(scores_by_id(spark, namespace)) == sorted(documents(3))


def test_scores_that_were_overwritten_are_noticed(spark: SparkSession, namespace: str, score: Score) -> None:
    add_documents(spark, namespace, documents(3))
    score()
    table = Namespace.parse(namespace).identifier("scores")
    spark.sql(f"insert overwrite {table} select * from {table} where doc_id = 'doc-001'")
    with pytest.raises(ValueError, match=r"changed.*--mode reconcile"):
        score()
    assert score(mode="reconcile")["num_documents"] == 2
    assert score()["num_documents"] == 0


def change_scores(spark: SparkSession, namespace: str) -> None:
    """Take one document's scores away."""
    spark.sql(f"delete from {Namespace.parse(namespace).identifier('scores')} where doc_id = 'doc-001'")


@pytest.mark.faults
def test_a_new_scorer_does_not_mind_that_scores_of_others_were_deleted(
    spark: SparkSession, namespace: str, score: Score
) -> None:
    add_documents(spark, namespace, documents(3))
    score()
    change_scores(spark, namespace)
    assert score(mask_mode="zero")["num_documents"] == 3
    assert score(mask_mode="zero")["num_documents"] == 0


@pytest.mark.faults
def test_scores_that_were_deleted_are_noticed_without_the_rows_of_the_runs(
    spark: SparkSession, namespace: str, score: Score
) -> None:
    add_documents(spark, namespace, documents(3))
    score()
    change_scores(spark, namespace)
    shutil.rmtree(f"{namespace}/runs")
    for _ in range(2):
        with pytest.raises(ValueError, match=r"deleted.*--mode reconcile"):
            score()
    assert score(mode="reconcile")["num_documents"] == 1
    assert score()["num_documents"] == 0


@pytest.mark.faults
def test_scores_that_were_deleted_are_noticed_however_many_commits_ago(
    spark: SparkSession, namespace: str, score: Score, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("jobs.scoring.history.NUM_COMMITS", 1)
    add_documents(spark, namespace, documents(6))
    score()
    change_scores(spark, namespace)
    score(mask_mode="zero", batch_bytes=200)
    with pytest.raises(ValueError, match=r"deleted.*--mode reconcile"):
        score()


@pytest.mark.faults
def test_the_history_of_scores_is_read_back_to_the_last_run_and_no_further(
    spark: SparkSession, namespace: str, score: Score, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("jobs.scoring.history.NUM_COMMITS", 1)
    add_documents(spark, namespace, documents(24))
    score(batch_bytes=1)
    add_documents(spark, namespace, documents(1, first=24))
    score()
    # Delta itself does not need them: it begins at its checkpoint, which it writes every ten commits.
    for version in range(9):
        Path(namespace, f"scores/_delta_log/{version:020}.json").write_text("Nobody can read this.")
    assert score()["num_documents"] == 0


def test_a_run_with_nothing_new_opens_no_file_of_the_source(spark: SparkSession, namespace: str, score: Score) -> None:
    # Without statistics, only the files tell how many documents there are.
    spark.conf.set("spark.databricks.delta.stats.collect", "false")
    try:
        add_documents(spark, namespace, documents(3))
    finally:
        spark.conf.unset("spark.databricks.delta.stats.collect")
    score()
    for file in Path(namespace, "corpus").glob("*.parquet"):
        file.unlink()
    assert score()["num_documents"] == 0


def test_the_checkpoint_of_one_stream_is_no_folder_for_checkpoints(
    spark: SparkSession, namespace: str, score: Score, tmp_path: Path
) -> None:
    add_documents(spark, namespace, documents(2))
    score(checkpoint=str(tmp_path / "mine"))
    taken = own_checkpoint(tmp_path / "mine")
    with pytest.raises(ValueError, match=r"--checkpoint .* is the checkpoint of one stream; name a folder"):
        score(checkpoint=str(taken), mask_mode="zero")
    assert len(all_scores(spark, namespace)) == 2


def test_a_checkpoint_of_another_source_put_in_the_place_of_ours_is_a_clear_error(
    spark: SparkSession, namespace: str, score: Score, tmp_path: Path
) -> None:
    other = str(tmp_path / "other")
    for place in (namespace, other):
        add_documents(spark, place, documents(2))
        score(namespace=place)
        add_documents(spark, place, documents(2, first=2))
    ours, theirs = (own_checkpoint(Path(place, "_checkpoints")) for place in (namespace, other))
    shutil.rmtree(ours)
    shutil.copytree(theirs, ours)
    with pytest.raises(ValueError, match=r"another table than the one .*--mode reconcile"):
        score()
    assert score(mode="reconcile")["num_documents"] == 2
    assert sorted(scores_by_id(spark, namespace)) == sorted(documents(4))


@pytest.fixture
def read_only_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system that takes no writes, from root neither."""
    folder = tmp_path / "read-only"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "ro,size=1m", "tmpfs", str(folder)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("this user may not mount a file system")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def unwritable(place: str, tmp_path: Path, request: pytest.FixtureRequest) -> str:
    """A folder that cannot be made: under a file, in a file system of the kernel's own, or on a read-only disk."""
    if place == "under a file":
        (tmp_path / "file").write_text("A file.")
        return str(tmp_path / "file" / "folder")
    if place == "read-only":
        return str(request.getfixturevalue("read_only_disk") / "folder")
    return "/proc/folder"


PLACES = ["under a file", "/proc", "read-only"]


@pytest.mark.parametrize("place", PLACES)
def test_a_checkpoint_that_cannot_be_written_is_an_error_before_any_work(
    place: str, spark: SparkSession, namespace: str, score: Score, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    add_documents(spark, namespace, documents(2))
    folder = unwritable(place, tmp_path, request)
    with pytest.raises(ValueError, match=r"cannot be written .*that is the checkpoint .*folder.*--checkpoint"):
        score(checkpoint=folder)
    assert all_scores(spark, namespace) == []
    (row,) = Namespace.parse(namespace).read(spark, runs.TABLE).collect()
    assert row["state"] == "failed"


@pytest.mark.parametrize("place", PLACES)
def test_a_namespace_that_cannot_be_written_is_an_error_before_any_work(
    place: str, spark: SparkSession, namespace: str, score: Score, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    add_documents(spark, namespace, documents(2))
    folder = unwritable(place, tmp_path, request)
    with pytest.raises(ValueError, match=r"cannot be created in namespace .*folder; name another with --namespace"):
        score(namespace=folder, corpus_table=f"{namespace}/corpus")


@pytest.mark.parametrize(
    "said",
    [
        "[RequestId=1 ErrorClass=INVALID_PARAMETER_VALUE.LOCATION_OVERLAP] Input path url 's3://b/s' overlaps",
        "PERMISSION_DENIED: User does not have READ FILES on External Location 'ours'",
        "[INSUFFICIENT_PERMISSIONS] Insufficient privileges: User does not have permission MODIFY on any file",
    ],
)
def test_a_checkpoint_that_a_catalog_forbids_is_an_error_that_says_how_to_name_another(said: str) -> None:
    error = explained(PySparkException(said), "their_table", "s3://b/s/_checkpoints")
    assert isinstance(error, ValueError)
    assert "checkpoint s3://b/s/_checkpoints, name another folder with --checkpoint" in str(error)
