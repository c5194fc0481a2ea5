"""What an endpoint is looked at for: whether its template keeps a persona, and which model stands behind the name."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from permix_verl.errors import UserError
from permix_verl.inference.engines import Request, Sampling
from permix_verl.inference.engines import openai_protocol as replies
from permix_verl.inference.engines.openai_connection import VLLM, Connection
from permix_verl.inference.engines.openai_protocol import AttemptError
from permix_verl.inference.served_model import PROBES, TOKENS, TOP, Greedy, Served, distance
from permix_verl.personas.prompts import Message

LACKING = (400, 404, 405, 422, 501)
"""Replies of a server that has no log-probs to give, or was told to give none."""
_GREEDY: Mapping[str, Any] = {
    "max_tokens": TOKENS,
    "temperature": 0.0,
    "logprobs": TOP,
    "seed": 0,
    "ignore_eos": True,
    "return_tokens_as_token_ids": True,
    # Not from the model's generation_config.json.
    "top_p": 1.0,
    "top_k": 0,
    "min_p": 0.0,
    "repetition_penalty": 1.0,
}


async def look_at_template(
    connection: Connection,
    messages_with: Sequence[Message],
    messages_without: Sequence[Message],
    vllm_template_kwargs: Mapping[str, Any],
) -> bool:
    """Whether the persona reaches the model; ``False`` where no tokens are counted, so it cannot be seen.

    Args:
        vllm_template_kwargs: what vLLM's server, and no other, is told from here on.

    Raises:
        UserError: the system message is dropped; the server cannot be reached or refuses the request.
    """
    if any(record.get("owned_by") == VLLM for record in (await connection.served_models()).values()):
        connection.is_vllm = True
        connection.template_kwargs = dict(vllm_template_kwargs) | connection.template_kwargs
    length, length_without = [await _prompt_length(connection, m) for m in (messages_with, messages_without)]
    if length is None or length_without is None:
        return False
    if length > length_without:
        return True
    # Qwen2.5's template puts a long system text of its own where there is none. A persona shorter
    # than that one is not lost: with its text twice, the prompt is longer.
    doubled = [m | {"content": f"{m['content']}\n" * 2} if m["role"] == "system" else m for m in messages_with]
    if (await _prompt_length(connection, doubled) or 0) > length:
        return True
    raise UserError(
        f"the chat template of {connection.model!r} at {connection.base_url} drops the system message, so the persona "
        f"is lost: {length} prompt tokens with it, {length_without} without; use another model, or start the server "
        "with a chat template that keeps it"
    )


async def _prompt_length(connection: Connection, messages: Sequence[Message]) -> int | None:
    # A reasoning model answers a request for one token with an error.
    sampling = Sampling(temperature=0.0, top_p=1.0, top_k=0, max_tokens=64 if connection.adapt else 1)
    request = Request("check", messages, None, sampling, seed=0)
    try:
        return await connection.persist(request.key, partial(connection.chat, request), replies.prompt_tokens_of)
    except AttemptError as error:
        raise await connection.explained(error) from None


async def look_at_model(connection: Connection) -> Served:
    """What the server says of the model and, where it is vLLM's, the log-probs of greedy continuations.

    Continuations, not the prompts' own log-probs: asked for those, vLLM 0.28 on CPU ends with an error once it serves
    an adapter.

    Raises:
        UserError: the server cannot be reached, or fails the requests.
    """
    record = (await connection.served_models()).get(connection.model, {})
    if record.get("owned_by") != VLLM:
        return Served(connection.base_url, record)
    try:
        alone = [(await _continued(connection, [prompt]))[0] for prompt in PROBES]
        # Again in one batch: how much the same model's log-probs differ by how it is asked.
        together = await _continued(connection, PROBES)
    except AttemptError as error:
        if error.status in LACKING or (error.status is None and not error.again):
            return Served(connection.base_url, record)
        raise await connection.explained(error) from None
    return Served(connection.base_url, record, alone, distance(alone, together))


async def _continued(connection: Connection, prompts: Sequence[str]) -> list[Greedy]:
    ask = partial(connection.complete, prompts, **_GREEDY)
    return await connection.persist("served", ask, partial(replies.greedy_of, wanted=len(prompts)))
