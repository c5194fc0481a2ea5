"""What a finished run leaves: the adapter, checked; the picture; what went wrong, if anything did."""

import argparse
import json
import logging
import math
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from permix_verl.checkpoints.adapter import AdapterCheck, check_adapter, export_adapter
from permix_verl.checkpoints.best import WARNING, best_of, competitors, keep_only, kept, kept_steps, write_choice
from permix_verl.errors import UserError
from permix_verl.runs.folder import RunFolder, latest_checkpoint
from permix_verl.runs.init_adapter_settings import start_of
from permix_verl.runs.metrics import ADAPTER_SYNC, AGREEMENT, Metrics, disagreements, read_metrics, training_steps
from permix_verl.runs.overrides import as_dict
from permix_verl.runs.persona_validation import read_arms, robustness_curve, write_robustness
from permix_verl.runs.trainers import RECORD
from permix_verl.training.guards.learning_signal import ENOUGH_STEPS, nothing_to_learn
from permix_verl.training.guards.rollout_mismatch import not_in_step
from permix_verl.training.qlora.settings import nf4_is_asked_for
from permix_verl.utils.files import write_atomic

CHECK_FAILED = 3
"""Exit status of a run that finished with a check that did not pass."""


def conclude(folder: RunFolder, args: argparse.Namespace, total: int) -> int:
    """Export and check the adapters, draw the curves, print the verdict and the next command."""
    from permix_verl.training.observability.curves import draw_curves

    checkpoint = checkpoint_to_export(folder)
    metrics, arms = read_metrics(folder.metrics), read_arms(folder.data)
    curve = robustness_curve(metrics, arms)
    best = best_of(curve, kept_steps(folder))
    write_robustness(folder.robustness, metrics, arms)
    figure = draw_curves(
        metrics, folder.path / "curves.png", args.title, args.min_agreement, arms, best.step if best else None
    )
    print("")
    problems = [*agreement_problems(metrics, args.min_agreement), *lesson_problems(metrics)]
    check, found = export_and_check(checkpoint, folder.adapter, args, f"adapter   {folder.adapter} (of the last step)")
    problems += found
    if best is None:
        print("best      no step was both saved and validated, so there is no best_adapter")
    else:
        keep_only(folder, [best.step])
        head = f"best      {folder.best_adapter} (of step {best.step}; {arms.label}: {best.sentence()})"
        _, found = export_and_check(kept(folder, best.step), folder.best_adapter, args, head)
        problems += [f"best_adapter: {problem}" for problem in found]
        write_choice(folder, best, curve, arms, last_step=total)
        compared = len(competitors(folder, curve))
        print(f"          the best worst persona of {compared} steps, {WARNING.partition(';')[0]}")
    write_atomic(folder.verdict, json.dumps(_summary(metrics, check, problems, args.check_tolerance), indent=2) + "\n")
    passed = "" if problems else f"{_agreement_summary(metrics, total)}; adapter verified"
    return say_end(folder, figure, problems, passed, args.next_command)


def export_and_check(
    checkpoint: Path, out: Path, args: argparse.Namespace, head: str
) -> tuple[AdapterCheck | None, list[str]]:
    """Write a checkpoint's adapter to ``out``, compare it with the actor's record, and say what was found.

    Args:
        checkpoint: verl's ``global_step_N`` folder, or the same as ``permix_verl.checkpoints.best`` keeps it.
        head: first line to print.

    Returns:
        The distances, ``None`` without a record, and what is wrong.
    """
    import torch

    settings = as_dict(args.overrides)
    start = start_of(settings)
    began = "INIT_ADAPTER" if start else "the base model"
    export_adapter(checkpoint, args.base, out)
    print(head)
    try:
        check = check_adapter(
            out,
            args.base,
            checkpoint / RECORD,
            getattr(torch, args.check_dtype),
            args.check_device,
            nf4_is_asked_for(settings),
            start,
        )
    except UserError as error:
        return None, [f"the adapter could not be checked: {error}"]
    print(
        f"          loaded with PEFT, its log-probs are within {check.largest:.1e} of the actor's over "
        f"{check.tokens} tokens ({began}'s: {check.base_largest:.1e})"
    )
    if check.base_mean <= args.check_tolerance:
        print(f"          the policy has hardly moved from {began}, so this comparison says little")
    return check, adapter_problems(check, args.check_statistic, args.check_tolerance)


