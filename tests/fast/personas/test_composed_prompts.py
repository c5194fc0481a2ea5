"""Texts of any form reach the prompt word for word; in a large pool those are rendered that could be treated apart."""

import copy
import json
import re
from pathlib import Path
from typing import Any

import pytest

from permix_verl import Persona, PersonaPool, UserError, build_messages, load_pool
from permix_verl.personas.composed_prompts import (
    PROBES,
    find_frame,
    irregular_personas,
    matching,
    personas_to_render,
    probe_personas,
    render_alone,
)
from permix_verl.personas.mixing import PersonaDraw
from permix_verl.personas.prompts import check_template, render

TEXTS = {
    "braces": "You are {name}, who likes {braces} and {{ more }} of {them}.",
    "jinja": "You write {{ x }}, {% if y %}yes{% endif %}{# no #} and {%- raw -%}.",
    "markdown": "# You\n\n- **bold** _it_ `code`\n- [link](http://x.y)\n\n```python\nprint('{}')\n```",
    "quotes": 'You say "hello", \'hi\', \u201cgood day\u201d and \\"bye\\".',
    "paragraphs": "You are a poet.\n\nYou live in Oslo.\n\n\nYou \t sing.",
    "blanks": "  \n You are calm. \n\t ",
    "latex": r"You love $\frac{1}{2}$, \boxed{7} & 50 % of <b>it</b>.",
    "unicode": "You are \u65e5\u672c, \u00fcber na\u00efve \U0001f642\u00a0!",
}


@pytest.mark.parametrize("name", TEXTS)
def test_a_text_survives_word_for_word_from_the_file_to_the_prompt(tokenizer: Any, tmp_path: Path, name: str) -> None:
    file = tmp_path / "pool.jsonl"
    file.write_text(json.dumps({"key": name, "system_prompt": TEXTS[name]}) + "\n")
    pool = load_pool(file)
    draw = PersonaDraw.from_json(PersonaDraw(pool, 0).to_json())
    for drawn in (
        pool.personas[0],
        draw.persona(0, "row"),
        PersonaDraw(pool, 0).stored(tmp_path, large=0).persona(0, "row"),
    ):
        assert drawn is not None
        messages = build_messages("1 + 1 = ?", drawn)
        assert messages[0] == {"role": "system", "content": TEXTS[name]}
        # Llama-3's template removes blanks at the ends of every message.
        assert TEXTS[name].strip() in render(tokenizer, messages)
        copying = with_template(tokenizer, "{% for m in messages %}<{{ m.role }}>{{ m.content }}{% endfor %}")
        assert f"<system>{TEXTS[name]}<user>" in render(copying, messages)


def with_template(tokenizer: Any, template: str) -> Any:
    changed = copy.deepcopy(tokenizer)
    changed.chat_template = template
    return changed


COPIES = "{% for m in messages %}[{{ m.role }}] {{ m.content }}\n{% endfor %}"
LOOKS = "{% if '/no_think' in messages[0].content %}silent{% endif %}" + COPIES
PLAIN = PersonaPool("own", tuple(Persona(f"p{i}", "", f"You are number {i}.") for i in range(3000)))


def with_texts(**texts: str) -> PersonaPool:
    """A large pool with these texts in its middle."""
    extra = tuple(Persona(key, "", text) for key, text in texts.items())
    return PersonaPool("own", (*PLAIN.personas[:1501], *extra, *PLAIN.personas[1501:]))


@pytest.mark.parametrize("template", ["own", COPIES, COPIES.replace("m.content", "m.content | trim")])
def test_the_frame_of_a_copying_template_composes_every_text(tokenizer: Any, template: str) -> None:
    used = tokenizer if template == "own" else with_template(tokenizer, template)
    frame = find_frame(used)
    assert frame is not None
    for text in TEXTS.values():
        assert frame.compose(text) == render_alone(used, text)


@pytest.mark.parametrize(
    "template",
    [
        "{% for m in messages %}{{ m.content | upper }}{% endfor %}",
        "{% for m in messages %}{{ m.content }}{{ m.content }}{% endfor %}",
        "{% for m in messages %}{{ m.content | replace('{', '(') }}{% endfor %}",
        "{% for m in messages %}{% if m.role == 'user' %}{{ m.content }}{% endif %}{% endfor %}",
    ],
)
def test_a_template_that_changes_repeats_or_drops_texts_has_no_frame(tokenizer: Any, template: str) -> None:
    assert find_frame(with_template(tokenizer, template)) is None


def test_few_personas_of_a_large_pool_are_rendered_and_those_that_the_template_looks_for(tokenizer: Any) -> None:
    pool = with_texts(silent="You are quick. /no_think", odd="You\nare odd.", braced="You are {x}.")
    used = with_template(tokenizer, LOOKS)
    rendered = [persona.key for persona in personas_to_render(used, pool)]
    assert {"silent", "odd", "braced", "p0"} <= set(rendered)
    assert len(rendered) <= 2 * PROBES + 4
    frame = find_frame(used)
    assert frame is not None
    assert {persona.key for persona in irregular_personas(used, pool, frame)} == {"silent"}


def test_all_personas_are_rendered_in_a_small_pool_and_without_a_frame(tokenizer: Any) -> None:
    small = PersonaPool("own", PLAIN.personas[:2000])
    assert len(list(personas_to_render(tokenizer, small))) == 2000
    changing = with_template(tokenizer, COPIES.replace("m.content", "m.content | replace('x', 'y')"))
    assert len(list(personas_to_render(changing, PLAIN))) in (3000, *range(1, 2 * PROBES))


def test_a_template_that_drops_one_persona_of_a_large_pool_is_refused(tokenizer: Any) -> None:
    drops = "{% if '/no_think' in messages[0].content %}{{ messages[1].content }}{% else %}" + COPIES + "{% endif %}"
    check_template(with_template(tokenizer, drops), PLAIN)
    pool = with_texts(silent="You are quick. /no_think")
    with pytest.raises(UserError, match="drops the system message: the text of persona 'silent'"):
        check_template(with_template(tokenizer, drops), pool)
    check_template(with_template(tokenizer, COPIES), pool)


@pytest.mark.parametrize("text", ["a.b", "(x)", "[a] {b}", "\\d", "\u00fc\u65e5", "'q'", "^$*+?|-", " # "])
def test_a_string_is_found_as_it_stands(tokenizer: Any, tmp_path: Path, text: str) -> None:
    from permix_verl.personas.composed_prompts import _quoted

    pool = with_texts(one=f"You say {text}!", other="You say aXb, x, 5.")
    stored = PersonaDraw(pool, 0).stored(tmp_path).pool
    for searched in (pool, stored):
        assert [persona.key for persona in matching(searched, _quoted(text))] == ["one"]
    assert re.search(_quoted("ab"), "xaby")


def test_every_wording_is_a_probe(tokenizer: Any) -> None:
    several = Persona("several", "", "You cook.", paraphrases=("You fry.", "You bake. /no_think"))
    pool = PersonaPool("own", (several, *PLAIN.personas))
    probes = [persona.system_prompt for persona in probe_personas(with_template(tokenizer, LOOKS), pool)]
    assert probes[:3] == list(several.wordings)
    assert probes.count("You bake. /no_think") == 2
