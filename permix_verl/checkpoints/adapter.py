"""Export verl's FSDP checkpoint as a PEFT adapter folder, and check that it is the model that was trained.

python -m permix_verl.checkpoints.adapter runs/NAME/checkpoints/global_step_116 --base MODEL --out adapter
"""

import argparse
import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from permix_verl.checkpoints.adapter_base import record_base
from permix_verl.checkpoints.log_probs import response_logits
from permix_verl.checkpoints.nf4 import quantize_base
from permix_verl.errors import UserError, exit_with_message
from permix_verl.runs.trainers import ROLLOUT_RECORD
from permix_verl.utils.file_modes import give_usual_modes
from permix_verl.utils.files import atomic_folder

CALLBACK = "permix_verl.training.hooks.checkpoint_callback.RecordRollouts"
"""Callback that writes the record into every checkpoint."""

_SHARD = re.compile(r"model_world_size_(\d+)_rank_(\d+)\.pt")


@dataclass(frozen=True)
class AdapterCheck:
    """Absolute differences from the actor's log-probs, in nats, over ``tokens`` tokens.

    Attributes:
        largest, mean: differences of the exported adapter.
        base_largest, base_mean: for scale, differences of the initial model: the base, with INIT_ADAPTER if given.
    """

    tokens: int
    largest: float
    mean: float
    base_largest: float
    base_mean: float


def read_lora_weights(actor: Path) -> dict[str, torch.Tensor]:
    """Read the full LoRA tensors of a checkpoint from all ranks' shards, PEFT name -> tensor in float32.

    Raises:
        UserError: no shards, a missing rank, or no LoRA weights.
    """
    shards = {int(match[2]): int(match[1]) for path in actor.glob("*.pt") if (match := _SHARD.fullmatch(path.name))}
    if not shards:
        raise UserError(f"no model_world_size_*_rank_*.pt in {actor}", "give a checkpoint that verl saved with FSDP")
    world_size = max(shards.values())
    missing = sorted(set(range(world_size)) - set(shards))
    if missing:
        raise UserError(
            f"{actor} lacks the shards of ranks {missing} of {world_size}", "copy them from the other nodes"
        )
    states = [
        torch.load(actor / f"model_world_size_{world_size}_rank_{rank}.pt", map_location="cpu", weights_only=False)
        for rank in range(world_size)
    ]
    names = [name for name in states[0] if "lora_" in name]
    if not names:
        raise UserError(f"checkpoint {actor} has no LoRA weights", "train with actor_rollout_ref.model.lora_rank > 0")
    return {
        name.replace(".default.weight", ".weight"): _full_tensor([state.pop(name) for state in states])
        for name in names
    }


def _full_tensor(shards: list[Any]) -> torch.Tensor:
    from torch.distributed.tensor import DTensor

    first = shards[0]
    if not isinstance(first, DTensor):
        return first.float().contiguous()
    sharded = [placement for placement in first.placements if placement.is_shard()]
    if not sharded:
        return first.to_local().float().contiguous()
    assert len(sharded) == 1, f"a LoRA weight is sharded along {len(sharded)} mesh dimensions"
    local = [shard.to_local() for shard in shards]
    # Replicas along another mesh dimension repeat the shards, so the result is cut to the global shape.
    dimension = sharded[0].dim
    full = torch.cat(local, dim=dimension)
    return full.narrow(dimension, 0, first.shape[dimension]).float().contiguous()


def export_adapter(checkpoint: Path, base: str, out: Path) -> Path:
    """Write the checkpoint's LoRA weights as a PEFT adapter folder, atomically.

    Args:
        checkpoint: verl's ``global_step_N`` folder.
        base: hub name or folder of the base model; recorded in the adapter folder with its weights' hash.
        out: folder to write; an earlier adapter there is replaced.

    Raises:
        UserError: not a LoRA checkpoint, or one without its rank and alpha.
    """
    from peft import LoraConfig
    from safetensors.torch import save_file

    actor = checkpoint / "actor"
    actor = actor if actor.is_dir() else checkpoint  # verl's SFT trainer has no actor folder
    weights = read_lora_weights(actor)
    meta_file = actor / "lora_train_meta.json"
    meta = json.loads(meta_file.read_text()) if meta_file.is_file() else {}
    if not meta.get("lora_alpha") or not meta.get("r"):
        raise UserError(
            f"{meta_file} has no rank or alpha (it holds {meta}), so the adapter's scale is unknown",
            'write the file with the values of the run, such as {"r": 32, "lora_alpha": 64}',
        )
    config = LoraConfig(
        r=meta["r"],
        lora_alpha=meta["lora_alpha"],
        target_modules=sorted({name.split(".lora_")[0].rsplit(".", 1)[1] for name in weights}),
        task_type="CAUSAL_LM",
        base_model_name_or_path=base,
        inference_mode=True,
    )
    with atomic_folder(out) as partial:
        config.save_pretrained(partial)
        _sort_modules(partial / "adapter_config.json")
        save_file(weights, partial / "adapter_model.safetensors", metadata={"format": "pt"})
        give_usual_modes(partial)
        record_base(partial, base)
    return out