def checkpoint_to_export(folder: RunFolder) -> Path:
    """The newest checkpoint, before the libraries that read it begin to talk.

    Raises:
        UserError: there is none.
    """
    from transformers.utils.logging import disable_progress_bar

    disable_progress_bar()
    logging.getLogger("torch.distributed.device_mesh").setLevel(logging.ERROR)  # shards are read without their ranks
    checkpoint = latest_checkpoint(folder)
    if checkpoint is None:
        raise UserError(f"no checkpoint in {folder.checkpoints}; train with SAVE_FREQ of at least 1")
    return checkpoint


def say_end(folder: RunFolder, figure: Path, problems: Sequence[str], passed: str, next_command: str) -> int:
    """The last lines of a run, and its exit status."""
    print(f"curves    {figure}")
    print(f"all of it {folder.path}")
    if problems:
        # What a problem says before its colon is its short form.
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
    """What to say about steps whose rollouts were not sampled from the policy that was trained."""
    if not training_steps(metrics):
        return ["no training step is in the run's metrics, so agreement could not be checked"]
    return [*_disagreement(metrics, threshold), *_other_adapters(metrics)]


def lesson_problems(metrics: Metrics) -> list[str]:
    """What to say of a run that had nothing to learn from; of one shorter than five steps it is printed as a remark."""
    found = nothing_to_learn(metrics)
    if found and len(training_steps(metrics)) < ENOUGH_STEPS:
        print(f"remark    {found}")
        return []
    return [found] if found else []


def _other_adapters(metrics: Metrics) -> list[str]:
    steps = training_steps(metrics)
    other = [step for step, values in steps.items() if not_in_step(values.get(ADAPTER_SYNC, 1.0))]
    if not other:
        return []
    return [
        f"the rollout engine held another adapter than the trained one at {len(other)} of {len(steps)} steps, first at "
        f"step {other[0]}: its rollouts are another policy's"
    ]


def _disagreement(metrics: Metrics, threshold: float) -> list[str]:
    bad = disagreements(metrics, threshold)
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
        "least_agreement": min((values.get(AGREEMENT, math.nan) for values in steps.values()), default=None),
        "adapter": asdict(check) if check else None,
        # Too near to the base, and an adapter without effect would pass too.
        "policy_has_moved": bool(check and check.base_mean > tolerance),
        "problems": problems,
    }


def _agreement_summary(metrics: Metrics, total: int) -> str:
    steps = training_steps(metrics)
    least = min(values[AGREEMENT] for values in steps.values())
    if len(steps) >= total:
        return f"rollout and actor agree at every step (least {least:.5f})"
    # A launch that is killed between a checkpoint and its log line leaves a step that nobody looked at.
    missing = sorted(set(range(1, total + 1)) - set(steps))
    return f"rollout and actor agree at {len(steps)} of {total} steps (least {least:.5f}; not logged: {missing})"


def adapter_problems(check: AdapterCheck, statistic: str, tolerance: float) -> list[str]:
    """What to say of an adapter that is not the trained actor.

    Two tests. Its log-probs are within the tolerance of the actor's; and they are much
    nearer to the actor's than the base model's are, where the actor has moved far
    enough from the base for that to mean anything.
    """
    distance = {"largest": check.largest, "mean": check.mean}[statistic]
    if not distance <= tolerance:
        return [
            f"the adapter is not the trained model: log-probs differ by {distance:.2e} nats ({statistic} over "
            f"{check.tokens} tokens, limit {tolerance:.0e})"
        ]
    if check.base_mean > tolerance and not check.mean <= 0.5 * check.base_mean:
        return [
            f"the adapter is hardly nearer to the trained model ({check.mean:.2e} nats a token) than what training "
            f"started from is ({check.base_mean:.2e}): it has little of the training in it"
        ]
    return []
