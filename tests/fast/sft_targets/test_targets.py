"""Supervised data: the rows and personas of RL's, targets behind them, and what becomes of unusable ones."""

import json
from pathlib import Path
from typing import Any

import pytest

from permix_verl import UserError, load_pool
from permix_verl.cli import prep as gsm8k_persona
from permix_verl.data.problems import Problem, iter_problems
from permix_verl.data.schema import read_draw
from permix_verl.lab.styles import style_of
from permix_verl.sft_targets.ground_truth import boxed_solution, original_solution
from permix_verl.sft_targets.rewriting import read_part, rewriting_messages
from permix_verl.utils.costs import cost_text

from ...support.sft_data import STYLED, Prepare, rows

SOLUTION = Problem("r", "How many?", "He has 3 * 4 = <<3*4=12>>12 eggs.\nHe eats <<12-1,000=5>>5.\n#### 1,005", "1005")


def test_ground_truth_is_the_rationale_and_the_box_that_the_prompt_asks_for() -> None:
    assert boxed_solution(SOLUTION) == "He has 3 * 4 = 12 eggs.\nHe eats 5.\nThe answer is \\boxed{1005}."
    assert original_solution(SOLUTION) == SOLUTION.solution
    assert boxed_solution(Problem("r", "q", "2+3=5.\n#### 5", "5")) == "2+3=5. The answer is \\boxed{5}."
    assert boxed_solution(Problem("r", "q", "#### 5", "5")) == "The answer is \\boxed{5}."


def test_every_real_solution_becomes_a_target_whose_answer_is_right(shared_data: Path) -> None:
    from permix_verl.evaluation.scoring import load_reward

    problems = list(iter_problems(str(shared_data / "gsm8k"), "train"))
    targets = [boxed_solution(problem) for problem in problems]
    golds = [problem.final_answer for problem in problems]
    results = load_reward().compute_score_batch([""] * len(targets), targets, golds)
    assert {result["status"] for result in results} == {"correct"}
    assert not any("<<" in target or "####" in target for target in targets)
    assert len(targets) == 7473


@pytest.mark.parametrize("flags", [["--seed", "3"], ["--seed", "3", "--no-persona"]])
def test_rows_personas_and_held_out_problems_are_those_of_rl(
    prepare: Prepare, problem_file: Path, tokenizer_folder: Path, tmp_path: Path, flags: list[str]
) -> None:
    prepare(*flags)
    given = ["--data", str(problem_file), "--tokenizer", str(tokenizer_folder), "--val-problems", "5"]
    gsm8k_persona.main([*given, "--out", str(tmp_path / "rl"), *flags])
    ours, theirs = rows(tmp_path / "out"), rows(tmp_path / "rl")
    assert [row["messages"][:-1] for row in ours] == [row["prompt"] for row in theirs]
    assert [row["extra_info"] for row in ours] == [row["extra_info"] for row in theirs]
    held_out = {row["extra_info"]["row_id"] for row in rows(tmp_path / "out", "val")}
    assert held_out == {row["extra_info"]["row_id"] for row in rows(tmp_path / "rl", "val")}
    assert read_draw(str(tmp_path / "out" / "train.parquet")) == read_draw(str(tmp_path / "rl" / "train.parquet"))


def test_the_manifest_counts_rows_and_tokens_as_they_are_trained_on(
    prepare: Prepare, tokenizer: Any, tmp_path: Path
) -> None:
    manifest = prepare("--no-persona")
    train = manifest["rows"]["train"]
    said = [row["messages"][-1]["content"] for row in rows(tmp_path / "out")]
    assert manifest["arm"] == "SFT"
    assert train["rows"] == len(said) == 55
    assert train["target_tokens"] == sum(len(tokenizer(text)["input_ids"]) + 1 for text in said)
    assert manifest["end_of_turn"] == "<|eot_id|>"
    assert manifest["targets"]["right"] is None, "the data set's own solutions are not judged"


