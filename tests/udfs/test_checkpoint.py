"""Models named by folder, hub id and GGUF file: what is read, what identifies it, and what is refused."""

from __future__ import annotations

import json
import pickle
import shutil
from pathlib import Path

import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file

from tests.udfs.conftest import CONTROL_WORD, SENTENCES, byte_level_tokenizer
from tests.udfs.models import SHAPE, tiny_model
from udfs.checkpoint import load_model, load_tokenizer, num_parameters, resolve_checkpoint
from udfs.known_checkpoints import Checkpoint
from udfs.paired import PairedScorer


def test_a_folder_is_loaded_with_its_own_weights_and_tokenizer(folder: Path) -> None:
    checkpoint = resolve_checkpoint(str(folder))
    assert (checkpoint.num_layers, checkpoint.num_heads) == (3, 4)
    assert (checkpoint.max_positions, checkpoint.vocab_size, checkpoint.model_type) == (128, 320, "llama")
    assert checkpoint.revision is None
    assert checkpoint.model_id == f"tiny-llama@{checkpoint.weights_hash[:12]}"

    model, expected = load_model(checkpoint, torch.float32, "cpu"), tiny_model("llama")
    assert not model.training
    assert not any(parameter.requires_grad for parameter in model.parameters())
    for name, weight in expected.state_dict().items():
        assert torch.equal(model.state_dict()[name], weight), name
    text = "Mask them, and the loss rises."
    assert load_tokenizer(checkpoint)(text)["input_ids"] == byte_level_tokenizer(bos=True)(text)["input_ids"]


@pytest.mark.parametrize("tied", [True, False])
def test_a_models_size_is_known_without_loading_it(tied: bool, folder: Path) -> None:
    settings = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**settings, "tie_word_embeddings": tied}))
    transformers.AutoModelForCausalLM.from_config(transformers.AutoConfig.from_pretrained(folder)).save_pretrained(
        folder
    )
    checkpoint = resolve_checkpoint(str(folder))
    size = sum(weights.numel() for weights in load_file(folder / "model.safetensors").values())
    for file in folder.glob("*.safetensors"):
        file.unlink()
    assert num_parameters(checkpoint) == size


def test_a_models_own_code_is_not_run_to_tell_its_size(folder: Path) -> None:
    assert num_parameters(resolve_checkpoint(str(folder), trust_remote_code=True)) is None


