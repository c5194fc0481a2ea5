"""Configurations for tests: of a method, or of a few keys without verl's."""

from typing import Any

from omegaconf import OmegaConf

from permix_verl.config.compose import RunConfig, parse_overrides
from permix_verl.config.overrides import override_lines
from permix_verl.recipe.resolve import resolve


def bare(*overrides: str, trainer: str = "grpo") -> RunConfig:
    """Return a configuration of these overrides alone."""
    given = parse_overrides(overrides)
    node = OmegaConf.create({})
    for key, value in given.items():
        OmegaConf.update(node, key, value, force_add=True)
    return RunConfig(node, trainer, given, tuple(given))


def bare_of(settings: dict[str, Any], trainer: str = "grpo") -> RunConfig:
    """Return a configuration of these keys alone, as if a user had set them."""
    node = OmegaConf.create({})
    for key, value in settings.items():
        OmegaConf.update(node, key, value, force_add=True)
    return RunConfig(node, trainer, settings, tuple(settings))


def config_of(script: str, *overrides: str, **knobs: str) -> RunConfig:
    """Return a recipe's configuration; ``script`` is its file's name, or the method's."""
    return resolve(script.removeprefix("run_").removesuffix(".sh"), overrides, knobs)


def overrides_of(script: str, *overrides: str, **knobs: str) -> list[str]:
    """Return what a recipe sets, as overrides of verl's configuration."""
    return override_lines(config_of(script, *overrides, **knobs))
