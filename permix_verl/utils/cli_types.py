"""Types of command-line arguments that several commands share."""

import argparse
import json
from collections.abc import Sequence
from typing import Any


def json_object(text: str) -> dict[str, Any]:
    """Parse an argument that is a JSON object, such as keyword arguments of a chat template.

    Raises:
        argparse.ArgumentTypeError: not JSON, or not an object.
    """
    try:
        value = json.loads(text)
    except json.JSONDecodeError as error:
        raise argparse.ArgumentTypeError(f"not JSON: {text!r} ({error})") from None
    if not isinstance(value, dict):
        raise argparse.ArgumentTypeError(f"not a JSON object: {text!r}")
    return value


class KeyValueAction(argparse.Action):
    """``-T NAME=VALUE``, repeatable, collected into a dict; the form of inspect_ai's task arguments."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **(kwargs | {"default": {}}))

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: str | Sequence[Any] | None,
        option_string: str | None = None,
    ) -> None:
        name, mark, value = str(values).partition("=")
        if not mark or not name:
            parser.error(f"{option_string} {values}: write {option_string} NAME=VALUE")
        setattr(namespace, self.dest, {**getattr(namespace, self.dest), name: value})
