"""Pools load, validate and stay apart."""

import json
from pathlib import Path

import pytest

from permix_verl import Persona, PersonaPool, UserError, check_disjoint, load_pool


def write_pool(path: Path, *records: object) -> Path:
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    return path


CHEF = {"key": "chef", "category": "Jobs", "system_prompt": "You are a chef."}


def test_the_papers_pools_have_25_and_16_personas_in_its_categories() -> None:
    train, held_out = load_pool("train"), load_pool("eval")
    assert (len(train), len(held_out)) == (25, 16)
    assert len({persona.category for persona in train}) == 5
    assert len({persona.category for persona in held_out}) == 4
    assert train.get("zen master").slug == "zen_master"


def test_the_papers_pools_are_disjoint() -> None:
    check_disjoint(load_pool("train"), load_pool("eval"))


def test_the_packaged_pools_are_the_papers_tables(shared_data: Path) -> None:
    for name in ("train", "eval"):
        lines = (shared_data / "personas" / f"{name}.jsonl").read_text().splitlines()
        expected = [json.loads(line) for line in lines]
        assert [(p.key, p.category, p.system_prompt) for p in load_pool(name)] == [
            (record["key"], record["category"], record["system_prompt"]) for record in expected
        ]


def test_a_custom_pool_loads_by_path_and_needs_no_category(tmp_path: Path) -> None:
    pool = load_pool(write_pool(tmp_path / "mine.jsonl", CHEF, {"key": "cook", "system_prompt": "You cook."}))
    assert pool.keys == ("chef", "cook")
    assert pool.name == "mine"


@pytest.mark.parametrize(
    ("records", "message"),
    [
        ([], "has no persona"),
        ([CHEF, CHEF | {"system_prompt": "x"}], "line 2: duplicate key 'chef', first on line 1"),
        ([CHEF, CHEF | {"key": "cook", "system_prompt": "you  are a CHEF."}], "line 2: duplicate system_prompt"),
        (
            [CHEF | {"key": "a b"}, CHEF | {"key": "a_b", "system_prompt": "x"}],
            "duplicate key .ignoring spaces and slashes. 'a_b'",
        ),
        ([CHEF | {"system_prompt": " "}], "line 1: field 'system_prompt' is ' '"),
        ([CHEF | {"key": 3}], "line 1: field 'key' is 3"),
        ([CHEF | {"sytem_prompt": "x"}], "unknown field 'sytem_prompt'; known: key, category, system_prompt"),
        ([["chef"]], "line 1: expected an object, got list"),
        ([CHEF | {"key": "no_persona"}], "is the name of the condition without a persona"),
        ([CHEF | {"key": "no persona"}], "is the name of the condition without a persona"),
        (
            [CHEF | {"key": "a/b"}, CHEF | {"key": "a b", "system_prompt": "x"}],
            "duplicate key .ignoring spaces and slashes",
        ),
    ],
)
def test_a_bad_pool_is_one_clear_error(tmp_path: Path, records: list[object], message: str) -> None:
    with pytest.raises(UserError, match=message):
        load_pool(write_pool(tmp_path / "pool.jsonl", *records))


def test_a_line_that_is_not_json_is_named_by_its_number(tmp_path: Path) -> None:
    file = tmp_path / "pool.jsonl"
    file.write_text(json.dumps(CHEF) + '\n{"key": \n')
    with pytest.raises(UserError, match="line 2: not JSON"):
        load_pool(file)


def test_a_missing_pool_names_the_packaged_ones() -> None:
    with pytest.raises(UserError, match="no persona pool 'trian'; give one of train, eval"):
        load_pool("trian")


def test_an_unknown_persona_names_the_known_ones() -> None:
    with pytest.raises(UserError, match=r"unknown persona 'chf' in pool train; known: .*chef"):
        load_pool("train").get("chf")


def test_overlapping_pools_are_refused_by_key_and_by_text() -> None:
    train = PersonaPool("train", (Persona("chef", "", "You are a chef."),))
    with pytest.raises(UserError, match=r"share the keys \['chef'\]"):
        check_disjoint(train, PersonaPool("eval", (Persona("chef", "", "You cook."),)))
    with pytest.raises(UserError, match="'chef' of pool train has the same text as 'cook'"):
        check_disjoint(train, PersonaPool("eval", (Persona("cook", "", "you are a  Chef."),)))
