"""Knobs: upper-case settings, in the environment or as KNOB=VALUE, and the configuration keys that they set."""

import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from typing import Literal

from permix_verl.config.quoting import quote_value
from permix_verl.errors import UserError

Kind = Literal["text", "integer", "number", "flag", "list", "group", "lab"]
GRPO, SFT = ("grpo",), ("sft",)
BOTH = (*GRPO, *SFT)


@dataclass(frozen=True, slots=True)
class Knob:
    """One knob.

    Attributes:
        name: upper-case name.
        key: configuration key, or group.
        kind: what its value is.
        trainers: trainers whose methods have it.
        known: values of a text or group; empty if any is possible.
    """

    name: str
    key: str
    kind: Kind = "text"
    trainers: tuple[str, ...] = BOTH
    known: tuple[str, ...] = ()

    def override(self, value: str) -> str:
        """Return the Hydra override of a value.

        Raises:
            UserError: not a value of this knob.
        """
        if self.known and value not in self.known:
            raise UserError(f"unknown {self.name} {value!r}", f"known: {' '.join(self.known)}")
        if self.kind in ("flag", "lab"):
            if value not in ("0", "1"):
                raise UserError(f"{self.name}={value} is neither 0 nor 1", "give one of them")
            values = {"flag": ("false", "true"), "lab": ("paper", "lab")}[self.kind]
            return f"{self.key}={values[int(value)]}"
        if self.kind == "integer" and not value.lstrip("-").isdigit():
            raise UserError(f"{self.name}={value} is not an integer", "give one")
        if self.kind == "number":
            try:
                float(value)
            except ValueError:
                raise UserError(f"{self.name}={value} is not a number", "give one") from None
        if self.kind == "list":
            return f"{self.key}=[{','.join(quote_value(item) for item in value.split(',') if item)}]"
        return f"{self.key}={quote_value(value) if self.kind == 'text' else value}"


