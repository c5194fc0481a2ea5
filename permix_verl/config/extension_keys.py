"""Keys of the extensions of a training method (docs/methods.md), and the values with which nothing is extended."""

from collections.abc import Mapping
from typing import Any

CHOICES: Mapping[str, tuple[str, ...]] = {
    "persona_sampling": ("uniform", "group-dro", "variance"),
    "groups": ("rows", "personas"),
    "dynamic_sampling": ("off", "refill", "retire"),
}
"""Key under ``permix`` -> values, the first of which extends nothing."""

DEFAULTS: Mapping[str, Any] = {
    **{key: values[0] for key, values in CHOICES.items()},
    "persona_sampling_strength": 3,
    "persona_sampling_floor": 0.1,
    "no_persona_in_group": False,
    "dynamic_sampling_rounds": 2,
    "dynamic_sampling_solved": 2,
    "style": "off",
    "style_weight": 0.5,
    "style_settings": {},
    "extensions": [],
}
"""Key under ``permix`` -> default; runs that began before the key existed have it."""
