"""The LoRA adapter that training starts from, as a PEFT folder with dropout: made from the seed, or a given one's.

verl builds its own without dropout (it has no key for it that takes effect) and from
torch's unseeded generator. An adapter of its own it takes by
``actor_rollout_ref.model.lora_adapter_path``.
"""

import json
import math
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from permix_verl.checkpoints.adapter_base import check_base
from permix_verl.errors import UserError
from permix_verl.runs.adapter_keys import check_keys, read_adapter_weights
from permix_verl.runs.given_adapter import WEIGHTS, GivenAdapter, fingerprint, read_given
from permix_verl.runs.init_adapter_settings import given_in
from permix_verl.training.hooks.seeds import parameter_seed
from permix_verl.utils.file_modes import give_usual_modes

_SEED_FILE = "initial_adapter.json"


def put_initial_adapter(settings: Mapping[str, str], model: str, out: Path, base: str) -> None:
    """Put in place what verl's engine is built with.

    Args:
        settings: verl's overrides by key.
        model: prefix of the model's keys.
        out: the run's folder for it.
        base: hub name or folder.

    Raises:
        UserError: as :func:`make_initial_adapter` and :func:`take_initial_adapter`.
    """
    dropout = float(settings.get("permix.lora_dropout", 0))
    given = given_in(settings)
    if given is not None:
        doubt = take_initial_adapter(read_given(given), base, out, dropout)
        if doubt:
            print(f"warning: {doubt}")
        return
    targets = settings[f"{model}.target_modules"]
    make_initial_adapter(
        base,
        out,
        rank=int(settings[f"{model}.lora_rank"]),
        alpha=int(settings[f"{model}.lora_alpha"]),
        dropout=dropout,
        target_modules=targets.strip("[]").replace(" ", "").split(",") if targets.startswith("[") else targets,
        seed=int(settings["data.seed"]),
    )


def make_initial_adapter(
    base: str, out: Path, *, rank: int, alpha: int, dropout: float, target_modules: list[str] | str, seed: int
) -> Path:
    """Write an adapter of the seed's, in one move, unless the same one is there.

    Only the base's configuration is read. For linear layers, as in PEFT, A is uniform (Kaiming) and B
    is zero, so the adapter changes nothing at first.

    Raises:
        UserError: a rank below 1, a dropout outside [0, 1), an unreadable base, modules that it does not have.
    """
    from peft import get_peft_model_state_dict
    from safetensors.torch import save_file

    if rank < 1:
        raise UserError(f"the LoRA rank is {rank}; set LORA_RANK to 1 or more: these recipes train an adapter")
    settings: dict[str, Any] = {
        "base": base,
        "rank": rank,
        "alpha": alpha,
        "dropout": dropout,
        "target_modules": target_modules,
        "seed": seed,
    }
    if _is_there(out, settings):
        return out
    config, tuned = _put_on_meta(base, rank, alpha, dropout, target_modules)
    weights = {}
    for name, tensor in get_peft_model_state_dict(tuned).items():
        value = torch.zeros(tensor.shape)
        if "lora_A" in name:
            generator = torch.Generator().manual_seed(parameter_seed(seed, name))
            torch.nn.init.kaiming_uniform_(value, a=math.sqrt(5), generator=generator)
        weights[name] = value
    partial = _begin(out)
    save_file(weights, partial / WEIGHTS, metadata={"format": "pt"})
    return _finish(partial, out, config, settings)


def take_initial_adapter(given: GivenAdapter, base: str, out: Path, dropout: float) -> str | None:
    """Copy a given adapter, with the run's dropout, in one move, unless the same one is there.

    Returns:
        What could not be told about its base, as one line.

    Raises:
        UserError: another base, weights that do not fit it, or a dropout outside [0, 1).
    """
    settings: dict[str, Any] = {
        "base": base,
        "rank": given.rank,
        "alpha": given.alpha,
        "dropout": dropout,
        "target_modules": list(given.modules),
        "given": str(given.path),
        "weights": fingerprint(given.path),
    }
    if _is_there(out, settings) and fingerprint(out) == settings["weights"]:
        return None
    config, doubt = _fitting(given, base, dropout)
    partial = _begin(out)
    shutil.copyfile(given.path / WEIGHTS, partial / WEIGHTS)
    _finish(partial, out, config, settings)
    return doubt


def check_given(given: GivenAdapter, base: str) -> str | None:
    """Whether an adapter belongs to a base and sits on it as training will have it; only the configuration is built.

    Returns:
        What could not be told about its base, as one line.

    Raises:
        UserError: another base, or weights that do not fit it.
    """
    return _fitting(given, base, 0.0)[1]


def _fitting(given: GivenAdapter, base: str, dropout: float) -> tuple[Any, str | None]:
    doubt = check_base(given.path, base, "MODEL")
    weights = read_adapter_weights(given.path)
    # Layers that it lists and has no weights for are for check_keys to name.
    listed = sorted({*given.modules, *given.listed})
    config, tuned = _put_on_meta(base, given.rank, given.alpha, dropout, listed)
    check_keys(tuned, weights, given.path, base, "MODEL")
    config.target_modules = set(given.modules)
    broken = [name for name, weight in weights.items() if not torch.isfinite(weight).all()]
    if broken:
        raise UserError(f"{given.path} has values that are no numbers, in {len(broken)} weights such as {broken[0]}")
    head = tuned.get_output_embeddings()
    if hasattr(head, "lora_A"):
        raise UserError(
            f"{given.path} changes the output layer too, which rollouts would not do; merge it into its base (permix "
            "merge) and train on that"
        )
    return config, doubt


def _put_on_meta(base: str, rank: int, alpha: int, dropout: float, target_modules: list[str] | str) -> tuple[Any, Any]:
    """PEFT's configuration, and its model on the base, without weights."""
    from peft import LoraConfig, get_peft_model
    from transformers import AutoConfig, AutoModelForCausalLM

    if not 0 <= dropout < 1:
        raise UserError(f"the LoRA dropout is {dropout}; set LORA_DROPOUT to at least 0 and less than 1")
    try:
        model_config = AutoConfig.from_pretrained(base)
    except Exception as error:  # hub, file-format and class errors alike
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise UserError(
            f"cannot read the configuration of model {base!r} ({reason}); give a hub name you have access to, "
            "or the folder of a downloaded model"
        ) from error
    config = LoraConfig(
        r=rank, lora_alpha=alpha, lora_dropout=dropout, target_modules=target_modules, task_type="CAUSAL_LM"
    )
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(model_config)
        try:
            tuned = get_peft_model(model, config)
        except ValueError as error:
            raise UserError(f"PEFT refuses the adapter: {error}; set model.target_modules to linear layers") from error
    config.base_model_name_or_path = base
    return config, tuned


def _is_there(out: Path, settings: Mapping[str, Any]) -> bool:
    return (out / _SEED_FILE).is_file() and json.loads((out / _SEED_FILE).read_text()) == settings


def _begin(out: Path) -> Path:
    partial = out.with_name(out.name + ".partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    return partial


def _finish(partial: Path, out: Path, config: Any, settings: Mapping[str, Any]) -> Path:
    config.save_pretrained(str(partial))
    give_usual_modes(partial)
    (partial / _SEED_FILE).write_text(json.dumps(settings, indent=2) + "\n")
    shutil.rmtree(out, ignore_errors=True)
    os.replace(partial, out)
    return out
