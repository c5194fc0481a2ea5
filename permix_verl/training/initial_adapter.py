"""The LoRA adapter that training starts from, as a PEFT folder: with dropout, and the same for the same seed.

verl builds its own without dropout (it has no key for it that takes effect) and from
torch's unseeded generator. An adapter of its own it takes by
``actor_rollout_ref.model.lora_adapter_path``.
"""

import json
import math
import os
import shutil
from pathlib import Path
from typing import Any

import torch

from permix_verl.errors import UserError
from permix_verl.training.seeds import parameter_seed

_SEED_FILE = "initial_adapter.json"


def make_initial_adapter(
    base: str, out: Path, *, rank: int, alpha: int, dropout: float, target_modules: list[str] | str, seed: int
) -> Path:
    """Write the adapter, in one move, unless the same one is there.

    Only the base's configuration is read. For linear layers, as in PEFT, A is uniform (Kaiming) and B
    is zero, so the adapter changes nothing at first.

    Raises:
        UserError: a rank below 1, a dropout outside [0, 1), an unreadable base, modules that it does not have.
    """
    from peft import LoraConfig, get_peft_model, get_peft_model_state_dict
    from safetensors.torch import save_file
    from transformers import AutoConfig, AutoModelForCausalLM

    if rank < 1:
        raise UserError(f"the LoRA rank is {rank}; set LORA_RANK to 1 or more: these recipes train an adapter")
    if not 0 <= dropout < 1:
        raise UserError(f"the LoRA dropout is {dropout}; set LORA_DROPOUT to at least 0 and less than 1")
    settings: dict[str, Any] = {
        "base": base,
        "rank": rank,
        "alpha": alpha,
        "dropout": dropout,
        "target_modules": target_modules,
        "seed": seed,
    }
    if (out / _SEED_FILE).is_file() and json.loads((out / _SEED_FILE).read_text()) == settings:
        return out
    try:
        config = AutoConfig.from_pretrained(base)
    except Exception as error:  # hub, file-format and class errors alike
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise UserError(
            f"cannot read the configuration of model {base!r} ({reason}); give a hub name you have access to, "
            "or the folder of a downloaded model"
        ) from error
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(config)
        lora = LoraConfig(
            r=rank, lora_alpha=alpha, lora_dropout=dropout, target_modules=target_modules, task_type="CAUSAL_LM"
        )
        try:
            tuned = get_peft_model(model, lora)
        except ValueError as error:
            raise UserError(f"PEFT refuses the adapter: {error}; set model.target_modules to linear layers") from error
    weights = {}
    for name, tensor in get_peft_model_state_dict(tuned).items():
        value = torch.zeros(tensor.shape)
        if "lora_A" in name:
            generator = torch.Generator().manual_seed(parameter_seed(seed, name))
            torch.nn.init.kaiming_uniform_(value, a=math.sqrt(5), generator=generator)
        weights[name] = value
    lora.base_model_name_or_path = base
    partial = out.with_name(out.name + ".partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    lora.save_pretrained(str(partial))
    save_file(weights, partial / "adapter_model.safetensors", metadata={"format": "pt"})
    (partial / _SEED_FILE).write_text(json.dumps(settings, indent=2) + "\n")
    shutil.rmtree(out, ignore_errors=True)
    os.replace(partial, out)
    return out
