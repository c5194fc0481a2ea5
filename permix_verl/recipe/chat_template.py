"""What a configuration implies for the model's chat template: its adaptation, thinking, and the reward's reading."""

from collections.abc import Iterator, Mapping
from typing import Any

from omegaconf import OmegaConf, open_dict

from permix_verl.chat_templates.interpolations import without_interpolations
from permix_verl.chat_templates.read import local_template
from permix_verl.chat_templates.use import DEFAULT_ARGUMENTS, TemplateUse, use_template
from permix_verl.config.compose import RunConfig
from permix_verl.config.quoting import quote_value, render_value
from permix_verl.data.tokenizers import load_tokenizer
from permix_verl.errors import UserError
from permix_verl.runs.trainers import TRAINERS

_ARGUMENTS = "data.apply_chat_template_kwargs"
_OURS = "permix.template_kwargs"
_REWARD = "reward.custom_reward_function.reward_kwargs"


def template_overrides(config: RunConfig) -> Iterator[str]:
    """Yield the overrides that follow from the model's template, if it is on this machine."""
    for key, value in _values(config).items():
        yield f"++{key}={quote_value(value) if isinstance(value, str) else render_value(value)}"


def with_template(config: RunConfig) -> RunConfig:
    """Return the configuration with what follows from the template of a model that had to be downloaded for it.

    Raises:
        UserError: the tokenizer cannot be loaded.
    """
    if local_template(_base(config)) is None:
        load_tokenizer(_base(config))
    values = {key: value for key, value in _values(config).items() if config.get(key) != value}
    if not values:
        return config
    node = config.node.copy()
    with open_dict(node):
        for key, value in values.items():
            for place in (key, _ARGUMENTS + key.removeprefix(_OURS)) if key.startswith(_OURS) else (key,):
                OmegaConf.update(node, place, value, force_add=True)
    own = [key for key in values if not key.startswith(_OURS)]
    return RunConfig(node, config.trainer, config.given, [*config.own, *own])


def template_use(config: RunConfig) -> TemplateUse | None:
    """Return how a run uses its model's template; ``None`` if the template is not on this machine.

    Raises:
        UserError: a template that cannot be used.
    """
    template = local_template(_base(config))
    if template is None:
        return None
    arguments = dict(config[_ARGUMENTS] or {})
    return use_template(
        template,
        None if arguments == DEFAULT_ARGUMENTS else arguments,
        config["permix.system_role"],
        config["permix.thinking"],
    )


def template_lines(config: RunConfig) -> list[str]:
    """Return what is said of the model's template where no preparation says it; empty for most models.

    Raises:
        UserError: a template that cannot be used.
    """
    use = template_use(config)
    return (
        [f"chat template of {_base(config)}: {line}" for line in use.notices(config["permix.thinking"])] if use else []
    )


def _values(config: RunConfig) -> dict[str, Any]:
    """Return key -> value of what follows; empty for a template that cannot be used, which the doctor reports."""
    thinking = config["permix.thinking"]
    try:
        use = template_use(config)
    except UserError:
        return {}
    values: dict[str, Any] = {}
    if use is None:
        if thinking == "on":
            values |= {f"{_OURS}.enable_thinking": True} | _reward(config, {"thinking": "on"})
        return values
    if not any(key.startswith(_ARGUMENTS) for key in config.given):
        now = dict(config[_ARGUMENTS] or {})
        values |= {f"{_OURS}.{name}": value for name, value in use.arguments.items() if now.get(name, "") != value}
    if use.adaptation.notices:
        values[f"{TRAINERS[config.trainer].model}.custom_chat_template"] = without_interpolations(
            use.adaptation.template.text
        )
    if use.end.state == "open" or thinking == "on":
        reading: dict[str, Any] = {"thinking": "open" if use.end.state == "open" else "on"}
        if use.marks:
            reading["thought_marks"] = [list(pair) for pair in use.marks]
        values |= _reward(config, reading)
    return values


def _reward(config: RunConfig, reading: Mapping[str, Any]) -> dict[str, Any]:
    """Return the reward's arguments; a supervised run, and a user's own reward, have none."""
    if config.trainer != "grpo" or any(key.startswith("reward.custom_reward_function.path") for key in config.given):
        return {}
    return {f"{_REWARD}.{name}": value for name, value in reading.items()}


def _base(config: RunConfig) -> str:
    return str(config[f"{TRAINERS[config.trainer].model}.path"])
