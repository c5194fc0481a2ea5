"""PerMix-RLVR for verl: persona-mixed GRPO with a persona-blind answer reward.

Importing this package is cheap: verl, torch, ray and vllm are pulled in only by
the modules that plug into them (``plugin``, ``dataset``, ``cpu``, ``training``).
"""

from permix_verl.errors import UserError
from permix_verl.personas.mixing import draw_persona
from permix_verl.personas.pool import Persona, PersonaPool, check_disjoint, load_pool
from permix_verl.personas.prompts import build_messages

__version__ = "0.1.0"

__all__ = [
    "Persona",
    "PersonaPool",
    "UserError",
    "__version__",
    "build_messages",
    "check_disjoint",
    "draw_persona",
    "load_pool",
]
