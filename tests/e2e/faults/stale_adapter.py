"""A fault on purpose: the rollout engine keeps the first LoRA adapter it was given.

verl imports this in each of its processes where VERL_USE_EXTERNAL_MODULES names it.
"""

from typing import Any

import wrapt


@wrapt.when_imported("verl.workers.rollout.vllm_rollout.utils")
def keep_first_adapter(utils: Any) -> None:
    extension = utils.vLLMColocateWorkerExtension
    receive = extension.update_weights_from_ipc

    def receive_once(self: Any, *args: Any, **kwargs: Any) -> Any:
        if getattr(self, "_has_adapter", False):
            # Take the weights, so that the trainer is not left waiting, and drop them.
            self._update_weights = lambda *_, **__: None
            self.remove_lora = lambda *_: None
        self._has_adapter = True
        return receive(self, *args, **kwargs)

    extension.update_weights_from_ipc = receive_once
