"""Targets that a rewriter or a teacher writes: attempts, failures, kills, the store."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from permix_verl import UserError
from permix_verl.cli import prep_sft as gsm8k_sft
from permix_verl.data.problems import iter_problems
from permix_verl.inference.engine_config import EngineConfig
from permix_verl.inference.engines import Completion, Engine, Request
from permix_verl.personas.pool import NO_PERSONA
from permix_verl.sft_targets import run as command
from permix_verl.sft_targets.rewriting import read_part

from ...support.sft_data import STYLED, Prepare, rows


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

        monkeypatch.setattr(command, "_start_engine", make)
        monkeypatch.setattr(EngineConfig, "identity", lambda self: {"model": {"name": self.model}, "adapter": None})
        monkeypatch.setattr(EngineConfig, "renderer", lambda self, pool, personas: None)
        return engine

    return install


def said(request: Request, text: str, reason: str = "stop") -> Completion:
    return Completion(request.key, text, reason, 100, 20)


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
