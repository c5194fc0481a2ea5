"""Types of command line arguments that several scripts take."""

import argparse
import json
from typing import Any


def json_object(text: str) -> dict[str, Any]:
    """An argument that is a JSON object, such as keyword arguments of a chat template.

    Raises:
        argparse.ArgumentTypeError: not JSON, or another kind of value.
    """
    try:
        value = json.loads(text)
    except json.JSONDecodeError as error:
        raise argparse.ArgumentTypeError(f"not JSON: {text!r} ({error})") from None
    if not isinstance(value, dict):
        raise argparse.ArgumentTypeError(f"not a JSON object: {text!r}")
    return value
