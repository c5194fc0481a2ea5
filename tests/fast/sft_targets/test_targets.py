"""Supervised data: the rows and personas of RL's, targets behind them, and what becomes of unusable ones."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from permix_verl import UserError, load_pool
from permix_verl.cli import prep as gsm8k_persona
from permix_verl.cli import prep_sft as gsm8k_sft
from permix_verl.data.problems import Problem, iter_problems
from permix_verl.data.schema import read_draw
from permix_verl.inference.engines import Completion, Engine, Request
from permix_verl.lab.styles import style_of
from permix_verl.personas.pool import NO_PERSONA
from permix_verl.sft_targets import run as command
from permix_verl.sft_targets.ground_truth import boxed_solution, original_solution
from permix_verl.sft_targets.rewriting import read_part, rewriting_messages
from permix_verl.utils.costs import cost_text

Prepare = Callable[..., dict[str, Any]]


@pytest.fixture
def prepare(problem_file: Path, tokenizer_folder: Path, tmp_path: Path) -> Prepare:
    """Run the script on 60 problems of the lab, 5 of them held out; its manifest."""

    def run(*flags: str, out: str = "out") -> dict[str, Any]:
        given = ["--data", str(problem_file), "--tokenizer", str(tokenizer_folder), "--out", str(tmp_path / out)]
        gsm8k_sft.main([*given, "--val-problems", "5", *flags])
        return json.loads((tmp_path / out / "manifest.json").read_text())

    return run


def rows(folder: Path, split: str = "train") -> list[dict[str, Any]]:
    return pq.read_table(folder / f"{split}.parquet").to_pylist()


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
    with pytest.raises(UserError, match="gsm8k/val/0 is a training problem too"):
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


class Scripted:
    """An engine whose answers a test decides, by the request and the number of times that its row was asked."""

    def __init__(self, answer: Callable[[Request, int], Completion]) -> None:
        self.answer, self.asked, self.waiting = answer, [], []  # type: ignore[var-annotated]

    def check_lengths(self, prompts: Sequence[str], max_tokens: int) -> None: ...

    def room(self) -> int:
        return 7 - len(self.waiting)

    def submit(self, requests: Sequence[Request]) -> None:
        self.waiting += requests

    def collect(self) -> list[Completion]:
        finished = []
        for request in reversed(self.waiting):  # in another order than they came
            before = [other for other in self.asked if other.messages == request.messages]
            self.asked.append(request)
            finished.append(self.answer(request, len(before)))
        self.waiting = []
        return finished

    def close(self) -> None: ...


@pytest.fixture
def scripted(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Scripted]:
    def install(answer: Callable[[Request, int], Completion]) -> Scripted:
        engine = Scripted(answer)

        def make(*_: object) -> Engine:
            return engine

        monkeypatch.setattr(command, "_make_engine", make)
        monkeypatch.setattr(command, "identity_of", lambda options: {"model": {"name": options.model}, "adapter": None})
        monkeypatch.setattr(command, "make_renderer", lambda options, personas: None)
        return engine

    return install


def said(request: Request, text: str, reason: str = "stop") -> Completion:
    return Completion(request.key, text, reason, 100, 20)


STYLED = ("--target", "styled", "--engine-model", "some/rewriter")


def test_a_rewrite_that_changes_the_answer_is_asked_for_again_and_then_left_out(
    prepare: Prepare, scripted: Callable[..., Scripted], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def answer(request: Request, attempt: int) -> Completion:
        solution = read_part(request.messages, "solution")
        number = int(request.messages[-1]["content"].split("has ")[1].split(" ")[0])
        if number % 3 == 0 and attempt == 0:
            return said(request, "Rubbish, 12345.")
        if number % 5 == 0:
            return said(request, f"Dearie! \\boxed{{{10**6 + attempt}}}")
        if number % 7 == 0:
            return said(request, f"Dearie! {solution}", "length")
        return said(request, f"Dearie! {solution}")

    engine = scripted(answer)
    manifest = prepare(*STYLED, "--attempts", "3", "--price", "1,10")
    train, val = manifest["rows"]["train"], manifest["rows"]["val"]
    kept = [row["messages"][-1]["content"] for split in ("train", "val") for row in rows(tmp_path / "out", split)]
    assert all(text.startswith("Dearie! ") for text in kept)
    assert train["dropped"]["wrong"] > 0
    assert train["dropped"]["cut"] > 0
    assert train["rows"] + val["rows"] == manifest["targets"]["texts"]["right"] == len(kept)
    assert 3 * (60 - len(kept)) < len(engine.asked), "three attempts for those given up"
    seeds = {request.key: request.seed for request in engine.asked}
    assert len(seeds) == len(engine.asked) == len(set(seeds.values())), "each attempt has a seed of its own"
    printed = capsys.readouterr().out
    dollars = len(engine.asked) * (100 * 1 + 20 * 10) / 1e6
    assert (
        f"{100 * len(engine.asked):,} prompt and {20 * len(engine.asked):,} completion tokens, ${dollars:.2f}"
        in printed
    )
    assert "left out of 55 training rows: " in printed
    assert f"{train['dropped']['wrong']} wrong" in printed


def test_nothing_that_is_stored_is_asked_for_again(
    prepare: Prepare, scripted: Callable[..., Scripted], tmp_path: Path
) -> None:
    engine = scripted(lambda request, attempt: said(request, read_part(request.messages, "solution")))
    prepare(*STYLED, "--store", str(tmp_path / "store"))
    assert len(engine.asked) == 60
    first = rows(tmp_path / "out")
    again = scripted(lambda request, attempt: said(request, "something else"))
    prepare(*STYLED, "--store", str(tmp_path / "store"), out="again")
    assert again.asked == []
    assert rows(tmp_path / "again") == first
    # Another seed draws other personas: only chats that were not asked yet are asked.
    more = scripted(lambda request, attempt: said(request, read_part(request.messages, "solution")))
    prepare(*STYLED, "--store", str(tmp_path / "store"), "--seed", "1", out="other")
    same = sum(row["messages"] in first for row in rows(tmp_path / "other"))
    assert len(more.asked) <= 60 - same
    assert len((tmp_path / "store" / "targets.jsonl").read_text().splitlines()) == 60 + len(more.asked)


def test_a_request_that_fails_is_said_and_asked_again_by_the_same_command(
    prepare: Prepare, scripted: Callable[..., Scripted], tmp_path: Path
) -> None:
    def half_broken(request: Request, attempt: int) -> Completion:
        if request.seed % 2:
            return Completion(request.key, error="HTTP 500: out of memory")
        return said(request, read_part(request.messages, "solution"))

    scripted(half_broken)
    store = ("--store", str(tmp_path / "store"))
    with pytest.raises(UserError, match=r"\d+ of 60 requests gave no text \(such as: HTTP 500: out of memory\)"):
        prepare(*STYLED, *store)
    assert not (tmp_path / "out" / "manifest.json").exists(), "nothing half-written"
    failed = len((tmp_path / "store" / "failures.jsonl").read_text().splitlines())
    kept = len((tmp_path / "store" / "targets.jsonl").read_text().splitlines())
    assert kept + failed == 60
    manifest = prepare(*STYLED, *store, "--keep-going", out="less")
    assert manifest["rows"]["train"]["dropped"] == {"failed": 55 - manifest["rows"]["train"]["rows"]}
    mended = scripted(lambda request, attempt: said(request, read_part(request.messages, "solution")))
    assert prepare(*STYLED, *store)["rows"]["train"]["rows"] == 55
    assert len(mended.asked) == failed


def test_retries_that_a_kill_left_outstanding_are_asked_by_the_same_command(
    prepare: Prepare, scripted: Callable[..., Scripted], tmp_path: Path
) -> None:
    """All first attempts are stored, and half of them are rubbish: due is a second attempt for these, no more."""
    store = ("--store", str(tmp_path / "store"))

    def sloppy(request: Request, attempt: int) -> Completion:
        solution = read_part(request.messages, "solution")
        return said(request, solution if len(solution) % 2 else "Rubbish.")

    scripted(sloppy)
    once = prepare(*STYLED, *store, "--attempts", "1")
    left = once["targets"]["texts"]["wrong"]
    assert left > 5
    more = scripted(lambda request, attempt: said(request, read_part(request.messages, "solution")))
    manifest = prepare(*STYLED, *store, "--attempts", "3")
    assert len(more.asked) == left
    assert manifest["targets"]["texts"] == {"right": 60}


def test_a_second_attempt_that_fails_is_asked_again(
    prepare: Prepare, scripted: Callable[..., Scripted], tmp_path: Path
) -> None:
    store = ("--store", str(tmp_path / "store"))

    def answer(request: Request, attempt: int) -> Completion:
        if attempt == 1:
            return Completion(request.key, error="HTTP 500: oops")
        return said(request, "Rubbish.")

    scripted(answer)
    with pytest.raises(UserError, match="60 of 60 requests gave no text"):
        prepare(*STYLED, *store, "--attempts", "2")
    mended = scripted(lambda request, attempt: said(request, read_part(request.messages, "solution")))
    assert prepare(*STYLED, *store, "--attempts", "2")["rows"]["train"]["rows"] == 55
    assert len(mended.asked) == 60


def test_most_texts_cut_off_stop_the_spending(
    prepare: Prepare, scripted: Callable[..., Scripted], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from permix_verl.sft_targets import generate as generation

    monkeypatch.setattr(generation, "MIN_REPLIES_BEFORE_ABORT", 20)
    engine = scripted(lambda request, attempt: said(request, "", "length"))
    with pytest.raises(UserError, match=r"\d+ of \d+ texts were truncated at 1024 tokens.*reasoning_effort"):
        prepare(*STYLED, "--store", str(tmp_path / "store"))
    assert 20 <= len(engine.asked) < 40
    kept = (tmp_path / "store" / "targets.jsonl").read_text().splitlines()
    assert len(kept) == len(engine.asked), "what was paid for is kept"


def test_a_store_with_a_torn_last_line_loses_only_that(
    prepare: Prepare, scripted: Callable[..., Scripted], tmp_path: Path
) -> None:
    def faithful(request: Request, attempt: int) -> Completion:
        return said(request, read_part(request.messages, "solution"))

    scripted(faithful)
    store = ("--store", str(tmp_path / "store"))
    prepare(*STYLED, *store)
    file = tmp_path / "store" / "targets.jsonl"
    file.write_bytes(file.read_bytes()[:-40])
    engine = scripted(faithful)
    prepare(*STYLED, *store)
    assert len(engine.asked) == 1
    file.write_text(file.read_text().replace('"attempt"', '"atempt"', 1))
    with pytest.raises(UserError, match=r"targets\.jsonl, line 1: not a stored text"):
        prepare(*STYLED, *store)


@pytest.mark.parametrize("only_right", [False, True])
def test_a_teacher_is_asked_once_greedily_and_kept_as_it_is(
    prepare: Prepare, scripted: Callable[..., Scripted], problem_file: Path, only_right: bool
) -> None:
    problems = list(iter_problems(str(problem_file)))

    def answer(request: Request, attempt: int) -> Completion:
        assert request.sampling.temperature == 0
        text = request.messages[-1]["content"]
        (right,) = {problem.final_answer for problem in problems if problem.question in text}
        reason = "length" if "pears" in text else "stop"
        return said(request, f"It is \\boxed{{{right if int(right) % 2 else 10**6}}}.", reason)

    engine = scripted(answer)
    flags = ["--target", "teacher", "--engine-model", "some/teacher", "--no-persona"]
    manifest = prepare(*flags, *(["--only-right"] if only_right else []))
    texts, dropped = manifest["targets"]["texts"], manifest["rows"]["train"]["dropped"]
    assert manifest["arm"] == "SeqKD"
    assert len(engine.asked) == 60 == sum(texts.values())
    assert dropped["cut"] > 0, "a text that was cut off would teach to stop in the middle"
    assert ("wrong" in dropped) == only_right
    assert manifest["targets"]["right"] == round(texts.get("right", 0) / 60, 4)
    assert all(len(request.messages) == 1 for request in engine.asked), "no persona, no system message"


def test_a_teacher_with_personas_sees_the_rows_own(
    prepare: Prepare, scripted: Callable[..., Scripted], tmp_path: Path
) -> None:
    engine = scripted(lambda request, attempt: said(request, "It is \\boxed{1}."))
    manifest = prepare("--target", "teacher", "--engine-model", "some/teacher", "--no-persona-probability", "0.3")
    asked = {json.dumps(list(request.messages)) for request in engine.asked}
    assert {json.dumps(row["messages"][:-1]) for row in rows(tmp_path / "out")} <= asked
    assert manifest["arm"] == "SeqKD, persona-mixed"
    assert 0 < manifest["train_rows_per_persona"][NO_PERSONA] < 40


def test_a_dry_run_prints_ten_prompts_asks_nobody_and_writes_nothing(
    prepare: Prepare,
    scripted: Callable[..., Scripted],
    problem_file: Path,
    tokenizer_folder: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    engine = scripted(lambda request, attempt: said(request, "no"))
    given = ["--data", str(problem_file), "--tokenizer", str(tokenizer_folder), "--out", str(tmp_path / "dry")]
    gsm8k_sft.main([*given, "--val-problems", "5", *STYLED, "--price", "1,2", "--dry-run"])
    printed = capsys.readouterr().out
    assert engine.asked == []
    assert not (tmp_path / "dry").exists()
    assert printed.count("<persona>") == 10
    assert "60 rows, about" in printed
    assert "$" in printed


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
