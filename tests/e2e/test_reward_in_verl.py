"""The reward file in verl's own loader and reward manager."""

import asyncio
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from ..support.reward_file import SLOW, SOURCE


@pytest.mark.parametrize("name", ["compute_score", "compute_score_async"])
@pytest.mark.parametrize("kind", ["copied", "package"])
def test_verls_own_loader_and_reward_manager_accept_it(kind: str, name: str, tmp_path: Path) -> None:
    import inspect

    from omegaconf import OmegaConf
    from verl.trainer.ppo.reward import get_custom_reward_fn

    path = str(shutil.copy(SOURCE, tmp_path)) if kind == "copied" else "pkg://permix_verl.reward_fns.math_reward"
    function = {"path": path, "name": name, "reward_kwargs": {}}
    score = get_custom_reward_fn(OmegaConf.create({"reward": {"custom_reward_function": function}}))
    row = {"data_source": "gsm8k", "solution_str": SLOW[0], "ground_truth": "5", "extra_info": {"num_turns": 2}}
    with ThreadPoolExecutor(1) as pool:
        if inspect.iscoroutinefunction(score):
            result = pool.submit(lambda: asyncio.run(score(**row))).result()
        else:
            result = pool.submit(lambda: score(**row)).result()
    assert inspect.iscoroutinefunction(score) == (name == "compute_score_async")
    assert result["score"] == 1.0


def test_verls_reward_kwargs_make_it_strict() -> None:
    from omegaconf import OmegaConf
    from verl.trainer.ppo.reward import get_custom_reward_fn

    row = {"data_source": "gsm8k", "solution_str": "So it is 5.", "ground_truth": "5", "extra_info": {}}
    statuses = []
    for kwargs in ({}, {"strict": True}):
        function = {"path": str(SOURCE), "name": "compute_score", "reward_kwargs": kwargs}
        score = get_custom_reward_fn(OmegaConf.create({"reward": {"custom_reward_function": function}}))
        statuses.append(score(**row)["status"])
    assert statuses == ["correct", "no_answer"]
