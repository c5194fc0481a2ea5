"""Check that every key of an adapter's weights fits a base: PEFT skips the others with a warning at most."""

import re
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from permix_verl.errors import UserError

_KEY_WITH_ADAPTER_NAME = re.compile(r"\.lora_\w+\.(?!weight$|bias$)([^.]+)(?:\.weight|\.bias)?$")
"""Key of PEFT's model in memory; group 1 is the adapter's name, which keys in a file do not have."""
_EXPERT_KEY = re.compile(r"\.experts\.\d+\.")
_MAX_SHOWN = 3


def read_adapter_weights(adapter: Path) -> dict[str, Any]:
    """Read an adapter's weights, under PEFT's key names for files.

    Raises:
        UserError: keys contain the adapter's name, as in the state dict of a model in memory.
    """
    from peft.utils import load_peft_weights

    weights: dict[str, Any] = load_peft_weights(str(adapter), device="cpu")
    refuse_named_keys(weights, adapter)
    return weights


def refuse_named_keys(keys: Collection[str], adapter: Path) -> None:
    """Refuse keys of a model in memory, which PEFT would skip in a file.

    Raises:
        UserError: keys contain the adapter's name.
    """
    named = [(key, match[1]) for key in keys if (match := _KEY_WITH_ADAPTER_NAME.search(key))]
    if named:
        key, name = named[0]
        raise UserError(
            f'{len(named)} of the {len(keys)} keys of {adapter} contain the adapter\'s name, "{name}" ({key}), so '
            "PEFT would read none of them",
            f'strip ".{name}" from the keys, or save it with PEFT\'s save_pretrained',
        )


def check_keys(tuned: Any, weights: Mapping[str, Any], adapter: Path, base: str, option: str = "--base") -> None:
    """Compare an adapter's keys and shapes with those of PEFT's model of base and adapter.

    Args:
        tuned: PEFT's model.
        weights: from :func:`read_adapter_weights`.
        option: option or setting that names the base, for the remedy.

    Raises:
        UserError: unknown keys, missing keys, or different shapes.
    """
    from peft import get_peft_model_state_dict

    weights = _convert_keys(tuned, weights)
    expected = get_peft_model_state_dict(tuned, save_embedding_layers=False)
    # Embeddings saved as full weights have the base's own keys.
    shapes = {key: tuple(value.shape) for key, value in (tuned.state_dict() | expected).items()}
    mismatches = []
    for key, value in weights.items():
        if key not in shapes:
            mismatches.append(f"{key} (the base has no such layer)")
        elif shapes[key] != tuple(value.shape):
            mismatches.append(f"{key} (has shape {tuple(value.shape)}, not {shapes[key]})")
    mismatches += [f"{key} (missing in the adapter)" for key in expected if key not in weights]
    if mismatches:
        remedy = f"give {option} the model that it was trained on, or copy the whole adapter again"
        if any(map(_EXPERT_KEY.search, weights)) and _find_converter() is None:
            remedy = "install peft>=0.19, which reads an adapter whose experts have keys of their own"
        more = f" and {len(mismatches) - _MAX_SHOWN} more" if len(mismatches) > _MAX_SHOWN else ""
        raise UserError(
            f"{adapter} does not fit {base}: {len(mismatches)} of {len({*weights, *expected})} keys, such as "
            f"{', '.join(mismatches[:_MAX_SHOWN])}{more}",
            remedy,
        )


def _find_converter() -> Any:
    """Return PEFT's conversion of keys as it loads them; ``None`` below PEFT 0.19, which converts none."""
    try:
        from peft.utils.transformers_weight_conversion import convert_peft_adapter_state_dict_for_transformers
    except ImportError:
        return None
    return convert_peft_adapter_state_dict_for_transformers


def _convert_keys(tuned: Any, weights: Mapping[str, Any]) -> Mapping[str, Any]:
    """Convert keys as PEFT does when it loads them: before transformers 5 each expert was a layer of its own."""
    convert = _find_converter()
    if convert is None:
        return weights
    try:
        converted: Mapping[str, Any] = convert(tuned, tuned.peft_config["default"], dict(weights))
    except (KeyError, IndexError, RuntimeError, ValueError):  # an expert lacks weights: keep the keys as they are
        return weights
    return converted
