"""A fault on purpose: saving a checkpoint takes long, so that a kill can land in the middle of it.

SLOW_SAVE=actor stops after the weights and before the rest of the actor; SLOW_SAVE=data after everything but the
note of which checkpoint is the last one. Only at step SLOW_SAVE_STEP.
"""

import os
import time
from typing import Any

import wrapt

MARK = "permix-test-saving"


def wait_to_be_killed(folder: str) -> None:
    with open(os.path.join(folder, MARK), "w"):
        pass
    time.sleep(600)


@wrapt.when_imported("verl.utils.checkpoint.fsdp_checkpoint_manager")
def slow_actor(manager: Any) -> None:
    save = manager.FSDPCheckpointManager.save_checkpoint

    def half_save(self: Any, local_path: str, *args: Any, **kwargs: Any) -> Any:
        done = save(self, local_path, *args, **kwargs)
        if os.environ.get("SLOW_SAVE") == "actor" and f"global_step_{os.environ['SLOW_SAVE_STEP']}/" in local_path:
            for name in os.listdir(local_path):
                if name.startswith(("optim_", "extra_")):
                    os.truncate(os.path.join(local_path, name), 10)
            wait_to_be_killed(local_path)
        return done

    manager.FSDPCheckpointManager.save_checkpoint = half_save


@wrapt.when_imported("verl.trainer.ppo.v1.trainer_base")
def slow_data(trainer_base: Any) -> None:
    class SlowTorch:
        """torch, as this module sees it."""

        def __getattr__(self, name: str) -> Any:
            return getattr(trainer_base_torch, name)

        def save(self, state: Any, path: str) -> None:
            trainer_base_torch.save(state, path)
            if os.environ.get("SLOW_SAVE") == "data" and f"global_step_{os.environ['SLOW_SAVE_STEP']}/" in path:
                wait_to_be_killed(os.path.dirname(path))

    trainer_base_torch = trainer_base.torch
    trainer_base.torch = SlowTorch()
