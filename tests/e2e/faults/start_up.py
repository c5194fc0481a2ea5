"""Faults on purpose while a run starts; PERMIX_TEST_FAULT selects one."""

import os
import socket
from typing import Any

import wrapt

FAULT = os.environ.get("PERMIX_TEST_FAULT", "")


def _fails(self: Any = None, *_: Any, **__: Any) -> None:
    raise RuntimeError(f"the {FAULT} cannot start")


async def _fails_later(*_: Any, **__: Any) -> None:
    _fails()


if FAULT == "engine":

    @wrapt.when_imported("verl.workers.rollout.vllm_rollout.vllm_async_server")
    def break_engine(server: Any) -> None:
        server.vLLMHttpServer.run_server = _fails_later


if FAULT == "port":

    @wrapt.when_imported("verl.workers.rollout.vllm_rollout.vllm_async_server")
    def take_port(server: Any) -> None:
        def get_free_port(address: str, *_: Any, **__: Any) -> None:
            with socket.socket() as first, socket.socket() as second:
                first.bind((address, 0))
                first.listen()
                second.bind(first.getsockname())

        server.get_free_port = get_free_port


if FAULT == "agent loop":

    @wrapt.when_imported("verl.experimental.agent_loop.agent_loop")
    def break_agent_loop(loops: Any) -> None:
        loops.AgentLoopWorker.__init__ = _fails


if FAULT == "reward worker":

    @wrapt.when_imported("verl.experimental.reward_loop.reward_loop")
    def break_reward_worker(loop: Any) -> None:
        loop.RewardLoopWorker.__init__ = _fails
