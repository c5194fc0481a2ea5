"""Runs in trackers for tests: verl's tracking in processes of its own, and readers of what the libraries wrote."""

import importlib
import json
import os
import struct
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from permix_verl.training.launch_settings import LaunchSettings
from permix_verl.training.trackers.environment import tracker_environment

from .configs import bare_of

LAUNCH = """
import json, sys
from verl.utils import tracking
from permix_verl.training.trackers.verl_tracking import adapt_tracking

tracking.MLFLOW_SLEEP_SECONDS = 0
given = json.loads(sys.argv[1])
if given["adapt"]:
    adapt_tracking(given["trackers"])
config = {"trainer": {"project_name": "permix_verl"}, "launch": given["first"]}
tracker = tracking.Tracking("permix_verl", "run", ["console", *given["trackers"]], config=config)
for step in range(given["first"], given["last"] + 1):
    metrics = {"persona/chef/reward": step / 10, "persona/zen_master/reward": step / 5}
    metrics |= {"robustness/worst": 0.25, "training/rollout_actor_probs_pearson_corr": 0.999}
    tracker.log(metrics | {"val-core/gsm8k/chef/acc/mean@1": 0.5}, step=step)
tracker.finish()
print("active", *tracker.logger)
"""
SERIES = ("persona/chef/reward", "persona/zen_master/reward", "robustness/worst")


def clear_variables(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    """Leave W&B offline, and none of the trackers' other variables."""
    for tracker in ("WANDB", "MLFLOW", "SWANLAB", "TRACKIO", "TENSORBOARD"):
        for name in list(os.environ):
            if name.startswith(f"{tracker}_"):
                monkeypatch.delenv(name)
    monkeypatch.setenv("WANDB_MODE", "offline")
    for name in ("CACHE", "CONFIG", "DATA", "ARTIFACT"):
        monkeypatch.setenv(f"WANDB_{name}_DIR", str(folder / "wandb_home"))


def tracked(run_dir: Path, *trackers: str, **keys: Any) -> LaunchSettings:
    """Return the settings of a launch with these trackers."""
    settings = {
        "permix.run_dir": str(run_dir),
        "permix.method": "permix",
        "permix.name": "lab",
        "trainer.project_name": "permix_verl",
        "trainer.experiment_name": "run",
        "trainer.logger": ["console", "file", *trackers],
    }
    return LaunchSettings(bare_of(settings | keys))


def log_steps(
    settings: LaunchSettings, trackers: Sequence[str], first: int, last: int, adapt: bool = True
) -> list[str]:
    """Log steps with verl's tracking, as one launch does; return the loggers that were active."""
    given = {"trackers": list(trackers), "first": first, "last": last, "adapt": adapt}
    environment = os.environ | tracker_environment(settings.config, settings.folder)
    command = [sys.executable, "-c", LAUNCH, json.dumps(given)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, cwd=settings.folder.path)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()[-1].split()[1:]


def write_results(run_dir: Path) -> None:
    """Write what a finished run of two validation personas leaves."""
    from matplotlib import image

    image.imsave(run_dir / "curves.png", [[0.0, 1.0], [1.0, 0.0]])
    (run_dir / "robustness.csv").write_text("step,worst,pss\n0,0.25,\n3,0.5,0.5\n")
    checks = {"steps": 3, "least_agreement": 0.999, "policy_has_moved": True, "adapter": {"mean": 1e-6}, "problems": []}
    (run_dir / "verdict.json").write_text(json.dumps(checks))
    (run_dir / "metrics").mkdir(exist_ok=True)
    lines = [json.dumps({"step": step, "data": {"critic/score/mean": 0.5}}) for step in range(4)]
    (run_dir / "metrics" / "1.jsonl").write_text("\n".join(lines) + "\n")
    write_validation(run_dir, 3, {"chef": [1.0, 0.0, 1.0], "zen master": [0.0, 0.0]})


def write_validation(run_dir: Path, step: int, scores: Mapping[str, Sequence[float]]) -> None:
    """Write a validation as verl dumps it: a line per answer."""
    rows = [
        {
            "input": f"You are a {persona}.\nWhat is {number}?",
            "output": f"{persona} | says {number}",
            "gts": str(number),
            "score": score,
            "step": step,
            "persona": persona,
            "row_id": f"gsm8k/train/{number}",
        }
        for persona, values in scores.items()
        for number, score in enumerate(values)
    ]
    (run_dir / "validation").mkdir(exist_ok=True)
    (run_dir / "validation" / f"{step}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))


def wandb_records(folder: Path) -> Iterator[Any]:
    """Yield the records of all offline runs in W&B's folder, by time: blocks of 32 KiB, as LevelDB writes its log."""
    protocol = importlib.import_module("wandb.proto.wandb_internal_pb2")
    for file in sorted(folder.glob("offline-run-*/run-*.wandb")):
        data, position, parts = file.read_bytes(), 7, b""
        while position + 7 <= len(data):
            left = 32768 - position % 32768
            if left < 7:
                position += left
                continue
            length, kind = struct.unpack("<HB", data[position + 4 : position + 7])
            chunk = data[position + 7 : position + 7 + length]
            position += 7 + length
            parts = chunk if kind in (1, 2) else parts + chunk
            if kind in (1, 4):
                record = protocol.Record()
                record.ParseFromString(parts)
                yield record


def wandb_history(folder: Path) -> list[dict[str, Any]]:
    """Return the logged rows of all offline runs in W&B's folder; a nested name's parts are joined by dots."""
    rows = []
    for record in wandb_records(folder):
        if record.WhichOneof("record_type") == "history":
            items = record.history.item
            rows.append({item.key or ".".join(item.nested_key): json.loads(item.value_json) for item in items})
    return rows


def wandb_summary(folder: Path) -> dict[str, Any]:
    """Return the summary that the offline runs in W&B's folder come to."""
    summary: dict[str, Any] = {}
    for record in wandb_records(folder):
        if record.WhichOneof("record_type") == "summary":
            summary |= {item.key or ".".join(item.nested_key): item.value_json for item in record.summary.update}
    return summary
