"""Overrides that follow from a configuration, and settings that exclude each other."""

import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from permix_verl.checkpoints.fetched import is_short_name, resolve_model
from permix_verl.config import extension_keys
from permix_verl.config.compose import RunConfig
from permix_verl.config.generated import LEVELS, generates_problems
from permix_verl.config.knobs import KNOBS
from permix_verl.config.quoting import quote_value, render_value
from permix_verl.config.resolvers import LAB_TEACHER
from permix_verl.data.problems import HUB_NAME
from permix_verl.errors import UserError
from permix_verl.recipe.chat_template import template_overrides
from permix_verl.recipe.style_reward import style_reward
from permix_verl.runs.data_files import OUR_DATASETS
from permix_verl.runs.given_adapter import read_given_adapter
from permix_verl.runs.init_adapter_settings import FROZEN_REFERENCE, refuse_another_path
from permix_verl.runs.own_mix import lacks_personas
from permix_verl.runs.trainers import TRAINERS
from permix_verl.training.qlora.settings import ENGINE
from permix_verl.training.trackers.chosen import loggers

_CHOICES = {knob.key: knob.known for knob in KNOBS if knob.kind == "text" and knob.known}
_CHOICES |= {f"permix.{key}": values for key, values in extension_keys.CHOICES.items()}
_CHOICES["permix.target"] += ("teacher",)  # of seqkd, which sets it itself


def consequences(config: RunConfig) -> list[str]:
    """Return the overrides that a configuration implies, for a second composition; empty for most runs.

    Raises:
        UserError: settings that exclude each other, or an unfit initial adapter.
    """
    refuse_contradictions(config)
    return [override for rule in _RULES for override in rule(config)]


def _real_paths(config: RunConfig) -> Iterator[str]:
    """Make paths absolute, since Ray's workers have another working directory."""
    for key in ("permix.run_dir", "permix.model", "permix.init_adapter"):
        path = config[key]
        if key == "permix.model" and is_short_name(path):
            yield f"{key}={quote_value(resolve_model(path))}"
        elif path and (key == "permix.run_dir" or Path(path).is_dir()) and os.path.realpath(path) != path:
            yield f"{key}={quote_value(os.path.realpath(path))}"


def _quantized(config: RunConfig) -> Iterator[str]:
    if config["permix.qlora"] and not config["permix.init_adapter"]:
        yield f"{TRAINERS[config.trainer].model}.external_lib={ENGINE}"
    if config["permix.qlora"] and config.trainer == "grpo":
        # The rollout engine's base is not NF4, so the actor must compute the old log-probs.
        yield "algorithm.rollout_correction.bypass_mode=False"


def _initial_adapter(config: RunConfig) -> Iterator[str]:
    """Take rank, alpha and target modules from the adapter that training starts from."""
    prefix = TRAINERS[config.trainer].model
    refuse_another_path(config, prefix)
    path = config["permix.init_adapter"]
    if not path:
        return
    adapter = read_given_adapter(Path(path))
    for knob, key, own in (
        ("LORA_RANK", "permix.lora_rank", adapter.rank),
        ("LORA_ALPHA", "permix.lora_alpha", adapter.alpha),
    ):
        given = config.given.get(key, own)
        if given != own:
            raise UserError(
                f"{knob}={given}, and INIT_ADAPTER={path} has {knob}={own}", f"unset {knob} to use the adapter's value"
            )
        yield f"{key}={own}"
    yield f"permix.target_modules={render_value(list(adapter.modules))}"
    libraries = [ENGINE] if config["permix.qlora"] else []
    if config.trainer == "grpo":  # there the adapter is also the KL reference; SFT has none
        yield f"{prefix}.external_lib={render_value([*libraries, FROZEN_REFERENCE])}"
    elif libraries:
        yield f"{prefix}.external_lib={ENGINE}"


def _strict(config: RunConfig) -> Iterator[str]:
    if config.get("permix.strict"):
        yield "+reward.custom_reward_function.reward_kwargs.strict=True"


def _own_data_in_the_lab(config: RunConfig) -> Iterator[str]:
    """Hold out rows of the user's own data, instead of the lab's generated ones."""
    own = config.given.get("permix.data") and "permix.val_data" not in config.given
    if config.trainer == "sft" and config["permix.preset"] in LEVELS and own:
        yield "permix.val_data=null"


def _mixing_as_rows_load(config: RunConfig) -> Iterator[str]:
    """Mix the recipe's personas into the user's own training rows if they have none."""
    ours = config.get("data.custom_cls.name") in OUR_DATASETS
    if config.trainer != "grpo" or not ours or not _lack_personas(config.given.get("data.train_files")):
        return
    pool = str(config["permix.personas"])
    values = {
        "pool": os.path.realpath(pool) if os.path.isfile(pool) else pool,  # Ray's workers have another folder
        "seed": config["permix.seed"],
        "no_persona_probability": 1.0 if config["permix.no_persona"] else config["permix.no_persona_probability"],
        "dev_personas": str(config["permix.dev_personas"]),
    }
    for name, value in values.items():
        if f"data.permix.{name}" not in config.given:
            yield f"+data.permix.{name}={quote_value(value) if isinstance(value, str) else render_value(value)}"


