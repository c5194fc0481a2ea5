"""Whether every key of an adapter's weights fits a base; PEFT passes over those that do not, with a warning at most."""

import re
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from permix_verl.errors import UserError

_NAMED = re.compile(r"\.lora_\w+\.(?!weight$|bias$)([^.]+)(?:\.weight|\.bias)?$")
"""A key of PEFT's model in memory, which holds the adapter's name."""
_SHOWN = 3


def read_adapter_weights(adapter: Path) -> dict[str, Any]:
    """The adapter's weights in PEFT's names for files.

    Raises:
        UserError: the keys hold the adapter's name, as in the state dict of a model in memory.
    """
    from peft.utils import load_peft_weights

    weights: dict[str, Any] = load_peft_weights(str(adapter), device="cpu")
    refuse_named_keys(weights, adapter)
    return weights


def refuse_named_keys(keys: Collection[str], adapter: Path) -> None:
    """Refuse keys of a model in memory, which PEFT would pass over in a file.

    Raises:
        UserError: the keys hold the adapter's name.
    """
    named = [(key, match[1]) for key in keys if (match := _NAMED.search(key))]
    if named:
        key, name = named[0]
        raise UserError(
            f'{len(named)} of the {len(keys)} keys of {adapter} hold the name of the adapter, "{name}" ({key}), so '
            f'PEFT would read none of them; strip ".{name}" from the keys, or save it with PEFT\'s save_pretrained'
        )


def check_keys(tuned: Any, weights: Mapping[str, Any], adapter: Path, base: str, option: str = "--base") -> None:
    """Compare an adapter's keys and shapes with those of the base that PEFT has put the adapter on.

    Args:
        tuned: PEFT's model.
        weights: as ``read_adapter_weights`` gives them.
        option: what gives the base, for the remedy.

    Raises:
        UserError: keys for layers that the base has not, layers without their key, or other shapes.
    """
    from peft import get_peft_model_state_dict

    weights = _as_read(tuned, weights)
    wanted = get_peft_model_state_dict(tuned, save_embedding_layers=False)
    # Embeddings that were saved whole are the base's own keys.
    shapes = {key: tuple(value.shape) for key, value in (tuned.state_dict() | wanted).items()}
    unfit = []
    for key, value in weights.items():
        if key not in shapes:
            unfit.append(f"{key} (the base has no such layer)")
        elif shapes[key] != tuple(value.shape):
            unfit.append(f"{key} (has shape {tuple(value.shape)}, not {shapes[key]})")
    unfit += [f"{key} (missing in the adapter)" for key in wanted if key not in weights]
    if unfit:
        more = f" and {len(unfit) - _SHOWN} more" if len(unfit) > _SHOWN else ""
        raise UserError(
            f"{adapter} does not fit {base}: {len(unfit)} of {len({*weights, *wanted})} keys, such as "
            f"{', '.join(unfit[:_SHOWN])}{more}; give {option} the model that it was trained on, or copy the whole "
            "adapter again"
        )


def _as_read(tuned: Any, weights: Mapping[str, Any]) -> Mapping[str, Any]:
    """The weights by the names that PEFT reads them under: experts were layers each before transformers 5."""
    try:
        from peft.utils.transformers_weight_conversion import (
            convert_peft_adapter_state_dict_for_transformers as convert,
        )
    except ImportError:  # PEFT below 0.19, which reads names as they are
        return weights
    try:
        converted: Mapping[str, Any] = convert(tuned, tuned.peft_config["default"], dict(weights))
    except (KeyError, IndexError, RuntimeError, ValueError):  # an expert without its weights: named as it stands
        return weights
    return converted
