"""A template rendered by itself, as transformers renders it."""

import datetime
from pathlib import Path

import pytest

from permix_verl.chat_templates.adapt import template_of
from permix_verl.chat_templates.probes import CHATS
from permix_verl.chat_templates.template import ChatTemplate, TemplateFailureError, failure_text

from ...support.template_tokenizers import KWARGS, OWN, on_day, tokenizer_of

DAY = datetime.datetime(2023, 4, 5, 6, 7, 8)


FILES = [file for file in sorted(OWN.glob("*.jinja")) if file.stem != "random"]


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_every_chat_is_rendered_as_transformers_renders_it(file: Path) -> None:
    text = file.read_text()
    tokenizer = tokenizer_of(text)
    template = template_of(tokenizer)
    assert template is not None
    for chat in CHATS:
        for prompt in (True, False):
            try:
                own = template.render(chat, KWARGS, day=DAY, add_generation_prompt=prompt)
            except TemplateFailureError as failure:
                own = str(failure)
            try:
                with on_day(DAY):
                    theirs = tokenizer.apply_chat_template(
                        list(chat), tokenize=False, add_generation_prompt=prompt, **KWARGS
                    )
            except Exception as error:
                theirs = failure_text(error)
            assert own == theirs


def test_a_generation_block_and_loop_controls_are_read() -> None:
    text = (
        "{% for m in messages %}{% if loop.index > 1 %}{% break %}{% endif %}"
        "{% generation %}{{ m.content }}{% endgeneration %}{% endfor %}{{ {'a': '<é>'} | tojson }}"
    )
    tokenizer = tokenizer_of(text)
    chat = [{"role": "user", "content": "one"}, {"role": "user", "content": "two"}]
    assert ChatTemplate(text).render(chat) == tokenizer.apply_chat_template(chat, tokenize=False) == 'one{"a": "<é>"}'


def test_names_that_a_template_reads_and_its_texts() -> None:
    template = ChatTemplate("{% set x = messages %}{{ thinking }}{% if y == 'off' %}plain{% endif %}")
    assert template.reads() >= {"messages", "thinking", "y"}
    assert {"off", "plain"} <= set(template.texts())
    assert ChatTemplate("{% if %}").reads() == set()
    assert ChatTemplate("{% if %}").texts() == []
