"""Settings that a run was started with: the same command resumes it, another is refused."""

import functools
import json
import os
import shutil
import time
from pathlib import Path
from typing import Any

from permix_verl.config import extension_keys
from permix_verl.config.compose import RunConfig, compose_verl, parse_overrides
from permix_verl.config.profile_keys import CHANGEABLE_BY_PROFILE
from permix_verl.data.problem_order import consequence, other_order, read_manifest
from permix_verl.errors import UserError
from permix_verl.runs.folder import RunFolder, finished_step
from permix_verl.runs.given_adapter import fingerprint
from permix_verl.runs.init_adapter_settings import INIT_ADAPTER_KEY, init_adapter_path
from permix_verl.runs.own_files import check_own_files, own_files_record
from permix_verl.runs.own_mix import MIX_POOL_KEY, described_pool
from permix_verl.runs.quantized_base import refuse_to_train_on
from permix_verl.runs.renamed_modules import current_paths
from permix_verl.utils.files import file_sha256, write_atomic

_EXTENSION_DEFAULTS = {f"permix.{key}": value for key, value in extension_keys.DEFAULTS.items()}
_OUR_KEYS = ("permix.lora_dropout", INIT_ADAPTER_KEY, *_EXTENSION_DEFAULTS)
FREE_TO_CHANGE = (
    "trainer.logger",
    "hydra.",
    "trainer.save_freq",
    "trainer.test_freq",
    "trainer.max_actor_ckpt_to_keep",
    "trainer.v1.sampler.sampler_kwargs.stall_seconds",
    "trainer.v1.sampler.sampler_kwargs.poll_interval",
    "trainer.v1.sampler.sampler_kwargs.min_agreement",
    "trainer.v1.sampler.sampler_kwargs.stop_on_disagreement",
    "actor_rollout_ref.rollout.engine_kwargs.vllm.worker_extension_cls",
    INIT_ADAPTER_KEY,  # its weights are compared, not its path
    MIX_POOL_KEY,  # likewise its personas
)
"""Beginnings of keys that may differ on resume: they change what is saved and displayed, not the training.

The number of steps may not differ, because the learning-rate schedule depends on it.
"""

_SHOWN_CHARS = 300
ARCHIVED = (
    "records",
    "rollouts",
    "validation",
    "live.json",
    "verdict.json",
    "robustness.csv",
    "personas.csv",
    "kept",
    "best_adapter",
    "best.json",
    "trackers",  # their run is another one
)
"""Files and folders, besides the metrics, that a restart from scratch archives."""


def begin_run(folder: RunFolder, config: RunConfig) -> None:
    """Start or resume a run: adopt the prepared data and record the settings, or refuse settings that differ.

    Without a checkpoint nothing is lost, so the run restarts with the new settings.

    Args:
        folder: the run folder, locked.
        config: the configuration of this launch.

    Raises:
        UserError: the folder holds a run with other settings or data, and is left unchanged; data files
            (:mod:`permix_verl.runs.own_files`) or a base that cannot be trained on.
    """
    data = folder.new_data if folder.new_data.is_dir() else folder.data
    settings: dict[str, Any] = {"overrides": _recorded(config), "data": _data_hashes(data)}
    refuse_to_train_on(config.get(f"{folder.trainer.model}.path") or "")
    rows = check_own_files(config, folder.path, config.trainer)
    settings["own_files"] = own_files_record(config, folder.path, data, rows)
    given = init_adapter_path(config)
    settings["initial_adapter"] = fingerprint(given) if given else None
    if finished_step(folder) == 0:
        archive_old_steps(folder)
    elif folder.settings.is_file():
        stored = json.loads(folder.settings.read_text())
        stored["overrides"] = current_paths(stored["overrides"])
        changed = _differences(stored, settings, config)
        if changed:
            manifest = read_manifest(data)
            reordered = other_order(read_manifest(folder.data), manifest)
            shutil.rmtree(folder.new_data, ignore_errors=True)
            key, old, new = changed[0]
            if key == "training data" and reordered:
                raise UserError(
                    f"{folder.path} holds a run on the same problems in another order: this command's data have "
                    f"{consequence(manifest)}",
                    "set another RUN_DIR, or give the file that it was started with",
                )
            raise UserError(
                f"{folder.path} holds a run with {key}={_shown(old)}, but this command has {key}={_shown(new)}"
                + (f" (and {len(changed) - 1} more differences)" if len(changed) > 1 else ""),
                "set another RUN_DIR, or give the settings it was started with",
            )
    if data == folder.new_data:
        shutil.rmtree(folder.data, ignore_errors=True)
        os.replace(folder.new_data, folder.data)
    write_atomic(folder.settings, json.dumps(settings, indent=2) + "\n")


