"""Effective settings compared with the configuration. Reading them from verl's live engine: tests/e2e."""

from typing import Any

import pytest

from permix_verl.training.guards.effective_config_check import find_differences

CONFIG: dict[str, Any] = {
    "data": {"train_batch_size": 64, "seed": 0},
    "permix": {"lora_dropout": 0.05},
    "actor_rollout_ref": {
        "actor": {"optim": {"lr": 1e-5, "clip_grad": 0.1}, "fsdp_config": {"mixed_precision": {"param_dtype": "bf16"}}},
        "rollout": {"dtype": "bfloat16", "n": 8},
        "model": {"lora_rank": 32},
    },
}
LIVE: dict[str, dict[str, Any]] = {
    "data": {"problems_per_step": 64, "persona_seed": 0},
    "optimizer": {"lr": 1e-5, "clip_grad": 0.1},
    "precision": {"compute": "torch.bfloat16"},
    "rollout": {"model_dtype": "torch.bfloat16"},
    "sampling": {"samples_per_problem": 8.0},
    "lora": {"rank": 32, "dropout": 0.05},
}


def test_a_live_record_as_configured_has_no_differences() -> None:
    assert find_differences(CONFIG, LIVE) == []


def test_general_names_and_unreadable_values_are_not_compared() -> None:
    actor = CONFIG["actor_rollout_ref"]
    general = CONFIG | {
        "actor_rollout_ref": actor | {"rollout": {"dtype": "auto"}, "model": {"target_modules": "all-linear"}}
    }
    assert find_differences(general, LIVE | {"lora": {"target_modules": ["q_proj"], "rank": 8}}) == []
    own_data = LIVE | {"data": {"problems_per_step": 64}}
    assert find_differences(CONFIG, own_data) == []
    assert find_differences(CONFIG, {"data": LIVE["data"]}) == [], "another engine, of which nothing could be read"


def test_an_nf4_base_is_expected_only_if_configured() -> None:
    actor = {"fsdp_config": {"model_dtype": "fp32"}}
    library = {"external_lib": "permix_verl.training.qlora.engine"}
    asked, not_asked = ({"actor_rollout_ref": {"actor": actor, "model": model}} for model in (library, {}))
    for config, right, wrong in ((asked, "nf4", "torch.float32"), (not_asked, "torch.float32", "nf4")):
        assert find_differences(config, {"precision": {"base": right}}) == []
        (problem,) = find_differences(config, {"precision": {"base": wrong}})
        assert f"base is {wrong}" in problem


def test_spellings_of_a_dtype_are_equal() -> None:
    for asked in ("bf16", "bfloat16"):
        actor = CONFIG["actor_rollout_ref"] | {"rollout": {"dtype": asked, "n": 8}}
        assert find_differences(CONFIG | {"actor_rollout_ref": actor}, LIVE) == []


@pytest.mark.parametrize(
    ("factors", "agrees"),
    [
        ([0.0, 1.0, 0.75, 0.25, 0.0], True),
        ([0.0, 1.0, 1.0, 1.0, 1.0], False),
        ([1.0, 0.75, 0.5, 0.25, 0.0], False),
    ],
)
def test_the_learning_rate_schedule_is_compared_step_by_step(factors: list[float], agrees: bool) -> None:
    optim = {"lr_scheduler_type": "cosine", "lr_warmup_steps_ratio": 0.25, "lr_warmup_steps": -1}
    config = {"actor_rollout_ref": {"actor": {"optim": optim}}}
    problems = find_differences(config, {"schedule": {"total_steps": 4, "factors": factors}})
    assert (problems == []) == agrees
    assert agrees or "lr_scheduler_type=cosine with 1 warm-up steps is configured" in problems[0]


@pytest.mark.parametrize(
    ("section", "name", "value", "message"),
    [
        ("optimizer", "clip_grad", 1.0, "actor.optim.clip_grad=0.1 is configured, but clip grad is 1.0"),
        ("lora", "dropout", 0.0, "permix.lora_dropout=0.05 is configured, but dropout is 0.0"),
        ("precision", "compute", "torch.float32", "param_dtype=bf16 is configured, but compute is torch.float32"),
        ("sampling", "samples_per_problem", 7.5, "rollout.n=8 is configured, but samples per problem is 7.5"),
        ("lora", "rank", ["16", "32"], "lora_rank=32 is configured"),
    ],
)
def test_a_setting_that_differs_is_named(section: str, name: str, value: Any, message: str) -> None:
    problems = find_differences(CONFIG, LIVE | {section: LIVE[section] | {name: value}})
    assert len(problems) == 1
    assert message in problems[0]
