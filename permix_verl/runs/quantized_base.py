"""Detection of bases that are quantized on disk, from their configuration.

verl's engine casts and shards a base's weights, and merging adds an adapter to them: neither works on packed weights.
``QLORA=1`` quantizes a plain base to NF4 itself.
"""

import json
from pathlib import Path
from typing import Any

from permix_verl.errors import UserError


def quantization_of(model: str) -> str:
    """Return method and bits of a model's quantization on disk; empty if it is not quantized, or unknown.

    Args:
        model: folder, or hub name, which is looked up in the local cache only.
    """
    method = _config(model).get("quantization_config") or {}
    if not method:
        return ""
    name = str(method.get("quant_method") or "unknown method")
    bits = method.get("bits") or (4 if method.get("load_in_4bit") else 8 if method.get("load_in_8bit") else None)
    return f"{name}, {bits} bits" if bits else name


def refuse_quantized(model: str, why: str, remedy: str) -> None:
    """Refuse a base that is quantized on disk.

    Args:
        why: reason, for the message.
        remedy: remedy, for the message.

    Raises:
        UserError: the base is quantized.
    """
    if quantization := quantization_of(model):
        raise UserError(f"{model} is quantized on disk ({quantization}), and {why}", remedy)


def refuse_to_train_on(model: str) -> None:
    """Refuse to train an adapter on a base that is quantized on disk.

    Raises:
        UserError: the base is quantized.
    """
    refuse_quantized(
        model,
        "verl's engine cannot cast and shard packed weights",
        "give the unquantized model (MODEL); QLORA=1 quantizes it to NF4 itself",
    )


def _config(model: str) -> dict[str, Any]:
    file = Path(model).expanduser() / "config.json"
    if not file.is_file():
        from huggingface_hub import try_to_load_from_cache
        from huggingface_hub.errors import HFValidationError

        try:
            cached = try_to_load_from_cache(model, "config.json")
        except HFValidationError:  # a path that does not exist
            return {}
        if not isinstance(cached, str):
            return {}
        file = Path(cached)
    try:
        config = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}  # loading the model reports it
    return dict(config) if isinstance(config, dict) else {}
