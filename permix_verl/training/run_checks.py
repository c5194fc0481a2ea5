"""Final steps of a GRPO run: export and check the adapters, plot the curves, report failed checks."""

import json
import logging
import math
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from permix_verl.checkpoints.adapter import AdapterCheck, check_adapter, export_adapter
from permix_verl.checkpoints.best import (
    WARNING,
    best_of,
    candidates,
    prune_stash,
    stash_dir,
    stashed_steps,
    write_choice,
)
from permix_verl.errors import UserError
from permix_verl.runs.folder import RunFolder, latest_checkpoint
from permix_verl.runs.init_adapter_settings import init_adapter_copy
from permix_verl.runs.metrics import (
    ADAPTER_NORM_RATIO,
    ROLLOUT_ACTOR_CORR,
    Metrics,
    mismatched_steps,
    read_metrics,
    training_steps,
)
from permix_verl.runs.persona_validation import persona_validations, read_validation_personas, write_robustness_csv
from permix_verl.runs.trainers import ROLLOUT_RECORD
from permix_verl.training.guards.learning_signal import MIN_STEPS, diagnose_no_signal
from permix_verl.training.guards.rollout_mismatch import norms_differ
from permix_verl.training.launch_settings import LaunchSettings
from permix_verl.training.qlora.settings import nf4_requested
from permix_verl.utils.files import write_atomic

CHECK_FAILED = 3
"""Exit status of a finished run with a failed check, and of one that a rollout mismatch stopped."""


def check_run(folder: RunFolder, args: LaunchSettings, total: int) -> int:
    """Export and check the adapters, plot the curves, print the checks and the next command; return the exit status."""
    from permix_verl.training.observability.curves import plot_curves

    checkpoint = checkpoint_to_export(folder)
    metrics, personas = read_metrics(folder.metrics), read_validation_personas(folder.data)
    curve = persona_validations(metrics, personas)
    best = best_of(curve, stashed_steps(folder))
    write_robustness_csv(folder.robustness_csv, metrics, personas)
    figure = plot_curves(
        metrics, folder.path / "curves.png", args.title, args.min_agreement, personas, best.step if best else None
    )
    print("")
    problems = [*agreement_problems(metrics, args.min_agreement), *learning_problems(metrics)]
    check, adapter_faults = export_and_check(
        checkpoint, folder.adapter, args, f"adapter   {folder.adapter} (of the last step)"
    )
    problems += adapter_faults
    if best is None:
        print("best      no step was both saved and validated, so there is no best_adapter")
    else:
        prune_stash(folder, [best.step])
        head = f"best      {folder.best_adapter} (of step {best.step}; {personas.label}: {best.sentence()})"
        _, adapter_faults = export_and_check(stash_dir(folder, best.step), folder.best_adapter, args, head)
        problems += [f"best_adapter: {problem}" for problem in adapter_faults]
        write_choice(folder, best, curve, personas, last_step=total)
        compared = len(candidates(folder, curve))
        print(f"          the best worst persona of {compared} steps, {WARNING.partition(';')[0]}")
    write_atomic(
        folder.run_checks, json.dumps(_summary(metrics, check, problems, args.check_tolerance), indent=2) + "\n"
    )
    passed = "" if problems else f"{_agreement_summary(metrics, total)}; adapter verified"
    return print_summary(folder, figure, problems, passed, args.next_command)


def export_and_check(
    checkpoint: Path, out: Path, args: LaunchSettings, head: str
) -> tuple[AdapterCheck | None, list[str]]:
    """Write a checkpoint's adapter to ``out``, compare it with the actor's record, and print the result.

    Args:
        checkpoint: verl's ``global_step_N`` folder, or its copy in the stash of ``permix_verl.checkpoints.best``.
        head: first line to print.

    Returns:
        The differences (``None`` without a record) and the failed checks.
    """
    import torch

    start = init_adapter_copy(args.config)
    start_name = "INIT_ADAPTER" if start else "the base model"
    export_adapter(checkpoint, args.base, out)
    print(head)
    try:
        check = check_adapter(
            out,
            args.base,
            checkpoint / ROLLOUT_RECORD,
            getattr(torch, args.check_dtype),
            args.check_device,
            nf4_requested(args.config),
            start,
        )
    except UserError as error:
        return None, [f"the adapter could not be checked: {error}"]
    print(
        f"          loaded with PEFT, its log-probs are within {check.largest:.1e} of the actor's over "
        f"{check.tokens} tokens ({start_name}'s: {check.base_largest:.1e})"
    )
    if check.base_mean <= args.check_tolerance:
        print(f"          the policy is almost identical to {start_name}, so this comparison proves little")
    return check, adapter_problems(check, args.check_statistic, args.check_tolerance)


