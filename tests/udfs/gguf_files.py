"""Small GGUF files, written as llama.cpp's converters write them, and SentencePiece models of the same vocabularies."""

from __future__ import annotations

import io
import json
import struct
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import sentencepiece
import transformers
from gguf import GGUFWriter
from tokenizers import Tokenizer, models, pre_tokenizers, trainers

from tests.udfs.models import GROUPED, NO_TOKENS, NUM_HEADS, with_random_weights

Pieces = list[tuple[str, float, int]]
NORMAL, UNKNOWN, CONTROL, USER_DEFINED, UNUSED, BYTE = range(1, 7)

TEXTS = [
    "The retrieval heads of a language model copy earlier text forward, and the loss rises without them.",
    "Mask them, and the loss rises most on documents that need what stands far back: mathematics, code, arguments.",
    "def mean(values):\n    return sum(values) / len(values)\n",
    "Let x be a real number; then x * x is never negative, and neither is its sum with another square, nor 12345.",
    "banana ananas anananana aaaa aaaaaaaa  two   three    four spaces, caf\u00e9 na\u00efve \u4e2d\u6587 \u4e2d\u6587",
]
AWKWARD = [
    "",
    " ",
    "     ",
    "a",
    " a",
    "a ",
    "  two  spaces   three    ",
    "\n\n\tdef f(x):\r\n\treturn x\n",
    "anananana banana aaaaaaaaaaaaa",
    "caf\u00e9 cafe\u0301 \u4e2d\u6587\u5b57 \u0627\u0644 \U0001f469\u200d\U0001f467 \u00bd 1234567890",
    "\x00\x01 nul \ufeff \u00a0 \u2581under\u2581\u2581score",
    "<s>control</s> <unk> <0x0A> <sep> <|im_end|> [INST]",
    "<sep>",
    "foofoo foo",
    "xx<sep>foo<sep>  yy",
]


def tiny_llama(vocab_size: int, **changes: Any) -> Any:
    """A grouped-query Llama of three layers with vocab_size random embeddings."""
    config = transformers.LlamaConfig(**{**GROUPED, **NO_TOKENS, "vocab_size": vocab_size, **changes})
    return with_random_weights(transformers.AutoModelForCausalLM.from_config(config), seed=0)


def write_gguf(file: Path, model: Any, vocabulary: dict[str, Any], **metadata: Any) -> Path:
    """model, a Llama, in float32 and with llama.cpp's names and order of rows; None as metadata leaves a key out."""
    config = model.config
    writer = GGUFWriter(file, "llama")
    for key, value in {
        "llama.block_count": config.num_hidden_layers,
        "llama.context_length": config.max_position_embeddings,
        "llama.embedding_length": config.hidden_size,
        "llama.feed_forward_length": config.intermediate_size,
        "llama.attention.head_count": config.num_attention_heads,
        "llama.attention.head_count_kv": config.num_key_value_heads,
        "llama.attention.layer_norm_rms_epsilon": float(config.rms_norm_eps),
        "llama.rope.freq_base": 10000.0,
        "llama.rope.dimension_count": config.head_dim,
        **vocabulary,
        **metadata,
    }.items():
        _add(writer, key, value)
    for name, weight in model.state_dict().items():
        writer.add_tensor(_gguf_name(name), _in_gguf_order(name, weight.numpy(), config.num_key_value_heads))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return file


def _add(writer: Any, key: str, value: Any) -> None:
    if value is None:
        return
    if isinstance(value, bool):
        writer.add_bool(key, value)
    elif isinstance(value, int):
        writer.add_uint32(key, value)
    elif isinstance(value, float):
        writer.add_float32(key, value)
    elif isinstance(value, str):
        writer.add_string(key, value)
    else:
        writer.add_array(key, value)


def _gguf_name(name: str) -> str:
    for ours, theirs in (
        ("model.layers.", "blk."), ("self_attn.q_proj", "attn_q"), ("self_attn.k_proj", "attn_k"),
        ("self_attn.v_proj", "attn_v"), ("self_attn.o_proj", "attn_output"), ("mlp.gate_proj", "ffn_gate"),
        ("mlp.up_proj", "ffn_up"), ("mlp.down_proj", "ffn_down"), ("input_layernorm", "attn_norm"),
        ("post_attention_layernorm", "ffn_norm"), ("model.embed_tokens", "token_embd"), ("model.norm", "output_norm"),
        ("lm_head", "output"),
    ):  # fmt: skip
        name = name.replace(ours, theirs)
    return name