def _lack_personas(files: Any) -> bool:
    """Return whether rows of some file have no personas; a file that cannot be read is refused later, by name."""
    named = [files] if isinstance(files, str) else files
    try:
        return isinstance(named, list) and any(isinstance(file, str) and lacks_personas(file) for file in named)
    except UserError:
        return False


def _file_logger(config: RunConfig) -> Iterator[str]:
    """Keep verl's file logger, which progress display and run checks read."""
    names = loggers(config)
    if "file" not in names:
        print(f"trainer.logger={render_value(names)} has no 'file', which the run checks read; it is added")
        yield f"trainer.logger={render_value([*names, 'file'])}"


_RULES: tuple[Callable[[RunConfig], Iterator[str]], ...] = (
    _real_paths,
    _initial_adapter,
    _quantized,
    _strict,
    style_reward,
    _own_data_in_the_lab,
    _mixing_as_rows_load,
    template_overrides,
    _file_logger,
)


def refuse_contradictions(config: RunConfig) -> None:
    """Refuse values that do not exist, and settings that exclude each other.

    Raises:
        UserError: the first of them.
    """
    for key, known in _CHOICES.items():
        value = config.get(key, known[0])
        if value not in known:
            raise UserError(f"{key}={value}: no such value", f"known: {' '.join(known)}")
    if config.trainer == "grpo":
        _refuse_in_rl(config)
    else:
        _refuse_in_supervised(config)


def _whole(config: RunConfig, key: str) -> int:
    value = config[key]
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise UserError(f"{key}={value} is not an integer of 1 or more", "give one")
    return value


def _refuse_in_rl(config: RunConfig) -> None:
    batch, rollouts = _whole(config, "permix.batch"), _whole(config, "permix.rollouts")
    if config["permix.batch_unit"] == "completions" and batch % rollouts:
        raise UserError(
            f"BATCH={batch} completions are not a whole number of groups of ROLLOUTS={rollouts}", "change one"
        )
    if config["permix.task"] == "code":
        if config["permix.data"] == HUB_NAME or makes_lab_data(config):
            raise UserError("TASK=code needs programming problems", "set DATA to a file of them (docs/code.md)")
        if config["permix.style"] != "off":
            raise UserError(
                f"permix.style={config['permix.style']} is about answers, and TASK=code has none", "leave it off"
            )
        if config["permix.strict"]:
            raise UserError("STRICT=1 is about marked answers, and TASK=code has none", "leave it 0")
    gpus, nodes = _whole(config, "permix.gpus"), _whole(config, "permix.nodes")
    problems = _whole(config, "data.train_batch_size")
    if problems * rollouts % (gpus * nodes):
        raise UserError(
            f"{problems} problems x ROLLOUTS={rollouts} samples do not divide over {gpus} GPUs x {nodes} nodes",
            "change one",
        )


def _refuse_in_supervised(config: RunConfig) -> None:
    gpus, nodes, batch = (_whole(config, f"permix.{key}") for key in ("gpus", "nodes", "batch"))
    writer = {"styled": "REWRITER", "teacher": "TEACHER"}.get(config["permix.target"])
    if writer and not target_writer(config):
        raise UserError(
            f"{writer} is not set, so no model writes the targets",
            "set it to a hub name or folder (vLLM on this machine), or with BASE_URL=http://.../v1 to a model name of "
            "that endpoint",
        )
    if nodes > 1:
        raise UserError(
            f"NNODES={nodes}: the supervised recipes run on one node",
            "unset it (its 8B adapter trains within hours there)",
        )
    if batch % gpus:
        raise UserError(f"BATCH={batch} does not divide over {gpus} GPUs", "change one")
    if config.get("optim.optimizer") == "PagedAdamW8bit":
        print(
            "note: bitsandbytes #1633: its paged optimizers fail under FSDP2 in the known versions; adamw_fused works",
            file=sys.stderr,
        )


def refuse_without_cluster(config: RunConfig) -> None:
    """Refuse several nodes without a Ray cluster.

    Raises:
        UserError: there is none.
    """
    nodes = config["permix.nodes"]
    if nodes > 1 and not os.environ.get("RAY_ADDRESS"):
        raise UserError(
            f"NNODES={nodes} needs a Ray cluster", "start one (ray start, on each node) and set RAY_ADDRESS"
        )


def makes_lab_data(config: RunConfig) -> bool:
    """Return whether the run's problems are generated: the lab's, or those of the real model's preset."""
    return generates_problems(config)


def target_writer(config: RunConfig) -> str | None:
    """Return the model that writes the targets; in the lab there are a rewriter and a teacher of its own."""
    target, lab = config["permix.target"], config["permix.preset"] == "lab"
    if target == "styled":
        return _text(config["permix.rewriter"]) or ("lab" if lab else None)
    if target == "teacher":
        return _text(config["permix.teacher"]) or (str(LAB_TEACHER) if lab else None)
    return None


def _text(value: Any) -> str | None:
    return str(value) if value else None