def test_a_model_that_cannot_be_made_without_memory_has_no_known_size(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    checkpoint = resolve_checkpoint(str(folder))

    def made_with_numbers(*_arguments: object, **_options: object) -> None:
        torch.ones(1).item()

    monkeypatch.setattr(transformers.AutoModelForCausalLM, "from_config", made_with_numbers)
    assert num_parameters(checkpoint) is None


def test_a_model_is_loaded_in_the_dtype_asked_for(folder: Path) -> None:
    checkpoint = resolve_checkpoint(str(folder))
    for dtype in (torch.float32, torch.bfloat16, torch.float16):
        assert {weight.dtype for weight in load_model(checkpoint, dtype, "cpu").parameters()} == {dtype}


def test_a_loaded_model_multiplies_in_full_even_where_the_process_was_told_to_be_quick(folder: Path) -> None:
    torch.manual_seed(0)
    left, right = torch.randn(2, 512, 512)
    try:
        # On a CPU with half-precision instructions this rounds float32 to half precision.
        torch.set_float32_matmul_precision("medium")
        load_model(resolve_checkpoint(str(folder)), torch.float32, "cpu")
        torch.testing.assert_close(left @ right, (left.double() @ right.double()).float(), rtol=1e-5, atol=1e-4)
        assert torch.get_float32_matmul_precision() == "highest"
        assert not torch.backends.cuda.matmul.allow_bf16_reduced_precision_reduction
    finally:
        torch.set_float32_matmul_precision("highest")


def test_what_a_folder_gives_can_be_scored(folder: Path) -> None:
    checkpoint = resolve_checkpoint(str(folder))
    model, tokenizer = load_model(checkpoint, torch.float32, "cpu"), load_tokenizer(checkpoint)
    found = PairedScorer(model, tokenizer, [(1, 0)], window=64).score(SENTENCES)
    expected = PairedScorer(tiny_model("llama"), byte_level_tokenizer(bos=True), [(1, 0)], window=64).score(SENTENCES)
    assert [score.base_nll_sum for score in found] == [score.base_nll_sum for score in expected]


def test_a_control_word_in_a_text_is_plain_text_to_a_loaded_tokenizer(folder: Path) -> None:
    tokenizer = load_tokenizer(resolve_checkpoint(str(folder)))
    token_ids = tokenizer(f"before {CONTROL_WORD} after", add_special_tokens=False)["input_ids"]
    assert 0 not in token_ids
    assert len(token_ids) > 10
    assert tokenizer.decode(token_ids) == f"before {CONTROL_WORD} after"


def test_a_control_word_is_plain_text_even_where_the_saved_tokenizer_says_otherwise(folder: Path) -> None:
    config = json.loads((folder / "tokenizer_config.json").read_text())
    (folder / "tokenizer_config.json").write_text(json.dumps({**config, "split_special_tokens": False}))
    tokenizer = load_tokenizer(resolve_checkpoint(str(folder)))
    assert 0 not in tokenizer(f"before {CONTROL_WORD} after", add_special_tokens=False)["input_ids"]


def test_a_checkpoint_survives_pickling_as_it_goes_to_the_workers(folder: Path) -> None:
    checkpoint = resolve_checkpoint(str(folder))
    copy = pickle.loads(pickle.dumps(checkpoint))
    assert copy == checkpoint
    assert hash(copy) == hash(checkpoint)
    assert len(pickle.dumps(checkpoint)) < 2_000
    assert load_model(copy, torch.float32, "cpu").config.num_hidden_layers == 3


def test_the_same_bytes_have_the_same_hashes_wherever_they_lie(folder: Path, tmp_path: Path) -> None:
    copy = tmp_path / "elsewhere" / "tiny-llama"
    shutil.copytree(folder, copy)
    first, second, again = (resolve_checkpoint(str(path)) for path in (folder, copy, folder))
    assert first == again
    assert first.model_id == second.model_id
    assert (first.weights_hash, first.tokenizer_hash) == (second.weights_hash, second.tokenizer_hash)


def test_one_changed_weight_changes_the_weights_hash_alone(folder: Path) -> None:
    before = resolve_checkpoint(str(folder))
    weights = load_file(folder / "model.safetensors")
    weights["model.norm.weight"][5] += 1e-6
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    after = resolve_checkpoint(str(folder))
    assert after.weights_hash != before.weights_hash
    assert after.model_id != before.model_id
    assert after.tokenizer_hash == before.tokenizer_hash


def test_another_configuration_changes_the_weights_hash(folder: Path) -> None:
    before = resolve_checkpoint(str(folder))
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "rms_norm_eps": 1e-5}))
    assert resolve_checkpoint(str(folder)).weights_hash != before.weights_hash


def test_another_tokenizer_changes_the_tokenizer_hash_alone(folder: Path) -> None:
    before = resolve_checkpoint(str(folder))
    byte_level_tokenizer(bos=False).save_pretrained(folder)
    after = resolve_checkpoint(str(folder))
    assert after.tokenizer_hash != before.tokenizer_hash
    assert after.weights_hash == before.weights_hash


def test_using_a_tokenizer_does_not_change_its_hash(folder: Path) -> None:
    before = resolve_checkpoint(str(folder))
    load_tokenizer(before)("some text", truncation=True, max_length=4)
    assert resolve_checkpoint(str(folder)) == before


