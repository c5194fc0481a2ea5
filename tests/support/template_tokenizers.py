"""Tokenizers for chat templates that come without one: the lab's, with what looks like a special token there."""

import copy
import datetime
import functools
import unittest.mock
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from permix_verl.chat_templates.probes import marks
from permix_verl.chat_templates.thinking import MARKS

OWN = Path(__file__).resolve().parents[1] / "data" / "templates"
KWARGS = {"date_string": "26 Jul 2024", "enable_thinking": False}
"""The recipes' template arguments."""
_TEXT_MARKS = {mark for pair in MARKS for mark in pair}


@functools.cache
def _lab_tokenizer() -> Any:
    from permix_verl.lab.base_model import build_tokenizer

    return build_tokenizer()


def tokenizer_of(template: str) -> Any:
    """Return a tokenizer with this template, whose marks are special tokens; marks of thoughts are plain tokens."""
    tokenizer = copy.deepcopy(_lab_tokenizer())
    found = sorted({*marks(template), "<s>", "</s>"} - _TEXT_MARKS)
    tokenizer.add_special_tokens({"extra_special_tokens": [*tokenizer.extra_special_tokens, *found]})
    tokenizer.add_special_tokens({"bos_token": "<s>", "eos_token": "</s>"})
    tokenizer.chat_template = template
    return tokenizer


def own_template(name: str) -> str:
    """Return the text of a template in ``tests/data/templates``."""
    return (OWN / f"{name}.jinja").read_text()


@contextmanager
def on_day(day: datetime.datetime) -> Iterator[None]:
    """Make this the day for transformers' templates, vLLM's included."""

    class Clock(datetime.datetime):
        @classmethod
        def now(cls, tz: datetime.tzinfo | None = None) -> "Clock":
            return cls(*day.timetuple()[:6], tzinfo=tz)

    with unittest.mock.patch("transformers.utils.chat_template_utils.datetime", Clock):
        yield