def checkpoint_to_export(folder: RunFolder) -> Path:
    """Return the newest checkpoint, and silence the progress bars and warnings of the libraries that read it.

    Raises:
        UserError: there is none.
    """
    from transformers.utils.logging import disable_progress_bar

    disable_progress_bar()
    logging.getLogger("torch.distributed.device_mesh").setLevel(logging.ERROR)  # shards are read without their ranks
    checkpoint = latest_checkpoint(folder)
    if checkpoint is None:
        raise UserError(f"no checkpoint in {folder.checkpoints}", "train with SAVE_FREQ of at least 1")
    return checkpoint


def print_summary(folder: RunFolder, figure: Path, problems: Sequence[str], passed: str, next_command: str) -> int:
    """Print the last lines of a run; return its exit status."""
    print(f"curves    {figure}")
    print(f"folder    {folder.path}")
    if problems:
        # The part before the colon is the short form of a problem.
        print(f"checks    FAILED: {'; '.join(problem.partition(': ')[0] for problem in problems)}", flush=True)
    for problem in problems:
        print(f"CHECK FAILED: {problem}", file=sys.stderr)
    if problems:
        return CHECK_FAILED
    print(f"checks    {passed}")
    if next_command:
        print(f"\nnext: {next_command}")
    return 0


def agreement_problems(metrics: Metrics, threshold: float) -> list[str]:
    """Describe the steps whose rollouts were not sampled from the policy being trained."""
    if not training_steps(metrics):
        return ["no training step is in the run's metrics, so agreement could not be checked"]
    return [*_describe_mismatch(metrics, threshold), *_describe_adapter_mismatch(metrics)]


def learning_problems(metrics: Metrics) -> list[str]:
    """Describe a run without a learning signal; for one shorter than :data:`MIN_STEPS`, only print a remark."""
    problem = diagnose_no_signal(metrics)
    if problem and len(training_steps(metrics)) < MIN_STEPS:
        print(f"remark    {problem}")
        return []
    return [problem] if problem else []


def _describe_adapter_mismatch(metrics: Metrics) -> list[str]:
    steps = training_steps(metrics)
    mismatched = [step for step, values in steps.items() if norms_differ(values.get(ADAPTER_NORM_RATIO, 1.0))]
    if not mismatched:
        return []
    return [
        f"the rollout engine held another adapter than the trained one at {len(mismatched)} of {len(steps)} steps, "
        f"first at step {mismatched[0]}: its rollouts come from another policy"
    ]


def _describe_mismatch(metrics: Metrics, threshold: float) -> list[str]:
    bad = mismatched_steps(metrics, threshold)
    if not bad:
        return []
    first, worst = next(iter(bad)), min(bad.values(), key=lambda value: -math.inf if math.isnan(value) else value)
    return [
        f"rollout and actor disagree at {len(bad)} of {len(training_steps(metrics))} steps, first at step {first} "
        f"(correlation down to {worst:.3f}, limit {threshold}): the rollout engine does not sample from the policy "
        "being trained; see that the LoRA adapter reaches it (load_format=safetensors) and that the data types match"
    ]


def _summary(metrics: Metrics, check: AdapterCheck | None, problems: list[str], tolerance: float) -> dict[str, Any]:
    steps = training_steps(metrics)
    return {
        "steps": len(steps),
        "least_agreement": min((values.get(ROLLOUT_ACTOR_CORR, math.nan) for values in steps.values()), default=None),
        "adapter": asdict(check) if check else None,
        # If the policy is almost the base model, an adapter without effect would pass too.
        "policy_has_moved": bool(check and check.base_mean > tolerance),
        "problems": problems,
    }


def _agreement_summary(metrics: Metrics, total: int) -> str:
    steps = training_steps(metrics)
    least = min(values[ROLLOUT_ACTOR_CORR] for values in steps.values())
    if len(steps) >= total:
        return f"rollout and actor agree at every step (least {least:.5f})"
    # A launch killed between a checkpoint and its log line leaves an unlogged step.
    missing = sorted(set(range(1, total + 1)) - set(steps))
    return f"rollout and actor agree at {len(steps)} of {total} steps (least {least:.5f}; not logged: {missing})"


def adapter_problems(check: AdapterCheck, statistic: str, tolerance: float) -> list[str]:
    """Describe how an exported adapter differs from the trained actor; empty if it passes both tests.

    Its log-probs must be within the tolerance of the actor's. If the base model's are not, the adapter's mean
    difference must also be at most half of the base model's.
    """
    distance = {"largest": check.largest, "mean": check.mean}[statistic]
    if not distance <= tolerance:
        return [
            f"the adapter is not the trained model: log-probs differ by {distance:.2e} nats ({statistic} over "
            f"{check.tokens} tokens, limit {tolerance:.0e})"
        ]
    if check.base_mean > tolerance and not check.mean <= 0.5 * check.base_mean:
        return [
            f"the adapter is hardly nearer to the trained model ({check.mean:.2e} nats a token) than the start "
            f"of training is ({check.base_mean:.2e}): it holds little of the training"
        ]
    return []
