"""verl's GRPO trainer, with a thread that says what Ray knows of it (``permix_verl.training.hooks.ray_watch``).

python -m permix_verl.training.hooks.grpo_trainer KEY=VALUE ...
"""

from verl.trainer.main_ppo import main

from permix_verl.training.hooks import ray_watch

if __name__ == "__main__":
    with ray_watch.watching():
        main()