KNOB_SETTING = re.compile(r"([A-Z][A-Z0-9_]*)=(.*)", re.DOTALL)
"""KNOB=VALUE, as an argument."""
PROFILES = ("8xa5000", "cpu", "gpu")
TRACKERS = ("wandb", "tensorboard", "mlflow", "trackio", "swanlab")
KNOBS: tuple[Knob, ...] = (
    Knob("MODEL", "permix.model"),
    Knob("DATA", "permix.data"),
    Knob("TASK", "permix.task", trainers=GRPO, known=("math", "code")),
    Knob("STRICT", "permix.strict", "flag", GRPO),
    Knob("PERSONAS", "permix.personas"),
    Knob("NO_PERSONA_PROB", "permix.no_persona_probability", "number", GRPO),
    Knob("DEV_PERSONAS", "permix.dev_personas", trainers=GRPO),
    Knob("VAL_PERSONAS", "permix.val_personas", "integer", GRPO),
    Knob("SYSTEM_ROLE", "permix.system_role", known=("auto", "system", "user")),
    Knob("THINKING", "permix.thinking", known=("off", "on")),
    Knob("SEED", "permix.seed", "integer"),
    Knob("SEED_ROLLOUTS", "permix.seed_rollouts", "flag", GRPO),
    Knob("EPOCHS", "permix.epochs", "integer"),
    Knob("BATCH", "permix.batch", "integer"),
    Knob("BATCH_UNIT", "permix.batch_unit", trainers=GRPO, known=("problems", "completions")),
    Knob("ROLLOUTS", "permix.rollouts", "integer", GRPO),
    Knob("PROMPT_LENGTH", "permix.prompt_length", "integer"),
    Knob("RESPONSE_LENGTH", "permix.response_length", "integer", GRPO),
    Knob("MAX_LENGTH", "permix.max_length", "integer", SFT),
    Knob("LR", "permix.lr", "number"),
    Knob("KL", "permix.kl", "number", GRPO),
    Knob("OPTIMIZER", "optimizer", "group", SFT, ("adamw_fused", "paged_adamw_8bit")),
    Knob("INIT_ADAPTER", "permix.init_adapter"),
    Knob("LORA_RANK", "permix.lora_rank", "integer"),
    Knob("LORA_ALPHA", "permix.lora_alpha", "integer"),
    Knob("LORA_DROPOUT", "permix.lora_dropout", "number"),
    Knob("QLORA", "permix.qlora", "flag"),
    Knob("VAL_PROBLEMS", "permix.val_problems", "integer"),
    Knob("VAL_DATA", "permix.val_data", trainers=SFT),
    Knob("TEST_FREQ", "permix.test_freq", "integer"),
    Knob("SAVE_FREQ", "permix.save_freq", "integer"),
    Knob("MIN_AGREEMENT", "permix.min_agreement", "number", GRPO),
    Knob("STOP_ON_DISAGREEMENT", "permix.stop_on_disagreement", "flag", GRPO),
    Knob("STALL_SECONDS", "permix.stall_seconds", "integer", GRPO),
    Knob("TARGET", "permix.target", trainers=SFT, known=("gt", "styled")),
    Knob("PERSONA", "permix.persona", "flag", SFT),
    Knob("REWRITER", "permix.rewriter", trainers=SFT),
    Knob("TEACHER", "permix.teacher", trainers=SFT),
    Knob("ANSWER_FORMAT", "permix.answer_format", trainers=SFT, known=("boxed", "original")),
    Knob("BASE_URL", "permix.base_url", trainers=SFT),
    Knob("STORE", "permix.store", trainers=SFT),
    Knob("MAX_TOKENS", "permix.max_tokens", "integer", SFT),
    Knob("ATTEMPTS", "permix.attempts", "integer", SFT),
    Knob("ONLY_RIGHT", "permix.only_right", "flag", SFT),
    Knob("PRICE", "permix.price", trainers=SFT),
    Knob("TARGET_ARGS", "permix.target_args", trainers=SFT),
    Knob("ENGINE_TENSOR_PARALLEL", "permix.engine_tensor_parallel", "integer", SFT),
    Knob("TRACKERS", "permix.trackers", "list"),
    Knob("RUN_DIR", "permix.run_dir"),
    Knob("PROFILE", "profile", "group"),
    Knob("GPUS", "permix.gpus", "integer"),
    Knob("RANKS", "permix.gpus", "integer"),
    Knob("NNODES", "permix.nodes", "integer"),
    Knob("TENSOR_PARALLEL", "permix.tensor_parallel", "integer", GRPO),
    Knob("LAB", "preset", "lab"),
    Knob("LAB_PROBLEMS", "permix.lab_problems", "integer"),
)
"""All knobs of the methods, in the order of ``permix train --help``."""
SCRIPT_KNOBS = (
    *("DRY_RUN", "PLAN", "DOCTOR", "SEEDS", "ARMS", "METHODS", "PROBLEMS", "SAMPLES", "OUT", "RUNS_DIR", "RUNS"),
    *("LIMIT", "TASKS", "MODELS", "GPU_GIB", "JUDGE", "JUDGE_2", "QUESTIONS", "EVAL_FLAGS", "PERSONAGYM_FLAGS"),
    *("TEACHER_BASE_URL", "TEACHER_QWEN", "TEACHER_LLAMA", "TEACHER_GEMMA", "GPU_TFLOPS", "PORT", "VENV", "EXTRAS"),
    *("PYTHON", "PYTHON3", "CORES", "RAY_WAIT_SECONDS"),
)
"""Settings of the scripts themselves."""
NOT_KNOBS = "PERMIX_NOT_KNOBS"
"""Variable with the names, separated by commas, that are no misspelt knobs."""
_OTHERS = frozenset({"MODE", "DATE", "TASKS", "TARGETS", "MODELS", "HOST", "LANG", "PAGER", "PERSON", "SHELL"})
"""Usual variables that are an edit away from a knob."""
_SHORTEST = 4


