"""Peak memory of the actor on one device, by kind."""

from collections import Counter
from dataclasses import dataclass

WEIGHTS, ADAPTER, OPTIMIZER = "base weights", "adapter", "optimizer state"
GATHERED, UNPACKED = "weights, gathered", "weights, unpacked"
LOGITS, ACTIVATIONS = "logits and loss", "activations"


@dataclass(frozen=True)
class PeakMemory:
    """Peak bytes on one rank, by kind, in and between the actor's phases.

    Attributes:
        update: forward, loss, backward and optimizer step of a micro-batch.
        log_probs: log-probs and entropy of a micro-batch, without gradients.
        idle: what stays on the device between phases, without offloading.
    """

    update: Counter[str]
    log_probs: Counter[str]
    idle: Counter[str]