def _in_gguf_order(name: str, weight: Any, num_kv_heads: int) -> Any:
    """llama.cpp turns neighbouring rows of a head's queries and keys, transformers the two halves."""
    heads = NUM_HEADS if "q_proj" in name else num_kv_heads if "k_proj" in name else None
    if heads is None:
        return weight
    rows, columns = weight.shape
    return np.ascontiguousarray(
        weight.reshape(heads, 2, rows // heads // 2, columns).swapaxes(1, 2).reshape(rows, columns)
    )


def trained_pieces(user_defined: Iterable[str] = (), *, byte_fallback: bool = True, vocab_size: int = 420) -> Pieces:
    """The pieces of a SentencePiece BPE trained on TEXTS, with scores and types as they stand in its model file."""
    stream = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(TEXTS * 5),
        model_writer=stream,
        model_type="bpe",
        vocab_size=vocab_size if byte_fallback else vocab_size - 256,
        byte_fallback=byte_fallback,
        user_defined_symbols=list(user_defined),
        normalization_rule_name="identity",
        remove_extra_whitespaces=False,
        hard_vocab_limit=False,
        num_threads=1,
        minloglevel=2,
    )
    trained = sentencepiece.SentencePieceProcessor(model_proto=stream.getvalue())

    def kind(index: int) -> int:
        checks = ((trained.is_unknown, UNKNOWN), (trained.is_control, CONTROL), (trained.is_byte, BYTE))
        special = [number for check, number in checks if check(index)]
        return special[0] if special else USER_DEFINED if trained.id_to_piece(index) in user_defined else NORMAL

    return [(trained.id_to_piece(i), trained.get_score(i), kind(i)) for i in range(trained.get_piece_size())]


def sentencepiece_reader(pieces: Pieces, *, prefix: bool) -> Any:
    """sentencepiece's own reading of pieces, without normalisation."""
    model = b"".join(
        _blob(1, _blob(1, piece.encode()) + b"\x15" + struct.pack("<f", score) + _number(3, kind))
        for piece, score, kind in pieces
    )
    model += _blob(2, _number(3, 2) + _number(35, any(kind == BYTE for *_, kind in pieces)))
    model += _blob(3, _blob(1, b"identity") + _number(3, prefix) + _number(4, 0) + _number(5, 1))
    return sentencepiece.SentencePieceProcessor(model_proto=model)


def _number(field: int, value: int) -> bytes:
    """A field of sentencepiece_model.proto, as protocol buffers write it; this package would be one more to install."""
    return _varint(field << 3) + _varint(int(value))


def _blob(field: int, content: bytes) -> bytes:
    return _varint(field << 3 | 2) + _varint(len(content)) + content


def _varint(value: int) -> bytes:
    begin = b""
    while value > 127:
        begin += bytes([value & 127 | 128])
        value >>= 7
    return begin + bytes([value])


def sentencepiece_metadata(pieces: Pieces) -> dict[str, Any]:
    """What llama.cpp's converters write of a SentencePiece vocabulary."""
    tokens, scores, types = (list(column) for column in zip(*pieces, strict=True))
    return {
        "tokenizer.ggml.model": "llama",
        "tokenizer.ggml.pre": "default",
        "tokenizer.ggml.tokens": tokens,
        "tokenizer.ggml.scores": scores,
        "tokenizer.ggml.token_type": types,
        "tokenizer.ggml.bos_token_id": 1,
        "tokenizer.ggml.eos_token_id": 2,
        "tokenizer.ggml.unknown_token_id": 0,
    }


def byte_level_metadata(pre: str | None, *, control: tuple[str, ...] = (), user_defined: tuple[str, ...] = ()) -> Any:
    """(metadata, vocabulary, merges) of a byte-level BPE trained on TEXTS without any pre-tokenizer but the bytes'."""
    tokenizer = Tokenizer(models.BPE())
    # Merges across words, digits and runs of spaces: ids then show how a text was cut.
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    trainer = trainers.BpeTrainer(
        vocab_size=600, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False
    )
    digits = [" ".join(str(n) for n in range(start, start + 40)) for start in range(0, 400, 40)]
    more = ["a  1\n  2\n\n  x  ", "It's they're we'LL  \n", "caf\u00e9 cafe\u0301 (x) == {y}; // !!\n\n"] * 5
    tokenizer.train_from_iterator([*TEXTS, *digits * 3, *more], trainer)
    state = json.loads(tokenizer.to_str())["model"]
    vocabulary: dict[str, int] = state["vocab"]
    for token in (*control, *user_defined):
        vocabulary[token] = len(vocabulary)
    tokens = sorted(vocabulary, key=lambda token: vocabulary[token])
    merges = [tuple(pair) for pair in state["merges"]]
    metadata = {
        "tokenizer.ggml.model": "gpt2",
        "tokenizer.ggml.pre": pre,
        "tokenizer.ggml.tokens": tokens,
        "tokenizer.ggml.token_type": [
            CONTROL if token in control else USER_DEFINED if token in user_defined else NORMAL for token in tokens
        ],
        "tokenizer.ggml.merges": [" ".join(pair) for pair in merges],
    }
    return metadata, vocabulary, merges
