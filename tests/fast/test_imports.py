"""The light part stays light, and only the edges import the heavy libraries."""

import ast
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
HEAVY = {"verl", "torch", "ray", "vllm", "peft", "transfer_queue"}
EDGES: tuple[str, ...] = (
    "training/hooks/",
    "training/qlora/engine.py",
    "training/guards/ray_actors.py",
    "checkpoints/",
    "platform_cpu/",
)
EDGES += ("preflight/memory_plan/", "data/rl_dataset.py", "data/sft_dataset.py")
"""Modules that may import a heavy library at the top."""


def imported_modules(code: str, cwd: Path) -> set[str]:
    probe = f"{code}\nimport sys; print(' '.join(m for m in {sorted(HEAVY)} if m in sys.modules))"
    done = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=True, cwd=cwd)
    return set(done.stdout.split())


@pytest.mark.parametrize(
    "module",
    [
        "permix_verl",
        "permix_verl.cli.audit",
        "permix_verl.audit.html_report",
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
        "permix_verl.cli.prep",
        "permix_verl.cli.mix",
        "permix_verl.reward_fns.math_reward",
    ],
)
def test_the_light_part_imports_nothing_heavy(module: str) -> None:
    assert imported_modules(f"import {module}", cwd=ROOT) == set()


def test_the_probe_would_see_a_heavy_import() -> None:
    """Negative control."""
    assert "torch" in imported_modules("import torch", cwd=ROOT)


def lint(folder: Path) -> subprocess.CompletedProcess[str]:
    """Check the contracts of pyproject.toml on the package in ``folder``."""
    code = "import sys; from importlinter.cli import lint_imports; sys.exit(lint_imports(no_cache=True))"
    return subprocess.run([sys.executable, "-c", code], cwd=folder, capture_output=True, text=True)


@pytest.mark.parametrize(
    ("file", "line", "said"),
    [
        (
            "statistics/ratios.py",
            "import permix_verl.report.html",
            "statistics is not allowed to import permix_verl.report",
        ),
        ("training/launch.py", "import permix_verl.lab.tasks", "training is not allowed to import permix_verl.lab"),
        ("reward_fns/math_reward.py", "import permix_verl.errors", "the reward file imports nothing of ours BROKEN"),
        (None, "", "0 broken"),
    ],
)
def test_an_import_upwards_breaks_the_contract(tmp_path: Path, file: str | None, line: str, said: str) -> None:
    shutil.copytree(
        ROOT / "permix_verl", tmp_path / "permix_verl", ignore=shutil.ignore_patterns("__pycache__", "*.safetensors")
    )
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    if file:
        with (tmp_path / "permix_verl" / file).open("a") as module:
            module.write(f"\n{line}\n")
    done = lint(tmp_path)
    assert done.returncode == (1 if file else 0), done.stdout[-3000:] + done.stderr[-2000:]
    assert said in done.stdout


def test_only_the_edges_import_heavy_libraries_at_their_top() -> None:
    package = ROOT / "permix_verl"
    outside = []
    for file in package.rglob("*.py"):
        for node in ast.parse(file.read_text()).body:
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            where = str(file.relative_to(package))
            if {name.split(".")[0] for name in names} & HEAVY and not where.startswith(EDGES):
                outside.append(where)
    assert outside == []
