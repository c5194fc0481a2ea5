"""The light part stays light, and only the edges import the heavy libraries."""

import ast
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
HEAVY = {"verl", "torch", "ray", "vllm", "peft", "transfer_queue"}
EDGES = {
    "dataset.py",
    "sft_dataset.py",
    "platform_cpu/platform.py",
    "preflight/memory_plan/lm_head.py",
    "preflight/memory_plan/live_storages.py",
    "preflight/memory_plan/trace.py",
    *(
        f"training/{name}.py"
        for name in (
            *(
                "adapter",
                "callback",
                "frozen_reference",
                "grpo_trainer",
                "initial_adapter",
                "merge",
                "nf4",
                "parts",
                "qlora",
                "replay_buffer",
            ),
            *("response_logits", "rollout", "rollout_records", "rollout_worker", "sft_trainer"),
        )
    ),
}
"""Modules of the library that may import a heavy library when they are imported."""


def imported_modules(code: str, cwd: Path) -> set[str]:
    probe = f"{code}\nimport sys; print(' '.join(m for m in {sorted(HEAVY)} if m in sys.modules))"
    done = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=True, cwd=cwd)
    return set(done.stdout.split())


@pytest.mark.parametrize(
    "module",
    [
        "permix_verl",
        "permix_verl.cli.audit",
        "permix_verl.audit.page",
        "permix_verl.cli.main",
        "permix_verl.cli.doctor",
        "permix_verl.cli.plan",
        "permix_verl.evaluation.analysis",
        "permix_verl.inference.engines.openai",
        "permix_verl.inference.engines.ray_replicas",
        "permix_verl.inference.engines.vllm",
        "permix_verl.evaluation.run",
        "permix_verl.data.prepare",
        "permix_verl.code.scheduler",
        "permix_verl.utils.ray_cluster",
        "permix_verl.utils.ray_token",
        "permix_verl.sandbox",
        "permix_verl.statistics",
        "permix_verl.statistics.closed_form",
        "permix_verl.lab.problems",
        "permix_verl.checkpoints.best",
        "permix_verl.training.guards.rollout_mismatch",
        "permix_verl.runs.given_adapter",
        "permix_verl.runs.init_adapter_settings",
        "permix_verl.training.launch_watch",
        "permix_verl.training.guards.learning_signal",
        "permix_verl.runs.metrics",
        "permix_verl.runs.own_files",
        "permix_verl.training.hooks.ray_watch",
        "permix_verl.runs.persona_validation",
        "permix_verl.training.guards.watchdog",
        "permix_verl.training.observability.persona_metrics",
        "permix_verl.training.guards.effective_config",
        "permix_verl.training.guards.effective_config_check",
        "permix_verl.training.qlora.settings",
        "data_prep.gsm8k_persona",
    ],
)
def test_the_light_part_imports_nothing_heavy(module: str) -> None:
    assert imported_modules(f"import {module}", cwd=ROOT) == set()


def test_the_probe_would_see_a_heavy_import() -> None:
    """Negative control."""
    assert "torch" in imported_modules("import torch", cwd=ROOT)


def test_the_wheel_has_every_package() -> None:
    listed = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"]
    there = {".".join(file.parent.relative_to(ROOT).parts) for file in (ROOT / "permix_verl").rglob("*.py")}
    assert there == set(listed) - {"permix_verl.reward_fns"}


def test_only_the_edges_import_heavy_libraries_at_their_top() -> None:
    package = ROOT / "permix_verl"
    found = set()
    for file in package.rglob("*.py"):
        for node in ast.parse(file.read_text()).body:
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            if {name.split(".")[0] for name in names} & HEAVY:
                found.add(str(file.relative_to(package)))
    assert found == EDGES
