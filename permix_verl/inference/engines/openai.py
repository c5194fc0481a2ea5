"""Generation by any OpenAI-compatible chat endpoint: vLLM's server, OpenAI, others.

The server renders the chat. What a request does not name is the server's own default, so vLLM's
server, which says that it is one, is told more than OpenAI's API has room for.
"""

import asyncio
import queue
import threading
from collections.abc import Coroutine, Mapping, Sequence
from functools import partial
from typing import Any, TypeVar

from permix_verl.inference.engines import Completion, Request
from permix_verl.inference.engines import openai_protocol as replies
from permix_verl.inference.engines.openai_connection import Connection
from permix_verl.inference.engines.openai_probe import look_at_model, look_at_template
from permix_verl.inference.engines.openai_protocol import AttemptError
from permix_verl.inference.served_model import Served
from permix_verl.personas.prompts import Message

_Found = TypeVar("_Found")
COLLECT_WAIT_S = 1.0
HOPELESS = (401, 403, 404)
"""Wrong key, wrong model or wrong URL: every other request would fail as well."""


class OpenAIEngine:
    """An :class:`~permix_verl.inference.engines.Engine` over HTTP, on one thread with one event loop.

    Args:
        base_url, model: as the ``openai`` client wants them; a URL usually ends in ``/v1``.
        key_env: the environment variable that a message is to name.
        api_key: default from OPENAI_API_KEY, else "EMPTY", which servers without keys accept. It stands in no message,
            whatever a server says.
        concurrency: most requests at the server at any time.
        retries: further attempts of a request whose reply may be better next time.
        timeout_s: for the whole of one attempt.
        template_kwargs: for the server's chat template, whatever server it is.
        vllm_template_kwargs: the same, but only for vLLM's server; others refuse unknown fields.
        first_wait_s: before the first retry; doubles from there.
        request_args: further fields of every request, such as ``{"reasoning_effort": "minimal"}``.
        adapt: sampling parameters that are left out from then on if the server refuses them (OpenAI's reasoning models
            take no temperature), which is said once; of others such a reply is a failure like any other.

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
        adapt: Sequence[str] = (),
        key_env: str = "OPENAI_API_KEY",
    ) -> None:
        replies.check_settings(base_url, concurrency, retries, timeout_s)
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
            adapt=adapt,
        )
        self._vllm_template_kwargs = dict(vllm_template_kwargs or {})
        self._concurrency = concurrency
        self._outstanding = 0
        # From the loop's thread to the caller's; None only wakes it up, because of a failure.
        self._finished: queue.SimpleQueue[Completion | None] = queue.SimpleQueue()
        self._failure: Exception | None = None  # all below belongs to the loop's thread
        self._slots = asyncio.Semaphore(concurrency)
        self._tasks: set[asyncio.Task[None]] = set()
        self._ending, self._given_up = False, 0
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="openai-engine", daemon=True)
        self._thread.start()

    @property
    def refused(self) -> set[str]:
        """Parameters that the server did not take."""
        return self._connection.refused

    def check_lengths(self, prompts: Sequence[str], max_tokens: int) -> None:
        """Nothing: the server renders the prompts, and refuses those that are too long."""

    def room(self) -> int:
        """Twice the concurrency, so that every slot is busy, less the requests not yet collected."""
        return max(0, 2 * self._concurrency - self._outstanding)

    def submit(self, requests: Sequence[Request]) -> None:
        """Take requests; does not wait for them."""
        self._outstanding += len(requests)
        self._loop.call_soon_threadsafe(self._start, list(requests))

    def collect(self) -> list[Completion]:
        """What finished since the last call, waiting up to a second for the first.

        Raises:
            UserError: the server refuses the key, the model or the URL, or was never reached. What
                finished before is handed out first, and what was still running is dropped.
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
        """Look at the server before the first request; the same chat with a system message and without one.

        Returns:
            Whether the persona reaches the model; ``False`` where no tokens are counted, so it cannot be seen.

        Raises:
            UserError: the system message is dropped; the server cannot be reached or refuses the request.
        """
        return self._wait_for(
            look_at_template(self._connection, messages_with, messages_without, self._vllm_template_kwargs)
        )

    def served(self) -> Served:
        """What the server serves under the model's name now.

        Raises:
            UserError: the server cannot be reached, or fails the requests.
        """
        return self._wait_for(look_at_model(self._connection))

    def close(self) -> None:
        """End the thread and its connections; requests still running are dropped."""
        if not self._loop.is_closed():
            self._wait_for(self._shut_down())
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join()
            self._loop.close()

    def _wait_for(self, work: Coroutine[Any, Any, _Found]) -> _Found:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()

    def _start(self, requests: Sequence[Request]) -> None:
        for request in () if self._ending else requests:
            task = self._loop.create_task(self._serve(request))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _serve(self, request: Request) -> None:
        try:
            # The slot is kept while waiting to retry: a server that asks for less gets less.
            async with self._slots:
                completion = await self._complete(request)
        except Exception as failure:  # of the whole run, or a bug of ours: collect() raises it
            await self._end_run(failure)
        else:
            self._finished.put(completion)

    async def _complete(self, request: Request) -> Completion:
        ask, read = partial(self._connection.chat, request), partial(replies.completion_of, request.key)
        try:
            return await self._connection.persist(request.key, ask, read)
        except AttemptError as error:
            if error.status in HOPELESS:
                raise
            self._given_up += 1
            if not self._connection.reached and self._given_up >= 3 * self._concurrency:
                raise replies.unreachable(self.base_url, error) from None
            return Completion(request.key, error=str(error), refused=error.refused, final=not error.again)

    async def _end_run(self, failure: Exception) -> None:
        if self._ending:
            return
        self._ending = True
        for task in self._tasks - {asyncio.current_task()}:
            task.cancel()
        self._failure = await self._connection.explained(failure) if isinstance(failure, AttemptError) else failure
        self._finished.put(None)

    async def _shut_down(self) -> None:
        self._ending = True
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._connection.close()
