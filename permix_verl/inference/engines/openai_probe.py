"""Probes of an endpoint: whether its chat template keeps the system message, and which model it serves."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from permix_verl.chat_templates.day import todays_date
from permix_verl.errors import UserError
from permix_verl.inference.engines import Request, Sampling
from permix_verl.inference.engines import openai_protocol as protocol
from permix_verl.inference.engines.openai_connection import VLLM, Connection
from permix_verl.inference.engines.openai_protocol import AttemptError
from permix_verl.inference.served_model import (
    PROBE_TOKENS,
    PROBES,
    TOP_LOGPROBS,
    Continuation,
    ServedModel,
    logprob_distance,
)
from permix_verl.personas.prompts import Message

NO_LOGPROBS_STATUSES = (400, 404, 405, 422, 501)
"""HTTP statuses of servers that give no log-probs."""
_GREEDY: Mapping[str, Any] = {
    "max_tokens": PROBE_TOKENS,
    "temperature": 0.0,
    "logprobs": TOP_LOGPROBS,
    "seed": 0,
    "ignore_eos": True,
    "return_tokens_as_token_ids": True,
    # Override the model's generation_config.json.
    "top_p": 1.0,
    "top_k": 0,
    "min_p": 0.0,
    "repetition_penalty": 1.0,
}


async def check_template_keeps_system(
    connection: Connection,
    messages_with: Sequence[Message],
    messages_without: Sequence[Message],
    vllm_template_kwargs: Mapping[str, Any],
) -> bool:
    """Check that the system message lengthens the prompt, and set the chat template variables for vLLM's server.

    Args:
        messages_with, messages_without: the same chat with and without a system message.
        vllm_template_kwargs: chat template variables for vLLM's server only.

    Returns:
        False if the server counts no tokens, so that this cannot be checked.

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
    # Qwen2.5's template inserts a long default system text. A persona shorter than that still reaches the model if
    # repeating it lengthens the prompt.
    doubled = [m | {"content": f"{m['content']}\n" * 2} if m["role"] == "system" else m for m in messages_with]
    if (await _prompt_length(connection, doubled) or 0) > length:
        return True
    raise UserError(
        f"the chat template of {connection.model!r} at {connection.base_url} drops the system message, so the persona "
        f"is lost: {length} prompt tokens with it, {length_without} without",
        "use another model, or start the server with a chat template that keeps it",
    )


async def check_or_merge_system(
    connection: Connection,
    messages_with: Sequence[Message],
    messages_without: Sequence[Message],
    vllm_template_kwargs: Mapping[str, Any],
) -> bool:
    """Check as :func:`check_template_keeps_system`; move system messages into the user's turn if the server takes none.

    Raises:
        UserError: the first check's, if the server does not take the chat that way either.
    """
    try:
        return await check_template_keeps_system(connection, messages_with, messages_without, vllm_template_kwargs)
    except UserError as error:
        if not connection.reached:
            raise
        connection.merges_system = True
        try:
            found = await check_template_keeps_system(connection, messages_with, messages_without, vllm_template_kwargs)
        except UserError:
            connection.merges_system = False
            raise error from None
        print(f"{error.problem}: system messages are sent at the beginning of the user's turn")
        return found


async def refuse_todays_date(connection: Connection, chats: Sequence[Sequence[Message]]) -> None:
    """Refuse vLLM's server if its prompts change from day to day; other servers do not show their prompts.

    Raises:
        UserError: today's date is in a prompt.
    """
    for messages in chats if connection.is_vllm else ():
        if day := todays_date(await connection.rendered(messages) or ""):
            raise UserError(
                f"the chat template of {connection.model!r} at {connection.base_url} writes today's date ({day}) into "
                "prompts, so that results would change from day to day",
                "start the server with --chat-template FILE, written by permix templates MODEL --adapt --out FILE",
            )


async def _prompt_length(connection: Connection, messages: Sequence[Message]) -> int | None:
    # A reasoning model refuses a limit of one token.
    sampling = Sampling(temperature=0.0, top_p=1.0, top_k=0, max_tokens=64 if connection.droppable_fields else 1)
    request = Request("check", messages, None, sampling, seed=0)
    try:
        return await connection.with_retries(
            request.key, partial(connection.chat, request), protocol.parse_prompt_tokens
        )
    except AttemptError as error:
        raise await connection.explain(error) from None


async def identify_served_model(connection: Connection) -> ServedModel:
    """Return the server's record of the model and, from vLLM's server, log-probs of greedy continuations.

    Not the prompts' own log-probs: vLLM 0.28 on CPU fails on that request while it serves an adapter.

    Raises:
        UserError: the server cannot be reached, or fails the requests.
    """
    record = (await connection.served_models()).get(connection.model, {})
    if record.get("owned_by") != VLLM:
        return ServedModel(connection.base_url, record)
    try:
        alone = [(await _greedy_continuations(connection, [prompt]))[0] for prompt in PROBES]
        # Again in one batch, to measure how much batching changes the log-probs.
        together = await _greedy_continuations(connection, PROBES)
    except AttemptError as error:
        if error.status in NO_LOGPROBS_STATUSES or (error.status is None and not error.retryable):
            return ServedModel(connection.base_url, record)
        raise await connection.explain(error) from None
    return ServedModel(connection.base_url, record, alone, logprob_distance(alone, together))


async def _greedy_continuations(connection: Connection, prompts: Sequence[str]) -> list[Continuation]:
    send = partial(connection.complete, prompts, **_GREEDY)
    return await connection.with_retries("served", send, partial(protocol.parse_continuations, count=len(prompts)))
