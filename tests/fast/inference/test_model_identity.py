"""Identity of models and adapters, by which results are told apart."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file, save_file

from permix_verl import UserError
from permix_verl.inference.model_identity import check_adapter_fits, model_identity


@pytest.mark.parametrize("model", ["/nowhere/model", "./model", "model"])
def test_a_path_that_is_not_there_is_refused_without_asking_the_hub(model: str) -> None:
    with pytest.raises(UserError, match="no model folder"):
        model_identity(model)


def test_a_hub_model_is_its_name() -> None:
    assert model_identity("some/model") == {"name": "some/model", "fingerprint": "hub:some/model"}


def test_a_folder_is_its_files_wherever_it_lies(tmp_path: Path) -> None:
    for name in ("one", "two", "three"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "config.json").write_text("{}" if name != "three" else '{"a": 1}')
    one, two, three = (model_identity(str(tmp_path / name)) for name in ("one", "two", "three"))
    assert one["fingerprint"] == two["fingerprint"] != three["fingerprint"]


@pytest.fixture
def model(tokenizer: Any, tmp_path: Path) -> Path:
    from transformers import LlamaConfig, LlamaForCausalLM

    config = LlamaConfig(
        vocab_size=len(tokenizer), hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=2
    )
    LlamaForCausalLM(config).save_pretrained(tmp_path / "model")
    return tmp_path / "model"


def adapter_with(model: Path, out: Path, change: Callable[[dict[str, Any]], dict[str, Any]]) -> str:
    from permix_verl.training.hooks.initial_adapter import make_initial_adapter

    targets = ["q_proj", "down_proj"]
    make_initial_adapter(str(model), out, rank=4, alpha=8, dropout=0.0, target_modules=targets, seed=0)
    weights = change(load_file(out / "adapter_model.safetensors"))
    save_file(weights, out / "adapter_model.safetensors", metadata={"format": "pt"})
    return str(out)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (
            lambda weights: {key.replace(".weight", ".default.weight"): value for key, value in weights.items()},
            r'8 of the 8 keys of .* contain the adapter.s name, "default" .*strip "\.default" from the keys',
        ),
        (
            lambda weights: {key: value for key, value in weights.items() if "layers.0" in key},
            r"does not fit .*: 4 of 8 keys, such as .*layers.1.* \(missing in the adapter\).*give --model the model",
        ),
        (
            lambda weights: {key.replace("layers.1", "layers.7"): value for key, value in weights.items()},
            r"layers.7.* \(the base has no such layer\)",
        ),
        (
            lambda weights: {
                key: value[..., :3].contiguous() if "q_proj.lora_A" in key else value for key, value in weights.items()
            },
            r"q_proj.lora_A.weight \(has shape \(4, 3\), not \(4, 32\)\)",
        ),
    ],
)
def test_an_adapter_that_does_not_fit_is_refused_with_the_reason(
    model: Path, tmp_path: Path, change: Any, said: str
) -> None:
    with pytest.raises(UserError, match=said):
        check_adapter_fits(adapter_with(model, tmp_path / "adapter", change), str(model))


def test_an_adapter_that_fits_is_taken_and_one_of_another_base_is_not(model: Path, tmp_path: Path) -> None:
    adapter = adapter_with(model, tmp_path / "adapter", dict)
    check_adapter_fits(adapter, str(model))
    other = tmp_path / "other"
    other.mkdir()
    (other / "config.json").write_text((model / "config.json").read_text().replace("48", "64"))
    with pytest.raises(UserError, match=r"was trained on .*model, not on .*other"):
        check_adapter_fits(adapter, str(other))
    config = json.loads((Path(adapter) / "adapter_config.json").read_text())
    (Path(adapter) / "adapter_config.json").write_text(json.dumps(config | {"target_modules": ["none_such"]}))
    with pytest.raises(UserError, match="does not fit"):
        check_adapter_fits(adapter, str(model))
