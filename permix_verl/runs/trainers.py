"""verl's two trainers: how to start each, and the layout of its checkpoints."""

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

ROLLOUT_RECORD = "rollout_log_probs.pt"
"""File of rollouts and their log-probs that the checkpoint callback writes into every GRPO checkpoint."""


@dataclass(frozen=True)
class Trainer:
    """One of verl's trainers.

    Attributes:
        module: module to run with ``python -m``.
        torchrun: whether torchrun starts the ranks; otherwise Ray does.
        model: prefix of the model's keys.
        weights: folder of the weights in a checkpoint.
        loader_state: file of the dataloader state, which is written last.
    """

    module: str
    torchrun: bool
    model: str
    weights: str
    loader_state: str

    def command(self, settings: Mapping[str, Any]) -> list[str]:
        """Return the command line, without the configuration."""
        if not self.torchrun:
            return [sys.executable, "-m", self.module]
        ranks = settings.get("trainer.n_gpus_per_node", 1)
        torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc_per_node={ranks}"]
        return [*torchrun, "-m", self.module]


GRPO = Trainer("permix_verl.training.hooks.grpo_trainer", False, "actor_rollout_ref.model", "actor", "data.pt")
SFT = Trainer("permix_verl.training.hooks.sft_trainer", True, "model", ".", "data_0.pt")
TRAINERS: Mapping[str, Trainer] = {"grpo": GRPO, "sft": SFT}