@pytest.mark.parametrize(
    "name", ["/no/such/folder", "./missing", "no/such/model/at-all", "-a/b", "", "a b", "~/missing/model"]
)
def test_a_name_that_is_nothing_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match=r"neither an existing folder, a .gguf file nor a hub id such as") as error:
        resolve_checkpoint(name)
    assert repr(name) in str(error.value)


def test_a_folder_with_pickled_weights_only_is_refused(folder: Path) -> None:
    torch.save(load_file(folder / "model.safetensors"), folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()
    with pytest.raises(ValueError, match=r"must hold config.json and .*pytorch_model.bin.*pickled weights are never"):
        resolve_checkpoint(str(folder))


def test_an_empty_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"must hold config.json and .*but holds nothing; save the model"):
        resolve_checkpoint(str(tmp_path))


def test_a_folder_without_a_tokenizer_is_refused(folder: Path) -> None:
    for file in folder.glob("tokenizer*"):
        file.unlink()
    with pytest.raises(ValueError, match=r"cannot be loaded|has no fast tokenizer"):
        resolve_checkpoint(str(folder))


@pytest.mark.parametrize("content", ["{", "[]", "{}", '{"model_type": "no-such-thing"}'])
def test_a_broken_configuration_is_refused(content: str, folder: Path) -> None:
    (folder / "config.json").write_text(content)
    with pytest.raises(ValueError, match=r"tiny-llama' cannot be loaded: .* Name a hub id"):
        resolve_checkpoint(str(folder))


def test_weights_that_broke_after_they_were_found_are_refused_when_they_are_loaded(folder: Path) -> None:
    checkpoint = resolve_checkpoint(str(folder))
    (folder / "model.safetensors").write_bytes(b"not safetensors")
    with pytest.raises(ValueError, match="tiny-llama' cannot be loaded"):
        load_model(checkpoint, torch.float32, "cpu")


def test_missing_weights_are_refused_and_never_drawn_at_random(folder: Path) -> None:
    weights = load_file(folder / "model.safetensors")
    del weights["model.layers.1.self_attn.q_proj.weight"]
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ValueError, match=r"model.layers.1.self_attn.q_proj.weight"):
        load_model(resolve_checkpoint(str(folder)), torch.float32, "cpu")


def test_weights_of_another_shape_are_refused(folder: Path) -> None:
    weights = load_file(folder / "model.safetensors")
    weights["model.layers.1.self_attn.q_proj.weight"] = torch.zeros(8, 8)
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ValueError, match="tiny-llama' cannot be loaded"):
        load_model(resolve_checkpoint(str(folder)), torch.float32, "cpu")


def test_an_output_layer_tied_to_the_embedding_is_not_missing(folder: Path) -> None:
    model = transformers.AutoModelForCausalLM.from_config(transformers.LlamaConfig(**SHAPE, tie_word_embeddings=True))
    model.save_pretrained(folder)
    assert "lm_head.weight" not in load_file(folder / "model.safetensors")
    loaded = load_model(resolve_checkpoint(str(folder)), torch.float32, "cpu")
    assert torch.equal(loaded.lm_head.weight, model.model.embed_tokens.weight)


NOT_CAUSAL = {
    "BertForMaskedLM": transformers.BertConfig(**SHAPE),
    "T5ForConditionalGeneration": transformers.T5Config(d_model=32, num_layers=2, num_heads=4, vocab_size=320),
    "LlamaForSequenceClassification": transformers.LlamaConfig(**SHAPE),
    "ViTForImageClassification": transformers.ViTConfig(),
}


@pytest.mark.parametrize("architecture", NOT_CAUSAL)
def test_a_model_that_does_not_predict_the_next_token_is_refused(architecture: str, folder: Path) -> None:
    config = NOT_CAUSAL[architecture]
    config.architectures = [architecture]
    config.save_pretrained(folder)
    with pytest.raises(ValueError, match=f"is a {architecture}, not a causal language model"):
        resolve_checkpoint(str(folder))


