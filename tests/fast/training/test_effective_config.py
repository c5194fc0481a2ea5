"""What runs, compared with what was asked for. Reading it from verl's live engine: tests/e2e."""

from typing import Any

import pytest

from permix_verl.training.guards.effective_config_check import differences

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
    assert differences(CONFIG, LIVE) == []


def test_what_was_asked_for_by_a_general_name_or_cannot_be_read_is_not_compared() -> None:
    actor = CONFIG["actor_rollout_ref"]
    general = CONFIG | {
        "actor_rollout_ref": actor | {"rollout": {"dtype": "auto"}, "model": {"target_modules": "all-linear"}}
    }
    assert differences(general, LIVE | {"lora": {"target_modules": ["q_proj"], "rank": 8}}) == []
    own_data = LIVE | {"data": {"problems_per_step": 64}}
    assert differences(CONFIG, own_data) == []
    assert differences(CONFIG, {"data": LIVE["data"]}) == [], "another engine, of which nothing could be read"


def test_a_base_in_nf4_is_what_runs_where_it_is_asked_for_and_only_there() -> None:
    actor = {"fsdp_config": {"model_dtype": "fp32"}}
    library = {"external_lib": "permix_verl.training.qlora.engine"}
    asked, not_asked = ({"actor_rollout_ref": {"actor": actor, "model": model}} for model in (library, {}))
    for config, right, wrong in ((asked, "nf4", "torch.float32"), (not_asked, "torch.float32", "nf4")):
        assert differences(config, {"precision": {"base": right}}) == []
        (problem,) = differences(config, {"precision": {"base": wrong}})
        assert f"base {wrong} is what runs" in problem


def test_spellings_of_a_data_type_are_one() -> None:
    for asked in ("bf16", "bfloat16"):
        actor = CONFIG["actor_rollout_ref"] | {"rollout": {"dtype": asked, "n": 8}}
        assert differences(CONFIG | {"actor_rollout_ref": actor}, LIVE) == []


@pytest.mark.parametrize(
    ("factors", "agrees"),
    [
        ([0.0, 1.0, 0.75, 0.25, 0.0], True),
        ([0.0, 1.0, 1.0, 1.0, 1.0], False),
        ([1.0, 0.75, 0.5, 0.25, 0.0], False),
    ],
)
def test_the_learning_rates_course_is_compared_step_by_step(factors: list[float], agrees: bool) -> None:
    optim = {"lr_scheduler_type": "cosine", "lr_warmup_steps_ratio": 0.25, "lr_warmup_steps": -1}
    config = {"actor_rollout_ref": {"actor": {"optim": optim}}}
    found = differences(config, {"schedule": {"total_steps": 4, "factors": factors}})
    assert (found == []) == agrees
    assert agrees or "lr_scheduler_type=cosine with 1 warm-up steps is asked for" in found[0]


@pytest.mark.parametrize(
    ("section", "name", "value", "message"),
    [
        ("optimizer", "clip_grad", 1.0, "actor.optim.clip_grad=0.1 is asked for, and clip grad 1.0 is what runs"),
        ("lora", "dropout", 0.0, "permix.lora_dropout=0.05 is asked for, and dropout 0.0 is what runs"),
        ("precision", "compute", "torch.float32", "param_dtype=bf16 is asked for, and compute torch.float32"),
        ("sampling", "samples_per_problem", 7.5, "rollout.n=8 is asked for, and samples per problem 7.5"),
        ("lora", "rank", ["16", "32"], "lora_rank=32 is asked for"),
    ],
)
def test_what_runs_otherwise_is_named(section: str, name: str, value: Any, message: str) -> None:
    found = differences(CONFIG, LIVE | {section: LIVE[section] | {name: value}})
    assert len(found) == 1
    assert message in found[0]
