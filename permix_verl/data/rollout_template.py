"""The chat template of a dataset: the one with which the rollouts of the same run render."""

from collections.abc import Mapping
from typing import Any

from permix_verl.chat_templates.adapt import adapt, adapt_tokenizer, is_adapted, template_of
from permix_verl.errors import UserError

_KEY = "custom_chat_template"
_SECTIONS = (("actor_rollout_ref", "model"), ("model",))
"""Sections of verl's configuration with the model: of its RL trainer, and of its SFT trainer."""


def use_rollout_template(
    tokenizer: Any, template_kwargs: Mapping[str, Any] | None, config: Any = None, processor: Any = None
) -> None:
    """Give a dataset's tokenizer the template with which its prompts will be rendered.

    Args:
        config: verl's ``data`` section; in a run, a part of its whole configuration.
        processor: verl's, which has the run's template where there is one.

    Raises:
        UserError: the template must be adapted (``permix_verl.chat_templates.adapt``), and the run's rollouts would
            render with another; or it cannot be used.
    """
    for given in (getattr(processor, "chat_template", None), getattr(tokenizer, "chat_template", None)):
        if isinstance(given, str) and is_adapted(given):
            tokenizer.chat_template = given
            return
    own = template_of(tokenizer)
    if own is None:
        return  # rendering refuses it, by name
    section = _model_section(config)
    if section is None:
        adapt_tokenizer(tokenizer, template_kwargs)
        return
    given = section.get(_KEY)
    if isinstance(given, str) and given:
        tokenizer.chat_template = given
        own = template_of(tokenizer) or own
    notices = () if is_adapted(own.text) else adapt(own, template_kwargs).notices
    if notices:
        raise UserError(
            f"the chat template of {own.name} must be adapted ({'; '.join(notices)}), and the rollouts of this run "
            "would render with it as it is",
            "train with permix train, or give the output of 'permix templates MODEL --adapt' as "
            f"{'.'.join(_SECTIONS[0])}.{_KEY}",
        )


def _model_section(config: Any) -> Any:
    """Return the model's section of the whole configuration; ``None`` if there is no more than the data's."""
    root = config._get_root() if hasattr(config, "_get_root") else None
    if root is None or root is config:
        return None
    for names in _SECTIONS:
        section = root
        for name in names:
            section = section.get(name) if hasattr(section, "get") else None
        if section is not None:
            return section
    return None
