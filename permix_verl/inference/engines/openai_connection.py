"""One model at one OpenAI-compatible server: requests, further attempts at them, and what a refusal means."""

import asyncio
import json
import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, TypeVar

from permix_verl.errors import UserError
from permix_verl.inference.engines import Request
from permix_verl.inference.engines import openai_protocol as replies
from permix_verl.inference.engines.openai_protocol import AttemptError

_Read = TypeVar("_Read")
VLLM = "vllm"
"""Who vLLM's own server says owns its models."""


class Connection:
    """What :class:`~permix_verl.inference.engines.openai.OpenAIEngine` talks through, on its loop's thread.

    Args:
        base_url, model, api_key, key_env, retries, timeout_s, first_wait_s, template_kwargs, request_args, adapt: as
            the engine takes them.

    Attributes:
        refused: parameters that the server did not take.
        reached: whether any reply has come.
        is_vllm: whether it is vLLM's server, which is told more.
    """

    def __init__(
        self,
        base_url: str,
        model: str,
        *,
        api_key: str | None,
        key_env: str,
        retries: int,
        timeout_s: float,
        first_wait_s: float,
        template_kwargs: Mapping[str, Any],
        request_args: Mapping[str, Any],
        adapt: Sequence[str],
    ) -> None:
        self.base_url, self.model, self.adapt = base_url, model, tuple(adapt)
        self.refused, self.reached, self.is_vllm = set[str](), False, False
        self.template_kwargs = dict(template_kwargs)
        self._retries, self._timeout_s, self._first_wait_s = retries, timeout_s, first_wait_s
        self._request_args = dict(request_args)
        self._client = replies.new_client(base_url, api_key, timeout_s)
        self._api_key, self._key_env = str(self._client.api_key), key_env

    async def persist(self, key: str, ask: Callable[[], Awaitable[bytes]], read: Callable[[bytes], _Read]) -> _Read:
        """Ask until a reply can be read, or raise the last attempt's :class:`AttemptError`.

        Args:
            key: spreads the waits of different requests.
        """
        for attempt in range(self._retries):
            try:
                return read(await ask())
            except AttemptError as error:
                if not error.again:
                    raise
                wait_s = max(error.wait_s, replies.backoff_s(key, attempt, self._first_wait_s))
            await asyncio.sleep(wait_s)
        return read(await ask())

    async def chat(self, request: Request) -> bytes:
        """One attempt at a chat completion.

        Raises:
            AttemptError: no reply, or a refusal.
        """
        # The raw reply: the client's own objects are built without validation from whatever came.
        create = self._client.chat.completions.with_raw_response.create
        sampling = request.sampling
        parameters = replies.parameters(sampling, request.seed, self.refused)
        if request.schema and "response_format" not in self.refused:
            parameters["response_format"] = replies.response_format(request.schema)
        extra_body = replies.extra_fields(sampling, self.template_kwargs, self.is_vllm) | self._request_args
        asked = {"model": self.model, "messages": list(request.messages), "n": 1, "extra_body": extra_body or None}
        return await self._attempt(create(**asked, **parameters), parameters)

    async def complete(self, prompts: Sequence[str], **fields: Any) -> bytes:
        """One attempt at completions of plain texts, which no chat template touches; else as :meth:`chat`.

        Args:
            fields: further ones of the request, whatever the client knows of them.
        """
        create = self._client.completions.with_raw_response.create
        return await self._attempt(create(model=self.model, prompt=list(prompts), extra_body=fields), {})

    async def _attempt(self, asked: Awaitable[Any], parameters: Mapping[str, Any]) -> bytes:
        import openai

        try:
            # The client's timeout is per read; a server that trickles bytes would never meet it.
            async with asyncio.timeout(self._timeout_s):
                reply = await asked
        except openai.APIStatusError as error:
            self.reached = True
            status = error.status_code
            again = status in (408, 409, 429) or status >= 500 or self._adapted(error.body, status, parameters)
            wait_s = replies.asked_wait_s(error.response.headers.get("retry-after"))
            raise AttemptError(f"HTTP {status}: {self._said(error.body)}", again, wait_s, status) from None
        except openai.APIConnectionError as error:
            cause = replies.without_key(repr(error.__cause__ or error), self._api_key)
            raise AttemptError(f"connection failed: {replies.one_line(cause)}", True) from None
        except TimeoutError:
            raise AttemptError(f"no answer within {self._timeout_s:g} s", True) from None
        self.reached = True
        return replies.without_key(reply.content.decode(errors="replace"), self._api_key).encode()

    def _adapted(self, body: object, status: int, parameters: Mapping[str, Any]) -> bool:
        """Whether a refused request may be asked again without the parameter that the server names."""
        name = replies.unwanted(body, status, self.adapt)
        if name not in self.adapt or name not in parameters:
            return False
        if name not in self.refused:
            self.refused.add(name)
            print(f"{self.base_url} does not take {name}: {self._said(body)}; asking without it", file=sys.stderr)
        return True

    def _said(self, body: object) -> str:
        return replies.server_text(body, self._api_key)

    async def served_models(self) -> dict[str, dict[str, Any]]:
        """The server's record of each model that it serves, by name; empty where it lists none."""
        import openai

        try:
            reply = await self._client.models.with_raw_response.list(timeout=replies.CONNECT_TIMEOUT_S)
            return {str(model["id"]): dict(model) for model in json.loads(reply.content)["data"]}
        except (openai.OpenAIError, ValueError, TypeError, LookupError, AttributeError):  # it need not list them
            return {}

    async def explained(self, error: AttemptError) -> UserError:
        """What the user is told of an attempt that stands for all."""
        if not self.reached:
            return replies.unreachable(self.base_url, error)
        served = list(await self.served_models()) if error.status == 404 else []
        return replies.refused(self.base_url, self.model, error, served, self._key_env)

    async def close(self) -> None:
        """End its connections."""
        await self._client.close()
