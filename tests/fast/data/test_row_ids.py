"""Row ids: an id of the row's own, an index, or a hash of the content; never the place in a file."""

from typing import Any

import pytest

from permix_verl import UserError
from permix_verl.data.row_ids import content_id, field_names, field_of, row_id_of


def row(text: str = "1 + 1 = ?", **info: Any) -> dict[str, Any]:
    return {
        "data_source": "openai/gsm8k",
        "prompt": [{"role": "system", "content": "Be kind."}, {"role": "user", "content": text}],
        "reward_model": {"style": "rule", "ground_truth": "2"},
        "extra_info": info,
        "tag": {"uid": 9},
    }


def test_a_content_id_hangs_on_every_text_and_its_place() -> None:
    assert content_id("a", "b") == "facdde7abf1eac5b", "frozen: prepared data hold such ids"
    different = {
        content_id(*texts) for texts in (("a", "b"), ("b", "a"), ("ab",), ("a", "b", ""), ("a", "B"), ("ab", ""))
    }
    assert len(different) == 6
    assert content_id("\ud800") != content_id("?"), "half a surrogate pair is a text too"


def test_a_rows_own_id_comes_first_then_its_index_then_its_content() -> None:
    assert row_id_of(row(row_id="mine/7", index=3, split="train")) == "mine/7"
    assert row_id_of(row(index=3, split="train")) == "openai/gsm8k/train/3"
    assert row_id_of(row(index="9a-b"), name="dapo") == "dapo/9a-b"
    assert row_id_of(row()) == f"openai/gsm8k/{content_id('1 + 1 = ?', '2')}"
    assert row_id_of({**row(), "extra_info": None}) == row_id_of(row())
    assert row_id_of(row(index=3), id_field="content") == row_id_of(row())
    assert row_id_of(row(index=3, uid="u"), id_field="uid") == "openai/gsm8k/u"
    assert row_id_of(row(index=3), id_field="tag.uid") == "openai/gsm8k/9"
    assert row_id_of(row(index=4.0)) == "openai/gsm8k/4", "integers beside a missing value are floats in some files"


def test_a_hash_ignores_the_system_message_and_nothing_else() -> None:
    other = row()
    other["prompt"][0]["content"] = "You are a chef."
    assert row_id_of(other) == row_id_of(row())
    assert row_id_of(row("1 + 1 =?")) != row_id_of(row())
    assert row_id_of({**row(), "reward_model": {"ground_truth": "3"}}) != row_id_of(row())


def test_bad_ids_are_one_clear_error() -> None:
    with pytest.raises(UserError, match=r"no id in field 'nope'; fields of the row: data_source, .*, tag\.uid"):
        row_id_of(row(), id_field="nope")
    with pytest.raises(UserError, match=r"id \[1\] in field 'extra_info.index' is neither a text nor an integer"):
        row_id_of(row(index=[1]))


def test_dots_reach_into_structs_and_a_name_with_a_dot_comes_first() -> None:
    record = {"a": {"b": {"c": 1}}, "a.b": 2, "x": None}
    assert [field_of(record, name) for name in ("a.b", "a.b.c", "a.c", "x.y", "z")] == [2, 1, None, None, None]
    assert field_of({"a": {"b": {"c": 1}}}, "a.b.c") == 1
    assert field_names({"a": {"b": 1, "c": {"d": 2}}, "e": []}) == ["a.b", "a.c.d", "e"]
