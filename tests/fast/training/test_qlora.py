"""QLORA=1: the NF4 base, its check and its settings. On several ranks: tests/e2e/test_two_ranks.py."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from permix_verl import UserError
from permix_verl.checkpoints.adapter import check_adapter, export_adapter, load_base
from permix_verl.checkpoints.nf4 import packed_weights, quantize_base, unpacked_weights
from permix_verl.lab.base_model import build_model
from permix_verl.training.qlora.settings import ENGINE, nf4_requested, refuse_contradictions
from permix_verl.training.run_checks import adapter_problems

from ..checkpoints.test_adapter import MODULES, lora_state, write_checkpoint, write_record

META = {"r": 5, "lora_alpha": 10}
IDS = torch.randint(10, 500, (2, 12), generator=torch.Generator().manual_seed(0))
PROBE = "bitsandbytes.nn.modules.has_avx512bf16"
"""If true, bitsandbytes repacks 4-bit weights in the first forward pass without gradients."""


def save_base(tokenizer: Any, folder: Path, tied: bool) -> Path:
    """Save a small model and its tokenizer; tied weights are read on every rank, others only on the first."""
    torch.manual_seed(0)
    config = build_model(tokenizer).config
    config.tie_word_embeddings = tied
    config.num_hidden_layers = 2
    model = type(build_model(tokenizer))(config)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def tuned(base: Path) -> Any:
    """Return the NF4 base with a PEFT adapter that has an effect."""
    from peft import LoraConfig, get_peft_model

    model = get_peft_model(
        load_base(str(base), torch.float32, "cpu", nf4=True),
        LoraConfig(r=5, lora_alpha=10, target_modules=MODULES, task_type="CAUSAL_LM"),
    )
    torch.manual_seed(1)
    for name, weight in model.named_parameters():
        if "lora_" in name:
            torch.nn.init.normal_(weight, std=0.1)
    return model.eval()


@pytest.fixture(scope="module")
def base(tokenizer: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_base(tokenizer, tmp_path_factory.mktemp("untied"), tied=False)


def by_transformers(base: Path) -> Any:
    from transformers import AutoModelForCausalLM, BitsAndBytesConfig

    config = BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=torch.float32,
    )
    return AutoModelForCausalLM.from_pretrained(
        base, quantization_config=config, dtype=torch.float32, device_map={"": "cpu"}
    )


def test_the_bytes_are_those_that_transformers_makes_with_bitsandbytes(
    base: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours = load_base(str(base), torch.float32, "cpu", nf4=True)
    monkeypatch.setattr(PROBE, lambda: False)
    theirs = by_transformers(base)
    expected, actual = packed_weights(theirs), packed_weights(ours)
    assert expected.keys() == actual.keys()
    assert len(actual) == 14
    for name, weight in expected.items():
        assert torch.equal(weight, actual[name])
        assert torch.equal(weight.quant_state.absmax, actual[name].quant_state.absmax)
    with torch.no_grad():
        assert torch.equal(theirs(input_ids=IDS).logits, ours(input_ids=IDS).logits)


def test_the_bytes_stay_as_they_are_even_if_bitsandbytes_would_repack_them(
    base: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Negative control: transformers' bytes change."""
    monkeypatch.setattr(PROBE, lambda: True)
    for model, stay in ((load_base(str(base), torch.float32, "cpu", nf4=True), True), (by_transformers(base), False)):
        before = {name: weight.detach().clone() for name, weight in packed_weights(model).items()}
        with torch.no_grad():
            model(input_ids=IDS)
        for name, weight in packed_weights(model).items():
            assert torch.equal(weight, before[name]) is stay
            assert weight.quant_state.nested is stay  # scales in 8 bits


def test_products_and_gradients_are_those_of_the_weights_that_the_bytes_stand_for() -> None:
    import bitsandbytes.functional as bnb

    torch.manual_seed(0)
    linear = torch.nn.Linear(192, 72)
    exact = linear.weight.detach().clone()
    model = torch.nn.Sequential(linear)
    model.get_output_embeddings = lambda: None
    quantize_base(model, torch.float32, "cpu")
    weight = bnb.dequantize_4bit(model[0].weight.data, model[0].weight.quant_state)
    error = float((weight - exact).norm() / exact.norm())
    assert 0.05 < error < 0.12  # evenly spread weights; 0.09 where they are normal
    x = torch.randn(5, 192, requires_grad=True)
    y = model(x)
    torch.testing.assert_close(y, torch.nn.functional.linear(x, weight, model[0].bias))
    y.sum().backward()
    torch.testing.assert_close(x.grad, weight.sum(0).expand(5, -1))
    assert not any(parameter.requires_grad for parameter in model.parameters())


def test_tied_weights_stay_one_and_the_output_layer_stays_whole(tokenizer: Any, tmp_path: Path) -> None:
    folder = save_base(tokenizer, tmp_path / "tied", tied=True)
    model = load_base(str(folder), torch.bfloat16, "cpu", nf4=True)
    assert model.lm_head.weight is model.model.embed_tokens.weight
    assert {str(p.dtype) for p in model.parameters()} == {"torch.bfloat16", "torch.uint8"}
    assert sum(p.dtype == torch.uint8 for p in model.parameters()) == 14


