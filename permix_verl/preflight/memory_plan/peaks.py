"""What the actor holds on one device when it holds most."""

from collections import Counter
from dataclasses import dataclass

WEIGHTS, ADAPTER, OPTIMIZER = "base weights", "adapter", "optimizer state"
GATHERED, UNPACKED = "weights, gathered", "weights, unpacked"
LOGITS, ACTIVATIONS = "logits and loss", "activations"


@dataclass(frozen=True)
class Peaks:
    """Most bytes live at once on one rank, by kind: in each of the actor's turns, and between them.

    Attributes:
        update: forward, loss, backward and optimizer of a micro-batch.
        log_probs: log-probs and entropy of a micro-batch, without gradients.
        resting: what stays on the device between two turns, without offloading.
    """

    update: Counter[str]
    log_probs: Counter[str]
    resting: Counter[str]
