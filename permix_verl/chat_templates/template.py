"""A chat template by itself, rendered as transformers renders it, without a tokenizer and on any day.

verl's rollouts and vLLM's server render through transformers too, so that one reading of a template holds for all.
"""

import datetime
import functools
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from jinja2 import nodes
from jinja2.exceptions import TemplateError
from jinja2.ext import Extension, LoopControlExtension
from jinja2.meta import find_undeclared_variables
from jinja2.parser import Parser
from jinja2.sandbox import ImmutableSandboxedEnvironment

from permix_verl.errors import first_line

STAND_IN_TOKENS: Mapping[str, str] = {
    "bos_token": "<s>",
    "eos_token": "</s>",
    "unk_token": "<unk>",
    "pad_token": "</s>",
}
"""Special tokens for a template that comes without a tokenizer."""
GIVEN = ("messages", "tools", "documents", "add_generation_prompt", "strftime_now", "raise_exception")
"""Names that transformers gives to every template."""


class TemplateFailureError(Exception):
    """A template that cannot be rendered; the message is the template's own, or names the kind of its error."""


class _Generation(Extension):
    """``{% generation %}``, with which transformers marks an assistant's turn; its body is rendered as it stands."""

    tags = {"generation"}  # noqa: RUF012

    def parse(self, parser: Parser) -> nodes.Node:
        line = next(parser.stream).lineno
        body = parser.parse_statements(("name:endgeneration",), drop_needle=True)
        return nodes.CallBlock(self.call_method("_body"), [], [], body).set_lineno(line)

    def _body(self, caller: Callable[[], str]) -> str:
        return caller()


@dataclass(frozen=True)
class ChatTemplate:
    """A chat template.

    Attributes:
        text: its Jinja source.
        tokens: special tokens, which transformers gives to it by name.
        name: file or model, for messages.
    """

    text: str
    tokens: Mapping[str, Any] = field(default_factory=lambda: STAND_IN_TOKENS)
    name: str = "this model"

    def render(
        self,
        messages: Sequence[Mapping[str, Any]],
        arguments: Mapping[str, Any] | None = None,
        *,
        add_generation_prompt: bool = True,
        day: datetime.datetime | None = None,
    ) -> str:
        """Render a chat.

        Args:
            arguments: the template's keyword arguments; one of the name of a special token replaces it.
            day: what the template takes for now; ``None`` is the clock's.

        Raises:
            TemplateFailureError: the template refuses the chat, or cannot be rendered.
        """
        variables = {"tools": None, "documents": None, **self.tokens, **(arguments or {})}
        variables.setdefault("strftime_now", (day or datetime.datetime.now()).strftime)
        try:
            template = _compile(self.text)
            return template.render(  # type: ignore[no-any-return]
                **variables | {"messages": list(messages), "add_generation_prompt": add_generation_prompt}
            )
        except Exception as error:  # a template can raise anything that an expression can
            raise TemplateFailureError(failure_text(error)) from error

    def reads(self) -> set[str]:
        """Return the names that it reads without setting them first; empty for a template that does not parse."""
        tree = _tree(self.text)
        return find_undeclared_variables(tree) if tree else set()

    def texts(self) -> list[str]:
        """Return its string constants; empty for a template that does not parse."""
        tree = _tree(self.text)
        if tree is None:
            return []
        constants = [node.value for node in tree.find_all(nodes.Const) if isinstance(node.value, str)]
        return constants + [node.data for node in tree.find_all(nodes.TemplateData)]

    def chooses(self) -> bool:
        """Return whether it names what Jinja has for choices at random."""
        tree = _tree(self.text)
        return tree is not None and (
            any(node.name == "random" for node in tree.find_all(nodes.Filter))
            or any(node.name == "lipsum" for node in tree.find_all(nodes.Name))
        )


def failure_text(error: BaseException) -> str:
    """Return the reason in an error of a template: what the template raised, or the kind of error and its text."""
    return first_line(error) if isinstance(error, TemplateError) else f"{type(error).__name__}: {first_line(error)}"


@functools.lru_cache(maxsize=64)
def _tree(text: str) -> nodes.Template | None:
    try:
        return _environment().parse(text)
    except TemplateError:
        return None


@functools.lru_cache(maxsize=256)
def _compile(text: str) -> Any:
    return _environment().from_string(text)


@functools.cache
def _environment() -> ImmutableSandboxedEnvironment:
    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[_Generation, LoopControlExtension]
    )
    environment.filters["tojson"] = _to_json
    environment.globals["raise_exception"] = _raise
    return environment


def _to_json(
    value: Any, ensure_ascii: bool = False, indent: Any = None, separators: Any = None, sort_keys: bool = False
) -> str:
    return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)


def _raise(message: str) -> None:
    raise TemplateError(message)
