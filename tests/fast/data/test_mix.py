"""``mix_personas``: personas for data sets outside verl."""

from pathlib import Path
from typing import Any

import datasets
import pytest

from permix_verl import PersonaDraw, UserError, load_pool, mix_personas
from permix_verl.data.row_ids import content_id

ROWS = [{"question": f"What is {number} + 1?", "answer": str(number + 1)} for number in range(40)]


def by_problem(dataset: Any) -> dict[str, str]:
    return dict(zip(dataset["question"], dataset["persona"], strict=True))


def test_a_problem_keeps_its_persona_in_another_order() -> None:
    mixed = mix_personas(datasets.Dataset.from_list(ROWS), seed=3)
    other_order = mix_personas(datasets.Dataset.from_list(ROWS[::-1]), seed=3)
    assert by_problem(mixed) == by_problem(other_order)
    draw = PersonaDraw(load_pool("train"), seed=3)
    persona = draw.persona(0, content_id(ROWS[5]["question"]))
    assert persona is not None
    assert mixed[5]["persona"] == persona.key
    assert mixed[5]["prompt"][0] == {"role": "system", "content": persona.system_prompt}
    assert mixed[5]["answer"] == "6"


def test_positions_are_ids_where_that_is_asked_for() -> None:
    """Negative control: there another order draws other personas."""
    mixed = mix_personas(datasets.Dataset.from_list(ROWS), id_column="position")
    draw = PersonaDraw(load_pool("train"), seed=0)
    assert mixed["persona"][:] == [draw.persona(0, str(i)).key for i in range(40)]  # type: ignore[union-attr]
    other_order = mix_personas(datasets.Dataset.from_list(ROWS[::-1]), id_column="position")
    assert by_problem(mixed) != by_problem(other_order)


@pytest.mark.parametrize(
    ("columns", "row_id"),
    [
        ({"uuid": "u7"}, "u7"),
        ({"id": 7}, "7"),
        ({"extra_info": {"index": 7, "split": "train"}, "data_source": "mine"}, "mine/train/7"),
        ({"extra_info": {"row_id": "r7"}, "uuid": "u7"}, "r7"),
    ],
)
def test_ids_come_from_the_rows_where_they_have_any(columns: dict[str, Any], row_id: str) -> None:
    mixed = mix_personas(datasets.Dataset.from_list([{**ROWS[0], **columns}]))
    persona = PersonaDraw(load_pool("train"), seed=0).persona(0, row_id)
    assert persona is not None
    assert mixed["persona"][0] == persona.key


def test_rows_that_repeat_draw_independently() -> None:
    mixed = mix_personas(datasets.Dataset.from_list([ROWS[0]] * 30))
    draw = PersonaDraw(load_pool("train"), seed=0)
    name = content_id(ROWS[0]["question"])
    names = [name, *(f"{name}#{number}" for number in range(2, 31))]
    assert mixed["persona"][:] == [draw.persona(0, row_id).key for row_id in names]  # type: ignore[union-attr]
    assert len(set(mixed["persona"])) > 5


def test_one_id_for_two_problems_is_refused() -> None:
    rows = datasets.Dataset.from_list([row | {"id": "a"} for row in ROWS[:2]])
    for id_column in ("id", None):
        with pytest.raises(UserError, match="row 1: one row id, 'a', for two problems, here 'What is 1"):
            mix_personas(rows, id_column=id_column)
    assert len(mix_personas(rows, id_column="answer")) == 2


def test_a_column_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no column 'problem'; its columns: question, answer"):
        mix_personas(datasets.Dataset.from_list(ROWS), problem_column="problem")
