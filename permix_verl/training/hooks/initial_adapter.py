"""Create the initial LoRA adapter (PEFT format) with dropout, from the seed or as a copy of ``INIT_ADAPTER``.

verl's own initial adapter has no dropout (its key has no effect) and comes from torch's unseeded generator. verl loads
ours through ``actor_rollout_ref.model.lora_adapter_path``.
"""

import contextlib
import json
import math
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch

from permix_verl.checkpoints.adapter_base import check_base
from permix_verl.errors import UserError, first_line
from permix_verl.runs.adapter_keys import check_keys, read_adapter_weights
from permix_verl.runs.given_adapter import WEIGHTS, GivenAdapter, fingerprint, read_given_adapter
from permix_verl.runs.init_adapter_settings import init_adapter_path
from permix_verl.training.hooks.seeds import parameter_seed
from permix_verl.utils.file_modes import give_usual_modes
from permix_verl.utils.files import atomic_folder

_SEED_FILE = "initial_adapter.json"


def write_initial_adapter(settings: Mapping[str, Any], model: str, out: Path, base: str) -> None:
    """Write the configured initial adapter.

    Args:
        settings: verl's configuration, key -> value.
        model: prefix of the model's keys.
        out: folder to write.
        base: hub name or folder.

    Raises:
        UserError: see :func:`make_initial_adapter` and :func:`copy_initial_adapter`.
    """
    dropout = float(settings.get("permix.lora_dropout", 0))
    given = init_adapter_path(settings)
    if given is not None:
        warning = copy_initial_adapter(read_given_adapter(given), base, out, dropout)
        if warning:
            print(f"warning: {warning}")
        return
    make_initial_adapter(
        base,
        out,
        rank=int(settings[f"{model}.lora_rank"]),
        alpha=int(settings[f"{model}.lora_alpha"]),
        dropout=dropout,
        target_modules=settings[f"{model}.target_modules"],
        seed=int(settings["data.seed"]),
    )


def make_initial_adapter(
    base: str, out: Path, *, rank: int, alpha: int, dropout: float, target_modules: list[str] | str, seed: int
) -> Path:
    """Write a seeded adapter atomically, unless ``out`` already holds it.

    Only the base's configuration is read. As in PEFT, A is Kaiming uniform and B zero in linear layers, so the initial
    adapter has no effect.

    Raises:
        UserError: a rank below 1, a dropout outside [0, 1), an unreadable base, modules that the base lacks.
    """
    from peft import get_peft_model_state_dict
    from safetensors.torch import save_file

    if rank < 1:
        raise UserError(f"the LoRA rank is {rank}", "set LORA_RANK to 1 or more: these recipes train an adapter")
    settings: dict[str, Any] = {
        "base": base,
        "rank": rank,
        "alpha": alpha,
        "dropout": dropout,
        "target_modules": target_modules,
        "seed": seed,
    }
    if _is_up_to_date(out, settings):
        return out
    config, tuned = _build_on_meta(base, rank, alpha, dropout, target_modules)
    weights = {}
    for name, tensor in get_peft_model_state_dict(tuned).items():
        value = torch.zeros(tensor.shape)
        if "lora_A" in name:
            generator = torch.Generator().manual_seed(parameter_seed(seed, name))
            torch.nn.init.kaiming_uniform_(value, a=math.sqrt(5), generator=generator)
        weights[name] = value
    with _adapter_folder(out, config, settings) as partial:
        save_file(weights, partial / WEIGHTS, metadata={"format": "pt"})
    return out


def copy_initial_adapter(given: GivenAdapter, base: str, out: Path, dropout: float) -> str | None:
    """Copy a given adapter atomically, with the run's dropout, unless ``out`` already holds it.

    Returns:
        A warning if its base could not be compared, else ``None``.

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
    if _is_up_to_date(out, settings) and fingerprint(out) == settings["weights"]:
        return None
    config, warning = _checked_config(given, base, dropout)
    with _adapter_folder(out, config, settings) as partial:
        shutil.copyfile(given.path / WEIGHTS, partial / WEIGHTS)
    return warning


def check_given_adapter(given: GivenAdapter, base: str) -> str | None:
    """Check that an adapter belongs to a base and fits it; the base's weights are not read.

    Returns:
        A warning if its base could not be compared, else ``None``.

    Raises:
        UserError: another base, or weights that do not fit it.
    """
    return _checked_config(given, base, 0.0)[1]


def _checked_config(given: GivenAdapter, base: str, dropout: float) -> tuple[Any, str | None]:
    warning = check_base(given.path, base, "MODEL")
    weights = read_adapter_weights(given.path)
    # check_keys names the layers that the adapter's configuration lists and its weights lack.
    listed = sorted({*given.modules, *given.listed_modules})
    config, tuned = _build_on_meta(base, given.rank, given.alpha, dropout, listed)
    check_keys(tuned, weights, given.path, base, "MODEL")
    config.target_modules = set(given.modules)
    broken = [name for name, weight in weights.items() if not torch.isfinite(weight).all()]
    if broken:
        raise UserError(
            f"{given.path} has non-finite values in {len(broken)} weights such as {broken[0]}", "give another adapter"
        )
    head = tuned.get_output_embeddings()
    if hasattr(head, "lora_A"):
        raise UserError(
            f"{given.path} adapts the output layer too, which the rollout engine would leave out",
            "merge it into its base (permix merge) and train on that",
        )
    return config, warning


def _build_on_meta(
    base: str, rank: int, alpha: int, dropout: float, target_modules: list[str] | str
) -> tuple[Any, Any]:
    """Return PEFT's configuration, and its model on the meta device."""
    from peft import LoraConfig, get_peft_model
    from transformers import AutoConfig, AutoModelForCausalLM

    if not 0 <= dropout < 1:
        raise UserError(f"the LoRA dropout is {dropout}", "set LORA_DROPOUT to at least 0 and less than 1")
    try:
        model_config = AutoConfig.from_pretrained(base)
    except Exception as error:  # hub, file-format and class errors alike
        raise UserError(
            f"cannot read the configuration of model {base!r} ({first_line(error)})",
            "give a hub name you have access to, or the folder of a downloaded model",
        ) from error
    config = LoraConfig(
        r=rank, lora_alpha=alpha, lora_dropout=dropout, target_modules=target_modules, task_type="CAUSAL_LM"
    )
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(model_config)
        try:
            tuned = get_peft_model(model, config)
        except ValueError as error:
            raise UserError(
                f"PEFT refuses the adapter: {error}", "set model.target_modules to linear layers"
            ) from error
    config.base_model_name_or_path = base
    return config, tuned


def _is_up_to_date(out: Path, settings: Mapping[str, Any]) -> bool:
    return (out / _SEED_FILE).is_file() and json.loads((out / _SEED_FILE).read_text()) == settings


@contextlib.contextmanager
def _adapter_folder(out: Path, config: Any, settings: Mapping[str, Any]) -> Iterator[Path]:
    """Yield a folder to write the weights in; add the configuration, and replace ``out`` with it."""
    with atomic_folder(out) as partial:
        yield partial
        config.save_pretrained(str(partial))
        give_usual_modes(partial)
        (partial / _SEED_FILE).write_text(json.dumps(settings, indent=2) + "\n")
