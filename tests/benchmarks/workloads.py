"""What is scored: a model, its masked heads, and documents of a given mix of lengths."""

from __future__ import annotations

import math
import pydoc_data.topics
import random
import sysconfig
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import WhitespaceSplit
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from udfs.checkpoint import load_model, load_tokenizer, resolve_checkpoint
from udfs.head_mask import Head

WINDOW = 4096
MIXES = ("full windows", "log-normal, mean 1000", "short, mean 200")
# The heads that attention-influence detect-heads finds on SmolLM2-135M-Instruct with 16 probes of 900 tokens.
SMOLLM2_HEADS = (
    *((17, 3), (17, 4), (18, 6), (18, 7), (20, 5), (20, 6), (21, 8)),
    *((22, 7), (23, 1), (23, 2), (23, 7), (23, 8), (24, 2), (24, 4)),
)
_COMMON = {"rms_norm_eps": 1e-5, "rope_theta": 500_000.0, "max_position_embeddings": 8192, "num_attention_heads": 32}
SHAPES: dict[str, dict[str, Any]] = {
    "llama-1.3b": _COMMON
    | {"num_hidden_layers": 24, "hidden_size": 2048, "intermediate_size": 5504, "vocab_size": 32_000}
    | {"num_attention_heads": 16, "num_key_value_heads": 16},
    "llama-3.2-1b": _COMMON
    | {"num_hidden_layers": 16, "hidden_size": 2048, "intermediate_size": 8192, "vocab_size": 128_256}
    | {"num_key_value_heads": 8, "tie_word_embeddings": True},
    # For the benchmark's own test.
    "tiny": _COMMON
    | {"num_hidden_layers": 4, "hidden_size": 64, "intermediate_size": 128, "vocab_size": 500}
    | {"num_attention_heads": 4, "num_key_value_heads": 2},
}


@dataclass(frozen=True)
class Workload:
    """Documents for a model. model: a name of SHAPES (random weights), or what --model takes; tokens a pass."""

    mix: str
    model: str
    heads: tuple[Head, ...]
    texts: tuple[str, ...]
    num_tokens: tuple[int, ...]
    device: str
    dtype: str
    max_batch_tokens: int

    @property
    def name(self) -> str:
        """The model, where its first masked layer lies, and the mix."""
        return f"{Path(self.model).stem}, first masked layer {self.heads[0][0]}, {self.mix}"


def load(workload: Workload, dtype: str | None = None) -> tuple[Any, Any]:
    """(model, tokenizer); random weights are the same for each dtype and process of a device."""
    torch_dtype = getattr(torch, dtype or workload.dtype)
    if workload.model not in SHAPES:
        checkpoint = resolve_checkpoint(workload.model)
        return load_model(checkpoint, torch_dtype, workload.device), load_tokenizer(checkpoint)
    config = LlamaConfig(**SHAPES[workload.model])
    torch.manual_seed(0)
    with torch.device(workload.device):
        model = LlamaForCausalLM(config)
    # Rounded to the workload's dtype first, so that a float32 oracle has the very same weights. The frequencies of
    # rotary embeddings are no weights, and stay in float32, as in a model that is loaded.
    for parameter in model.parameters():
        parameter.data = parameter.data.to(getattr(torch, workload.dtype)).to(torch_dtype)
    return model.eval().requires_grad_(False), tokenizer_of(workload.model)


def number_tokenizer(vocab_size: int) -> PreTrainedTokenizerFast:
    """A tokenizer to which the text "7 41 3" is the tokens 7, 41 and 3; token 0 ends a text."""
    vocabulary = {"<end>": 0, **{str(word): word for word in range(1, vocab_size)}}
    words = Tokenizer(WordLevel(vocabulary, unk_token="<end>"))
    words.pre_tokenizer = WhitespaceSplit()
    return PreTrainedTokenizerFast(tokenizer_object=words, eos_token="<end>")


def document_lengths(mix: str, num_tokens: int, seed: int = 0) -> list[int]:
    """Lengths of documents in tokens, num_tokens in all or a little more, in random order."""
    generator = random.Random(seed)
    spread = {"log-normal, mean 1000": (1000, 1.0), "short, mean 200": (200, 0.5)}.get(mix)
    lengths: list[int] = []
    while sum(lengths) < num_tokens:
        if spread is None:
            lengths.append(WINDOW)
        else:
            mean, sigma = spread
            length = generator.lognormvariate(math.log(mean) - sigma**2 / 2, sigma)
            lengths.append(min(WINDOW, max(16, round(length))))
    return lengths


def make_workload(mix: str, model: str, heads: tuple[Head, ...], device: str, num_tokens: int, batch: int) -> Workload:
    """Documents of the mix for the model, num_tokens in all; batch: tokens in a pass."""
    lengths = document_lengths(mix, num_tokens)
    tokenizer = tokenizer_of(model)
    texts = number_texts(SHAPES[model]["vocab_size"], lengths) if model in SHAPES else real_texts(tokenizer, lengths)
    counted = tuple(len(tokenizer(text, add_special_tokens=False)["input_ids"]) for text in texts)
    return Workload(mix, model, heads, texts, counted, device, "float32" if device == "cpu" else "bfloat16", batch)


def tokenizer_of(model: str) -> Any:
    """The model's tokenizer, without its weights."""
    if model in SHAPES:
        return number_tokenizer(SHAPES[model]["vocab_size"])
    return load_tokenizer(resolve_checkpoint(model))


def number_texts(vocab_size: int, lengths: list[int]) -> tuple[str, ...]:
    """Random numbers as words, a text of each length."""
    generator = random.Random(1)
    return tuple(" ".join(str(generator.randrange(1, vocab_size)) for _ in range(length)) for length in lengths)


def real_texts(tokenizer: Any, lengths: list[int]) -> tuple[str, ...]:
    """Pieces of Python's own modules and topics, one of each of the lengths in tokens."""
    files = sorted(Path(sysconfig.get_paths()["stdlib"]).glob("*.py"))
    sources = [file.read_text(encoding="utf-8", errors="replace") for file in files]
    sources += [text for _, text in sorted(pydoc_data.topics.topics.items())]
    random.Random(1).shuffle(sources)
    texts = []
    for length in lengths:
        while len(tokenizer(sources[-1][: 12 * length], add_special_tokens=False)["input_ids"]) < length + 8:
            sources.pop()
        source = sources.pop()
        texts.append(_first_tokens(tokenizer, source, length))
        # What is left of it serves when all others have had their turn.
        sources.insert(0, source[len(texts[-1]) :])
    return tuple(texts)


def _first_tokens(tokenizer: Any, text: str, length: int) -> str:
    """The beginning of the text that is exactly length tokens, or a few fewer where none is."""
    encoded = tokenizer(text[: 12 * length], add_special_tokens=False, return_offsets_mapping=True)
    for end in range(length, 1, -1):
        piece = text[: encoded["offset_mapping"][end - 1][1]]
        if len(tokenizer(piece, add_special_tokens=False)["input_ids"]) <= length:
            return piece
    raise ValueError(f"a text has no beginning of {length} tokens")
