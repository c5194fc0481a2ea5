"""verl's GRPO trainer, plus a thread that logs Ray's view of the run (``permix_verl.training.hooks.ray_watch``).

python -m permix_verl.training.hooks.grpo_trainer KEY=VALUE ...

The trackers' credentials reach verl's task runner, on whatever node it runs (``task_runner.py``).
"""

from verl.trainer import main_ppo

from permix_verl.training.hooks import ray_watch
from permix_verl.training.hooks.task_runner import make_task_runner
from permix_verl.training.trackers.credentials import secret_environment

if __name__ == "__main__":
    main_ppo.TaskRunnerV1 = make_task_runner(secret_environment())
    with ray_watch.watch_ray():
        main_ppo.main()
