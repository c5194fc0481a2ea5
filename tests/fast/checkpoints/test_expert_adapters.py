"""Adapters of mixtures of experts: keys of both PEFT formats, checked and merged."""

import importlib.util
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from permix_verl import UserError
from permix_verl.checkpoints.merge import merge
from permix_verl.inference.model_identity import check_adapter_fits
from permix_verl.runs import adapter_keys

EXPERTS, WIDTH, INNER, RANK, LAYERS = 4, 32, 16, 2, 2
KINDS = {
    "qwen3_moe": ("mlp", {"gate_proj": (WIDTH, INNER), "up_proj": (WIDTH, INNER), "down_proj": (INNER, WIDTH)}),
    "mixtral": ("block_sparse_moe", {"w1": (WIDTH, INNER), "w3": (WIDTH, INNER), "w2": (INNER, WIDTH)}),
}
"""Name of a layer's experts in files, and (in, out) of each one's weights."""


def base(kind: str, tokenizer: Any, folder: Path) -> Path:
    from transformers import AutoConfig, AutoModelForCausalLM

    config = AutoConfig.for_model(
        kind,
        vocab_size=len(tokenizer),
        hidden_size=WIDTH,
        intermediate_size=INNER,
        moe_intermediate_size=INNER,
        num_hidden_layers=LAYERS,
        num_attention_heads=2,
        num_key_value_heads=2,
        head_dim=16,
        num_experts=EXPERTS,
        num_local_experts=EXPERTS,
        num_experts_per_tok=2,
        max_position_embeddings=512,
    )
    torch.manual_seed(0)
    AutoModelForCausalLM.from_config(config).save_pretrained(folder / kind)
    tokenizer.save_pretrained(folder / kind)
    return folder / kind


def adapter(model: Path, out: Path, **targets: Any) -> Path:
    """Save the adapter as current PEFT does."""
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    config = LoraConfig(r=RANK, lora_alpha=2 * RANK, task_type="CAUSAL_LM", init_lora_weights=False, **targets)
    tuned = get_peft_model(AutoModelForCausalLM.from_pretrained(model), config)
    tuned.save_pretrained(out)
    return out


def older(model: Path, kind: str, out: Path) -> Path:
    """Save the adapter as PEFT did under transformers 4: a pair of weights for each expert's layer."""
    name, layers = KINDS[kind]
    adapter(model, out, target_modules=["q_proj"])
    draw = torch.Generator().manual_seed(1)
    weights = load_file(out / "adapter_model.safetensors")
    for layer in range(LAYERS):
        for expert in range(EXPERTS):
            for module, (inputs, outputs) in layers.items():
                key = f"base_model.model.model.layers.{layer}.{name}.experts.{expert}.{module}"
                weights[f"{key}.lora_A.weight"] = 0.1 * torch.randn(RANK, inputs, generator=draw)
                weights[f"{key}.lora_B.weight"] = 0.1 * torch.randn(outputs, RANK, generator=draw)
    save_file(weights, out / "adapter_model.safetensors", metadata={"format": "pt"})
    config = json.loads((out / "adapter_config.json").read_text())
    (out / "adapter_config.json").write_text(json.dumps(config | {"target_modules": ["q_proj", *layers]}))
    return out


CONVERTS = bool(importlib.util.find_spec("peft.utils.transformers_weight_conversion"))
"""PEFT 0.19 and newer; older ones cannot read such keys."""


@pytest.mark.parametrize("kind", KINDS)
def test_a_peft_that_cannot_read_experts_is_named(
    kind: str, tokenizer: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(adapter_keys, "_find_converter", lambda: None)
    model = base(kind, tokenizer, tmp_path)
    with pytest.raises(UserError, match=r"does not fit .*; install peft>=0\.19, which reads"):
        merge(str(model), older(model, kind, tmp_path / "adapter"), tmp_path / "merged")


@pytest.mark.skipif(not CONVERTS, reason="this PEFT cannot read them, and says so")
@pytest.mark.parametrize("kind", KINDS)
def test_an_older_adapter_of_experts_is_merged_into_each_of_them(kind: str, tokenizer: Any, tmp_path: Path) -> None:
    model = base(kind, tokenizer, tmp_path)
    found = older(model, kind, tmp_path / "adapter")
    merge(str(model), found, tmp_path / "merged")
    before, after = (load_file(folder / "model.safetensors") for folder in (model, tmp_path / "merged"))
    weights = load_file(found / "adapter_model.safetensors")
    for key, down in weights.items():
        if ".lora_A." in key:
            name = key.removeprefix("base_model.model.").replace(".lora_A", "")
            wanted = before[name] + 2 * weights[key.replace("lora_A", "lora_B")] @ down
            torch.testing.assert_close(after[name], wanted, atol=1e-6, rtol=0)
            assert (wanted - before[name]).abs().max() > 1e-3


@pytest.mark.parametrize("lost", ["layers.1.mlp.experts.3.", "layers.0.mlp.experts.1.up_proj.lora_B"])
def test_an_adapter_that_lacks_an_expert_is_refused(lost: str, tokenizer: Any, tmp_path: Path) -> None:
    model = base("qwen3_moe", tokenizer, tmp_path)
    found = older(model, "qwen3_moe", tmp_path / "adapter")
    weights = load_file(found / "adapter_model.safetensors")
    whole = {key: value for key, value in weights.items() if lost not in key}
    save_file(whole, found / "adapter_model.safetensors", metadata={"format": "pt"})
    with pytest.raises(UserError, match=r"does not fit|cannot be loaded together .*same number of experts"):
        merge(str(model), found, tmp_path / "merged")


def test_todays_adapter_of_experts_is_merged_and_not_evaluated_as_an_adapter(tokenizer: Any, tmp_path: Path) -> None:
    model = base("qwen3_moe", tokenizer, tmp_path)
    experts = ["mlp.experts.gate_up_proj", "mlp.experts.down_proj"]
    found = adapter(model, tmp_path / "experts", target_modules=["q_proj"], target_parameters=experts)
    check = merge(str(model), found, tmp_path / "merged")
    assert check.merged < 1e-4 < check.base
    with pytest.raises(UserError, match=r"adapts experts .*give the merged model as --model: \S*permix merge --base "):
        check_adapter_fits(str(found), str(model))
    # An adapter of the attention alone is one like any other.
    check_adapter_fits(str(adapter(model, tmp_path / "attention", target_modules=["q_proj", "v_proj"])), str(model))
