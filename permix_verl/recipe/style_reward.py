"""Overrides that put the reward for persona adoption in the place of the persona-blind one (docs/methods.md)."""

import os
from collections.abc import Iterator

from permix_verl.checkpoints.fetched import resolve_model
from permix_verl.config.compose import RunConfig
from permix_verl.config.quoting import quote_value, render_value


def style_reward(config: RunConfig) -> Iterator[str]:
    """Take the reward that scores the style of right answers, with the run's base and personas."""
    style = str(config.get("permix.style", "off"))
    if style == "off":
        return
    settings = dict(config["permix.style_settings"])
    if style == "likelihood":
        pool, base = str(config["permix.personas"]), resolve_model(str(config["permix.model"]))
        given = {  # Ray's workers have another folder
            "base": os.path.realpath(base) if os.path.isdir(base) else base,
            "pool": os.path.realpath(pool) if os.path.isfile(pool) else pool,
            "template_kwargs": config["permix.template_kwargs"],
        }
        settings = {**given, **settings}
    reward = "reward.custom_reward_function"
    yield f"{reward}.path=pkg://permix_verl.reward_fns.persona_reward"
    yield f"+{reward}.reward_kwargs.style={quote_value(style)}"
    yield f"+{reward}.reward_kwargs.style_settings={render_value(settings)}"
