"""verl's two trainers, as the launcher has to know them: how each is started, and what it leaves in a checkpoint."""

import sys
from collections.abc import Mapping
from dataclasses import dataclass

RECORD = "rollout_log_probs.pt"
"""What ``permix_verl.training.hooks.checkpoint_callback`` writes into every checkpoint of GRPO."""


@dataclass(frozen=True)
class Trainer:
    """One of verl's trainers.

    Attributes:
        module: what is run, as ``python -m``.
        torchrun: whether a launcher of its own starts one process a rank; else Ray does.
        model: prefix of the keys of its model.
        weights: folder of the weights in a checkpoint.
        loader_state: file that it writes last.
    """

    module: str
    torchrun: bool
    model: str
    weights: str
    loader_state: str

    def command(self, settings: Mapping[str, str]) -> list[str]:
        """The command line, without the overrides."""
        if not self.torchrun:
            return [sys.executable, "-m", self.module]
        ranks = settings.get("trainer.n_gpus_per_node", "1")
        torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc_per_node={ranks}"]
        return [*torchrun, "-m", self.module]


GRPO = Trainer("permix_verl.training.hooks.grpo_trainer", False, "actor_rollout_ref.model", "actor", "data.pt")
SFT = Trainer("permix_verl.training.hooks.sft_trainer", True, "model", ".", "data_0.pt")
TRAINERS: Mapping[str, Trainer] = {"grpo": GRPO, "sft": SFT}
