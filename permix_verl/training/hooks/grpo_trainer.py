"""verl's GRPO trainer, plus a thread that logs Ray's view of the run (``permix_verl.training.hooks.ray_watch``).

python -m permix_verl.training.hooks.grpo_trainer KEY=VALUE ...
"""

from verl.trainer.main_ppo import main

from permix_verl.training.hooks import ray_watch

if __name__ == "__main__":
    with ray_watch.watch_ray():
        main()