def by_name() -> dict[str, Knob]:
    return {knob.name: knob for knob in KNOBS}


def knob_values(trainer: str, environment: Mapping[str, str], arguments: Mapping[str, str]) -> dict[str, str]:
    """Return knob -> value; an argument wins over the environment, and an empty value is none.

    Raises:
        UserError: an unknown knob among the arguments, one of another trainer's, or a misspelt variable.
    """
    known = by_name()
    for name in arguments:
        if name not in known and name not in SCRIPT_KNOBS:
            raise UserError(f"{name} is not a knob", _suggestion(name, known))
        if name in known and trainer not in known[name].trainers:
            raise UserError(f"{name} has no meaning for this method", "leave it out")
    refuse_misspelt(environment)
    given = {name: environment[name] for name in known if environment.get(name)}
    given |= {name: value for name, value in arguments.items() if name in known and value}
    applicable = {name: value for name, value in given.items() if trainer in known[name].trainers}
    if others := [name for name in given if name not in applicable]:
        print(f"note: {', '.join(others)} set, without meaning for this method", file=sys.stderr)
    return applicable


def refuse_misspelt(environment: Mapping[str, str], knobs: Iterable[str] = ()) -> None:
    """Refuse a variable that is one edit away from a knob, and no knob itself.

    Raises:
        UserError: the first such variable.
    """
    known = {*by_name(), *SCRIPT_KNOBS, *knobs}
    passed = {*environment.get(NOT_KNOBS, "").split(","), *_OTHERS}
    for name in environment:
        if name in known or name in passed or len(name) < _SHORTEST:
            continue
        near = [knob for knob in known if len(knob) >= _SHORTEST and one_edit_apart(name, knob)]
        if near:
            raise UserError(
                f"{name}={environment[name]} is set, but is no knob (do you mean {near[0]}?)",
                f"unset {name}, or set {NOT_KNOBS}={name} if it belongs to something else",
            )


def one_edit_apart(one: str, other: str) -> bool:
    """Return whether a letter inserted, removed, replaced, or exchanged with its neighbour makes one the other."""
    if one == other or abs(len(one) - len(other)) > 1:
        return False
    start = 0
    while start < min(len(one), len(other)) and one[start] == other[start]:
        start += 1
    rest, other_rest = one[start:], other[start:]
    if len(rest) == len(other_rest):
        swapped = rest[:2] == other_rest[:2][::-1] and rest[2:] == other_rest[2:]
        return swapped or rest[1:] == other_rest[1:]
    return rest[1:] == other_rest or rest == other_rest[1:]


def _suggestion(name: str, known: Iterable[str]) -> str:
    near = max(known, key=lambda knob: SequenceMatcher(None, name, knob).ratio())
    likely = SequenceMatcher(None, name, near).ratio() > 0.6
    return f"do you mean {near}? permix train --help lists them" if likely else "permix train --help lists them"


def knob_overrides(values: Mapping[str, str]) -> list[str]:
    """Return the Hydra overrides of knobs, in the table's order.

    Raises:
        UserError: a value that its knob does not have.
    """
    return [knob.override(values[knob.name]) for knob in KNOBS if knob.name in values]


def help_lines(trainers: Sequence[str] = BOTH) -> list[str]:
    """Return a line per knob: its name and key."""
    lines = []
    for knob in KNOBS:
        if set(knob.trainers) & set(trainers):
            note = "" if knob.trainers == BOTH else f"  ({'GRPO' if knob.trainers == GRPO else 'supervised'})"
            values = {"flag": "0 or 1", "lab": "1: lab, 0: paper"}.get(knob.kind, " ".join(knob.known))
            lines.append(f"  {knob.name:<23}{knob.key:<33}{values}{note}".rstrip())
    return lines
