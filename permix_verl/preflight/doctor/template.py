"""Checks of the model's chat template: the persona, the day, and thoughts."""

from collections.abc import Iterator
from typing import Any

from permix_verl.chat_templates.adapt import adapt_tokenizer, is_adapted, template_of
from permix_verl.chat_templates.day import DATE_ARGUMENTS, PINNED_TEXT, changes_with_the_day
from permix_verl.chat_templates.persona_text import own_text, persona_text
from permix_verl.chat_templates.probes import PERSONAS
from permix_verl.chat_templates.thinking import SHORTEST_COMPLETION
from permix_verl.chat_templates.use import DEFAULT_ARGUMENTS, TemplateUse, use_template
from permix_verl.errors import UserError
from permix_verl.personas.pool import load_pool
from permix_verl.personas.prompts import check_template
from permix_verl.preflight.doctor.model import loaded_tokenizer
from permix_verl.preflight.doctor.types import Finding, Setup, error, ok, warning
from permix_verl.runs.trainers import TRAINERS

TEMPLATE_KEYS = "data.apply_chat_template_kwargs"


def template(setup: Setup) -> Iterator[Finding]:
    """Check that prompts contain the persona's text, and what else the template adds or changes."""
    tokenizer = loaded_tokenizer(setup)
    if tokenizer is None:
        return
    if isinstance(tokenizer, Finding):
        yield tokenizer
        return
    pool = load_pool(setup.personas)
    try:
        use = _use(setup, tokenizer)
        arguments = use.arguments if use else template_kwargs(setup)
        adapt_tokenizer(tokenizer, arguments, setup.settings.get("permix.system_role", "auto"))
        check_template(tokenizer, pool, arguments)
    except UserError as problem:
        yield error(problem.problem, problem.remedy)
        return
    if use is None:
        return
    if refusal := _unadapted_rollouts(setup, use):
        yield refusal
        return
    yield from _own_texts(use)
    yield from (ok(notice) for notice in use.adaptation.notices)
    place = persona_text(use.adaptation.template, use.arguments).place
    yield ok(f"the prompts contain the texts of all {len(pool)} personas, in {place}")


def _unadapted_rollouts(setup: Setup, use: TemplateUse) -> Finding | None:
    """Return an error if a configuration's rollouts would render with a template that must be adapted."""
    key = f"{TRAINERS['grpo'].model}.custom_chat_template"
    if setup.config is None or setup.trainer != "grpo" or not use.adaptation.notices:
        return None
    if is_adapted(str(setup.settings.get(key) or "")):
        return None
    dated = "date_string" in use.adaptation.template.reads() and "date_string" not in use.arguments
    return error(
        f"the chat template must be adapted ({'; '.join(use.adaptation.notices)}), and this configuration's rollouts "
        "would render with it as it is",
        (f"set +{TEMPLATE_KEYS}.date_string='{PINNED_TEXT}', or " if dated else "")
        + f"train with permix train, which sets {key}",
    )


def _own_texts(use: TemplateUse) -> Iterator[Finding]:
    adapted, arguments = use.adaptation.template, use.arguments
    alone, beside = own_text(adapted, arguments), own_text(adapted, arguments, PERSONAS[0])
    if alone:
        yield warning(
            f"without a persona the template inserts its own: {alone[:80]!r}"
            + (f", and beside a persona {beside[:80]!r}" if beside else ""),
            "compare conditions with a persona, or give the no-persona condition an empty system message",
        )


def pinned_date(setup: Setup) -> Iterator[Finding]:
    """Check that prompts do not depend on the day."""
    use = _sound_use(setup)
    if use is None:
        return
    reads = [name for name in DATE_ARGUMENTS if name in use.arguments and name in use.adaptation.template.reads()]
    undated = {name: value for name, value in use.arguments.items() if name not in DATE_ARGUMENTS}
    if any("today's date" in notice for notice in use.adaptation.notices):
        yield ok("prompts do not depend on the day: it is pinned in front of the template")
    elif reads and changes_with_the_day(use.adaptation.template, undated):
        yield ok(f"prompts do not depend on the day: {reads[0]} pins it")
    else:
        yield ok("prompts do not depend on the day")


def thinking(setup: Setup) -> Iterator[Finding]:
    """Check how prompts end, and that there is room for thoughts."""
    use = _sound_use(setup)
    if use is None:
        return
    mode = setup.settings.get("permix.thinking", "off")
    length = setup.number("data.max_response_length", 0)
    thinks = use.end.state == "open" or mode == "on"
    for line in use.notices(mode)[len(use.adaptation.notices) :]:
        yield warning(line, "set THINKING=on and a RESPONSE_LENGTH that fits" if mode == "off" else "set THINKING=off")
    if thinks and not use.end.is_read:
        yield error(
            f"its prompts open a thought with {use.end.opening!r}, and where it ends is not known, so that the reward "
            "would read answers inside thoughts",
            "use another model",
        )
    if thinks and (hidden := _hidden_marks(setup, use)):
        yield error(
            f"{hidden!r} is a special token, which verl and vLLM leave out of the text that the reward reads, so that "
            "a thought could not be told from an answer",
            "set THINKING=off" if mode == "on" else "use another model",
        )
    if thinks and setup.trainer == "grpo" and 0 < length < SHORTEST_COMPLETION:
        yield warning(
            f"completions end at {length} tokens, thought included, and a thought that is cut off is no answer",
            f"set RESPONSE_LENGTH to {SHORTEST_COMPLETION} or more",
        )
    yield ok(f"thinking is {mode}: prompts end with {use.end.words()}")


def _hidden_marks(setup: Setup, use: TemplateUse) -> str:
    """Return a closing mark of thoughts that is a special token; empty if there is none."""
    tokenizer = loaded_tokenizer(setup)
    special = {str(token) for token in tokenizer.all_special_tokens}
    special |= {token.content for token in tokenizer.added_tokens_decoder.values() if token.special}
    closings = [use.end.closing] if use.end.state != "none" else [closing for _, closing in use.marks]
    return next((closing for closing in closings if closing in special), "")


def template_kwargs(setup: Setup) -> dict[str, Any]:
    """Return the chat template's keyword arguments from verl's settings."""
    return dict(setup.settings.get(TEMPLATE_KEYS) or {})


def _sound_use(setup: Setup) -> TemplateUse | None:
    """Return how the run uses the template; ``None`` without one, or with one that :func:`template` refuses."""
    tokenizer = loaded_tokenizer(setup)
    if tokenizer is None or isinstance(tokenizer, Finding):
        return None
    try:
        return _use(setup, tokenizer)
    except UserError:
        return None


def _use(setup: Setup, tokenizer: Any) -> TemplateUse | None:
    own = template_of(tokenizer)
    if own is None:
        return None
    arguments = template_kwargs(setup)
    return use_template(
        own,
        None if setup.config is None or arguments == DEFAULT_ARGUMENTS else arguments,
        setup.settings.get("permix.system_role", "auto"),
        setup.settings.get("permix.thinking", "off"),
    )