REFUSED = {
    "bloom": transformers.BloomConfig(hidden_size=32, n_layer=2, n_head=4),
    "mpt": transformers.MptConfig(d_model=32, n_layers=2, n_heads=4),
    "gpt_oss": transformers.GptOssConfig(num_local_experts=2, **SHAPE),
    "gemma2": transformers.Gemma2Config(**SHAPE),
    "mamba": transformers.MambaConfig(hidden_size=32, num_hidden_layers=2),
    "falcon": transformers.FalconConfig(hidden_size=32, num_attention_heads=4),
}


@pytest.mark.parametrize("model_type", REFUSED)
def test_an_inexact_architecture_is_refused_before_any_weight_is_loaded(model_type: str, folder: Path) -> None:
    REFUSED[model_type].save_pretrained(folder)
    with pytest.raises(ValueError, match=f"'{model_type}' is refused: "):
        resolve_checkpoint(str(folder))


def test_a_models_own_code_runs_only_when_asked_for(folder: Path) -> None:
    config = json.loads((folder / "config.json").read_text())
    config["model_type"] = "own"
    config["auto_map"] = {"AutoConfig": "own.OwnConfig", "AutoModelForCausalLM": "own.OwnModel"}
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "own.py").write_text(f"open({str(folder / 'it_ran')!r}, 'w').close()\n")
    with pytest.raises(ValueError, match="cannot be loaded"):
        resolve_checkpoint(str(folder))
    assert not (folder / "it_ran").exists()
    with pytest.raises((ValueError, AttributeError)):
        resolve_checkpoint(str(folder), trust_remote_code=True)
    assert (folder / "it_ran").exists()


def test_a_missing_gguf_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"there is no GGUF file .*missing\.gguf; name an existing \.gguf file"):
        resolve_checkpoint(str(tmp_path / "missing.gguf"))


def test_a_file_that_is_no_gguf_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ATTENTION_INFLUENCE_CACHE", str(tmp_path / "cache"))
    (tmp_path / "noise.gguf").write_bytes(b"GGUF" + bytes(range(256)))
    with pytest.raises(ValueError, match=r"noise\.gguf' cannot be loaded"):
        resolve_checkpoint(str(tmp_path / "noise.gguf"))


def test_a_gguf_file_is_converted_once_to_a_folder_that_every_worker_loads(
    smollm2_path: str, smollm2_checkpoint: Checkpoint
) -> None:
    checkpoint = smollm2_checkpoint
    assert (checkpoint.num_layers, checkpoint.num_heads, checkpoint.max_positions) == (30, 9, 8192)
    assert checkpoint.vocab_size == 49_152
    assert checkpoint.model_id.startswith("SmolLM2-135M-Instruct.Q4_1@")
    weights = Path(checkpoint.path) / "model.safetensors"
    written = weights.stat().st_mtime_ns
    assert resolve_checkpoint(smollm2_path) == checkpoint
    assert weights.stat().st_mtime_ns == written

    model, tokenizer = load_model(checkpoint, torch.float32, "cpu"), load_tokenizer(checkpoint)
    assert {parameter.dtype for parameter in model.parameters()} == {torch.float32}
    token_ids = tokenizer("The capital of France is", return_tensors="pt")["input_ids"]
    assert tokenizer.decode(model(token_ids).logits[0, -1].argmax()).strip() == "Paris"


@pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="only Linux tells what is mapped")
def test_weights_are_mapped_from_their_file_so_that_workers_share_its_pages(folder: Path) -> None:
    model = load_model(resolve_checkpoint(str(folder)), torch.float32, "cpu")
    mapped = [
        [int(end, 16) for end in line.split()[0].split("-")]
        for line in Path("/proc/self/maps").read_text().splitlines()
        if line.endswith(str(folder / "model.safetensors"))
    ]
    for parameter in model.parameters():
        assert any(begin <= parameter.data_ptr() < end for begin, end in mapped)
