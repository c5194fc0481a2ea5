"""What a finished run leaves: the adapter, checked; the picture; what went wrong, if anything did."""

import argparse
import logging
import math
import sys

from permix_verl.errors import UserError
from permix_verl.training.metrics import AGREEMENT, Metrics, disagreements, read_metrics, training_steps
from permix_verl.training.run_folder import RunFolder

CHECK_FAILED = 3
"""Exit status of a run that finished with a check that did not pass."""


def conclude(folder: RunFolder, args: argparse.Namespace) -> int:
    """Export and check the adapter, draw the curves, print the verdict and the next command."""
    import torch
    from transformers.utils.logging import disable_progress_bar

    from permix_verl.training.adapter import check_adapter, export_adapter, latest_checkpoint
    from permix_verl.training.callback import RECORD
    from permix_verl.training.curves import draw_curves

    disable_progress_bar()
    logging.getLogger("torch.distributed.device_mesh").setLevel(logging.ERROR)  # shards are read without their ranks
    checkpoint = latest_checkpoint(folder.checkpoints)
    if checkpoint is None:
        raise UserError(f"no checkpoint in {folder.checkpoints}; train with SAVE_FREQ of at least 1")
    metrics = read_metrics(folder.metrics)
    figure = draw_curves(metrics, folder.path / "curves.png", args.title, args.min_agreement)
    problems = agreement_problems(metrics, args.min_agreement)
    adapter = export_adapter(checkpoint, args.base, folder.adapter)
    print(f"\nadapter   {adapter}")
    try:
        check = check_adapter(
            adapter, args.base, checkpoint / RECORD, getattr(torch, args.check_dtype), args.check_device
        )
    except UserError as error:
        problems.append(f"the adapter could not be checked: {error}")
    else:
        print(
            f"          loaded with PEFT, its log-probs are within {check.largest:.1e} of the actor's over "
            f"{check.tokens} tokens, and up to {check.moved:.1e} from the base model's"
        )
        if not check.largest <= args.check_tolerance:
            problems.append(
                f"the adapter is not the trained model: log-probs differ by {check.largest:.2e} nats "
                f"(limit {args.check_tolerance:.0e}); do not use {adapter}"
            )
    print(f"curves    {figure}")
    print(f"all of it {folder.path}")
    for problem in problems:
        print(f"CHECK FAILED: {problem}", file=sys.stderr)
    if problems:
        return CHECK_FAILED
    print(f"checks    rollout and actor agree at every step (least {_least_agreement(metrics):.5f}); adapter verified")
    if args.next_command:
        print(f"\nnext: {args.next_command}")
    return 0


def agreement_problems(metrics: Metrics, threshold: float) -> list[str]:
    """What to say about steps whose rollouts were not sampled from the policy that was trained."""
    if not training_steps(metrics):
        return ["no training step is in the run's metrics, so agreement could not be checked"]
    bad = disagreements(metrics, threshold)
    if not bad:
        return []
    first, worst = next(iter(bad)), min(bad.values(), key=lambda value: -math.inf if math.isnan(value) else value)
    return [
        f"rollout and actor disagree at {len(bad)} of {len(training_steps(metrics))} steps, first at step {first} "
        f"(correlation down to {worst:.3f}, limit {threshold}): the rollout engine does not sample from the policy "
        "being trained; see that the LoRA adapter reaches it (load_format=safetensors) and that the data types match"
    ]


def _least_agreement(metrics: Metrics) -> float:
    return min(values[AGREEMENT] for values in training_steps(metrics).values())
