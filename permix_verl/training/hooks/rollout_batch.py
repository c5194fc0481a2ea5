"""Read a step's rollouts from verl's transfer queue, and sort them reproducibly."""

import math
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import transfer_queue as tq
from transfer_queue import KVBatchMeta

from permix_verl.training.methods.extension import Prompt
from permix_verl.training.observability.persona_metrics import LOGGED_FLAGS, Rollout


def read_rollouts(batch: KVBatchMeta, prompts: Mapping[str, Prompt] = MappingProxyType({})) -> list[Rollout]:
    """Return the batch's rollouts, in batch order.

    Args:
        prompts: verl's prompt id -> prompt, of a run with extensions.
    """
    fields = ["extra_info", "extra_fields", "rm_scores"]
    data = tq.kv_batch_get(keys=batch.keys, partition_id=batch.partition_id, select_fields=fields)
    rewards = [float(scores.sum()) for scores in data["rm_scores"].unbind()]
    infos, extras = data.pop("extra_info").tolist(), data.pop("extra_fields").tolist()
    rollouts = []
    for key, tag, info, extra, reward in zip(batch.keys, batch.tags, infos, extras, rewards, strict=True):
        uid, sample, _ = key.rsplit("_", 2)
        reward_info = extra.get("reward_extra_info") or {}
        prompt = prompts.get(uid)
        rollouts.append(
            Rollout(
                key=key,
                uid=uid,
                sample=int(sample) + (prompt.first if prompt else 0),
                row_id=str(info.get("row_id", "")),
                epoch=int(info.get("epoch") or 0),
                persona=str(info.get("persona", "")),
                reward=reward,
                tokens=int(tag["response_len"]),
                flags={flag: float(reward_info[flag]) for flag in LOGGED_FLAGS if flag in reward_info},
                status=str(reward_info.get("status", "")),
                seed=extra.get("seed"),
                mark=str(reward_info["mark"]) if "mark" in reward_info else None,
                acc=_number(reward_info.get("acc")),
                style=_number(reward_info.get("style")),
                group=prompt.group if prompt else "",
            )
        )
    return rollouts


def _number(value: Any) -> float | None:
    return None if value is None or math.isnan(value) else float(value)


def sort_rollouts(batch: KVBatchMeta, rollouts: list[Rollout]) -> tuple[KVBatchMeta, list[Rollout]]:
    """Sort batch and rollouts by row, epoch and sample, so that sums over the batch do not depend on arrival times."""
    order = sorted(range(len(rollouts)), key=lambda i: (rollouts[i].row_id, rollouts[i].epoch, rollouts[i].sample, i))
    batch.reorder(order)
    return batch, [rollouts[i] for i in order]
