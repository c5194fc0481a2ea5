"""Problems in plain words: right, disjoint by template, text and calculation, and the same for any count."""

import itertools
import json
import re
from pathlib import Path

import pytest

from permix_verl.cli.lab_problems import main
from permix_verl.data.problems import iter_problems
from permix_verl.errors import UserError
from permix_verl.evaluation.tasks import find_task, load_problems
from permix_verl.lab.plain_problems import (
    PLAIN_LEVELS,
    PLAIN_SPLITS,
    calculation_of,
    generate_plain,
    split_of_calculation,
    templates,
)

LEVELS_AND_SPLITS = list(itertools.product(PLAIN_LEVELS, PLAIN_SPLITS))
BLANK = re.compile(r"\d+|\{\w+\}")


@pytest.mark.parametrize(("level", "split"), LEVELS_AND_SPLITS)
def test_problems_are_right_and_in_gsm8ks_format(level: str, split: str, tmp_path: Path) -> None:
    rows = generate_plain(200, level, split, seed=5)
    assert rows == generate_plain(200, level, split, seed=5)
    assert rows[:40] == generate_plain(40, level, split, seed=5)
    assert rows != generate_plain(200, level, split, seed=6)
    assert len({row["question"] for row in rows}) == 200
    for row in rows:
        steps = re.findall(r"<<(\d+)([-+*/])(\d+)=(\d+)>>", row["answer"])
        assert len(steps) == row["answer"].count("<<") == (1 if level == "plain_one" else 2)
        told = re.findall(r"\d+", row["question"])
        for number, (left, sign, right, result) in enumerate(steps):
            assert eval(f"{left} {sign} {right}") == int(result) > 0
            assert {left, right} <= {*told, *(step[3] for step in steps[:number])}
        used = [value for step in steps for value in (step[0], step[2])]
        assert all(told.count(value) <= used.count(value) for value in told)  # no number is there for nothing
        assert row["answer"].endswith(f"\n#### {steps[-1][3]}")
        assert "{" not in row["question"]
    file = tmp_path / "rows.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert len(list(iter_problems(str(file)))) == 200


@pytest.mark.parametrize("level", PLAIN_LEVELS)
def test_splits_share_no_template_no_problem_and_no_calculation(level: str) -> None:
    rows = {split: generate_plain(200, level, split) for split in PLAIN_SPLITS}
    for one, other in itertools.combinations(PLAIN_SPLITS, 2):
        for view in (lambda row: row["question"], lambda row: calculation_of(row["answer"])):
            assert not {view(row) for row in rows[one]} & {view(row) for row in rows[other]}
    texts = [template.text for split in PLAIN_SPLITS for template in templates(level, split)]
    assert len({BLANK.sub("_", text) for text in texts}) == len(texts)


def test_a_third_of_the_templates_is_for_the_test() -> None:
    numbers = {(level, split): len(templates(level, split)) for level, split in LEVELS_AND_SPLITS}
    for level in PLAIN_LEVELS:
        share = numbers[level, "test"] / sum(numbers[level, split] for split in PLAIN_SPLITS)
        assert 0.3 < share < 0.36
    forms = {
        (template.level, template.steps)
        for split in PLAIN_SPLITS
        for level in PLAIN_LEVELS
        for template in templates(level, split)
    }
    for level, split in LEVELS_AND_SPLITS:
        assert {(level, template.steps) for template in templates(level, split)} == {
            form for form in forms if form[0] == level
        }


def test_every_template_has_its_turn() -> None:
    rows = generate_plain(len(templates("plain_one", "test")), "plain_one", "test")
    beginnings = {BLANK.sub("_", re.sub(r"\b(she|he|her|him)\b", "_", row["question"])) for row in rows}
    assert len(beginnings) == len(rows)


def test_a_sum_is_one_calculation_in_either_order() -> None:
    assert split_of_calculation("5*4 20+3") == split_of_calculation("4*5 3+20")
    pairs = [(left, right) for left in range(2, 20) for right in range(2, left)]
    differ = [split_of_calculation(f"{a}-{b}") != split_of_calculation(f"{b}-{a}") for a, b in pairs]
    assert any(differ)


@pytest.mark.parametrize(
    ("count", "level", "split", "said"),
    [
        (5, "plain_three", "train", "unknown level 'plain_three'"),
        (5, "plain_one", "base", "level plain_one has no split 'base'"),
        (0, "plain_one", "train", "0 problems requested"),
        (10**6, "plain_one", "validation", "1000000 problems requested, but plain_one has about"),
    ],
)
def test_what_cannot_be_generated_is_refused(count: int, level: str, split: str, said: str) -> None:
    with pytest.raises(UserError, match=said):
        generate_plain(count, level, split)


@pytest.mark.parametrize("level", PLAIN_LEVELS)
def test_a_level_is_a_task(level: str, tmp_path: Path) -> None:
    problems = load_problems(find_task(level), limit=300)
    assert problems[7].id == f"{level}/test/7"
    assert problems[7].question == generate_plain(300, level, "test")[7]["question"]
    file = tmp_path / "mine.jsonl"
    main(["--level", level, "--split", "validation", "--count", "7", "--out", str(file)])
    assert len(load_problems(find_task(level), str(file))) == 7
