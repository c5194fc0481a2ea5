"""A fault on purpose: from the second step on, rewards never come, while every process lives and answers."""

import asyncio
from typing import Any

import wrapt


@wrapt.when_imported("verl.experimental.reward_loop.reward_loop")
def never_answer(reward_loop: Any) -> None:
    worker = reward_loop.RewardLoopWorker
    score = worker.compute_score

    async def compute_score(self: Any, data: Any) -> dict[str, Any]:
        if int(data.non_tensor_batch["global_steps"][0]) >= 2:
            await asyncio.sleep(3600)
        result: dict[str, Any] = await score(self, data)
        return result

    worker.compute_score = compute_score
