"""Rows without personas: checks, ids, repeated rows, and system messages of their own."""

from typing import Any

import pytest

from permix_verl import UserError, load_pool
from permix_verl.data.plain_rows import RowScan, check_row, numbered_ids, repeats_note, row_id
from permix_verl.data.system_message import POLICIES, compose, split_system, system_text

from ...support.verl_rows import OWN, dapo, deepscaler, openr1, parts_row, tool_row

PERSONA = load_pool("train").get("chef")


def ids_of(rows: list[dict[str, Any]], **settings: Any) -> list[str]:
    scan = RowScan(**settings)
    names = [scan.add(row, f"x.parquet, row {number}") for number, row in enumerate(rows)]
    ranks = scan.ranks(lambda position: (f"x.parquet, row {position}", rows[position]))
    return numbered_ids(scan, names, ranks)


@pytest.mark.parametrize("make", [deepscaler, dapo, tool_row, parts_row])
def test_rows_of_public_forms_pass(make: Any) -> None:
    check_row(make(3), "x.parquet, row 3")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"prompt": "What is 1 + 1?"}, "'prompt' is the text 'What is 1 \\+ 1\\?', not a list of chat messages; write"),
        ({"prompt": []}, "'prompt' is an empty list"),
        ({"prompt": None}, "'prompt' is None, not a list"),
        ({"prompt": ["What is 1 + 1?"]}, "has the message What is 1 \\+ 1\\?, without a role"),
        ({"prompt": [{"content": "x"}]}, "has the message {'content': 'x'}, without a role"),
        ({"reward_model": {"style": "rule", "ground_truth": None}}, "'reward_model.ground_truth' is missing"),
        ({"reward_model": {"style": "rule", "ground_truth": ""}}, "'reward_model.ground_truth' is missing"),
        ({"extra_info": '{"index": 3}'}, "'extra_info' is .*, not an object"),
        ({"extra_info": {"persona": "chef"}}, "has extra_info.persona='chef' already, so personas were mixed into it"),
        ({"extra_info": {"epoch": 0}}, "has extra_info.epoch=0 already"),
    ],
)
def test_a_bad_row_is_named(change: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=f"x.parquet, row 3.*{message}"):
        check_row(deepscaler(3) | change, "x.parquet, row 3")


def test_problems_are_no_rows() -> None:
    with pytest.raises(UserError, match=r"row 0 has no 'data_source', but 'question', 'answer'.*permix prep"):
        check_row({"question": "1 + 1 = ?", "answer": "2"}, "x.parquet, row 0")
    with pytest.raises(UserError, match="row 0 is list, not an object"):
        check_row([], "x.parquet, row 0")


def test_ids_are_the_rows_own_or_their_contents() -> None:
    assert row_id(deepscaler(3)) == "deepscaler/train/3"
    assert row_id(dapo(3)) == f"math_dapo/{dapo(3)['extra_info']['index']}"
    assert row_id(openr1(3)) == row_id({**openr1(3), "prompt": openr1(3)["prompt"][1:]}), "a system message counts not"
    assert row_id(openr1(3)) != row_id(openr1(4))
    assert row_id(deepscaler(3), "content").startswith("deepscaler/train/")
    assert row_id(deepscaler(3) | {"uuid": "u"}, "uuid") == "deepscaler/train/u"
    with pytest.raises(UserError, match="no id in field 'uuid'; fields of the row: data_source, prompt"):
        row_id(deepscaler(3), "uuid")


def test_rows_that_repeat_are_numbered_by_position_among_equals() -> None:
    rows = [dapo(0), dapo(1), dapo(0), dapo(0), dapo(1)]
    first, other = (dapo(number)["extra_info"]["index"] for number in (0, 1))
    names = [f"math_dapo/{name}" for name in (first, other, f"{first}#2", f"{first}#3", f"{other}#2")]
    assert ids_of(rows) == names
    scan = RowScan()
    for row in rows:
        scan.add(row, "")
    note = repeats_note(scan.ranks(lambda position: ("", rows[position])))
    assert note.startswith("3 of 5 rows repeat one of 2 problems under its id")
    assert repeats_note(scan.ranks(lambda position: ("", rows[position]))[:2]) == ""


def test_one_id_for_two_problems_is_an_error_with_both_rows() -> None:
    rows = [deepscaler(0), deepscaler(1), deepscaler(2)]
    rows[2]["extra_info"]["index"] = 0
    said = "one row id, 'deepscaler/train/0', for two problems: x.parquet, row 0 .* and x.parquet, row 2 .*id_field"
    with pytest.raises(UserError, match=said):
        ids_of(rows)
    assert len(set(ids_of(rows, id_field="content"))) == 3, "the remedy that it names"


def test_the_name_of_a_repeated_row_may_not_be_anothers_id() -> None:
    rows = [dapo(0), dapo(1), dapo(0)]
    rows[1]["extra_info"]["index"] = rows[0]["extra_info"]["index"] + "#2"
    with pytest.raises(UserError, match="#2' is a row's id and the name of a repeated row"):
        ids_of(rows)


def test_own_system_messages_are_refused_with_their_number_one_of_them_and_the_choices() -> None:
    rows = [deepscaler(0), openr1(1), openr1(2)]
    said = (
        r"2 of 3 rows have a system message of their own, first x.parquet, row 1: 'You are a careful.*replace.*prepend"
    )
    with pytest.raises(UserError, match=said):
        ids_of(rows)
    assert len(ids_of(rows, refuse_system=False)) == 3


@pytest.mark.parametrize(
    ("policy", "text"),
    [
        ("replace", PERSONA.system_prompt),
        ("prepend", f"{PERSONA.system_prompt}\n\n{OWN}"),
        ("append", f"{OWN}\n\n{PERSONA.system_prompt}"),
    ],
)
def test_a_persona_and_an_own_text_are_one_message(policy: str, text: str) -> None:
    own, others = split_system(openr1(3)["prompt"])
    assert own == OWN
    assert compose(PERSONA, own, others, policy) == [{"role": "system", "content": text}, *openr1(3)["prompt"][1:]]
    assert compose(None, own, others, policy) == openr1(3)["prompt"], "without a persona a prompt is the original one"


def test_what_no_policy_decides() -> None:
    for policy in POLICIES:
        assert system_text(PERSONA, None, policy) == PERSONA.system_prompt
        assert system_text(None, None, policy) is None
        assert system_text(PERSONA, "  ", policy) == PERSONA.system_prompt
    with pytest.raises(UserError, match="has a system message of its own"):
        system_text(PERSONA, OWN, "refuse")


def test_a_system_message_may_be_of_parts_but_not_of_images() -> None:
    parts = [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]
    assert split_system([{"role": "system", "content": parts}])[0] == "ab"
    with pytest.raises(UserError, match="which is no text"):
        split_system([{"role": "system", "content": [{"type": "image", "image": "x"}]}])


def test_later_system_messages_stay_where_they_are() -> None:
    chat = [{"role": "user", "content": "a"}, {"role": "system", "content": "b"}, {"role": "user", "content": "c"}]
    own, others = split_system(chat)
    assert own is None
    assert compose(PERSONA, own, others, "refuse")[1:] == chat
