"""Tokenizers loaded as verl and vLLM load them: with the class named in ``tokenizer_config.json``.

That class may be the wrong one, so :func:`~permix_verl.data.round_trip.check_round_trip` follows.
"""

from collections.abc import Mapping
from typing import Any

from permix_verl.chat_templates.adapt import SystemRole, adapt_tokenizer, template_of
from permix_verl.chat_templates.use import use_template
from permix_verl.data.round_trip import ROUND_TRIP_ROWS, check_round_trip
from permix_verl.errors import UserError, first_line

__all__ = ["ROUND_TRIP_ROWS", "check_round_trip", "load_prompt_tokenizer", "load_tokenizer"]


def load_tokenizer(name_or_path: str, **kwargs: Any) -> Any:
    """Load a Hugging Face tokenizer by hub name or folder, with the class that verl and vLLM use.

    Raises:
        UserError: it cannot be loaded.
    """
    from transformers import AutoTokenizer

    try:
        return AutoTokenizer.from_pretrained(name_or_path, **kwargs)
    except Exception as error:  # hub, file-format and class errors alike
        raise UserError(
            f"cannot load tokenizer {name_or_path!r} ({first_line(error)})",
            "give a hub name you have access to, or the folder of a downloaded model",
        ) from error


def load_prompt_tokenizer(
    name_or_path: str,
    template_kwargs: Mapping[str, Any] | None = None,
    system_role: SystemRole = "auto",
    *,
    quiet: bool = False,
) -> Any:
    """Load a tokenizer whose chat template renders the prompts of a run: the model's own, adapted where it must be.

    What was adapted is printed, and a thought that prompts open although thinking is off, unless ``quiet``.

    Raises:
        UserError: it cannot be loaded, or its template loses a persona, changes with the day, or fails.
    """
    tokenizer = load_tokenizer(name_or_path)
    own = template_of(tokenizer)
    if own is None:
        return tokenizer  # rendering refuses it, by name
    arguments = dict(template_kwargs or {})
    use = use_template(own, arguments, system_role)
    adapt_tokenizer(tokenizer, arguments, system_role)
    for line in () if quiet else use.notices("on" if arguments.get("enable_thinking") else "off"):
        print(f"chat template of {name_or_path}: {line}")
    return tokenizer
