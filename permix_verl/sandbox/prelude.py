"""The names that LiveCodeBench's runner puts in front of every program, so that ``List`` or ``sqrt`` need no import."""

import functools
import importlib
from collections.abc import Mapping

MODULES = (
    *("string", "re", "datetime", "collections", "heapq", "bisect", "copy", "math", "random", "statistics"),
    *("itertools", "functools", "operator", "io", "sys", "json"),
)
"""Imported by name, and before that with ``*``, in this order."""
LAST = ("builtins", "typing")
"""Imported with ``*`` after them: ``pow`` is the built-in one, not that of math."""


@functools.cache
def stars() -> Mapping[str, str]:
    """Which module a name comes from that is bound by the ``import *`` of all of them."""
    found = {}
    for name in (*MODULES, *LAST):
        module = importlib.import_module(name)
        exported = getattr(module, "__all__", None) or [one for one in vars(module) if not one.startswith("_")]
        found.update(dict.fromkeys(exported, name))
    return {name: module for name, module in found.items() if module != "builtins"}
