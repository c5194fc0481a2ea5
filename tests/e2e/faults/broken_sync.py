"""A fault on purpose: what a vLLM without verl's own function does at the first sync of an adapter."""

from typing import Any

import wrapt


@wrapt.when_imported("verl.workers.rollout.vllm_rollout.utils")
def lack_a_method(utils: Any) -> None:
    def _update_weights(self: Any, *args: Any, **kwargs: Any) -> None:
        raise AttributeError("'WeightsMapper' object has no attribute 'get_unstacked_mapper'")

    utils.vLLMColocateWorkerExtension._update_weights = _update_weights
