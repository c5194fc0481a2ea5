"""Engine for any OpenAI-compatible chat endpoint: vLLM's server, OpenAI, others.

The server renders the chat, and its defaults apply to every field that a request leaves out. vLLM's server, which
identifies itself, therefore gets fields that OpenAI's API lacks.
"""

import asyncio
import queue
import threading
from collections.abc import Coroutine, Mapping, Sequence
from functools import partial
from typing import Any, TypeVar

from permix_verl.inference.engines import Completion, Request
from permix_verl.inference.engines import openai_protocol as protocol
from permix_verl.inference.engines.openai_client import check_settings
from permix_verl.inference.engines.openai_connection import Connection
from permix_verl.inference.engines.openai_probe import (
    check_or_merge_system,
    check_template_keeps_system,
    identify_served_model,
    refuse_todays_date,
)
from permix_verl.inference.engines.openai_protocol import AttemptError
from permix_verl.inference.served_model import ServedModel
from permix_verl.personas.prompts import Message

_T = TypeVar("_T")
COLLECT_WAIT_S = 1.0
FATAL_STATUSES = (401, 403, 404)
"""HTTP statuses of a wrong key, model or URL, with which every request would fail."""


class OpenAIEngine:
    """An :class:`~permix_verl.inference.engines.Engine` over HTTP, on one thread with one event loop.

    Args:
        base_url: URL of the endpoint; it usually ends in ``/v1``.
        model: name of the model there.
        api_key: default: OPENAI_API_KEY, else "EMPTY", which servers without keys accept. Error messages never
            contain it.
        key_env: environment variable that error messages name for the key.
        system_role: ``user`` moves system messages into the user's turn; ``auto`` does if :meth:`check` finds that the
            server takes none.
        concurrency: most concurrent requests.
        retries: retries of a request whose failure may be temporary.
        timeout_s: timeout of one attempt, seconds.
        template_kwargs: chat template variables for any server.
        vllm_template_kwargs: chat template variables for vLLM's server only; others refuse unknown fields.
        first_wait_s: seconds before the first retry; doubles with every further one.
        request_args: further fields of every request, such as ``{"reasoning_effort": "minimal"}``.
        droppable_fields: request fields that are left out, with one notice, once the server refuses them; OpenAI's
            reasoning models take no temperature. Refusals of other fields are failures.

    Raises:
        UserError: not an http(s) URL, a number out of range, or no ``openai`` package.
    """

    def __init__(
        self,
        base_url: str,
        model: str,
        api_key: str | None = None,
        concurrency: int = 64,
        retries: int = 5,
        timeout_s: float = 600.0,
        template_kwargs: Mapping[str, Any] | None = None,
        vllm_template_kwargs: Mapping[str, Any] | None = None,
        first_wait_s: float = 1.0,
        request_args: Mapping[str, Any] | None = None,
        droppable_fields: Sequence[str] = (),
        key_env: str = "OPENAI_API_KEY",
        system_role: str = "system",
    ) -> None:
        check_settings(base_url, concurrency, retries, timeout_s)
        self.base_url, self.model = base_url, model
        self._connection = Connection(
            base_url,
            model,
            api_key=api_key,
            key_env=key_env,
            retries=retries,
            timeout_s=timeout_s,
            first_wait_s=first_wait_s,
            template_kwargs=template_kwargs or {},
            request_args=request_args or {},
            droppable_fields=droppable_fields,
        )
        self._connection.merges_system = system_role == "user"
        self._may_merge = system_role == "auto"
        self._vllm_template_kwargs = dict(vllm_template_kwargs or {})
        self._concurrency = concurrency
        self._outstanding = 0
        # From the loop's thread to the caller's. None wakes the caller after a failure.
        self._finished: queue.SimpleQueue[Completion | None] = queue.SimpleQueue()
        # Attributes from here on belong to the loop's thread.
        self._failure: Exception | None = None
        self._slots = asyncio.Semaphore(concurrency)
        self._tasks: set[asyncio.Task[None]] = set()
        self._ending = False
        self._given_up = 0
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="openai-engine", daemon=True)
        self._thread.start()

    @property
    def refused(self) -> set[str]:
        """Request fields that the server refused."""
        return self._connection.refused

    def check_lengths(self, prompts: Sequence[str], max_tokens: int) -> None:
        """Do nothing: the server renders the prompts, and refuses those that are too long."""

    def room(self) -> int:
        """Return twice the concurrency, so that every slot stays busy, less the requests not yet collected."""
        return max(0, 2 * self._concurrency - self._outstanding)

    def submit(self, requests: Sequence[Request]) -> None:
        """Submit requests, without waiting for their completions."""
        self._outstanding += len(requests)
        self._loop.call_soon_threadsafe(self._start, list(requests))

    def collect(self) -> list[Completion]:
        """Return the completions since the last call; wait up to a second for the first.

        Raises:
            UserError: the server refuses key, model or URL, or was never reached. Completions before that are returned
                first; running requests are dropped.
        """
        finished: list[Completion] = []
        try:
            item = self._finished.get(timeout=0 if self._failure else COLLECT_WAIT_S)
            while True:
                if item is not None:
                    finished.append(item)
                item = self._finished.get_nowait()
        except queue.Empty:
            pass
        self._outstanding -= len(finished)
        if self._failure is not None and not finished:
            raise self._failure
        return finished

    def check(self, messages_with: Sequence[Message], messages_without: Sequence[Message]) -> bool:
        """Check that the system message reaches the model, with the same chat with and without one.

        Returns:
            False if the server counts no tokens, so that this cannot be checked.

        Raises:
            UserError: the system message is dropped; vLLM's server writes today's date into prompts; the server cannot
                be reached or refuses the request.
        """
        check = check_or_merge_system if self._may_merge else check_template_keeps_system
        counted = self._wait_for(check(self._connection, messages_with, messages_without, self._vllm_template_kwargs))
        self._wait_for(refuse_todays_date(self._connection, (messages_with, messages_without)))
        return counted

    def served(self) -> ServedModel:
        """Identify the model that the server serves under this name now.

        Raises:
            UserError: the server cannot be reached, or fails the requests.
        """
        return self._wait_for(identify_served_model(self._connection))

    def close(self) -> None:
        """Stop the thread and its connections; running requests are dropped."""
        if not self._loop.is_closed():
            self._wait_for(self._shut_down())
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join()
            self._loop.close()

    def _wait_for(self, work: Coroutine[Any, Any, _T]) -> _T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()

    def _start(self, requests: Sequence[Request]) -> None:
        for request in () if self._ending else requests:
            task = self._loop.create_task(self._serve(request))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _serve(self, request: Request) -> None:
        try:
            # A waiting retry keeps its slot, so that an overloaded server gets fewer requests.
            async with self._slots:
                completion = await self._complete(request)
        except Exception as failure:  # collect() raises it: it ends the run
            await self._end_run(failure)
        else:
            self._finished.put(completion)

    async def _complete(self, request: Request) -> Completion:
        send, parse = partial(self._connection.chat, request), partial(protocol.parse_completion, request.key)
        try:
            return await self._connection.with_retries(request.key, send, parse)
        except AttemptError as error:
            if error.status in FATAL_STATUSES:
                raise
            self._given_up += 1
            if not self._connection.reached and self._given_up >= 3 * self._concurrency:
                raise protocol.unreachable_error(self.base_url, error) from None
            return Completion(request.key, error=str(error), refused=error.refused, final=not error.retryable)

    async def _end_run(self, failure: Exception) -> None:
        if self._ending:
            return
        self._ending = True
        for task in self._tasks - {asyncio.current_task()}:
            task.cancel()
        self._failure = await self._connection.explain(failure) if isinstance(failure, AttemptError) else failure
        self._finished.put(None)

    async def _shut_down(self) -> None:
        self._ending = True
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._connection.close()
