"""Pools load, validate and stay apart."""

import json
import re
from dataclasses import replace
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
        ([CHEF | {"system_prompt": " \n\t\u00a0"}], "line 1: field 'system_prompt' is"),
        ([CHEF | {"system_prompt": []}], "line 1: field 'system_prompt' is an empty list; give at least one text"),
        ([CHEF | {"system_prompt": ["You cook.", " "]}], r"line 1: field 'system_prompt\[1\]' is ' '"),
        ([CHEF | {"system_prompt": ["You cook.", 5]}], r"line 1: field 'system_prompt\[1\]' is 5"),
        ([CHEF | {"system_prompt": ["You cook.", "you  COOK."]}], "has 'you  COOK.' twice, as wordings 0 and 1"),
        ([CHEF, CHEF | {"key": "cook", "system_prompt": ["x", "You are a chef."]}], "line 2: duplicate system_prompt"),
        ([CHEF, CHEF | {"key": "cook", "system_prompt": "x", "weight": -0.5}], "line 2: weight is -0.5; it must be a"),
        ([CHEF | {"weight": float("nan")}], "line 1: weight is nan; it must be a finite number of 0 or more"),
        ([CHEF | {"weight": float("inf")}], "line 1: weight is inf"),
        ([CHEF | {"weight": 10**400}], "line 1: weight is 1000000000"),
        ([CHEF | {"weight": "2"}], "line 1: weight is '2'"),
        ([CHEF | {"weight": True}], "line 1: weight is True"),
        ([CHEF | {"weight": 0}, {"key": "cook", "system_prompt": "x", "weight": 0.0}], "all 2 weights are 0; give at"),
        ([CHEF | {"system_prompt": "You are \ud800."}], "'system_prompt' has '.ud800' at character 9, half of a surr"),
        ([CHEF | {"key": "\udc00"}], "line 1: field 'key' has '.udc00'"),
        ([CHEF | {"persona": "A chef"}], "line 1: both 'persona' and 'system_prompt' are given; leave out one"),
        ([{"persona": "A chef"}, {"persona": "A chef"}], "line 2: duplicate key 'chef_"),
        ([{"persona": "A chef"}, {"persona": "a  Chef."}], "line 2: duplicate system_prompt"),
        ([{"persona": "\t"}], r"line 1: field 'persona' is '\\t'"),
        (
            [{"input persona": "A chef", "synthesized text": "x"}],
            "line 1: unknown field 'input persona'; known: key, category, system_prompt, weight, persona",
        ),
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


@pytest.mark.parametrize("line", ["9" * 5000, "[" * 100_000])
def test_a_line_that_python_cannot_parse_is_not_json_either(tmp_path: Path, line: str) -> None:
    file = tmp_path / "pool.jsonl"
    file.write_text(line)
    with pytest.raises(UserError, match="line 1: not JSON"):
        load_pool(file)


def test_a_pool_that_is_not_utf8_is_named(tmp_path: Path) -> None:
    file = tmp_path / "pool.jsonl"
    file.write_bytes(json.dumps(CHEF).encode() + b"\n\xff\n")
    with pytest.raises(UserError, match=r"pool\.jsonl is not UTF-8 text"):
        load_pool(file)


def test_a_missing_pool_names_the_packaged_ones() -> None:
    with pytest.raises(UserError, match="no persona pool 'trian'; give one of train, eval"):
        load_pool("trian")


def test_an_unknown_persona_names_the_known_ones() -> None:
    with pytest.raises(UserError, match=r"unknown persona 'chf' in pool train; known: .*chef"):
        load_pool("train").get("chf")


def test_an_unknown_persona_of_a_large_pool_names_some_of_the_known_ones() -> None:
    pool = PersonaPool("own", tuple(Persona(f"p{i}", "", f"You are {i}.") for i in range(3000)))
    with pytest.raises(UserError, match=r"known: p0, p1, .*, p49 and 2950 more$"):
        pool.get("x")


