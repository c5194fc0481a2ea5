"""Adapted templates: the persona is there word for word, the day is pinned, and what needs nothing stays as it is."""

import datetime
from typing import Any

import pytest

from permix_verl import UserError
from permix_verl.chat_templates.adapt import (
    adapt,
    adapt_tokenizer,
    is_adapted,
    without_adaptation,
)
from permix_verl.chat_templates.day import DAYS, PINNED, pinning_macro
from permix_verl.chat_templates.interpolations import without_interpolations
from permix_verl.chat_templates.probes import CHATS, PERSONAS, QUESTION, SEVERAL, system, user
from permix_verl.chat_templates.template import ChatTemplate
from permix_verl.personas.prompts import into_user_turn

from ...support.template_tokenizers import KWARGS, on_day, own_template, tokenizer_of


def own(name: str) -> ChatTemplate:
    return ChatTemplate(own_template(name), name=name)


@pytest.mark.parametrize(
    "name", ["own_turn", "user_turn", "own_text_alone", "own_text_always", "date_argument", "channel", "open_thought"]
)
def test_a_template_that_needs_nothing_stays_byte_for_byte(name: str) -> None:
    found = adapt(own(name), KWARGS)
    assert found.template.text == own_template(name)
    assert found.notices == ()


@pytest.mark.parametrize("name", ["refuses_system", "drops_system", "alters_system"])
def test_a_persona_stands_in_the_users_turn_where_there_is_no_system_role(name: str) -> None:
    found = adapt(own(name), KWARGS)
    assert any("personas stand in the user's turn" in notice for notice in found.notices)
    for persona in PERSONAS:
        chat = (system(persona), user(), *SEVERAL[1:])
        # The same as a chat that has the text in the user's turn already.
        assert found.template.render(chat, KWARGS) == own(name).render(into_user_turn(list(map(dict, chat))), KWARGS)
        assert f"{persona}\n\n{QUESTION}" in found.template.render(chat, KWARGS)
    assert found.template.render(SEVERAL, KWARGS) == own(name).render(SEVERAL, KWARGS)


def test_content_in_parts_is_moved_too() -> None:
    template = adapt(
        ChatTemplate(
            "{% for m in messages if m.role != 'system' %}{{ m.role }}:{% if m.content is string %}{{ m.content }}"
            "{% else %}{% for p in m.content %}{{ p.text }}|{% endfor %}{% endif %}{% endfor %}"
        )
    ).template
    parts = [{"type": "text", "text": "2 + 2?"}]
    assert template.render([system("Be kind."), {"role": "user", "content": parts}]) == "user:Be kind.\n\n|2 + 2?|"
    chat = [{"role": "system", "content": [{"type": "text", "text": "Be kind."}]}, user("2 + 2?")]
    assert template.render(chat) == "user:Be kind.\n\n2 + 2?"
    assert template.render([system("Be kind.")]) == "user:Be kind."


def test_the_system_role_can_be_asked_for_and_refused() -> None:
    moved = adapt(own("own_turn"), KWARGS, "user")
    assert moved.notices == ("personas stand in the user's turn, as system_role=user asks",)
    assert f"user\n{PERSONAS[0]}\n\n{QUESTION}" in moved.template.render((system(PERSONAS[0]), user()), KWARGS)
    assert adapt(own("own_turn"), KWARGS, "system").notices == ()
    with pytest.raises(UserError, match=r"drops_system drops the system message; set system_role to auto"):
        adapt(own("drops_system"), KWARGS, "system")
    with pytest.raises(UserError, match="system_role is 'users'; known: auto, system, user"):
        adapt(own("own_turn"), KWARGS, "users")  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["today_alone", "today_always", "names_unasked"])
def test_the_day_is_pinned_for_transformers_too(name: str) -> None:
    tokenizer = tokenizer_of(own_template(name))
    assert adapt_tokenizer(tokenizer, KWARGS)
    for chat in CHATS:
        rendered = []
        for day in DAYS:
            with on_day(day):
                rendered.append(tokenizer.apply_chat_template(list(chat), tokenize=False, **KWARGS))
        assert rendered[0] == rendered[1]
        with on_day(PINNED):  # the pinned text is what the template makes of that day
            plain = tokenizer_of(own_template(name))
            extra: dict[str, Any] = {"functions": "", "datetime": "26 Jul 2024"} if name == "names_unasked" else {}
            assert plain.apply_chat_template(list(chat), tokenize=False, **KWARGS, **extra) == rendered[0]


