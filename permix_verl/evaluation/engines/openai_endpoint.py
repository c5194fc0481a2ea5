"""Generation by any OpenAI-compatible chat endpoint: vLLM's server, OpenAI, others.

The server renders the chat. What a request does not name is the server's own default, so vLLM's
server, which says that it is one, is told more than OpenAI's API has room for.
"""

import asyncio
import json
import queue
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, TypeVar

from permix_verl.errors import UserError
from permix_verl.evaluation.engines import Completion, Request, Sampling
from permix_verl.evaluation.engines import openai_replies as replies
from permix_verl.evaluation.engines.openai_replies import AttemptError
from permix_verl.prompts import Message

_Read = TypeVar("_Read")
COLLECT_WAIT_S = 1.0
HOPELESS = (401, 403, 404)
"""Wrong key, wrong model or wrong URL: every other request would fail as well."""


class OpenAIEngine:
    """An :class:`~permix_verl.evaluation.engines.Engine` over HTTP, on one thread with one event loop.

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

    Attributes:
        refused: parameters that the server did not take.

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
        self._concurrency, self._retries = concurrency, retries
        self._timeout_s, self._first_wait_s = timeout_s, first_wait_s
        self._template_kwargs, self._is_vllm = dict(template_kwargs or {}), False
        self._vllm_template_kwargs = dict(vllm_template_kwargs or {})
        self._request_args, self._adapt = dict(request_args or {}), tuple(adapt)
        self.refused: set[str] = set()
        self._client = replies.new_client(base_url, api_key, timeout_s)
        self._api_key, self._key_env = str(self._client.api_key), key_env
        self._outstanding = 0
        # From the loop's thread to the caller's; None only wakes it up, because of a failure.
        self._finished: queue.SimpleQueue[Completion | None] = queue.SimpleQueue()
        self._failure: Exception | None = None  # all below belongs to the loop's thread
        self._slots = asyncio.Semaphore(concurrency)
        self._tasks: set[asyncio.Task[None]] = set()
        self._ending, self._reached, self._given_up = False, False, 0
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="openai-engine", daemon=True)
        self._thread.start()

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
        return asyncio.run_coroutine_threadsafe(self._check(messages_with, messages_without), self._loop).result()

    def close(self) -> None:
        """End the thread and its connections; requests still running are dropped."""
        if not self._loop.is_closed():
            asyncio.run_coroutine_threadsafe(self._shut_down(), self._loop).result()
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join()
            self._loop.close()

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
        try:
            return await self._persist(request, partial(replies.completion_of, request.key))
        except AttemptError as error:
            if error.status in HOPELESS:
                raise
            self._given_up += 1
            if not self._reached and self._given_up >= 3 * self._concurrency:
                raise replies.unreachable(self.base_url, error) from None
            return Completion(request.key, error=str(error), refused=error.refused, final=not error.again)

    async def _persist(self, request: Request, read: Callable[[bytes], _Read]) -> _Read:
        """Ask until a reply can be read, or raise the last attempt's :class:`AttemptError`."""
        for attempt in range(self._retries):
            try:
                return read(await self._ask(request))
            except AttemptError as error:
                if not error.again:
                    raise
                wait_s = max(error.wait_s, replies.backoff_s(request.key, attempt, self._first_wait_s))
            await asyncio.sleep(wait_s)
        return read(await self._ask(request))

    async def _ask(self, request: Request) -> bytes:
        import openai

        # The raw reply: the client's own objects are built without validation from whatever came.
        create = self._client.chat.completions.with_raw_response.create
        sampling = request.sampling
        parameters = replies.parameters(sampling, request.seed, self.refused)
        if request.schema and "response_format" not in self.refused:
            parameters["response_format"] = replies.response_format(request.schema)
        extra_body = replies.extra_fields(sampling, self._template_kwargs, self._is_vllm) | self._request_args
        try:
            # The client's timeout is per read; a server that trickles bytes would never meet it.
            async with asyncio.timeout(self._timeout_s):
                reply = await create(
                    model=self.model,
                    messages=list(request.messages),
                    n=1,
                    extra_body=extra_body or None,
                    **parameters,
                )
        except openai.APIStatusError as error:
            self._reached = True
            status = error.status_code
            again = status in (408, 409, 429) or status >= 500 or self._adapted(error.body, status, parameters)
            wait_s = replies.asked_wait_s(error.response.headers.get("retry-after"))
            raise AttemptError(f"HTTP {status}: {self._said(error.body)}", again, wait_s, status) from None
        except openai.APIConnectionError as error:
            cause = replies.without_key(repr(error.__cause__ or error), self._api_key)
            raise AttemptError(f"connection failed: {replies.one_line(cause)}", True) from None
        except TimeoutError:
            raise AttemptError(f"no answer within {self._timeout_s:g} s", True) from None
        self._reached = True
        return replies.without_key(reply.content.decode(errors="replace"), self._api_key).encode()

    def _adapted(self, body: object, status: int, parameters: Mapping[str, Any]) -> bool:
        """Whether a refused request may be asked again without the parameter that the server names."""
        name = replies.unwanted(body, status, self._adapt)
        if name not in self._adapt or name not in parameters:
            return False
        if name not in self.refused:
            self.refused.add(name)
            print(f"{self.base_url} does not take {name}: {self._said(body)}; asking without it", file=sys.stderr)
        return True

    def _said(self, body: object) -> str:
        return replies.server_text(body, self._api_key)

    async def _check(self, messages_with: Sequence[Message], messages_without: Sequence[Message]) -> bool:
        if "vllm" in (await self._served_models()).values():
            self._is_vllm = True
            self._template_kwargs = self._vllm_template_kwargs | self._template_kwargs
        length, length_without = [await self._prompt_length(m) for m in (messages_with, messages_without)]
        if length is None or length_without is None:
            return False
        if length > length_without:
            return True
        # Qwen2.5's template puts a long system text of its own where there is none. A persona shorter
        # than that one is not lost: with its text twice, the prompt is longer.
        doubled = [m | {"content": f"{m['content']}\n" * 2} if m["role"] == "system" else m for m in messages_with]
        if (await self._prompt_length(doubled) or 0) > length:
            return True
        raise UserError(
            f"the chat template of {self.model!r} at {self.base_url} drops the system message, so the persona is lost: "
            f"{length} prompt tokens with it, {length_without} without; use another model, or start the server with "
            "a chat template that keeps it"
        )

    async def _prompt_length(self, messages: Sequence[Message]) -> int | None:
        # A reasoning model answers a request for one token with an error.
        sampling = Sampling(temperature=0.0, top_p=1.0, top_k=0, max_tokens=64 if self._adapt else 1)
        try:
            return await self._persist(Request("check", messages, None, sampling, seed=0), replies.prompt_tokens_of)
        except AttemptError as error:
            raise await self._explained(error) from None

    async def _explained(self, error: AttemptError) -> UserError:
        if not self._reached:
            return replies.unreachable(self.base_url, error)
        served = list(await self._served_models()) if error.status == 404 else []
        return replies.refused(self.base_url, self.model, error, served, self._key_env)

    async def _served_models(self) -> dict[str, str]:
        """Names of the served models, and who the server says owns them."""
        import openai

        try:
            reply = await self._client.models.with_raw_response.list(timeout=replies.CONNECT_TIMEOUT_S)
            return {str(model["id"]): str(model.get("owned_by")) for model in json.loads(reply.content)["data"]}
        except (openai.OpenAIError, ValueError, TypeError, LookupError, AttributeError):  # it need not list them
            return {}

    async def _end_run(self, failure: Exception) -> None:
        if self._ending:
            return
        self._ending = True
        for task in self._tasks - {asyncio.current_task()}:
            task.cancel()
        self._failure = await self._explained(failure) if isinstance(failure, AttemptError) else failure
        self._finished.put(None)

    async def _shut_down(self) -> None:
        self._ending = True
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._client.close()
