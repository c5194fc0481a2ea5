"""Known failures, specific ones before general ones: the first that matches names the cause."""

from permix_verl.explain.signatures.cluster import CLUSTER
from permix_verl.explain.signatures.ends import ENDS
from permix_verl.explain.signatures.machine import MACHINE
from permix_verl.explain.signatures.memory import MEMORY
from permix_verl.explain.signatures.models import MODELS
from permix_verl.explain.signatures.packages import PACKAGES
from permix_verl.explain.signatures.settings import SETTINGS
from permix_verl.explain.signatures.signature import HERE, REPOSITORIES, Kind, Signature

GROUPS: dict[str, tuple[Signature, ...]] = {
    "memory": MEMORY,
    "the machine": MACHINE,
    "Ray and ranks": CLUSTER,
    "packages": PACKAGES,
    "model and adapter": MODELS,
    "settings, data and reward": SETTINGS,
    "an end without a reason": ENDS,
}
SIGNATURES: tuple[Signature, ...] = tuple(signature for group in GROUPS.values() for signature in group)

__all__ = ["GROUPS", "HERE", "REPOSITORIES", "SIGNATURES", "Kind", "Signature"]