def test_a_template_without_a_pin_does_change_with_the_day() -> None:
    tokenizer = tokenizer_of(own_template("today_alone"))
    rendered = set()
    for day in DAYS:
        with on_day(day):
            rendered.add(tokenizer.apply_chat_template(list(CHATS[0]), tokenize=False, **KWARGS))
    assert len(rendered) == 2


def test_every_directive_is_pinned_as_python_formats_it() -> None:
    directives = "aAbBcCdDeFgGhHIjklmMnpPrRStTuUVwWxXyY"
    formats = [f"<%{one}>" for one in directives] + ["%-d/%-m %#H", "100 %% %Y", "%%d", "plain", ""]
    macro = pinning_macro(ChatTemplate("{{ strftime_now(format) }}"))
    for form in formats:
        text = ChatTemplate(macro + "{{ strftime_now(form) }}").render([], {"form": form})
        if "%#" not in form:  # a flag of glibc's that changes case, and of Windows for no padding
            assert text == PINNED.strftime(form), form


def test_a_date_argument_is_left_alone_and_without_it_the_day_is_pinned() -> None:
    found = adapt(own("date_argument"), {})
    assert "the day is pinned to 26 Jul 2024" in found.notices[0]
    chat = CHATS[1]
    assert found.template.render(chat, {}) == own("date_argument").render(chat, KWARGS)


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("loses_user", "loses_user loses the user's text"),
        ("random", "random chooses at random"),
        ("broken", "broken refuses a plain question .Unexpected end of template"),
        ("swallows_both", "drops the system message, and loses a persona in the user's turn too"),
    ],
)
def test_what_cannot_be_used_is_refused_by_name(name: str, told: str) -> None:
    with pytest.raises(UserError, match=told):
        adapt(own(name), KWARGS)


def test_an_adapted_template_is_adapted_anew_from_the_models_own() -> None:
    moved = adapt(own("own_turn"), KWARGS, "user").template
    assert is_adapted(moved.text)
    assert without_adaptation(moved.text) == own_template("own_turn")
    assert adapt(moved, KWARGS, "user").template.text == moved.text
    assert adapt(moved, KWARGS).template.text == own_template("own_turn")


@pytest.mark.parametrize("start", ["\n  ", "  {% if true %}x{% endif %}\n", "{#- c -#}\n", "\t"])
def test_what_stands_at_the_beginning_of_a_template_is_kept(start: str) -> None:
    text = start + own_template("drops_system")
    found = adapt(ChatTemplate(text), KWARGS)
    assert found.notices
    for day in (DAYS[0], datetime.datetime(2020, 2, 2)):
        assert found.template.render(SEVERAL, KWARGS, day=day) == ChatTemplate(text).render(SEVERAL, KWARGS, day=day)


def test_names_that_a_template_needs_are_given() -> None:
    assert adapt(own("tools_unasked"), KWARGS).notices == ("tools, which it reads unasked, are an empty list",)
    parts = adapt(own("parts_only"), KWARGS)
    assert parts.notices == ("messages are given as lists of parts, which it takes instead of texts",)
    assert PERSONAS[1] in parts.template.render(CHATS[2], KWARGS)
    # Tools that are given are used.
    tool = {"type": "function", "function": {"name": "count"}}
    assert "tool\ncount" in adapt(own("tools_unasked"), KWARGS).template.render(CHATS[0], {**KWARGS, "tools": [tool]})


@pytest.mark.parametrize(
    "text",
    [
        "costs ${{ 7 }} or ${x}",
        "{{ 'a ${x} b' }}{% set y = \"${\" %}{{ y }}",
        "{# ${x} #}{{ messages[0].content }}$",
        "{% raw %}${{ x }}{% endraw %}",
        "  ${%- if true %}x{% endif %}\n${% if true %}\ny{% endif %}",
        "it's ${ and \"{{ '}}${' }}",
        "no such thing: $ { $5",
    ],
)
def test_no_interpolation_is_left_and_nothing_is_rendered_differently(text: str) -> None:
    changed = without_interpolations(text)
    assert "${" not in changed
    assert ChatTemplate(changed).render(CHATS[0]) == ChatTemplate(text).render(CHATS[0])
    assert without_interpolations(changed) == changed
