"""What a configuration sets, as overrides of verl's own."""

from permix_verl.config.compose import RunConfig, compose_verl
from permix_verl.config.quoting import render_value


def override_lines(config: RunConfig) -> list[str]:
    """Return the overrides that make verl's own configuration this one, for ``python -m verl.trainer.main_ppo``."""
    plain = compose_verl(config.trainer)
    keys = [*config.own, "permix.lora_dropout", *(["permix.init_adapter"] if config["permix.init_adapter"] else [])]
    return [f"{'' if key in plain else '+'}{key}={render_value(config[key])}" for key in keys]
