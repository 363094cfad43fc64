"""Tiny tokenizers and models, built here: nothing is downloaded."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import PreTrainedTokenizerFast

from tests.udfs.models import VOCAB_SIZE, tiny_model

# Several people, and Spark's workers, share a machine's cores; one thread is also the fastest for tiny matrices.
torch.set_num_threads(1)

CONTROL_WORD = "<|endoftext|>"
BOS = "<s>"
SENTENCES = [
    "The retrieval heads of a language model copy earlier text forward.",
    "Mask them, and the loss rises most on documents that need information from far back.",
    "def mean(values): return sum(values) / len(values)",
    "Let x be a real number; then x * x is never negative, and neither is its sum with another square.",
]


def byte_level_tokenizer(*, bos: bool) -> Any:
    """A byte-level BPE tokenizer of a few merges; with bos, it starts every text with <s>."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCAB_SIZE,
        special_tokens=[CONTROL_WORD, BOS],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(SENTENCES, trainer)
    if bos:
        tokenizer.post_processor = processors.TemplateProcessing(
            single=f"{BOS} $A", special_tokens=[(BOS, tokenizer.token_to_id(BOS))]
        )
    special = {"bos_token": BOS} if bos else {}
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, eos_token=CONTROL_WORD, split_special_tokens=True, **special
    )


@pytest.fixture(scope="session")
def tiny_tokenizer() -> Any:
    """Puts nothing before a text, as SmolLM2's and Qwen's tokenizers."""
    return byte_level_tokenizer(bos=False)


@pytest.fixture(scope="session")
def bos_tokenizer() -> Any:
    """Starts every text with <s>, as Llama's and Gemma's tokenizers."""
    return byte_level_tokenizer(bos=True)


@pytest.fixture
def llama() -> Any:
    """A fresh grouped-query Llama: four query heads on two key/value heads, three layers."""
    return tiny_model("llama")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A tiny Llama and its tokenizer as save_pretrained leaves them."""
    path = tmp_path / "tiny-llama"
    tiny_model("llama").save_pretrained(path)
    byte_level_tokenizer(bos=True).save_pretrained(path)
    return path
