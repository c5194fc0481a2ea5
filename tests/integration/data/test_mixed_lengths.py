"""Lengths of chats of any form under every persona: as full measuring gives them, and no persona lost."""

import copy
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from permix_verl import UserError, load_pool
from permix_verl.cli import mix
from permix_verl.data.mixed_lengths import MixedLengths
from permix_verl.data.system_message import POLICIES, compose, split_system
from permix_verl.personas.mixing import PersonaDraw
from permix_verl.personas.prompts import count_tokens, render
from permix_verl.preflight.doctor.data import prepared_rows
from permix_verl.preflight.doctor.types import Setup

from ...support.configs import bare_of
from ...support.verl_rows import dapo, deepscaler, openr1, parts_row, tool_row, write_parquet

POOL = load_pool("train")
DRAW = PersonaDraw(POOL, seed=0)


def every_length(tokenizer: Any, chat: Any, policy: str) -> list[int]:
    own, others = split_system(chat)
    prompts = [render(tokenizer, compose(persona, own, others, policy), {}) for persona in (None, *POOL)]
    return count_tokens(tokenizer, prompts)


@pytest.fixture(scope="module")
def speaking(tokenizer: Any) -> Any:
    """The lab's tokenizer under a template that takes any role, content that is null, and parts."""
    tolerant = copy.deepcopy(tokenizer)
    tolerant.chat_template = (
        "{% for m in messages %}<|{{ m.role }}|>{% if m.content is string %}{{ m.content }}{% elif m.content %}"
        "{% for part in m.content %}{{ part.text }}{% endfor %}{% endif %}{% if m.tool_calls %}{% for call in "
        "m.tool_calls %}{{ call.function.name }}({{ call.function.arguments }}){% endfor %}{% endif %}\n{% endfor %}"
    )
    return tolerant


@pytest.mark.parametrize("policy", [policy for policy in POLICIES if policy != "refuse"])
@pytest.mark.parametrize("make", [deepscaler, openr1, parts_row, tool_row])
def test_lengths_near_the_limit_are_those_of_full_measuring(make: Any, policy: str, speaking: Any) -> None:
    chats = [make(number)["prompt"] for number in range(6)]
    expected = [max(every_length(speaking, chat, policy)) for chat in chats]
    limit = expected[0]
    lengths = MixedLengths(speaking, DRAW, {}, policy, limit)
    assert lengths.longest([split_system(chat) for chat in chats]) == expected
    assert lengths.fit(chats) == [length <= limit for length in expected]


def test_without_personas_a_prompt_is_measured_as_it_is(speaking: Any) -> None:
    chats = [openr1(number)["prompt"] for number in range(3)]
    lengths = MixedLengths(speaking, PersonaDraw(POOL, 0, no_persona_probability=1), {}, "refuse", 100)
    assert lengths.longest([split_system(chat) for chat in chats]) == count_tokens(
        speaking, [render(speaking, chat, {}) for chat in chats]
    )


def test_chats_that_repeat_are_rendered_once(speaking: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    lengths = MixedLengths(speaking, DRAW, {}, "refuse", 10_000)
    rendered: list[object] = []

    def render_once(*arguments: object) -> str:
        rendered.append(arguments)
        return "x" * 10

    monkeypatch.setattr("permix_verl.data.mixed_lengths.render", render_once)
    monkeypatch.setattr("permix_verl.data.mixed_lengths.persona_survives", lambda *_: True)
    lengths.longest([split_system(deepscaler(number % 3)["prompt"]) for number in range(300)])
    assert len(rendered) == 3


def test_a_template_that_drops_the_system_message_of_some_chats_is_refused(speaking: Any) -> None:
    forgetful = copy.deepcopy(speaking)
    forgetful.chat_template = (
        "{% for m in messages %}{% if m.role != 'system' or messages | length < 4 %}{{ m.content }}{% endif %}"
        "{% endfor %}"
    )
    lengths = MixedLengths(forgetful, DRAW, {}, "refuse", 1000)
    lengths.longest([split_system(deepscaler(0)["prompt"])])
    with pytest.raises(UserError, match=r"the system message 'You are .*' is not in the rendered prompt"):
        lengths.longest([split_system(tool_row(0)["prompt"])])


def test_prompts_too_long_under_some_persona_are_dropped_and_counted(
    tokenizer_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [deepscaler(number) for number in range(4)]
    rows[2]["prompt"][0]["content"] *= 20
    file = write_parquet(tmp_path / "in.parquet", rows)
    flags = ["--in", str(file), "--out", str(tmp_path / "out"), "--tokenizer", str(tokenizer_folder)]
    flags.append("--max-prompt-length")
    mix.main([*flags, "250"])
    mixed = pq.read_table(tmp_path / "out" / "in.parquet").to_pylist()
    assert [row["extra_info"]["index"] for row in mixed] == [0, 1, 3]
    assert "1 of 4 rows dropped, longer than 250 tokens under some persona" in capsys.readouterr().out
    with pytest.raises(UserError, match="all 4 prompts are longer than --max-prompt-length 20 under some persona"):
        mix.main([*flags, "20"])


def test_the_doctor_measures_the_first_rows_under_every_persona(tmp_path: Path, tokenizer_folder: Path) -> None:
    rows = write_parquet(tmp_path / "mine.parquet", [dapo(number) for number in range(10)])

    def findings(limit: int) -> list[tuple[str, str]]:
        files = {"data.train_files": str(rows), "data.permix.pool": "train"}
        settings = bare_of({**files, "data.max_prompt_length": limit})
        setup = Setup(model=str(tokenizer_folder), run_dir=tmp_path / "run", config=settings)
        return [(found.severity, found.line("data")) for found in prepared_rows(setup)]

    severity, line = findings(100)[-1]
    assert severity == "error"
    assert "10 of the first 10 training rows have more than 100 tokens under some persona (up to " in line
    needed = int(line.partition("set PROMPT_LENGTH=")[2].partition(",")[0])
    assert findings(needed)[-1] == (
        "ok",
        f"ok      data           the first 10 training rows have up to {needed} tokens under every persona",
    )
    assert findings(needed - 1)[-1][0] == "error"
