"""A GGUF file becomes a folder once: the same losses as the file's, and nothing at all where it would not be."""

from __future__ import annotations

import math
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from tests.udfs.gguf_files import (
    sentencepiece_metadata,
    sentencepiece_reader,
    tiny_llama,
    trained_pieces,
    write_gguf,
)
from udfs import gguf
from udfs.checkpoint import load_model, load_tokenizer, resolve_checkpoint
from udfs.gguf_proof import check_same_logits
from udfs.gguf_settings import check_settings

PIECES = trained_pieces()
VOCABULARY = sentencepiece_metadata(PIECES)
TEXT = "Mask them, and the loss rises most on documents that need what stands far back."


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("ATTENTION_INFLUENCE_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def made(folder: Path, model: Any = None, name: str = "tiny.gguf", **metadata: Any) -> str:
    return str(write_gguf(folder / name, model or tiny_llama(len(PIECES)), VOCABULARY, **metadata))


def base_loss(model: Any, token_ids: list[int]) -> float:
    """Mean next-token cross-entropy of a Llama in float64, by plain loops over its weights."""
    weights = {name: weight.double().numpy() for name, weight in model.state_dict().items()}
    config = model.config
    hidden = weights["model.embed_tokens.weight"][token_ids]
    size, group = config.head_dim, config.num_attention_heads // config.num_key_value_heads
    turns = 10000.0 ** (-np.arange(0, size, 2) / size)

    def normed(rows: Any, weight: Any) -> Any:
        return rows / np.sqrt((rows**2).mean(-1, keepdims=True) + config.rms_norm_eps) * weight

    def turned(row: Any, place: int) -> Any:
        cosine, sine = np.tile(np.cos(place * turns), 2), np.tile(np.sin(place * turns), 2)
        return row * cosine + np.concatenate([-row[size // 2 :], row[: size // 2]]) * sine

    for layer in range(config.num_hidden_layers):
        weight = {n.split(f"layers.{layer}.")[1]: w for n, w in weights.items() if f"layers.{layer}." in n}
        rows = normed(hidden, weight["input_layernorm.weight"])
        q, k, v = (rows @ weight[f"self_attn.{name}_proj.weight"].T for name in "qkv")
        out = np.zeros_like(q)
        for head in range(config.num_attention_heads):
            of_q, of_kv = slice(head * size, (head + 1) * size), slice(head // group * size, (head // group + 1) * size)
            for t in range(len(token_ids)):
                query = turned(q[t, of_q], t)
                scores = np.array([query @ turned(k[s, of_kv], s) for s in range(t + 1)]) / math.sqrt(size)
                attention = np.exp(scores - scores.max())
                out[t, of_q] = attention / attention.sum() @ v[: t + 1, of_kv]
        hidden = hidden + out @ weight["self_attn.o_proj.weight"].T
        rows = normed(hidden, weight["post_attention_layernorm.weight"])
        gate, up = (rows @ weight[f"mlp.{name}_proj.weight"].T for name in ("gate", "up"))
        hidden = hidden + (gate / (1 + np.exp(-gate)) * up) @ weight["mlp.down_proj.weight"].T
    logits = normed(hidden, weights["model.norm.weight"]) @ weights["lm_head.weight"].T
    losses = [np.log(np.exp(row).sum()) - row[token] for row, token in zip(logits, token_ids[1:], strict=False)]
    return float(np.mean(losses))


def test_losses_are_those_of_the_files_weights_on_sentencepieces_ids(tmp_path: Path) -> None:
    model = tiny_llama(len(PIECES))
    checkpoint = resolve_checkpoint(made(tmp_path, model))
    token_ids = load_tokenizer(checkpoint)(TEXT, return_tensors="pt")["input_ids"]
    expected_ids = [1, *sentencepiece_reader(PIECES, prefix=True).encode(TEXT)]
    assert token_ids[0].tolist() == expected_ids
    loss = load_model(checkpoint, torch.float32, "cpu")(token_ids, labels=token_ids).loss
    assert float(loss) == pytest.approx(base_loss(model, expected_ids), rel=1e-4)


def test_what_an_earlier_version_has_made_is_not_used(tmp_path: Path, cache: Path) -> None:
    file = made(tmp_path)
    path = Path(resolve_checkpoint(file).path)
    assert path.parent == cache
    old = cache / path.name.removesuffix(f"-{gguf.CONVERSION}")
    old.mkdir()
    assert Path(resolve_checkpoint(file).path) == path
    assert sorted(folder.name for folder in cache.iterdir()) == sorted([old.name, path.name])


def test_a_conversion_that_fails_halfway_leaves_nothing(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gguf, "_save", lambda *_: (_ for _ in ()).throw(OSError("No space left on device")))
    with pytest.raises(OSError, match="No space left"):
        resolve_checkpoint(made(tmp_path))
    assert not list(cache.iterdir())


def test_a_tokenizer_without_its_prefix_is_refused(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = gguf.write_tokenizer

    def spoilt(vocabulary: Any, folder: Path) -> None:
        write(vocabulary, folder)
        file = folder / "tokenizer.json"
        file.write_text(file.read_text().replace('{"type": "Prepend", "prepend": "\u2581"}, ', ""))

    monkeypatch.setattr(gguf, "write_tokenizer", spoilt)
    with pytest.raises(ValueError, match=r"converted tokenizer reads the text 'a' in another way, from token 1 on"):
        resolve_checkpoint(made(tmp_path))
    assert not list(cache.iterdir())


def test_weights_that_are_saved_otherwise_are_refused(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save = gguf._save

    def spoilt(model: Any, folder: Path) -> None:
        model.model.layers[1].self_attn.q_proj.weight.requires_grad_(False).mul_(-1)
        save(model, folder)

    monkeypatch.setattr(gguf, "_save", spoilt)
    with pytest.raises(ValueError, match="converted weights predict other tokens than the file's"):
        resolve_checkpoint(made(tmp_path))
    assert not list(cache.iterdir())


def test_logits_that_are_no_numbers_are_refused() -> None:
    with pytest.raises(ValueError, match="no numbers at all"):
        check_same_logits(torch.tensor([math.nan]), torch.tensor([math.nan]))


def test_weights_that_the_model_has_no_place_for_are_refused(tmp_path: Path, cache: Path) -> None:
    file = tmp_path / "biased.gguf"
    biased = tiny_llama(len(PIECES), attention_bias=True)
    write_gguf(file, _without_permuted_biases(biased), VOCABULARY)
    with pytest.raises(ValueError, match=r"has [\d,]+ weights, but the model that transformers makes of it has [\d,]+"):
        resolve_checkpoint(str(file))
    assert not list(cache.iterdir())


def _without_permuted_biases(model: Any) -> Any:
    state = {
        name: weight for name, weight in model.state_dict().items() if not name.endswith(("q_proj.bias", "k_proj.bias"))
    }
    model.state_dict = lambda: state
    return model


def test_missing_weights_are_refused(tmp_path: Path, cache: Path) -> None:
    model = tiny_llama(len(PIECES))
    state = {name: weight for name, weight in model.state_dict().items() if "layers.1.mlp.up_proj" not in name}
    model.state_dict = lambda: state
    with pytest.raises(ValueError, match="its weights lack"):
        resolve_checkpoint(made(tmp_path, model))
    assert not list(cache.iterdir())


@pytest.mark.parametrize(
    "setting",
    [
        {"llama.rope.scaling.type": "linear", "llama.rope.scaling.factor": 4.0},
        {"llama.attention.sliding_window": 16},
        {"llama.attention.key_length": 4},
        {"llama.logit_scale": 0.5},
        {"llama.attention.max_alibi_bias": 8.0},
        {"llama.final_logit_softcapping": 30.0},
        {"llama.attention.causal": False},
    ],
    ids=lambda setting: next(iter(setting)),
)
def test_settings_that_transformers_does_not_read_are_refused(setting: dict[str, Any], tmp_path: Path) -> None:
    key = next(iter(setting))
    with pytest.raises(ValueError, match=rf"its {key} is .*, which transformers does not read from GGUF"):
        resolve_checkpoint(made(tmp_path, **setting))


@pytest.mark.parametrize(
    ("settings", "config"),
    [
        ({"rope.freq_base": 1e6}, {"rope_parameters": {"rope_type": "default", "rope_theta": 10_000.0}}),
        ({"rope.freq_base": 1e6}, {"rope_parameters": {kind: {"rope_theta": 1e4} for kind in ("full", "sliding")}}),
        ({"rope.dimension_count": 4}, {}),
        ({"rope.dimension_count": 8}, {"rope_parameters": {"rope_theta": 1e4, "partial_rotary_factor": 0.5}}),
        ({"attention.layer_norm_rms_epsilon": 1e-5}, {"rms_norm_eps": 1e-6}),
    ],
    ids=str,
)
def test_settings_that_are_read_as_others_are_refused(settings: dict[str, Any], config: dict[str, Any]) -> None:
    ours = SimpleNamespace(**{"hidden_size": 32, "num_attention_heads": 4, **config})
    stored = {"general.architecture": "x", **{f"x.{key}": value for key, value in settings.items()}}
    fields = {key: SimpleNamespace(contents=lambda value=value: value) for key, value in stored.items()}
    with pytest.raises(ValueError, match=rf"its x\.{next(iter(settings))} is .*, which transformers does not read"):
        check_settings(SimpleNamespace(get_field=fields.get), ours)


def test_settings_that_change_nothing_are_no_obstacle(tmp_path: Path) -> None:
    size = tiny_llama(len(PIECES)).config.head_dim
    settings = {"llama.rope.scaling.type": "none", "llama.attention.key_length": size, "llama.expert_count": 0}
    assert resolve_checkpoint(made(tmp_path, **settings)).num_layers == 3


def test_more_embeddings_than_tokens_are_kept_and_fewer_are_refused(tmp_path: Path) -> None:
    more = made(tmp_path, tiny_llama(len(PIECES) + 5), "more.gguf", **{"llama.vocab_size": len(PIECES) + 5})
    assert resolve_checkpoint(more).vocab_size == len(PIECES) + 5
    fewer = made(tmp_path, tiny_llama(len(PIECES) - 5), "fewer.gguf", **{"llama.vocab_size": len(PIECES) - 5})
    with pytest.raises(ValueError, match=rf"has {len(PIECES) - 5} embeddings for {len(PIECES)} tokens"):
        resolve_checkpoint(fewer)
