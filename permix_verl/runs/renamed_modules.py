"""Modules that have moved since a run was started, so that its stored overrides still compare equal."""

import re
from collections.abc import Mapping
from typing import Any

RENAMED: Mapping[str, str] = {
    "permix_verl.training.qlora": "permix_verl.training.qlora.engine",
    "permix_verl.training.callback": "permix_verl.training.hooks.checkpoint_callback",
    "permix_verl.training.replay_buffer": "permix_verl.training.hooks.replay_buffer",
    "permix_verl.training.rollout_worker": "permix_verl.training.hooks.lora_worker_extension",
    "permix_verl.training.frozen_reference": "permix_verl.training.hooks.frozen_reference",
    "permix_verl/training/agent_loop.yaml": "permix_verl/training/hooks/agent_loop.yaml",
}
"""Old -> new module, or file, of every path in the recipes' overrides."""
_OLD = re.compile("|".join(rf"{re.escape(old)}(?![\w/])(?!\.(?:engine|settings)\b)" for old in RENAMED))


def current_paths(overrides: Mapping[str, Any]) -> dict[str, Any]:
    """Return stored overrides with the present paths of the modules that they name."""
    return {
        key: _OLD.sub(lambda path: RENAMED[path[0]], value) if isinstance(value, str) else value
        for key, value in overrides.items()
    }
