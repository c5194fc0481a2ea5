"""Names that LiveCodeBench's runner imports in front of every program, so that ``List`` or ``sqrt`` need no import."""

import functools
import importlib
from collections.abc import Mapping

MODULES = (
    *("string", "re", "datetime", "collections", "heapq", "bisect", "copy", "math", "random", "statistics"),
    *("itertools", "functools", "operator", "io", "sys", "json"),
)
"""Modules imported by name and, before that, with ``import *``, in this order."""
LAST = ("builtins", "typing")
"""Modules imported with ``import *`` afterwards, so that ``pow`` is the built-in, not math's."""


@functools.cache
def star_imports() -> Mapping[str, str]:
    """Return name -> module for every name that these ``import *`` bind."""
    origin = {}
    for name in (*MODULES, *LAST):
        module = importlib.import_module(name)
        exported = getattr(module, "__all__", None) or [public for public in vars(module) if not public.startswith("_")]
        origin.update(dict.fromkeys(exported, name))
    return {name: module for name, module in origin.items() if module != "builtins"}