def _sort_modules(config_file: Path) -> None:
    """Sort the target modules: PEFT writes a set, whose order differs between processes.

    Otherwise a second export of the same adapter would have other bytes, and count as another adapter in evaluation.
    """
    config = json.loads(config_file.read_text())
    config["target_modules"] = sorted(config["target_modules"])
    config_file.write_text(json.dumps(config, indent=2, sort_keys=True))


def check_adapter(
    adapter: Path,
    base: str,
    record: Path,
    dtype: torch.dtype,
    device: str,
    nf4: bool = False,
    start: Path | None = None,
) -> AdapterCheck:
    """Load base and adapter with PEFT and compare log-probs on the recorded rollouts.

    Args:
        record: file of rollouts and the actor's log-probs, written by the checkpoint callback.
        dtype, device: data type and device of the comparison.
        nf4: whether the base is in NF4, as with QLORA=1.
        start: adapter that training started from, if one was given.

    Raises:
        UserError: no record.
    """
    if not record.is_file():
        raise UserError(f"no {record}", f"train with trainer.checkpoint_callback_class={CALLBACK}")
    rollouts = torch.load(record, weights_only=True)
    model = load_base(base, dtype, device, nf4)
    initial = with_adapter(model, start) if start else model
    base_log_probs = log_probs(initial, rollouts)
    tuned = with_adapter(initial, adapter)
    adapter_log_probs = log_probs(tuned, rollouts)
    actor_log_probs = torch.tensor([value for values in rollouts["log_probs"] for value in values])
    distance, base_distance = ((values - actor_log_probs).abs() for values in (adapter_log_probs, base_log_probs))
    return AdapterCheck(
        tokens=distance.numel(),
        largest=distance.max().item(),
        mean=distance.mean().item(),
        base_largest=base_distance.max().item(),
        base_mean=base_distance.mean().item(),
    )


def load_base(base: str, dtype: torch.dtype, device: str, nf4: bool) -> Any:
    """Load the base as in training, for the comparison."""
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(base, dtype=dtype)
    return (quantize_base(model, dtype, device) if nf4 else model.to(device)).eval()


def with_adapter(model: Any, adapter: Path) -> Any:
    """Return PEFT's model with this adapter on the base, instead of any earlier adapter."""
    from peft import PeftModel

    if not hasattr(model, "peft_config"):
        return PeftModel.from_pretrained(model, adapter).eval()
    model.load_adapter(adapter, "another")
    model.set_adapter("another")
    return model.eval()


def log_probs(model: Any, rollouts: dict[str, Any]) -> torch.Tensor:
    """Return the log-probs of all response tokens, concatenated: (tokens,)."""
    rows = list(zip(rollouts["prompts"], rollouts["responses"], strict=True))
    chosen = []
    for (_, response), logits in zip(rows, response_logits(model, rows), strict=True):
        targets = torch.tensor(response, device=model.device)[:, None]
        chosen.append(torch.log_softmax(logits / rollouts["temperature"], dim=-1).gather(1, targets)[:, 0].cpu())
    return torch.cat(chosen)


def main() -> None:
    parser = argparse.ArgumentParser(description="Export a verl checkpoint as a PEFT adapter and check it.")
    parser.add_argument("checkpoint", type=Path, help="verl's global_step_N folder")
    parser.add_argument("--base", required=True, help="hub name or folder of the base model")
    parser.add_argument("--out", type=Path, required=True, help="adapter folder to write")
    parser.add_argument("--dtype", default="float32", choices=["float32", "bfloat16"], help="of the check")
    parser.add_argument("--device", default="cpu", help="of the check")
    parser.add_argument("--nf4", action="store_true", help="trained with QLORA=1: the check's base is in NF4")
    args = parser.parse_args()
    export_adapter(args.checkpoint, args.base, args.out)
    check = check_adapter(
        args.out, args.base, args.checkpoint / ROLLOUT_RECORD, getattr(torch, args.dtype), args.device, args.nf4
    )
    print(
        f"adapter in {args.out}; its log-probs differ from the actor's by at most {check.largest:.2e} "
        f"over {check.tokens} tokens"
    )


if __name__ == "__main__":
    exit_with_message(main)
