"""What a finished supervised run leaves: the adapter, checked on the held-out rows; the picture; the verdict."""

import argparse
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
from permix_verl.runs.init_adapter_settings import start_of
from permix_verl.runs.metrics import VAL_LOSS, read_metrics
from permix_verl.runs.overrides import as_dict
from permix_verl.runs.own_files import listed
from permix_verl.training.qlora.settings import nf4_is_asked_for
from permix_verl.training.run_checks import checkpoint_to_export, say_end
from permix_verl.utils.files import write_atomic


@dataclass(frozen=True)
class HeldOut:
    """Loss on the held-out rows, in nats a token of the response.

    Attributes:
        rows, tokens: how many, of the response.
        trained: as verl measured it after the last step.
        adapter, base: the exported adapter's and the base model's (with INIT_ADAPTER, if that was given), averaged as
            verl does.
        change, standard_error: of the loss of a row from base to adapter, paired over the rows.
    """

    rows: int
    tokens: int
    trained: float
    adapter: float
    base: float
    change: float
    standard_error: float


def conclude_supervised(folder: RunFolder, args: argparse.Namespace) -> int:
    """Export the adapter, check it, draw the curves, print the verdict and the next command."""
    import torch

    from permix_verl.training.observability.curves import draw_losses

    checkpoint = checkpoint_to_export(folder)
    metrics = read_metrics(folder.metrics)
    trained = [values[VAL_LOSS] for values in metrics.values() if VAL_LOSS in values]
    if not trained:
        raise UserError(f"{folder.metrics} holds no held-out loss; leave data.val_files as the recipe sets it")
    figure = draw_losses(metrics, folder.path / "curves.png", args.title)
    adapter = export_adapter(checkpoint, args.base, folder.adapter)
    found = held_out_loss(adapter, args, trained[-1], getattr(torch, args.check_dtype))
    problems = held_out_problems(found, args.check_tolerance)
    began = "INIT_ADAPTER" if start_of(as_dict(args.overrides)) else "the base model"
    print(f"\nadapter   {adapter}")
    print(
        f"          loaded with PEFT, its held-out loss is {found.adapter:.5f} nats a token, {found.trained:.5f} in "
        f"training; {began}'s is {found.base:.5f} ({found.rows} rows, {found.tokens} tokens)"
    )
    print(f"          a row's loss changed by {found.change:+.5f}, standard error {found.standard_error:.5f}")
    moved = abs(found.base - found.trained) > args.check_tolerance
    if not moved:
        print(f"          the model has hardly moved from {began}, so this comparison says little")
    verdict = {"held_out": asdict(found), "policy_has_moved": moved, "problems": problems}
    write_atomic(folder.verdict, json.dumps(verdict, indent=2) + "\n")
    return say_end(folder, figure, problems, "adapter verified", args.next_command)


def held_out_loss(adapter: Path, args: argparse.Namespace, trained: float, dtype: Any) -> HeldOut:
    """Load base and adapter with PEFT and measure both on the rows that training validated on."""
    import numpy as np

    from permix_verl.data.sft_dataset import SupervisedDataset

    settings = as_dict(args.overrides)
    prefix = "data.apply_chat_template_kwargs."
    template_kwargs: dict[str, Any] = {
        key.removeprefix(prefix): {"False": False, "True": True}.get(value, value)
        for key, value in settings.items()
        if key.startswith(prefix)
    }
    config = {"max_length": settings["data.max_length"], "apply_chat_template_kwargs": template_kwargs}
    rows = SupervisedDataset(listed(settings, "data.val_files"), load_tokenizer(args.base), config).rows
    model = load_base(args.base, dtype, args.check_device, nf4_is_asked_for(settings))
    start = start_of(settings)
    began = with_adapter(model, start) if start else model
    base = _losses(began, rows)
    tuned = _losses(with_adapter(began, adapter), rows)
    tokens = np.array([len(said) for _, said in rows])
    batch = int(settings["data.train_batch_size"])
    change = (tuned - base) / tokens
    return HeldOut(
        rows=len(rows),
        tokens=int(tokens.sum()),
        trained=trained,
        adapter=_mean_of_batches(tuned, tokens, batch),
        base=_mean_of_batches(base, tokens, batch),
        change=float(change.mean()),
        standard_error=float(change.std(ddof=1) / math.sqrt(len(rows))) if len(rows) > 1 else math.inf,
    )


def _losses(model: Any, rows: Sequence[tuple[list[int], list[int]]]) -> Any:
    """Summed loss of each row's response, (rows,)."""
    import numpy as np
    import torch

    from permix_verl.checkpoints.log_probs import response_logits

    found = []
    for (_, said), logits in zip(rows, response_logits(model, rows), strict=True):
        targets = torch.tensor(said, device=model.device)
        found.append(torch.nn.functional.cross_entropy(logits, targets, reduction="sum").item())
    return np.array(found)


def _mean_of_batches(losses: Any, tokens: Any, batch: int) -> float:
    """As verl validates: the mean over tokens of each batch, and of those the mean."""
    starts = range(0, len(losses), batch)
    means = [losses[start : start + batch].sum() / tokens[start : start + batch].sum() for start in starts]
    return float(sum(means) / len(means))


def held_out_problems(found: HeldOut, tolerance: float) -> list[str]:
    """What to say of an adapter that is not what was trained.

    Where training moved the loss by less than the tolerance, an adapter without effect passes too; that is said apart.
    """
    distance = abs(found.adapter - found.trained)
    if not distance <= tolerance:
        return [
            f"the adapter is not the trained model: its held-out loss is {found.adapter:.5f} nats a token, and "
            f"training measured {found.trained:.5f} (limit of the difference {tolerance:.0e})"
        ]
    moved = abs(found.base - found.trained)
    if moved > tolerance and not distance <= 0.5 * moved:
        return [
            f"the adapter is hardly nearer to the trained model ({distance:.2e} nats a token) than what training "
            f"started from is ({moved:.2e}): it has little of the training in it"
        ]
    return []
