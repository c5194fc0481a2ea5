r"""Chat prompts, shared by data preparation, dataset, evaluation and SFT.

    system:  the persona's prompt, verbatim; no system message without a persona
    user:    the problem, a blank line, the task's answer instruction

The paper (arXiv 2604.08986) uses the persona's text as the system message (Appendix D) and refers to its Tables 8 and 9
for the user prompts. The copy of the paper that this follows lacks both tables, so the instruction below is ours: the
phrasing that math post-training commonly uses and that math-verify reads best.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from permix_verl.errors import UserError, first_line
from permix_verl.personas.pool import Persona, PersonaPool

Message = dict[str, str]

ANSWER_INSTRUCTIONS: Mapping[str, str] = {
    "math": r"Put your final answer within \boxed{}.",
    "code": "Give the whole program in one block:\n\n```python\n# your program\n```",
}


def user_message(problem: str, task: str = "math") -> str:
    """Return the user message: the problem and the task's answer instruction.

    Raises:
        UserError: unknown task.
    """
    if task not in ANSWER_INSTRUCTIONS:
        raise UserError(f"unknown task {task!r}", f"known: {', '.join(ANSWER_INSTRUCTIONS)}")
    return f"{problem.strip()}\n\n{ANSWER_INSTRUCTIONS[task]}"


def code_question(statement: str, starter_code: str = "") -> str:
    """Return a problem that asks for a program: a function if there is starter code, else one that reads stdin."""
    if starter_code.strip():
        form = f"Solve it in Python by completing this code:\n\n```python\n{starter_code.rstrip()}\n```"
    else:
        form = "Solve it with a Python program that reads from standard input and writes to standard output."
    return f"{statement.strip()}\n\n{form}"


def build_messages(problem: str, persona: Persona | None, task: str = "math") -> list[Message]:
    """Return the chat messages for a problem under a persona; ``None`` is the control condition without one.

    Raises:
        UserError: unknown task.
    """
    return with_persona([{"role": "user", "content": user_message(problem, task)}], persona)


def with_persona(messages: Sequence[Message], persona: Persona | None) -> list[Message]:
    """Replace the system message by a persona's, or remove it."""
    others = [message for message in messages if message["role"] != "system"]
    return [{"role": "system", "content": persona.system_prompt}, *others] if persona else others


def into_user_turn(messages: Sequence[Message]) -> list[Message]:
    """Move a leading system message into the first user turn: its text, a blank line, the user's text.

    For endpoints, which render by a template of their own; ``chat_templates/adapt.py`` does the same in Jinja.
    """
    if not messages or messages[0]["role"] != "system":
        return list(messages)
    text, others = messages[0]["content"], list(messages[1:])
    for place, message in enumerate(others):
        if message["role"] == "user":
            return [*others[:place], {**message, "content": f"{text}\n\n{message['content']}"}, *others[place + 1 :]]
    return [{"role": "user", "content": text}, *others]


def render(tokenizer: Any, messages: Sequence[Message], template_kwargs: Mapping[str, Any] | None = None) -> str:
    """Render the prompt text that a model sees, up to where its completion begins.

    Raises:
        UserError: the tokenizer has no chat template, or its template refuses the messages.
    """
    from jinja2.exceptions import TemplateError

    if not getattr(tokenizer, "chat_template", None):
        name = getattr(tokenizer, "name_or_path", "") or type(tokenizer).__name__
        raise UserError(
            f"tokenizer {name} has no chat template, so no persona can be given to the model",
            "use an instruction-tuned model, or add a chat_template.jinja to its folder",
        )
    try:
        return tokenizer.apply_chat_template(
            list(messages), tokenize=False, add_generation_prompt=True, **(template_kwargs or {})
        )
    except TemplateError as error:
        roles = [message["role"] for message in messages]
        raise UserError(
            f"the chat template of {tokenizer.name_or_path} refuses the roles {roles} ({error})",
            "use a model whose template takes a system message, or set system_role to user, which puts its text into "
            "the user's turn",
        ) from None
    except (TypeError, ValueError, AttributeError, LookupError, ArithmeticError) as error:  # of an expression in it
        raise UserError(
            f"the chat template of {tokenizer.name_or_path} fails ({type(error).__name__}: {first_line(error)})",
            "use another model, or repair its chat template",
        ) from None


def persona_survives(rendered: str, system_prompt: str) -> bool:
    """Return whether the rendered prompt contains the persona's text; templates may trim its ends."""
    return system_prompt.strip() in rendered


def check_template(tokenizer: Any, pool: PersonaPool, template_kwargs: Mapping[str, Any] | None = None) -> None:
    """Refuse a tokenizer whose chat template drops a persona of the pool.

    A template that moves the system text into the user turn (Gemma 3) is fine. All personas of a pool of up to
    :data:`~permix_verl.personas.pool.LARGE_POOL` are rendered, in all their wordings. In a larger one those are whose
    text the template could treat differently (:mod:`permix_verl.personas.composed_prompts`); the template copies the
    texts of the others as it copies a text of its own.

    Raises:
        UserError: no template, a template that refuses or drops the system role.
    """
    from permix_verl.personas.composed_prompts import personas_to_render  # which renders with this module

    for persona in personas_to_render(tokenizer, pool, template_kwargs):
        rendered = render(tokenizer, build_messages("1 + 1 = ?", persona), template_kwargs)
        if not persona_survives(rendered, persona.system_prompt):
            raise UserError(
                f"the chat template of {tokenizer.name_or_path} drops the system message: the text of persona "
                f"{persona.key!r} is not in the rendered prompt {rendered[:120]!r}",
                "use a model whose template keeps it, or set system_role to auto, which puts its text into the user's "
                "turn",
            )


def count_tokens(tokenizer: Any, texts: Sequence[str]) -> list[int]:
    """Count the tokens of each rendered prompt as verl's agent loop does (no special tokens added)."""
    if not texts:
        return []
    batch = tokenizer(list(texts), add_special_tokens=False, return_attention_mask=False)
    return [len(ids) for ids in batch["input_ids"]]
