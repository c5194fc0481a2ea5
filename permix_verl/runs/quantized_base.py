"""A base that is quantised on disk: told by its configuration, without its weights.

verl's engine casts and shards the weights of a base, and merging adds an adapter to them: either wants numbers, where
such a base has packed ones. What trains on NF4 here is ``QLORA=1``, which quantises a plain base by itself.
"""

import json
from pathlib import Path
from typing import Any

from permix_verl.errors import UserError


def quantisation(model: str) -> str:
    """How a model's weights are quantised on disk, in a few words; empty if they are not, or where nothing says it.

    Args:
        model: folder, or hub name; of the latter what is in the local cache.
    """
    method = _config(model).get("quantization_config") or {}
    if not method:
        return ""
    name = str(method.get("quant_method") or "unknown method")
    bits = method.get("bits") or (4 if method.get("load_in_4bit") else 8 if method.get("load_in_8bit") else None)
    return f"{name}, {bits} bits" if bits else name


def refuse_quantised(model: str, why: str, remedy: str) -> None:
    """Refuse a base that is quantised on disk.

    Args:
        why: such a base will not do.
        remedy: what to give in its place.

    Raises:
        UserError: it is.
    """
    if found := quantisation(model):
        raise UserError(f"{model} is quantised on disk ({found}), and {why}; {remedy}")


def refuse_to_train_on(model: str) -> None:
    """Refuse to train an adapter on a base that is quantised on disk.

    Raises:
        UserError: it is.
    """
    refuse_quantised(
        model,
        "verl's engine casts and shards the weights of a base, which packed ones do not bear",
        "give the model that it was made of (MODEL); QLORA=1 trains on NF4, which it makes itself",
    )


def _config(model: str) -> dict[str, Any]:
    file = Path(model).expanduser() / "config.json"
    if not file.is_file():
        from huggingface_hub import try_to_load_from_cache
        from huggingface_hub.errors import HFValidationError

        try:
            cached = try_to_load_from_cache(model, "config.json")
        except HFValidationError:  # a path that is not there
            return {}
        if not isinstance(cached, str):
            return {}
        file = Path(cached)
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}  # said by whoever loads it
    return dict(found) if isinstance(found, dict) else {}
