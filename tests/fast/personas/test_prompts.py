"""The prompt contract, and chat templates that violate it."""

from pathlib import Path
from typing import Any

import pytest

from permix_verl import UserError, build_messages, load_pool
from permix_verl.data.prompt_lengths import NEAR_LIMIT, PromptLengths
from permix_verl.personas.prompts import check_template, count_tokens, persona_survives, render

POOL = load_pool("train")
CHEF = POOL.get("chef")


def with_template(tokenizer: Any, template: str | None) -> Any:
    import copy

    changed = copy.deepcopy(tokenizer)
    changed.chat_template = template
    return changed


DROPS_SYSTEM = "{% for m in messages %}{% if m.role == 'user' %}USER: {{ m.content }}\n{% endif %}{% endfor %}BOT:"
INTO_USER_TURN = (
    "{% set first = messages[0].content + '\n\n' if messages[0].role == 'system' else '' %}"
    "{% for m in messages %}{% if m.role == 'user' %}<s>user\n{{ first + m.content }}</s>{% endif %}{% endfor %}"
    "<s>model\n"
)
REFUSES_SYSTEM = "{% if messages[0].role == 'system' %}{{ raise_exception('System role not supported') }}{% endif %}x"


def test_messages_are_the_persona_verbatim_then_problem_and_instruction() -> None:
    assert build_messages(" 1 + 1 = ? ", CHEF) == [
        {"role": "system", "content": CHEF.system_prompt},
        {"role": "user", "content": "1 + 1 = ?\n\nPut your final answer within \\boxed{}."},
    ]


def test_without_a_persona_there_is_no_system_message() -> None:
    assert [message["role"] for message in build_messages("1 + 1 = ?", None)] == ["user"]


def test_an_unknown_task_names_the_known_ones() -> None:
    with pytest.raises(UserError, match="unknown task 'maths'; known: math"):
        build_messages("x", None, task="maths")


def test_every_persona_survives_the_tiny_models_template(tokenizer: Any) -> None:
    check_template(tokenizer, POOL)
    assert persona_survives(render(tokenizer, build_messages("x", CHEF)), CHEF.system_prompt)


def test_a_template_that_moves_the_persona_into_the_user_turn_is_accepted(tokenizer: Any) -> None:
    check_template(with_template(tokenizer, INTO_USER_TURN), POOL)


@pytest.mark.parametrize(
    ("template", "message"),
    [
        (None, "has no chat template"),
        (DROPS_SYSTEM, "drops the system message: the text of persona 'statistician'"),
        (REFUSES_SYSTEM, "refuses the roles .*System role not supported"),
    ],
)
def test_a_template_that_loses_the_persona_is_refused(tokenizer: Any, template: str | None, message: str) -> None:
    with pytest.raises(UserError, match=message):
        check_template(with_template(tokenizer, template), POOL)


def test_a_prompt_is_counted_as_transformers_itself_tokenizes_it(tokenizer: Any) -> None:
    messages = build_messages("What is 3 + 4?", CHEF)
    ids = tokenizer.apply_chat_template(messages, add_generation_prompt=True, tokenize=True)["input_ids"]
    assert count_tokens(tokenizer, [render(tokenizer, messages)]) == [len(ids)]


QUESTIONS = [f"Ann has {n} apples{' and a pear' * (n % 7)}. How many?" for n in range(40)]


@pytest.mark.parametrize("template", ["own", INTO_USER_TURN])
def test_the_longest_prompt_of_every_problem_is_found(tokenizer: Any, template: str) -> None:
    if template != "own":
        tokenizer = with_template(tokenizer, template)
    meter = PromptLengths(tokenizer, POOL)
    pairwise = [max(meter.lengths(question)) for question in QUESTIONS]
    limit = sorted(pairwise)[len(pairwise) // 2]
    longest = meter.longest(QUESTIONS, limit)
    assert [length > limit for length in longest] == [length > limit for length in pairwise]
    assert [a for a, b in zip(longest, pairwise, strict=True) if b > limit - NEAR_LIMIT] == [
        b for b in pairwise if b > limit - NEAR_LIMIT
    ]


def test_every_pair_is_measured_if_lengths_do_not_add_up(tokenizer: Any) -> None:
    # A template that repeats the problem under one persona only.
    odd = (
        "{% for m in messages %}{{ m.content }}"
        "{% if 'chef' in messages[0].content %}{{ m.content }}{% endif %}{% endfor %}"
    )
    meter = PromptLengths(with_template(tokenizer, odd), POOL)
    assert not meter.additive
    assert meter.longest(QUESTIONS, 10**6) == [max(meter.lengths(question)) for question in QUESTIONS]


def test_prompt_lengths_agree_with_every_pair_on_real_problems(tokenizer: Any, shared_data: Path) -> None:
    from permix_verl.data.problems import iter_problems

    questions = [problem.question for problem in iter_problems(str(shared_data / "gsm8k"))][::100]
    meter = PromptLengths(tokenizer, POOL)
    assert meter.additive
    assert meter.longest(questions, 0) == [max(meter.lengths(question)) for question in questions]
    assert meter.longest(questions, 10**6) == [max(meter.lengths(question)) for question in questions]
