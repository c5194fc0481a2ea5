"""Thoughts: how prompts end, the arguments that switch them, and what is read of a completion."""

from typing import Any

import pytest

from permix_verl.chat_templates.reading import Reading, opened_by, spoken
from permix_verl.chat_templates.template import ChatTemplate
from permix_verl.chat_templates.thinking import PromptEnd, prompt_end, thinking_arguments
from permix_verl.chat_templates.use import DEFAULT_ARGUMENTS, use_template

from ...support.template_tokenizers import own_template


@pytest.mark.parametrize(
    ("tail", "state", "opening"),
    [
        ("<|end|>\n<|assistant|>", "none", ""),
        ("<|assistant|>\n<think>\n", "open", "<think>"),
        ("<|assistant|><think>\nLet me see.", "open", "<think>"),
        ("<|assistant|><think>\n\n</think>\n\n", "closed", "<think>"),
        ("<|assistant|></think>", "closed", "<think>"),
        ("[/INST][THINK]", "open", "[THINK]"),
        ("assistant\n\u25c1think\u25b7", "open", "\u25c1think\u25b7"),
        ("assistant\n<seed:think></seed:think>", "closed", "<seed:think>"),
        ("<|CHATBOT|><|START_THINKING|><|END_THINKING|>", "closed", "<|START_THINKING|>"),
        ("<turn>model\n<|channel>thought\n<channel|>", "closed", "<|channel>thought"),
        ("<|start|>assistant<|channel|>analysis<|message|>", "open", "<|channel|>analysis<|message|>"),
        ("assistant\nHere are my reasoning steps:\n", "open", "Here are my reasoning steps:"),
        ("assistant\n<my_thinking>", "open", "<my_thinking>"),
        ("<|end|><|start|>assistant", "none", ""),
    ],
)
def test_how_a_prompt_ends(tail: str, state: str, opening: str) -> None:
    found = prompt_end(tail)
    assert (found.state, found.opening) == (state, opening)


def test_an_unknown_mark_is_open_and_its_end_is_not_known() -> None:
    assert not prompt_end("<my_thinking>").is_read
    assert prompt_end("<think>").is_read
    assert PromptEnd().is_read


@pytest.mark.parametrize(
    ("name", "off", "on"),
    [
        ("switched_thought", {}, {"enable_thinking": True}),
        ("thinking_budget", {"thinking_budget": 0}, {"enable_thinking": True}),
        ("own_turn", {}, {"enable_thinking": True}),
    ],
)
def test_the_arguments_that_switch_thinking(name: str, off: dict[str, Any], on: dict[str, Any]) -> None:
    template = ChatTemplate(own_template(name))
    assert thinking_arguments(template, DEFAULT_ARGUMENTS, False) == {**DEFAULT_ARGUMENTS, **off}
    assert thinking_arguments(template, DEFAULT_ARGUMENTS, True) == {**DEFAULT_ARGUMENTS, **on}


def test_an_argument_of_another_name_or_value() -> None:
    mode = ChatTemplate(
        "{{ messages[-1].content }}{{ '<think></think>' if thinking_mode == 'disabled' else '<think>' }}"
        "{{ messages[0].content }}"
    )
    assert thinking_arguments(mode, DEFAULT_ARGUMENTS, False)["thinking_mode"] == "disabled"
    plain = ChatTemplate("{{ messages[-1].content }}{{ '<think>' if thinking }}{{ messages[0].content }}")
    assert "thinking" not in thinking_arguments(plain, DEFAULT_ARGUMENTS, False), "it is off without"
    assert thinking_arguments(plain, DEFAULT_ARGUMENTS, True)["thinking"] is True
    assert thinking_arguments(plain, {"thinking": False}, True)["thinking"] is False, "what the user set is kept"


def test_arguments_of_the_users_own_win() -> None:
    template = ChatTemplate(own_template("switched_thought"))
    assert use_template(template, {"enable_thinking": False}, thinking="on").arguments == {"enable_thinking": False}
    assert use_template(template, {"x": 1}, thinking="on").arguments == {"x": 1, "enable_thinking": True}
    assert use_template(template, {"x": 1}).arguments == {"x": 1}


def test_what_a_command_says_of_thoughts() -> None:
    open_thought = ChatTemplate(own_template("open_thought"))
    (line,) = use_template(open_thought).notices("off")
    assert "open thought (<think>) although thinking is off" in line
    assert use_template(open_thought, thinking="on").notices("on") == []
    assert use_template(ChatTemplate(own_template("switched_thought"))).notices("off") == []
    never = ChatTemplate(own_template("own_turn") + "<think></think>")
    assert "close the thought although thinking is on" in use_template(never, thinking="on").notices("on")[0]


def test_a_completion_is_read_behind_its_last_thought() -> None:
    reading, prompt = Reading(), "<|user|>2 + 2?<|assistant|><think>\n"
    assert reading.text("a\n</think>\n4", prompt) == "<think>\na\n</think>\n4"
    assert not reading.is_cut_off("a\n</think>\n4", prompt)
    assert reading.is_cut_off("It is 4, but wait", prompt)
    assert reading.text("It is 4.", "<|user|>2 + 2?<|assistant|>") == "It is 4."
    assert reading.is_cut_off("<think>It is 4", "<|assistant|>")
    assert not reading.is_cut_off("It is 4.", "<|user|>What is <think> for?<|assistant|>")


def test_marks_of_other_families_count_as_thoughts() -> None:
    reading = Reading((("<seed:think>", "</seed:think>"),))
    assert reading.text("<seed:think>a</seed:think>4", "<a>") == "<think>a</think>4"
    assert reading.is_cut_off("<seed:think>a", "<a>")
    assert Reading().text("a [/THINK]4", "x[THINK]") == "<think>\na </think>4", "the prompt says which"
    assert Reading.of_settings({"thinking": reading.settings()}) == reading
    assert Reading.of_settings({}) == Reading()


def test_at_an_endpoint_a_completion_cut_at_the_limit_is_a_thought() -> None:
    reading = Reading(cut_at_limit=True)
    assert reading.is_cut_off("It may be 4", '[{"role": "user"}]', "length")
    assert not reading.is_cut_off("It is 4", '[{"role": "user"}]', "stop")
    assert not reading.is_cut_off("a</think>It is", '[{"role": "user"}]', "length")


def test_what_is_shown_to_judges() -> None:
    assert spoken("a</think>\n\nAhoy") == "Ahoy"
    assert spoken("Ahoy ") == "Ahoy "
    assert opened_by("x<think>\n") == ("<think>", "</think>")
    assert opened_by("x<think>\n\n</think>") is None
