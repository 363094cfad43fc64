"""The probes stage on real Spark and Delta, with the tokenizer of a tiny model of random weights."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import transformers
from delta import DeltaTable
from pyspark.sql import Row, SparkSession

from jobs.cli import main
from jobs.probes import ProbesSettings, run
from jobs.spark.namespace import Namespace
from schemas import probes
from tests.udfs.conftest import byte_level_tokenizer

MAX_POSITIONS = 900
Make = Callable[..., dict[str, Any]]


def save_model(folder: Path, *, bos: bool) -> str:
    tokenizer = byte_level_tokenizer(bos=bos)
    config = transformers.LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=8,
        intermediate_size=8,
        num_hidden_layers=1,
        num_attention_heads=2,
        max_position_embeddings=MAX_POSITIONS,
    )
    transformers.LlamaForCausalLM(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return str(folder)


@pytest.fixture(scope="module")
def model_folder(tmp_path_factory: pytest.TempPathFactory) -> str:
    return save_model(tmp_path_factory.mktemp("model"), bos=False)


@pytest.fixture
def make(spark: SparkSession, namespace: str, model_folder: str) -> Make:
    """Runs the stage with few small probes, and any other settings."""

    def make_with(**settings: Any) -> dict[str, Any]:
        few = {"namespace": namespace, "model": model_folder, "num_probes": 4, "probe_tokens": 800}
        return run(ProbesSettings(**{**few, **settings}), spark)

    return make_with


def stored(spark: SparkSession, namespace: str) -> list[Row]:
    return Namespace.parse(namespace).read(spark, probes.TABLE).orderBy("probe_id").collect()


def num_commits(spark: SparkSession, namespace: str) -> int:
    return DeltaTable.forPath(spark, f"{namespace}/probes").history().count()


def test_probes_that_are_there_are_known_by_what_they_ask_without_the_tokenizer(
    make: Make, model_folder: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ATTENTION_INFLUENCE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("udfs.known_checkpoints.SETTLED_NS", 0)
    first = make()
    monkeypatch.setattr("udfs.checkpoint.load_tokenizer", lambda *_: pytest.fail("the tokenizer is loaded"))
    assert make() == first | {"num_written": 0}
    for other in ({"seed": 1}, {"probe_tokens": 801}, {"num_probes": 5}, {"namespace": str(tmp_path / "other")}):
        with pytest.raises(pytest.fail.Exception, match="the tokenizer is loaded"):
            make(**other)


def test_the_table_holds_the_probes_with_the_offsets_of_their_answers(spark, namespace, make, capsys):
    result = make()
    rows = stored(spark, namespace)
    assert result["num_written"] == len(rows) == len({row["probe_id"] for row in rows}) == 4
    assert "4 probes of up to 800 tokens" in capsys.readouterr().out
    tokenizer = byte_level_tokenizer(bos=False)
    for row in rows:
        assert row["prompt"][row["value_start"] : row["value_end"]] == row["answer"]
        assert len(tokenizer(row["prompt"] + row["answer"]).input_ids) == row["num_tokens"] <= 800
        assert row["num_pairs"] == row["prompt"].split("}")[0].count('": "')
        assert (row["seed"], row["tokenizer_id"]) == (0, result["tokenizer_id"])


def test_the_same_settings_again_write_nothing_and_say_so(spark, namespace, make, capsys):
    make()
    before, commits = stored(spark, namespace), num_commits(spark, namespace)
    capsys.readouterr()
    assert make()["num_written"] == 0
    assert "already" in capsys.readouterr().out
    assert (stored(spark, namespace), num_commits(spark, namespace)) == (before, commits)


def test_other_settings_take_the_place_of_this_tokenizers_probes(spark, namespace, make):
    make()
    before = {row["probe_id"] for row in stored(spark, namespace)}
    changes: list[dict[str, int]] = [{"seed": 1}, {"num_probes": 3}, {"num_probes": 5}, {"probe_tokens": 810}]
    for change in changes:
        num_probes = change.get("num_probes", 4)
        assert make(**change)["num_written"] == num_probes
        after = {row["probe_id"] for row in stored(spark, namespace)}
        assert len(after) == num_probes
        assert after != before
        before = after


def test_probes_of_another_tokenizer_stay(spark, namespace, make, tmp_path):
    mine = make()
    other = make(model=save_model(tmp_path / "other", bos=True), num_probes=2, seed=9)
    assert other["tokenizer_id"] != mine["tokenizer_id"]
    assert make()["num_written"] == 0
    make(num_probes=3)
    found = [(row["tokenizer_id"], row["seed"]) for row in stored(spark, namespace)]
    assert sorted(found) == sorted([(mine["tokenizer_id"], 0)] * 3 + [(other["tokenizer_id"], 9)] * 2)


def test_the_jsonl_file_holds_the_tables_rows_also_when_the_table_had_them(spark, namespace, make, tmp_path):
    make()
    file = tmp_path / "probes.jsonl"
    assert make(jsonl=str(file))["num_written"] == 0
    lines = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
    by_id = sorted(lines, key=lambda line: line["probe_id"])
    assert by_id == [row.asDict() for row in stored(spark, namespace)]


def test_a_jsonl_file_that_cannot_be_written_is_an_error_before_the_table_is_written(spark, namespace, make, tmp_path):
    with pytest.raises(ValueError, match=r"--jsonl .*missing/probes.jsonl cannot be written"):
        make(jsonl=str(tmp_path / "missing" / "probes.jsonl"))
    assert stored(spark, namespace) == []


def test_a_dry_run_makes_no_table(spark, namespace, make, capsys):
    assert make(dry_run=True)["num_written"] == 0
    assert "would make 4 probes" in capsys.readouterr().out
    assert not Path(namespace).exists()


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--probe-tokens", "901"], f"probe_tokens is 901, but the model's context holds {MAX_POSITIONS}"),
        (["--probe-tokens", "50"], "3 demonstrations and a query need about"),
        (["--num-probes", "0"], "num-probes"),
        (["--model", "no/such/model"], "no/such/model"),
    ],
)
def test_what_cannot_be_made_is_a_message_and_no_table(spark, namespace, model_folder, capsys, flags, message):
    assert main(["probes", "--namespace", namespace, "--model", model_folder, *flags]) == 2
    error = capsys.readouterr().err
    assert error.startswith("attention-influence probes: error: ")
    assert message in error
    assert "Traceback" not in error
    assert not Path(namespace).exists()


def test_json_is_all_that_a_program_reads_on_stdout(spark, namespace, model_folder, capsys):
    flags = ["--num-probes", "2", "--probe-tokens", "800", "--seed", "-3", "--json"]
    assert main(["probes", "--namespace", namespace, "--model", model_folder, *flags]) == 0
    result = json.loads(capsys.readouterr().out)
    assert (result["num_written"], result["seed"], result["probe_tokens"]) == (2, -3, 800)
