"""Values in Hydra's override grammar."""

import re
from typing import Any

_PLAIN = re.compile(r"[\w.:-]+")


def quote_value(value: str) -> str:
    """Quote a string for Hydra's override grammar."""
    # Backslashes escape only before a quote, including the closing one.
    escaped = re.sub(r"(\\*)'", r"\1\1\\'", value)
    return "'" + re.sub(r"(\\+)$", r"\1\1", escaped) + "'"


def render_value(value: Any) -> str:
    """Return a value as an override gives it: ``null``, ``True``, ``[a,b]``, ``{a:b}``, ``'a/b'``."""
    if value is None:
        return "null"
    if isinstance(value, list | tuple):
        return f"[{','.join(map(render_value, value))}]"
    if isinstance(value, dict):
        return "{" + ",".join(f"{key}:{render_value(item)}" for key, item in value.items()) + "}"
    if not isinstance(value, str):
        return str(value)
    return value if _is_plain(value) else quote_value(value)


def _is_plain(text: str) -> bool:
    """Return whether Hydra reads a text as the same string without quotes."""
    if not _PLAIN.fullmatch(text.removeprefix("pkg://")) or text.lower() in ("true", "false", "null", "inf", "nan"):
        return False
    try:
        float(text)
    except ValueError:
        return True
    return False
