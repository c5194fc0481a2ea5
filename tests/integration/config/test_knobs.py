"""Knobs: each sets its key, for the methods that have it, and a misspelt one is an error."""

import functools
from typing import Any

import pytest

from permix_verl import UserError
from permix_verl.config.compose import RunConfig
from permix_verl.config.knobs import KNOBS, NOT_KNOBS, SCRIPT_KNOBS, help_lines, knob_values, one_edit_apart

from ...support.configs import config_of

DATA = {"DATA": "/x.jsonl"}
ROWS: list[tuple[str, str, str, dict[str, str], str, Any]] = [
    ("MODEL", "a/b", "permix_grpo", {}, "actor_rollout_ref.model.path", "a/b"),
    ("MODEL", "a/b", "sft", {}, "model.path", "a/b"),
    ("DATA", "/x.jsonl", "permix_grpo", {}, "permix.data", "/x.jsonl"),
    (
        *("TASK", "code", "permix_grpo", DATA),
        *("reward.custom_reward_function.path", "pkg://permix_verl.reward_fns.code_reward"),
    ),
    ("STRICT", "1", "permix_grpo", {}, "reward.custom_reward_function.reward_kwargs.strict", True),
    ("PERSONAS", "/p.jsonl", "permix_sft", {}, "permix.personas", "/p.jsonl"),
    ("NO_PERSONA_PROB", "0.2", "permix_grpo", {}, "permix.no_persona_probability", 0.2),
    ("DEV_PERSONAS", "3", "permix_grpo", {}, "permix.dev_personas", "3"),
    ("VAL_PERSONAS", "40", "permix_grpo", {}, "permix.val_personas", 40),
    ("DEV_PERSONAS", r"chef,a\, b", "permix_grpo", {}, "permix.dev_personas", r"chef,a\, b"),
    ("SYSTEM_ROLE", "user", "permix_grpo", {}, "permix.system_role", "user"),
    ("THINKING", "on", "sft", {}, "data.apply_chat_template_kwargs.enable_thinking", True),
    ("SEED", "7", "seqkd", {}, "data.seed", 7),
    (
        "SEED_ROLLOUTS",
        "1",
        "permix_grpo",
        {},
        "actor_rollout_ref.rollout.agent.default_agent_loop",
        "seeded_single_turn",
    ),
    ("EPOCHS", "2", "sft", {}, "data.epochs", 2),
    ("BATCH", "128", "permix_grpo", {}, "data.train_batch_size", 128),
    ("BATCH_UNIT", "completions", "permix_grpo", {"BATCH": "64"}, "data.train_batch_size", 8),
    ("ROLLOUTS", "16", "permix_grpo", {}, "actor_rollout_ref.rollout.n", 16),
    ("PROMPT_LENGTH", "300", "permix_grpo", {}, "data.max_prompt_length", 300),
    ("RESPONSE_LENGTH", "600", "permix_grpo", {}, "data.max_response_length", 600),
    ("MAX_LENGTH", "1500", "permix_sft", {}, "data.max_length", 1500),
    ("LR", "2e-5", "permix_grpo", {}, "actor_rollout_ref.actor.optim.lr", 2e-5),
    ("LR", "2e-5", "sft", {}, "optim.lr", 2e-5),
    ("KL", "0.01", "rlvr_grpo", {}, "actor_rollout_ref.actor.kl_loss_coef", 0.01),
    ("OPTIMIZER", "paged_adamw_8bit", "sft", {}, "optim.optimizer", "PagedAdamW8bit"),
    ("LORA_RANK", "16", "permix_grpo", {}, "actor_rollout_ref.model.lora_alpha", 32),
    ("LORA_ALPHA", "20", "sft", {}, "model.lora_alpha", 20),
    ("LORA_DROPOUT", "0", "sft", {}, "permix.lora_dropout", 0),
    ("QLORA", "1", "sft", {}, "model.external_lib", "permix_verl.training.qlora.engine"),
    ("VAL_PROBLEMS", "5", "sft", {}, "permix.val_problems", 5),
    ("VAL_DATA", "/v.jsonl", "sft", {}, "permix.val_data", "/v.jsonl"),
    ("TEST_FREQ", "-1", "permix_grpo", {}, "trainer.test_freq", -1),
    ("SAVE_FREQ", "9", "permix_grpo", {}, "trainer.save_freq", 9),
    ("MIN_AGREEMENT", "0.9", "permix_grpo", {}, "trainer.v1.sampler.sampler_kwargs.min_agreement", 0.9),
    ("STOP_ON_DISAGREEMENT", "0", "permix_grpo", {}, "trainer.v1.sampler.sampler_kwargs.stop_on_disagreement", 0),
    ("STALL_SECONDS", "77", "permix_grpo", {}, "trainer.v1.sampler.sampler_kwargs.stall_seconds", 77),
    ("TARGET", "styled", "permix_sft", {"REWRITER": "gpt"}, "permix.method", "permix-sft-styled"),
    ("REWRITER", "gpt", "permix_sft", {}, "permix.rewriter", "gpt"),
    ("PERSONA", "1", "seqkd", {}, "permix.no_persona", False),
    ("TEACHER", "c/d", "seqkd", {}, "permix.method", "seqkd-d"),
    ("ANSWER_FORMAT", "original", "sft", {}, "permix.answer_format", "original"),
    ("BASE_URL", "http://h:1/v1", "seqkd", {}, "permix.base_url", "http://h:1/v1"),
    ("STORE", "/s", "seqkd", {}, "permix.store", "/s"),
    ("MAX_TOKENS", "99", "seqkd", {}, "permix.max_tokens", 99),
    ("ATTEMPTS", "2", "permix_sft", {}, "permix.attempts", 2),
    ("ONLY_RIGHT", "1", "seqkd", {}, "permix.only_right", True),
    ("PRICE", "0.25,2.00", "seqkd", {}, "permix.price", "0.25,2.00"),
    ("TARGET_ARGS", '--request-args {"a":"b"}', "permix_sft", {}, "permix.target_args", '--request-args {"a":"b"}'),
    ("ENGINE_TENSOR_PARALLEL", "2", "seqkd", {}, "permix.engine_tensor_parallel", 2),
    ("TRACKERS", "wandb,mlflow", "sft", {}, "trainer.logger", ["console", "file", "wandb", "mlflow"]),
    ("RUN_DIR", "/r/x", "sft", {}, "trainer.experiment_name", "x"),
    ("PROFILE", "8xa5000", "permix_grpo", {}, "actor_rollout_ref.rollout.tensor_model_parallel_size", 4),
    ("GPUS", "2", "permix_grpo", {}, "trainer.n_gpus_per_node", 2),
    ("RANKS", "2", "permix_grpo", {"PROFILE": "cpu"}, "trainer.n_gpus_per_node", 2),
    ("NNODES", "2", "permix_grpo", {}, "trainer.nnodes", 2),
    ("TENSOR_PARALLEL", "2", "permix_grpo", {}, "actor_rollout_ref.rollout.tensor_model_parallel_size", 2),
    ("LAB", "1", "rlvr_grpo", {}, "data.train_batch_size", 16),
    ("LAB_PROBLEMS", "52", "rlvr_grpo", {"LAB": "1"}, "permix.lab_problems", 52),
]
"""(knob, value, method, other knobs, key, value of the key)."""
ELSEWHERE = {"INIT_ADAPTER"}
"""Knobs with tests of their own: tests/integration/training/test_init_adapter.py."""


