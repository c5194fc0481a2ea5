"""The commands that prepare a run's rows."""

import json
import os
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from permix_verl.checkpoints.fetched import short_name_of
from permix_verl.config.compose import RunConfig
from permix_verl.config.generated import generated_name, generation_arguments
from permix_verl.config.resolvers import LAB_MODEL, project_folder
from permix_verl.data.problem_order import read_manifest
from permix_verl.data.row_ids import POSITION_IDS, has_content_ids
from permix_verl.recipe.chat_template import template_lines
from permix_verl.recipe.conditions import makes_lab_data, target_writer
from permix_verl.runs.own_files import find_own_files
from permix_verl.training.launch_settings import LaunchSettings
from permix_verl.utils.commands import PERMIX, run_command

_HELD_OUT_PROBLEMS = 256
_PROMPT_TOKENS = 1024


def prepare_rows(config: RunConfig) -> bool:
    """Prepare the run's rows in ``data.new``; return whether training follows.

    Raises:
        subprocess.CalledProcessError: a command failed, and said why.
    """
    own = set(find_own_files(config, Path(config["permix.run_dir"]))) if config.trainer == "grpo" else set()
    if own == {"train", "val"}:
        shutil.rmtree(LaunchSettings(config).folder.new_data, ignore_errors=True)
        print("".join(f"{line}\n" for line in template_lines(config)), end="", flush=True)
        return True
    if own == {"train"}:
        print(f"validation: held-out problems of DATA={config['permix.data']}; data.val_files=FILE names rows of yours")
    for command in lab_commands(config):
        _run(command)
    arguments = config.get("permix.target_args", "").split()
    # With --keep-going, missing rows may exist by now, but a run that has begun keeps its data.
    if "--keep-going" not in arguments or not LaunchSettings(config).folder.tracker.is_file():
        _run(rows_command(config))
    return "--dry-run" not in arguments


def _run(command: Sequence[str]) -> None:
    if status := run_command(command):
        raise subprocess.CalledProcessError(status, list(command))


def lab_commands(config: RunConfig) -> list[list[str]]:
    """Return the commands that generate the lab's problems; empty for other data."""
    if not makes_lab_data(config):
        return []
    generate = [*PERMIX, "lab-problems"]
    count = ["--count", str(config["permix.lab_problems"])]
    commands = [[*generate, *generation_arguments(config), *count, "--out", config["permix.data"]]]
    if config.trainer == "sft" and "permix.val_data" not in config.given:
        held_out = generation_arguments(config, held_out=True)
        commands.append([*generate, *held_out, "--count", str(_HELD_OUT_PROBLEMS), "--out", config["permix.val_data"]])
    return commands


def has_positional_rows(config: RunConfig) -> bool:
    """Return whether the run's folder holds rows with positional ids, which are prepared again as they were."""
    manifest = read_manifest(LaunchSettings(config).folder.data)
    return bool(manifest) and not has_content_ids(manifest)


def _lab_source(config: RunConfig, key: str) -> str:
    """Return a source of problems; the lab's generated ones get a name of their own."""
    generated = makes_lab_data(config) and key not in config.given and not has_positional_rows(config)
    return f"{config[key]},name={generated_name(config)}" if generated else str(config[key])


def rows_command(config: RunConfig) -> list[str]:
    """Return the command that writes the rows."""
    common = [
        *("--data", _lab_source(config, "permix.data")),
        *("--tokenizer", LaunchSettings(config).base),
        *("--personas", config["permix.personas"]),
        *("--seed", str(config["permix.seed"])),
        *("--val-problems", str(config["permix.val_problems"])),
        *("--max-prompt-length", str(_prompt_length(config))),
        *("--out", str(LaunchSettings(config).folder.new_data)),
        *("--chat-template-kwargs", json.dumps(config["data.apply_chat_template_kwargs"])),
        *(["--no-persona"] if config["permix.no_persona"] else []),
        *(["--system-role", config["permix.system_role"]] if config["permix.system_role"] != "auto" else []),
        *(["--row-ids", POSITION_IDS] if has_positional_rows(config) else []),
    ]
    if config.trainer == "sft":
        return [*PERMIX, "prep-sft", *common, *_target_arguments(config)]
    return [
        *(*PERMIX, "prep", *common),
        *("--task", config["permix.task"]),
        *("--no-persona-probability", str(config["permix.no_persona_probability"])),
        *("--dev-personas", str(config["permix.dev_personas"])),
        *(("--val-personas", str(config["permix.val_personas"])) if config["permix.val_personas"] is not None else ()),
    ]


def _target_arguments(config: RunConfig) -> list[str]:
    ours = config["permix"]
    arguments = [
        *("--target", ours["target"]),
        *("--max-length", str(config["data.max_length"])),
        *("--answer-format", ours["answer_format"]),
        *(("--val-data", _lab_source(config, "permix.val_data")) if ours["val_data"] else ()),
    ]
    writer = target_writer(config)
    if writer:
        arguments += _writer_arguments(config, writer)
    return [*arguments, *ours["target_args"].split()]


def _writer_arguments(config: RunConfig, writer: str) -> list[str]:
    ours = config["permix"]
    store = ours["store"] or str(project_folder() / "targets" / Path(writer).name)
    arguments = [
        *("--engine-model", writer),
        *("--store", store),
        *("--max-tokens", str(ours["max_tokens"])),
        *("--attempts", str(ours["attempts"])),
    ]
    for flag in ("base_url", "price"):
        arguments += [f"--{flag.replace('_', '-')}", str(ours[flag])] if ours[flag] else []
    arguments += ["--only-right"] if ours["only_right"] else []
    if not ours["base_url"] and ours["profile"] != "cpu" and writer != "lab":
        arguments += ["--tensor-parallel-size", str(ours["engine_tensor_parallel"])]
        if ours["preset"] != "lab":  # by default vLLM would require room for a context of 131,072 tokens
            arguments += ["--engine-args", json.dumps({"max_model_len": _PROMPT_TOKENS + ours["max_tokens"]})]
    return arguments


def needs_no_hub(config: RunConfig) -> bool:
    """Return whether nothing of the run could be downloaded: the lab's model, problems and writers."""
    writer = target_writer(config) if config.trainer == "sft" else None
    own_writer = writer in (None, "lab") or os.path.isdir(str(writer))
    base = LaunchSettings(config).base
    own_model = base == str(LAB_MODEL) or short_name_of(base) is not None
    return own_model and makes_lab_data(config) and own_writer


def _prompt_length(config: RunConfig) -> int:
    key = "permix.prompt_length" if config.trainer == "sft" else "data.max_prompt_length"
    return int(config[key])
