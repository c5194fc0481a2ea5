"""PerMix-RLVR for verl: persona-mixed GRPO with a persona-blind answer reward (arXiv 2604.08986).

Names are loaded when they are first used. Importing this package imports nothing else: no verl, torch, ray or vllm.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from permix_verl.data.mix import mix_personas
    from permix_verl.data.rl_dataset import PersonaMixDataset
    from permix_verl.errors import UserError
    from permix_verl.personas.mixing import PersonaDraw, draw_persona
    from permix_verl.personas.pool import Persona, PersonaPool, check_disjoint, load_pool
    from permix_verl.personas.prompts import build_messages
    from permix_verl.reward_fns.math_reward import accuracy_reward, compute_score
    from permix_verl.statistics import persona_accuracy, pss, pss_interval

__version__ = "0.1.0"

_MODULE_OF = {
    "Persona": "permix_verl.personas.pool",
    "PersonaDraw": "permix_verl.personas.mixing",
    "PersonaMixDataset": "permix_verl.data.rl_dataset",
    "PersonaPool": "permix_verl.personas.pool",
    "UserError": "permix_verl.errors",
    "accuracy_reward": "permix_verl.reward_fns.math_reward",
    "build_messages": "permix_verl.personas.prompts",
    "check_disjoint": "permix_verl.personas.pool",
    "compute_score": "permix_verl.reward_fns.math_reward",
    "draw_persona": "permix_verl.personas.mixing",
    "load_pool": "permix_verl.personas.pool",
    "mix_personas": "permix_verl.data.mix",
    "persona_accuracy": "permix_verl.statistics",
    "pss": "permix_verl.statistics",
    "pss_interval": "permix_verl.statistics",
}

__all__ = [
    "Persona",
    "PersonaDraw",
    "PersonaMixDataset",
    "PersonaPool",
    "UserError",
    "__version__",
    "accuracy_reward",
    "build_messages",
    "check_disjoint",
    "compute_score",
    "draw_persona",
    "load_pool",
    "mix_personas",
    "persona_accuracy",
    "pss",
    "pss_interval",
]


def __getattr__(name: str) -> Any:
    if name not in _MODULE_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_MODULE_OF[name]), name)


def __dir__() -> "list[str]":
    return sorted(__all__)
