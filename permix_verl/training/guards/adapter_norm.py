"""Compare the norm of the LoRA B matrices in the trainer with those loaded in each rollout engine.

We use B because it is zero until the first update, and only its first rows, which rank 0 holds for every layer.
Layer names are not compared: vLLM packs layers and renames them. Trained weights are first cast to the engine's
dtype: after Adam's first step all entries have nearly the same magnitude, so rounding would bias the norm.
"""

import asyncio
import time
from collections.abc import Iterable
from typing import Any

ROWS = 4
"""Rows of each B that are summed: as many as rank 0 holds of the smallest."""
READ_TIMEOUT_S = 60.0


def lora_b_sq_norm(b: Any, scale: float, dtype: Any = None) -> float:
    """Return the sum of squares over the first :data:`ROWS` rows of one scaled B.

    Args:
        b: matrix of shape (out_features, rank).
        dtype: torch dtype to cast to first, as vLLM does on load.

    Raises:
        ValueError: ``b`` has fewer rows.
    """
    if b.shape[0] < ROWS:
        raise ValueError(f"only {b.shape[0]} rows of a LoRA weight are here")
    rows = b[:ROWS].detach()
    return float((rows.to(dtype or rows.dtype) * scale).float().square().sum())


def trainer_sq_norm(actor: Any, dtype: str) -> float | None:
    """Return the trained adapter's squared norm, or ``None`` without LoRA.

    Runs inside verl's training worker of rank 0 (``worker.__ray_call__``).

    Args:
        dtype: dtype of the rollout engine's weights, such as ``"bfloat16"``.
    """
    import torch
    from peft.tuners.lora import LoraLayer

    worker = next(iter(actor.worker_dict.values())) if hasattr(actor, "worker_dict") else actor
    layers = [layer for layer in worker.actor.engine.module.modules() if isinstance(layer, LoraLayer)]
    if not layers:
        return None
    total = 0.0
    for layer in layers:
        for name, module in layer.lora_B.items():
            weight = module.weight
            local = weight.to_local() if hasattr(weight, "to_local") else weight
            total += lora_b_sq_norm(local, layer.scaling[name], getattr(torch, dtype))
    return total


def engine_sq_norms(servers: Iterable[Any]) -> list[tuple[float, str]]:
    """Return squared norm and dtype of the adapter loaded in each worker of each vLLM server.

    Raises:
        TimeoutError: no reply within :data:`READ_TIMEOUT_S`.
    """
    import ray

    requested = [server for server in servers if ray.get(server.__ray_call__.remote(_request_norms))]
    deadline = time.monotonic() + READ_TIMEOUT_S
    norms: list[tuple[float, str]] = []
    for server in requested:
        while (replies := ray.get(server.__ray_call__.remote(_collect_norms))) is None:
            if time.monotonic() > deadline:
                raise TimeoutError(f"no rollout engine reported its adapter's norm within {READ_TIMEOUT_S:.0f} s")
            time.sleep(0.02)
        norms += [(norm, dtype) for norm, dtype in replies]
    return norms


def _request_norms(server: Any) -> bool:
    """Start the request inside verl's vLLM server, whose own ``collective_rpc`` discards the replies."""
    if getattr(server, "engine", None) is None:  # a further node of a multi-node replica
        return False
    loop = server.engine.output_handler.get_loop()
    norms = server.engine.collective_rpc("adapter_sq_norm")
    server.permix_adapter_sq_norm = asyncio.run_coroutine_threadsafe(norms, loop)
    return True


def _collect_norms(server: Any) -> list[tuple[float, str]] | None:
    future = server.permix_adapter_sq_norm
    return future.result() if future.done() else None