@functools.cache
def base_config(method: str, knobs: tuple[tuple[str, str], ...]) -> RunConfig:
    return config_of(method, **dict(knobs))


@pytest.mark.parametrize(("knob", "text", "method", "others", "key", "value"), ROWS, ids=lambda part: str(part)[:24])
def test_a_knob_sets_its_key(
    knob: str, text: str, method: str, others: dict[str, str], key: str, value: object
) -> None:
    base = {"PROFILE": "gpu", "TEACHER": "a/b", **others}
    config = config_of(method, **base | {knob: text})
    assert config[key] == value
    if knob not in base:
        assert base_config(method, tuple(base.items())).get(key) != value, (
            "negative control: without the knob it has another value"
        )


def test_every_knob_has_a_row_and_a_line_of_help() -> None:
    assert {row[0] for row in ROWS} | ELSEWHERE == {knob.name for knob in KNOBS}
    assert {line.split()[0] for line in help_lines()} == {knob.name for knob in KNOBS}
    assert len({knob.name for knob in KNOBS} | set(SCRIPT_KNOBS)) == len(KNOBS) + len(SCRIPT_KNOBS)


@pytest.mark.parametrize(
    ("variable", "meant"),
    [
        ("ROLOUTS", "ROLLOUTS"),
        ("ROLLOUT", "ROLLOUTS"),
        ("SEDE", "SEED"),
        ("EPOCH", "EPOCHS"),
        ("LORA_RANKS", "LORA_RANK"),
    ],
)
def test_a_misspelt_variable_is_an_error(variable: str, meant: str) -> None:
    with pytest.raises(UserError, match=rf"{variable}=4 is set, but is no knob \(do you mean {meant}\?\)"):
        config_of("permix_grpo", **{variable: "4"})
    config_of("permix_grpo", **{variable: "4", NOT_KNOBS: variable, "PROFILE": "cpu"})


