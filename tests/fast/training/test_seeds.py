"""Seeds differ exactly where choices must differ."""

from typing import Any

from permix_verl.training.hooks.seeds import rollout_seed, worker_seed


def test_every_rollout_of_a_run_has_its_own_seed() -> None:
    base: dict[str, Any] = {
        "step": 1,
        "split": "train",
        "epoch": 0,
        "row_id": "gsm8k/train/1",
        "persona": "chef",
        "sample": 0,
    }
    changes: list[dict[str, Any]] = [
        {"step": 2},
        {"split": "val"},
        {"row_id": "gsm8k/train/11"},
        {"persona": "intern"},
        {"sample": 1},
    ]
    seeds = [rollout_seed(0, **base), rollout_seed(1, **base)]
    seeds += [rollout_seed(0, **(base | change)) for change in changes]
    assert len(set(seeds)) == len(seeds)
    assert rollout_seed(0, **base) == seeds[0]
    assert all(0 <= seed < 2**63 for seed in seeds)


def test_ranks_and_steps_do_not_share_dropout() -> None:
    assert len({worker_seed(seed, step, rank) for seed in (0, 1) for step in (1, 2) for rank in (0, 1)}) == 8
