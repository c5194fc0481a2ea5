"""verl's SFT trainer, with the order and the seeds of this project.

    torchrun --standalone --nproc_per_node=N -m permix_verl.training.hooks.sft_trainer KEY=VALUE ...

Two things of verl's that a run cannot be told: it shuffles with a seed of 0 whatever the seed, and LoRA's dropout comes
from a generator that nobody seeded.
"""

import time
from typing import Any

import hydra
import torch
from verl.trainer import sft_trainer
from verl.utils import tensordict_utils as tu

from permix_verl.runs.metrics import STEP_SECONDS
from permix_verl.training.hooks.seeds import worker_seed


class SupervisedTrainer(sft_trainer.SFTTrainer):  # type: ignore[misc]
    """``data.seed`` decides dropout at every step, so a run that was resumed goes on as if it had never stopped."""

    def _build_dataloader(self) -> None:
        super()._build_dataloader()
        self.train_sampler.shuffle = False  # the dataset has an order of its own for each epoch

    def fit(self) -> None:
        train_batch, step = self.training_client.train_batch, self.resume_global_step

        def seeded(data: Any) -> Any:
            nonlocal step
            step += 1
            torch.manual_seed(worker_seed(self.config.data.seed, step, self.rank))
            began = time.monotonic()
            output = train_batch(data=data)
            if output is not None:
                tu.get(output, "metrics")[STEP_SECONDS] = time.monotonic() - began
            return output

        self.training_client.train_batch = seeded
        super().fit()


def run(config: Any) -> None:
    """Train on this process's rank."""
    from verl.utils.distributed import destroy_global_process_group, initialize_global_process_group

    initialize_global_process_group()
    SupervisedTrainer(config=config).fit()
    destroy_global_process_group()


@hydra.main(config_path="pkg://verl.trainer.config", config_name="sft_trainer_engine", version_base=None)
def main(config: Any) -> None:
    run(config)


if __name__ == "__main__":
    main()
