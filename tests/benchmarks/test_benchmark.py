"""The benchmark itself: its contenders agree, its operations are those that torch counts, its report holds them all."""

from __future__ import annotations

import json
import multiprocessing
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode
from transformers import LlamaConfig, LlamaForCausalLM

from tests.benchmarks import rounds
from tests.benchmarks.report import spearman
from tests.benchmarks.workloads import MIXES, SHAPES, document_lengths, number_texts, tokenizer_of
from udfs.flops import useful_flops

ROOT = Path(__file__).parents[2]


def test_every_contender_gives_the_oracles_scores_and_stands_in_the_report(tmp_path: Path) -> None:
    command = "-m tests.benchmarks --device cpu --models tiny --tokens 600 --rounds 2 --threads 1 --batch-tokens 512"
    arguments = [*command.split(), "--accuracy-documents", "6", "--mixes", MIXES[2], "--out", str(tmp_path)]
    # Not the compiled one: that takes half a minute, and tests/udfs/test_compiled.py has it.
    arguments += ["--only", "(1)", "(2)", "(3)", "+ loss", "+ paired", "+ shared", "+ kept", "+ packed", "scorer in"]
    finished = subprocess.run([sys.executable, *arguments], cwd=ROOT, capture_output=True, text=True, timeout=400)
    assert finished.returncode == 0, finished.stderr[-2000:]
    content = json.loads((tmp_path / "results.json").read_text())
    assert len(content["results"]) == 2  # masks that begin at 10 % and at 30 % of the depth
    for result in content["results"]:
        rows = {row["contender"]: row for row in result["contenders"]}
        assert len(rows) == 10
        for name, row in rows.items():
            assert row["failure"] is None, row
            assert row["largest_score_difference"] < (2e-3 if "bfloat16" in name else 1e-5), name
            assert row["tokens_per_second"] > 0
            assert 0 < row["mfu"] < 1
    assert len(content["formats"]) == 5
    assert all(row.get("failure") is None for row in content["formats"])
    report = (tmp_path / "RESULTS.md").read_text()
    assert all(name in report for name in rows)
    assert "What bounds the speed now" in report


def test_useful_operations_are_those_that_torch_counts() -> None:
    config = LlamaConfig(**SHAPES["tiny"])
    # torch counts what eager attention does: every token sees all of the window.
    model = LlamaForCausalLM._from_config(config, attn_implementation="eager")
    length = 64
    with FlopCounterMode(display=False) as counter, torch.inference_mode():
        model(torch.zeros(1, length, dtype=torch.long), use_cache=False)
    # It counts the last token's logits, too.
    attention = config.num_hidden_layers * 2 * length**2 * config.hidden_size
    counted = counter.get_total_flops() - attention - 2 * config.hidden_size * config.vocab_size
    assert useful_flops(config, 0, [length]) == pytest.approx(2 * counted, rel=1e-3)
    shared = useful_flops(config, 4, [length])
    assert shared == pytest.approx(counted + 2 * config.hidden_size * config.vocab_size * (length - 1), rel=1e-3)


def test_documents_have_the_lengths_of_their_mix() -> None:
    tokenizer = tokenizer_of("tiny")
    for mix, mean in zip(MIXES, (4096, 930, 200), strict=True):
        lengths = document_lengths(mix, 500_000)
        assert sum(lengths) / len(lengths) == pytest.approx(mean, rel=0.06)
        assert max(lengths) <= 4096
    lengths = [16, 40]
    texts = number_texts(500, lengths)
    assert [len(tokenizer(text)["input_ids"]) for text in texts] == lengths


def test_rank_correlation_is_one_for_the_same_order_and_minus_one_for_the_reverse() -> None:
    assert spearman([0.1, 0.5, 0.3], [1.0, 9.0, 2.0]) == pytest.approx(1)
    assert spearman([1.0, 2.0, 3.0], [3.0, 2.0, 1.0]) == pytest.approx(-1)


def test_a_contender_that_does_not_end_by_itself_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rounds, "END_TIMEOUT", 0.1)
    process = multiprocessing.get_context("forkserver").Process(target=time.sleep, args=(500,))
    process.start()
    rounds._end(process)
    assert process.exitcode == -9