def _shown(value: Any) -> Any:
    """Return a value for a message; the beginning of a long one, such as a chat template."""
    text = str(value)
    return value if len(text) <= _SHOWN_CHARS else f"{text[:_SHOWN_CHARS]}..."


def archive_old_steps(folder: RunFolder) -> None:
    """Move results and metrics of earlier steps, which will all be trained again, to ``superseded/TIME``."""
    archive = folder.path / "superseded" / time.strftime("%Y%m%dT%H%M%S", time.gmtime())
    old = [folder.path / name for name in ARCHIVED]
    for path in [*folder.metrics.glob("*.jsonl"), *(path for path in old if path.exists())]:
        archive.mkdir(parents=True, exist_ok=True)
        os.replace(path, archive / path.name)


def _recorded(config: RunConfig) -> dict[str, Any]:
    """Return the settings that a resume is compared with: those of the recipe and of the user."""
    keys = [*config.own, *(key for key in _OUR_KEYS if key in config)]
    return {key: config[key] for key in keys}


def _differences(before: dict[str, Any], now: dict[str, Any], config: RunConfig) -> list[tuple[str, Any, Any]]:
    """Return (key, stored, present) of every setting that has changed, those that may change left out."""
    stored, present = before["overrides"], now["overrides"]
    changed = []
    for key in sorted(stored | present):
        if key.startswith((*FREE_TO_CHANGE, *CHANGEABLE_BY_PROFILE)):
            continue
        if key not in stored:  # a setting that the recipe did not have then: verl's own value was in force
            old, new = _EXTENSION_DEFAULTS.get(key, _verl_value(config.trainer, key)), present[key]
        else:
            old, new = stored[key], config.get(key)
        if not _same(old, new):
            changed.append((key, old, new))
    adapters = [settings.get("initial_adapter") for settings in (before, now)]
    if adapters[0] != adapters[1]:
        old, new = (
            f"{init_adapter_path(settings['overrides'])} (weights {weights})" if weights else None
            for settings, weights in zip((before, now), adapters, strict=True)
        )
        changed.insert(0, ("INIT_ADAPTER", old, new))
    old_pool, new_pool = (described_pool(settings.get("own_files", {})) for settings in (before, now))
    if "own_files" in before and old_pool != new_pool:
        changed.insert(0, (MIX_POOL_KEY, old_pool, new_pool))
    hashes = [_own_hashes(settings) for settings in (before, now)]
    if "own_files" in before and hashes[0] != hashes[1]:
        changed.append(("data files", hashes[0], hashes[1]))
    if before["data"] != now["data"]:
        changed.append(("training data", before["data"], now["data"]))
    return changed


@functools.cache
def _verl_defaults(trainer: str) -> RunConfig:
    return compose_verl(trainer)


def _verl_value(trainer: str, key: str) -> Any:
    return _verl_defaults(trainer).get(key)


def _same(stored: Any, present: Any) -> bool:
    """Return whether a stored value is the present one; older runs stored the text of a Hydra override."""
    if stored == present or not isinstance(stored, str) or isinstance(present, str) or not stored:
        return bool(stored == present)
    return bool(parse_overrides([f"value={stored}"])["value"] == present)


def _own_hashes(settings: dict[str, Any]) -> dict[str, str]:
    return {file: sha for split in settings.get("own_files", {}).values() for file, sha in split["files"].items()}


def _data_hashes(folder: Path) -> dict[str, str]:
    return {file.name: file_sha256(file)[:16] for file in sorted(folder.glob("*.parquet"))}
