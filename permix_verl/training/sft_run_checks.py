"""Final steps of an SFT run: export the adapter, check it on the held-out rows, plot the losses, report failures."""

import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from permix_verl.checkpoints.adapter import export_adapter, load_base, with_adapter
from permix_verl.data.tokenizers import load_tokenizer
from permix_verl.errors import UserError
from permix_verl.runs.folder import RunFolder
from permix_verl.runs.init_adapter_settings import init_adapter_copy
from permix_verl.runs.metrics import VAL_LOSS, read_metrics
from permix_verl.runs.own_files import list_data_files
from permix_verl.training.launch_settings import LaunchSettings
from permix_verl.training.qlora.settings import nf4_requested
from permix_verl.training.run_checks import checkpoint_to_export, print_summary
from permix_verl.utils.files import write_atomic


@dataclass(frozen=True)
class HeldOutLoss:
    """Loss on the held-out rows, in nats per response token.

    Attributes:
        rows, tokens: number of rows and of their response tokens.
        trained: loss that verl measured after the last step.
        adapter, base: losses of the exported adapter and of the base model (with INIT_ADAPTER, if given), averaged as
            verl averages.
        change, standard_error: mean change of a row's loss from base to adapter, and its standard error over the rows.
    """

    rows: int
    tokens: int
    trained: float
    adapter: float
    base: float
    change: float
    standard_error: float


def check_supervised_run(folder: RunFolder, args: LaunchSettings) -> int:
    """Export and check the adapter, plot the losses, print the checks and the next command; return the exit status."""
    import torch

    from permix_verl.training.observability.curves import plot_losses

    checkpoint = checkpoint_to_export(folder)
    metrics = read_metrics(folder.metrics)
    trained = [values[VAL_LOSS] for values in metrics.values() if VAL_LOSS in values]
    if not trained:
        raise UserError(f"{folder.metrics} holds no held-out loss", "leave data.val_files as the recipe sets it")
    figure = plot_losses(metrics, folder.path / "curves.png", args.title)
    adapter = export_adapter(checkpoint, args.base, folder.adapter)
    loss = held_out_loss(adapter, args, trained[-1], getattr(torch, args.check_dtype))
    problems = held_out_problems(loss, args.check_tolerance)
    start_name = "INIT_ADAPTER" if init_adapter_copy(args.config) else "the base model"
    print(f"\nadapter   {adapter}")
    print(
        f"          loaded with PEFT, its held-out loss is {loss.adapter:.5f} nats a token, {loss.trained:.5f} in "
        f"training; {start_name}'s is {loss.base:.5f} ({loss.rows} rows, {loss.tokens} tokens)"
    )
    print(f"          a row's loss changed by {loss.change:+.5f}, standard error {loss.standard_error:.5f}")
    moved = abs(loss.base - loss.trained) > args.check_tolerance
    if not moved:
        print(f"          the model is almost identical to {start_name}, so this comparison proves little")
    checks = {"held_out": asdict(loss), "policy_has_moved": moved, "problems": problems}
    write_atomic(folder.run_checks, json.dumps(checks, indent=2) + "\n")
    return print_summary(folder, figure, problems, "adapter verified", args.next_command)


def held_out_loss(adapter: Path, args: LaunchSettings, trained: float, dtype: Any) -> HeldOutLoss:
    """Measure base and adapter, loaded with PEFT, on the rows that training validated on."""
    import numpy as np

    from permix_verl.data.sft_dataset import SupervisedDataset

    settings = args.config
    config = {key: settings[f"data.{key}"] for key in ("max_length", "apply_chat_template_kwargs")}
    tokenizer = load_tokenizer(args.base)
    tokenizer.chat_template = settings.get("model.custom_chat_template") or tokenizer.chat_template
    rows = SupervisedDataset(list_data_files(settings, "data.val_files"), tokenizer, config).rows
    model = load_base(args.base, dtype, args.check_device, nf4_requested(settings))
    start = init_adapter_copy(settings)
    start_model = with_adapter(model, start) if start else model
    base = _losses(start_model, rows)
    tuned = _losses(with_adapter(start_model, adapter), rows)
    tokens = np.array([len(response) for _, response in rows])
    batch = int(settings["data.train_batch_size"])
    change = (tuned - base) / tokens
    return HeldOutLoss(
        rows=len(rows),
        tokens=int(tokens.sum()),
        trained=trained,
        adapter=_mean_of_batches(tuned, tokens, batch),
        base=_mean_of_batches(base, tokens, batch),
        change=float(change.mean()),
        standard_error=float(change.std(ddof=1) / math.sqrt(len(rows))) if len(rows) > 1 else math.inf,
    )


def _losses(model: Any, rows: Sequence[tuple[list[int], list[int]]]) -> Any:
    """Return each row's loss summed over its response tokens, shape (rows,)."""
    import numpy as np
    import torch

    from permix_verl.checkpoints.log_probs import response_logits

    losses = []
    for (_, response), logits in zip(rows, response_logits(model, rows), strict=True):
        targets = torch.tensor(response, device=model.device)
        losses.append(torch.nn.functional.cross_entropy(logits, targets, reduction="sum").item())
    return np.array(losses)


def _mean_of_batches(losses: Any, tokens: Any, batch: int) -> float:
    """Average as verl's validation does: over the tokens of each batch, then over batches."""
    starts = range(0, len(losses), batch)
    means = [losses[start : start + batch].sum() / tokens[start : start + batch].sum() for start in starts]
    return float(sum(means) / len(means))


def held_out_problems(loss: HeldOutLoss, tolerance: float) -> list[str]:
    """Describe how an exported adapter differs from the trained model; empty if it passes.

    If training moved the loss by less than the tolerance, an adapter without effect passes too; the caller reports
    that.
    """
    distance = abs(loss.adapter - loss.trained)
    if not distance <= tolerance:
        return [
            f"the adapter is not the trained model: its held-out loss is {loss.adapter:.5f} nats a token, and "
            f"training measured {loss.trained:.5f} (limit of the difference {tolerance:.0e})"
        ]
    moved = abs(loss.base - loss.trained)
    if moved > tolerance and not distance <= 0.5 * moved:
        return [
            f"the adapter is hardly nearer to the trained model ({distance:.2e} nats a token) than the start "
            f"of training is ({moved:.2e}): it holds little of the training"
        ]
    return []
