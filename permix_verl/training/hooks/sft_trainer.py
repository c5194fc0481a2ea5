"""verl's SFT trainer with seeded order and LoRA dropout.

    torchrun --standalone --nproc_per_node=N -m permix_verl.training.hooks.sft_trainer KEY=VALUE ...

Two things verl's SFT trainer does not let us configure: it always shuffles with seed 0, and LoRA dropout comes from an
unseeded generator.
"""

import time
from typing import Any

import hydra
import torch
from verl.trainer import sft_trainer
from verl.utils import tensordict_utils as tu

from permix_verl.runs.metrics import STEP_SECONDS
from permix_verl.training.hooks.seeds import worker_seed
from permix_verl.training.trackers.verl_tracking import adapt_tracking


class SupervisedTrainer(sft_trainer.SFTTrainer):  # type: ignore[misc]
    """SFT trainer that seeds dropout at every step from ``data.seed``, so a resumed run continues unchanged."""

    def _build_dataloader(self) -> None:
        super()._build_dataloader()
        self.train_sampler.shuffle = False  # the dataset has a seeded order per epoch

    def fit(self) -> None:
        train_batch, step = self.training_client.train_batch, self.resume_global_step

        def train_seeded_batch(data: Any) -> Any:
            nonlocal step
            step += 1
            torch.manual_seed(worker_seed(self.config.data.seed, step, self.rank))
            began = time.monotonic()
            output = train_batch(data=data)
            if output is not None:
                tu.get(output, "metrics")[STEP_SECONDS] = time.monotonic() - began
            return output

        self.training_client.train_batch = train_seeded_batch
        super().fit()


def run(config: Any) -> None:
    """Train in this process, as one rank."""
    from verl.utils.distributed import destroy_global_process_group, initialize_global_process_group

    adapt_tracking(config.trainer.logger)
    initialize_global_process_group()
    SupervisedTrainer(config=config).fit()
    destroy_global_process_group()


@hydra.main(config_path="pkg://verl.trainer.config", config_name="sft_trainer_engine", version_base=None)
def main(config: Any) -> None:
    run(config)


if __name__ == "__main__":
    main()