def test_an_adapter_is_checked_on_the_base_that_it_was_trained_on(base: Path, tmp_path: Path) -> None:
    """Negative control: on the unquantized base it is not the trained model."""
    model = tuned(base)
    checkpoint = write_checkpoint(tmp_path, lora_state(model), META)
    adapter = export_adapter(checkpoint, str(base), tmp_path / "adapter")
    record = write_record(model, checkpoint)
    check = check_adapter(adapter, str(base), record, torch.float32, "cpu", nf4=True)
    assert check.largest < 1e-5
    assert adapter_problems(check, "largest", 1e-4) == []
    other = check_adapter(adapter, str(base), record, torch.float32, "cpu")
    assert "is not the trained model" in adapter_problems(other, "largest", 1e-4)[0]


QLORA = {
    "actor_rollout_ref.model.external_lib": ENGINE,
    "model.external_lib": ENGINE,
    "actor_rollout_ref.actor.strategy": "fsdp2",
    "engine.strategy": "fsdp2",
}


@pytest.mark.parametrize(
    ("key", "value", "told"),
    [
        ("algorithm.rollout_correction.bypass_mode", True, "the actor computes the old log-probs"),
        ("actor_rollout_ref.actor.policy_loss.loss_mode", "bypass_mode", "another policy's; leave it vanilla"),
        ("actor_rollout_ref.actor.use_rollout_log_probs", True, "another policy's; leave it False"),
        ("actor_rollout_ref.model.lora.merge", True, "leave it False"),
        ("actor_rollout_ref.actor.fsdp_config.offload_policy", True, "set param_offload"),
        ("engine.offload_policy", True, "set engine.param_offload"),
        ("actor_rollout_ref.actor.checkpoint.save_lora_only", False, "leave it True"),
        ("checkpoint.save_lora_only", False, "leave it True"),
        ("actor_rollout_ref.actor.strategy", "fsdp", "ignores QLORA=1; set fsdp2"),
        ("engine.strategy", "fsdp", "ignores QLORA=1; set fsdp2"),
    ],
)
def test_settings_that_contradict_qlora_are_refused_only_with_it(key: str, value: object, told: str) -> None:
    with pytest.raises(UserError, match=f"{key}={value} .*{told}"):
        refuse_contradictions(QLORA | {key: value})
    refuse_contradictions({key: value})
    refuse_contradictions(QLORA)


def test_verls_default_engine_is_refused_where_none_is_named() -> None:
    with pytest.raises(UserError, match=r"engine.strategy=fsdp silently ignores QLORA=1"):
        refuse_contradictions({"model.external_lib": ENGINE})


def test_weights_outside_linear_layers_are_named_because_they_stay_unquantized() -> None:
    """Fused experts are one tensor; all layers of the lab's base are linear."""
    from transformers import AutoModelForCausalLM, LlamaConfig, MixtralConfig

    sizes = {"hidden_size": 64, "intermediate_size": 64, "num_hidden_layers": 1, "num_attention_heads": 2}
    config = MixtralConfig(**sizes, num_key_value_heads=1, num_local_experts=2, vocab_size=64)
    mixture = quantize_base(AutoModelForCausalLM.from_config(config), torch.float32, "cpu")
    assert any("experts" in name for name in unpacked_weights(mixture))
    plain = LlamaConfig(**sizes, num_key_value_heads=1, vocab_size=64, tie_word_embeddings=True)
    assert unpacked_weights(quantize_base(AutoModelForCausalLM.from_config(plain), torch.float32, "cpu")) == []


def test_a_list_of_libraries_may_name_it_too() -> None:
    assert nf4_requested({"model.external_lib": f"[mine, {ENGINE}]"})
    assert not nf4_requested({"model.external_lib": "mine"})


def engine_settings(**changed: Any) -> tuple[Any, Any, Any]:
    """Return verl's three configurations, with the fields that the engine reads."""
    from verl.trainer.config import CheckpointConfig
    from verl.workers.config import FSDPEngineConfig

    model = {"lora_rank": 8, "lora": {}, "enable_activation_offload": False}
    engine = {"strategy": "fsdp2", **{name: value for name, value in changed.items() if name not in model}}
    lora_only = engine.pop("save_lora_only", True)
    return (
        SimpleNamespace(**model | {name: value for name, value in changed.items() if name in model}),
        FSDPEngineConfig(**engine),
        CheckpointConfig(save_lora_only=lora_only),
    )


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"lora_rank": 0}, "model.lora_rank=0"),
        ({"lora": {"merge": True}}, "model.lora.merge=True"),
        ({"enable_activation_offload": True}, "model.enable_activation_offload=True"),
        ({"offload_policy": True}, "offload_policy=True"),
        ({"forward_only": True}, "forward_only=True"),
        ({"mixed_precision": {"param_dtype": "fp16"}}, "param_dtype=fp16"),
        ({"save_lora_only": False}, "save_lora_only=False"),
    ],
)
def test_the_engine_refuses_what_it_cannot_do(
    monkeypatch: pytest.MonkeyPatch, changed: dict[str, Any], told: str
) -> None:
    monkeypatch.setenv("VERL_PLATFORM", "cpu")
    from permix_verl.training.qlora import engine as qlora

    qlora.check_qlora_compatible(*engine_settings(param_offload=True))
    with pytest.raises(UserError, match=f"QLoRA is incompatible with .*{told}"):
        qlora.check_qlora_compatible(*engine_settings(**changed))
    with pytest.raises(UserError, match=r"set rollout\.load_format=safetensors"):
        qlora.ReplicatedNF4Engine.__new__(qlora.ReplicatedNF4Engine).get_per_tensor_param(base_sync_done=False)
