"""verl's task runner with environment variables that stand in no file, no log and no runtime environment of Ray."""

import os
from collections.abc import Mapping
from typing import Any

from permix_verl.training.trackers.verl_tracking import adapt_tracking


def make_task_runner(environment: Mapping[str, str], runner: Any = None) -> Any:
    """Return a Ray actor class that sets variables in its process, and then runs verl.

    The variables travel inside the pickled class, in Ray's memory. Its name is the runner's, as Ray's log lines state.

    Args:
        environment: variables to set, such as the trackers' credentials.
        runner: Ray actor class with ``run(config)``; by default verl's ``TaskRunnerV1``.
    """
    import ray

    if runner is None:
        from verl.trainer import main_ppo

        runner = main_ppo.TaskRunnerV1
    base: Any = runner.__ray_metadata__.modified_class
    variables = dict(environment)

    class RunnerWithEnvironment(base):
        def run(self, config: Any) -> Any:
            os.environ.update(variables)
            adapt_tracking((config.get("trainer") or {}).get("logger"))
            return super().run(config)

    RunnerWithEnvironment.__name__ = RunnerWithEnvironment.__qualname__ = base.__name__
    return ray.remote(RunnerWithEnvironment)
