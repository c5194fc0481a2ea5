"""Connection to one model at an OpenAI-compatible server: requests, retries, and the meaning of refusals."""

import asyncio
import json
import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, TypeVar

from permix_verl.errors import UserError
from permix_verl.inference.engines import Request
from permix_verl.inference.engines import openai_protocol as protocol
from permix_verl.inference.engines.openai_client import new_client
from permix_verl.inference.engines.openai_protocol import AttemptError
from permix_verl.personas.prompts import Message, into_user_turn

_T = TypeVar("_T")
VLLM = "vllm"
"""Owner of the models in the records of vLLM's server."""


class Connection:
    """Connection of an :class:`~permix_verl.inference.engines.openai.OpenAIEngine`, on its event loop's thread.

    Takes the engine's arguments of the same names.

    Attributes:
        refused: request fields that the server refused.
        reached: whether any reply has arrived.
        is_vllm: whether the server is vLLM's, which gets further fields.
        merges_system: whether system messages are sent as the beginning of the user's.
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
        droppable_fields: Sequence[str],
    ) -> None:
        self.base_url, self.model, self.droppable_fields = base_url, model, tuple(droppable_fields)
        self.refused: set[str] = set()
        self.reached = False
        self.is_vllm = False
        self.merges_system = False
        self.template_kwargs = dict(template_kwargs)
        self._retries, self._timeout_s, self._first_wait_s = retries, timeout_s, first_wait_s
        self._request_args = dict(request_args)
        self._client = new_client(base_url, api_key, timeout_s)
        self._api_key, self._key_env = str(self._client.api_key), key_env

    async def with_retries(self, key: str, send: Callable[[], Awaitable[bytes]], parse: Callable[[bytes], _T]) -> _T:
        """Send a request until a reply parses.

        Args:
            key: key of the request, which spreads the waits of different requests.

        Raises:
            AttemptError: the last attempt's, if it is not retryable or no retries are left.
        """
        for attempt in range(self._retries):
            try:
                return parse(await send())
            except AttemptError as error:
                if not error.retryable:
                    raise
                wait_s = max(error.wait_s, protocol.backoff_s(key, attempt, self._first_wait_s))
            await asyncio.sleep(wait_s)
        return parse(await send())

    async def chat(self, request: Request) -> bytes:
        """Request a chat completion once.

        Raises:
            AttemptError: no reply, or a refusal.
        """
        # The raw reply, because the client builds its objects without validation.
        create = self._client.chat.completions.with_raw_response.create
        sampling = request.sampling
        parameters = protocol.parameters(sampling, request.seed, self.refused)
        if request.schema and "response_format" not in self.refused:
            parameters["response_format"] = protocol.response_format(request.schema)
        extra_body = protocol.extra_fields(sampling, self.template_kwargs, self.is_vllm) | self._request_args
        request_fields = {
            "model": self.model,
            "messages": into_user_turn(request.messages) if self.merges_system else list(request.messages),
            "n": 1,
            "extra_body": extra_body or None,
        }
        return await self._attempt(create(**request_fields, **parameters), parameters)

    async def complete(self, prompts: Sequence[str], **fields: Any) -> bytes:
        """Request completions of plain texts once, without a chat template.

        Args:
            fields: further fields of the request, also ones that the client does not know.

        Raises:
            AttemptError: no reply, or a refusal.
        """
        create = self._client.completions.with_raw_response.create
        return await self._attempt(create(model=self.model, prompt=list(prompts), extra_body=fields), {})

    async def rendered(self, messages: Sequence[Message]) -> str | None:
        """Return a chat as vLLM's server renders it; ``None`` if the server does not tell."""
        import httpx
        import openai

        root = self.base_url.rstrip("/").removesuffix("/v1")
        chat = {"messages": into_user_turn(messages) if self.merges_system else list(messages)}
        body = {"model": self.model, **chat, "add_generation_prompt": True}
        body |= {"chat_template_kwargs": self.template_kwargs} if self.template_kwargs else {}
        try:
            reply = await self._client.post(f"{root}/tokenize", cast_to=httpx.Response, body=body)
            tokens = {"model": self.model, "tokens": reply.json()["tokens"]}
            reply = await self._client.post(f"{root}/detokenize", cast_to=httpx.Response, body=tokens)
            return str(reply.json()["prompt"])
        except (openai.OpenAIError, ValueError, TypeError, LookupError):  # a server may leave these paths out
            return None

    async def _attempt(self, sent: Awaitable[Any], parameters: Mapping[str, Any]) -> bytes:
        import openai

        try:
            # The client's own timeout is per read, which a server that sends byte by byte never exceeds.
            async with asyncio.timeout(self._timeout_s):
                reply = await sent
        except openai.APIStatusError as error:
            self.reached = True
            status = error.status_code
            retryable = status in (408, 409, 429) or status >= 500 or self._drop_field(error.body, status, parameters)
            wait_s = protocol.parse_retry_after(error.response.headers.get("retry-after"))
            raise AttemptError(f"HTTP {status}: {self._message(error.body)}", retryable, wait_s, status) from None
        except openai.APIConnectionError as error:
            cause = protocol.redact_key(repr(error.__cause__ or error), self._api_key)
            raise AttemptError(f"connection failed: {protocol.one_line(cause)}", True) from None
        except TimeoutError:
            raise AttemptError(f"no answer within {self._timeout_s:g} s", True) from None
        self.reached = True
        return protocol.redact_key(reply.content.decode(errors="replace"), self._api_key).encode()

    def _drop_field(self, body: object, status: int, parameters: Mapping[str, Any]) -> bool:
        """Leave out the droppable field that the server refuses from now on; return False if it names none."""
        name = protocol.refused_field(body, status, self.droppable_fields)
        if name not in self.droppable_fields or name not in parameters:
            return False
        if name not in self.refused:
            self.refused.add(name)
            print(f"{self.base_url} does not take {name}: {self._message(body)}; asking without it", file=sys.stderr)
        return True

    def _message(self, body: object) -> str:
        return protocol.error_message(body, self._api_key)

    async def served_models(self) -> dict[str, dict[str, Any]]:
        """Return the server's record of each model, by name; empty if it lists none."""
        import openai

        try:
            reply = await self._client.models.with_raw_response.list(timeout=protocol.CONNECT_TIMEOUT_S)
            return {str(model["id"]): dict(model) for model in json.loads(reply.content)["data"]}
        except (openai.OpenAIError, ValueError, TypeError, LookupError, AttributeError):  # listing models is optional
            return {}

    async def explain(self, error: AttemptError) -> UserError:
        """Return the error for the user, if every request would fail like this one."""
        if not self.reached:
            return protocol.unreachable_error(self.base_url, error)
        served = list(await self.served_models()) if error.status == 404 else []
        return protocol.refused_error(self.base_url, self.model, error, served, self._key_env)

    async def close(self) -> None:
        """Close the connections."""
        await self._client.close()