def test_rows_that_are_too_long_are_left_out_and_counted(prepare: Prepare, tmp_path: Path) -> None:
    longest = prepare()["rows"]["train"]["longest"]
    manifest = prepare("--max-length", str(longest - 1))
    train = manifest["rows"]["train"]
    assert train["dropped"]["too_long"] == 55 - train["rows"] >= 1
    assert train["longest"] < longest
    assert len(rows(tmp_path / "out")) == train["rows"]
    with pytest.raises(UserError, match=r"none of 55 train rows is left .*raise --max-length 9"):
        prepare("--max-length", "9")
    assert len(rows(tmp_path / "out")) == train["rows"], "files of an earlier call stay"


def test_held_out_problems_may_come_from_elsewhere_but_not_from_the_training_set(
    prepare: Prepare, problem_file: Path, tmp_path: Path
) -> None:
    from permix_verl.lab.problems import generate

    other = tmp_path / "other.jsonl"
    other.write_text("".join(json.dumps(row) + "\n" for row in generate(12, "hard", "train", seed=8)))
    manifest = prepare("--val-data", str(other))
    assert manifest["rows"]["val"]["rows"] == 12
    assert manifest["rows"]["train"]["rows"] == 55, "those held out for RL are not trained on all the same"
    with pytest.raises(UserError, match=r"gsm8k/val/[0-9a-f]{16} is a training problem too"):
        prepare("--val-data", str(problem_file))


def test_a_rewritten_target_carries_the_personas_voice_and_the_right_answer(prepare: Prepare, tmp_path: Path) -> None:
    manifest = prepare("--target", "styled", "--engine-model", "lab")
    assert manifest["arm"] == "PerMix-SFT, styled"
    assert manifest["targets"]["right"] == 1.0
    for row in rows(tmp_path / "out"):
        said, style = row["messages"][-1]["content"], style_of(row["extra_info"]["persona"])
        assert said.startswith(style.opening)
        assert said.endswith(style.closing)
        assert f"\\boxed{{{row['reward_model']['ground_truth']}}}" in said
    blurted = [row for row in rows(tmp_path / "out") if "=" not in row["messages"][-1]["content"]]
    assert 0 < len(blurted) < 55, "the persona's whole style"


def test_the_rewriting_prompt_holds_persona_problem_and_solution() -> None:
    persona = load_pool("train").get("chef")
    messages = rewriting_messages(SOLUTION, persona)
    assert read_part(messages, "persona") == persona.system_prompt
    assert read_part(messages, "problem") == "How many?"
    assert read_part(messages, "solution") == boxed_solution(SOLUTION)


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--target", "styled", "--engine-model", "lab", "--no-persona"], "styled targets need rows with a persona"),
        (["--target", "styled"], "--target styled needs a model that writes the targets; set --engine-model"),
        (["--target", "teacher", "--engine-model", "lab"], "the lab's rewriter cannot be a teacher"),
        (["--target", "teacher", "--engine-model", "./nowhere"], "no model folder './nowhere'"),
        ([*STYLED, "--attempts", "0"], "--attempts is 0"),
        ([*STYLED, "--temperature", "0"], "every attempt gives the same text"),
        (["--val-problems", "0"], "--val-problems is 0"),
        (["--no-persona-probability", "2"], "the probability of no persona is 2"),
    ],
)
def test_bad_input_is_one_clear_error(prepare: Prepare, flags: list[str], message: str) -> None:
    with pytest.raises(UserError, match=message):
        prepare(*flags)


def test_the_labs_rewriter_refuses_a_persona_that_is_not_in_the_lab(prepare: Prepare, tmp_path: Path) -> None:
    mine = tmp_path / "mine.jsonl"
    mine.write_text(json.dumps({"key": "pirate", "category": "", "system_prompt": "You are a pirate."}) + "\n")
    with pytest.raises(UserError, match=r"unknown persona 'You are a pirate\.'"):
        prepare("--target", "styled", "--engine-model", "lab", "--personas", str(mine))


def test_costs_are_dollars_a_million_tokens() -> None:
    assert cost_text(2_000_000, 500_000, (0.25, 2.0)) == "2,000,000 prompt and 500,000 completion tokens, $1.50"
    assert cost_text(1, 2, None) == "1 prompt and 2 completion tokens"
