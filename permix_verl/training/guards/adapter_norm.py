"""How large the LoRA weights are that are trained, and those that the rollout engines hold, as verl's live parts say.

Only the first rows of each B are summed, which rank 0 has of every layer; B, because it is zero until the first
update. Names are not compared: vLLM packs layers and renames them. The trained weights are rounded as vLLM has
rounded its own: after Adam's first update all of them are as large, and would be off by the same share.
"""

import asyncio
import time
from collections.abc import Iterable
from typing import Any

ROWS = 4
"""Of every B: as many as a rank has of the smallest."""
PATIENCE_S = 60.0


def sample_size(b: Any, scale: float, dtype: Any = None) -> float:
    """Sum of squares over the first :data:`ROWS` rows of one B, times its scale.

    Args:
        dtype: of torch, which the weights are rounded to first, as vLLM does when it is given them.

    Raises:
        ValueError: fewer rows are there.
    """
    if b.shape[0] < ROWS:
        raise ValueError(f"only {b.shape[0]} rows of a LoRA weight are here")
    rows = b[:ROWS].detach()
    return float((rows.to(dtype or rows.dtype) * scale).float().square().sum())


def trained_size(actor: Any, dtype: str) -> float | None:
    """Run inside verl's training worker of rank 0 (``worker.__ray_call__``); ``None`` without LoRA.

    Args:
        dtype: of the rollout engine's weights, such as ``"bfloat16"``.
    """
    import torch
    from peft.tuners.lora import LoraLayer

    worker = next(iter(actor.worker_dict.values())) if hasattr(actor, "worker_dict") else actor
    layers = [layer for layer in worker.actor.engine.module.modules() if isinstance(layer, LoraLayer)]
    if not layers:
        return None
    found = 0.0
    for layer in layers:
        for name, module in layer.lora_B.items():
            weight = module.weight
            local = weight.to_local() if hasattr(weight, "to_local") else weight
            found += sample_size(local, layer.scaling[name], getattr(torch, dtype))
    return found


def held_sizes(servers: Iterable[Any]) -> list[tuple[float, str]]:
    """Of the adapter of every worker of every vLLM server, with the data type it is held in.

    Raises:
        TimeoutError: no answer within :data:`PATIENCE_S`.
    """
    import ray

    asked = [server for server in servers if ray.get(server.__ray_call__.remote(_ask))]
    deadline = time.monotonic() + PATIENCE_S
    found: list[tuple[float, str]] = []
    for server in asked:
        while (answers := ray.get(server.__ray_call__.remote(_answers))) is None:
            if time.monotonic() > deadline:
                raise TimeoutError(f"no rollout engine has said which adapter it holds for {PATIENCE_S:.0f} s")
            time.sleep(0.02)
        found += [(size, dtype) for size, dtype in answers]
    return found


def _ask(server: Any) -> bool:
    """Run inside verl's vLLM server, beside its event loop; verl's own ``collective_rpc`` throws the answers away."""
    if getattr(server, "engine", None) is None:  # a node of a replica that spans several
        return False
    loop = server.engine.output_handler.get_loop()
    server.permix_adapter_size = asyncio.run_coroutine_threadsafe(server.engine.collective_rpc("adapter_size"), loop)
    return True


def _answers(server: Any) -> list[tuple[float, str]] | None:
    question = server.permix_adapter_size
    return question.result() if question.done() else None