@pytest.mark.parametrize("variable", ["PATH", "HOME", "LANG", "DATE", "MODE", "TERM", "KUBERNETES_PORT", "GPU", "LRS"])
def test_other_variables_are_left_alone(variable: str) -> None:
    assert knob_values("grpo", {variable: "4"}, {}) == {}


def test_an_argument_must_be_a_knob_of_the_method() -> None:
    with pytest.raises(UserError, match="ROLOUTS is not a knob; do you mean ROLLOUTS"):
        config_of("permix_grpo", "ROLOUTS=4")
    with pytest.raises(UserError, match="ROLLOUTS has no meaning for this method"):
        config_of("sft", "ROLLOUTS=4")
    assert config_of("sft", "SEED=4", SEED="5", PROFILE="cpu")["data.seed"] == 4, "the argument wins"


def test_a_variable_of_another_method_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    config_of("sft", ROLLOUTS="4", PROFILE="cpu", GPUS="2", LAB="0", LAB_PROBLEMS="9")
    said = capsys.readouterr().err
    assert "note: ROLLOUTS set, without meaning for this method" in said
    assert "note: GPUS=2 has no meaning on the profile cpu" in said
    assert "note: LAB_PROBLEMS=9 has no meaning outside the lab" in said


@pytest.mark.parametrize(
    ("knob", "text", "told"),
    [
        ("SEED", "one", "SEED=one is not an integer"),
        ("LR", "low", "LR=low is not a number"),
        ("QLORA", "2", "neither 0 nor 1"),
    ],
)
def test_a_value_of_another_kind_is_an_error(knob: str, text: str, told: str) -> None:
    with pytest.raises(UserError, match=told):
        config_of("permix_grpo", **{knob: text})


def test_an_empty_knob_is_none() -> None:
    assert config_of("permix_grpo", MODEL="", PROFILE="cpu")["permix.preset"] == "lab"


def test_edits() -> None:
    near = [("SEED", "SED"), ("SEED", "SEEED"), ("SEED", "SEES"), ("SEED", "ESED"), ("SEED", "SEDE")]
    far = [("SEED", "SEED"), ("SEED", "SE"), ("SEED", "SDEE"), ("SEED", "DEES"), ("LR", "KL")]
    assert all(one_edit_apart(one, other) and one_edit_apart(other, one) for one, other in near)
    assert not any(one_edit_apart(one, other) for one, other in far)