def test_overlapping_pools_are_refused_by_key_and_by_text() -> None:
    train = PersonaPool("train", (Persona("chef", "", "You are a chef."),))
    with pytest.raises(UserError, match=r"share the keys \['chef'\]"):
        check_disjoint(train, PersonaPool("eval", (Persona("chef", "", "You cook."),)))
    with pytest.raises(UserError, match="'chef' of pool train has the same text as 'cook'"):
        check_disjoint(train, PersonaPool("eval", (Persona("cook", "", "you are a  Chef."),)))
    several = Persona("cook", "", "You cook.", paraphrases=("You are a chef.",))
    for pools in ((train, PersonaPool("eval", (several,))), (PersonaPool("own", (several,)), train)):
        with pytest.raises(UserError, match="has the same text as"):
            check_disjoint(*pools)


DESCRIPTIONS = {
    "A political analyst specialized in El Salvador's political landscape": "You are a political analyst specialized "
    "in El Salvador's political landscape.",
    "  An art student.\n": "You are an art student.",
    "The mayor of Oslo!": "You are the mayor of Oslo!",
    'A fan of "Dune."': 'You are a fan of "Dune."',
    "Someone who counts": "You are someone who counts.",
    "NASA engineer": "You are NASA engineer.",
    "Marie Curie, in her laboratory": "You are Marie Curie, in her laboratory.",
    "Marie, a nurse": "You are Marie, a nurse.",
    "A Marxist historian": "You are a Marxist historian.",
    "You are a nurse": "You are a nurse.",
    "X": "You are x.",
}


def test_personahubs_descriptions_become_system_prompts(tmp_path: Path) -> None:
    pool = load_pool(write_pool(tmp_path / "hub.jsonl", *({"persona": text} for text in DESCRIPTIONS)))
    assert [persona.system_prompt for persona in pool] == list(DESCRIPTIONS.values())
    assert re.fullmatch(r"political_analyst_specialized_in_[0-9a-f]{12}", pool.keys[0])
    assert all(re.fullmatch(r"\w+", key) for key in pool.keys)
    shuffled = load_pool(write_pool(tmp_path / "other.jsonl", *({"persona": text} for text in reversed(DESCRIPTIONS))))
    assert sorted(shuffled.keys) == sorted(pool.keys), "a key depends on its text alone"


def test_a_description_may_have_a_key_a_category_and_a_weight(tmp_path: Path) -> None:
    record = {"key": "nurse", "category": "Jobs", "weight": 2, "persona": "A nurse"}
    assert list(load_pool(write_pool(tmp_path / "hub.jsonl", record))) == [
        Persona("nurse", "Jobs", "You are a nurse.", 2.0)
    ]


def test_hash_and_json_of_pools_without_weights_and_wordings_are_those_of_the_first_release() -> None:
    for name, digest in POOL_HASHES.items():
        assert load_pool(name).sha256() == digest
    assert OWN.sha256() == "3a63818fd93be8476cbf30aa21f9a3e62ed756504b1720a44da1d8f1579a05ad"


POOL_HASHES = {
    "train": "ddabc2e95a6a58ea16ddf9eaa1df85cdebf53f249cb140db822117c20226a59f",
    "eval": "6e982aaf197f4ffcae8dc0b61a2cd86903320e5984ef2c6ac42658a7bdaa1e06",
}
OWN = PersonaPool("own", tuple(Persona(f"p {i}", f"c{i % 3}", f"You are person {i}.") for i in range(777)))


def test_the_hash_covers_weights_and_wordings() -> None:
    chef = Persona("chef", "", "You cook.")
    pools = [
        chef,
        replace(chef, weight=2.0),
        replace(chef, paraphrases=("x",)),
        replace(chef, weight=2, paraphrases=("x",)),
    ]
    assert len({PersonaPool("own", (persona,)).sha256() for persona in pools}) == 4
    assert [Persona.from_record(json.loads(json.dumps(persona.record()))) for persona in pools] == pools
