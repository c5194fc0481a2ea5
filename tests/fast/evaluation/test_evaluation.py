"""The evaluation loop and its store, with an engine that answers from a table instead of a model."""

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from permix_verl import UserError, load_pool
from permix_verl.evaluation.analysis import compare
from permix_verl.evaluation.generate import GenerationOutcome, generate_missing
from permix_verl.evaluation.rescore import rescore
from permix_verl.evaluation.results import StatusCounts, load_results
from permix_verl.evaluation.sample_store import Sample, SampleStore
from permix_verl.evaluation.sampling_plan import MissingSamples, Plan, TaskPlan, condition_key
from permix_verl.evaluation.scoring import Scorer
from permix_verl.evaluation.tasks import EvalProblem, Task, boxed_gold, score_math
from permix_verl.inference.engines import Completion, Request, Sampling
from permix_verl.personas.pool import Persona

POOL = load_pool("eval")
CONDITIONS: list[Persona | None] = [*POOL.personas[:2], None]
PROBLEMS = [EvalProblem(f"sums/{n}", f"{n} + 1 = ?", str(n + 1)) for n in range(4)]
SETTINGS = {
    "model": {"name": "table", "fingerprint": "t"},
    "adapter": None,
    "sampling": {},
    "tasks": {"sums": {"problems": 4}},
}
TASK = Task(
    name="sums",
    source="-",
    max_tokens=8,
    load=lambda source: PROBLEMS,
    prompt=lambda problem: problem.question,
    score=score_math,
    gold_output=boxed_gold,
)


class TableEngine:
    """Answers sum n with n + 1, or wrongly under the first persona; dies, or fails requests, when told to."""

    def __init__(self, dies_after: int | None = None, fails: str = "") -> None:
        self.asked: list[Request] = []
        self.waiting: list[Request] = []
        self.dies_after = dies_after
        self.fails = fails

    def check_lengths(self, prompts: Sequence[str], max_tokens: int) -> None:
        pass

    def room(self) -> int:
        return 3 - len(self.waiting)

    def submit(self, requests: Sequence[Request]) -> None:
        self.asked += requests
        self.waiting += requests

    def collect(self) -> list[Completion]:
        request = self.waiting.pop()  # the last one first: order must not matter
        if self.dies_after is not None:
            self.dies_after -= 1
            if self.dies_after < 0:
                raise KeyboardInterrupt
        question = request.messages[-1]["content"]
        if self.fails and self.fails in question:
            return [Completion(request.key, error="HTTP 500: no")]
        number = int(question.split()[0]) + 1
        if request.messages[0]["content"] == POOL.personas[0].system_prompt:
            number = 99
        return [Completion(request.key, f"\\boxed{{{number}}}", "stop", 10, 4)]

    def close(self) -> None:
        pass


@pytest.fixture
def scorer() -> Iterator[Scorer]:
    scorer = Scorer(1)
    yield scorer
    scorer.close()


def plan(
    runs: int = 2, conditions: Sequence[Persona | None] = CONDITIONS, problems: Sequence[EvalProblem] = PROBLEMS
) -> Plan:
    entry = TaskPlan(TASK, problems, Sampling(0.6, 0.9, 0, 8))
    return Plan(
        {"model": "table"}, [entry], conditions, runs, seed=0, render=lambda messages: json.dumps(list(messages))
    )


def go(
    folder: Path, scorer: Scorer, engine: TableEngine | None = None, **changes: Any
) -> tuple[GenerationOutcome, TableEngine]:
    engine = engine or TableEngine()
    store = SampleStore(folder)
    with store.writing():
        wanted = plan(**changes)
        store.begin(
            SETTINGS, {"sums": {"arms": [condition_key(persona) for persona in wanted.conditions], "runs": wanted.runs}}
        )
        return generate_missing(MissingSamples(wanted, store), engine, scorer), engine


def stored(folder: Path) -> list[Sample]:
    return list(SampleStore(folder).samples("sums"))


def test_every_arm_problem_and_run_is_asked_once_scored_and_kept(tmp_path: Path, scorer: Scorer) -> None:
    outcome, engine = go(tmp_path, scorer)
    assert outcome == GenerationOutcome(stored=24, generated=24, failed=0)
    samples = stored(tmp_path)
    assert Counter(sample.sample_id for sample in samples) == {
        (persona.key if persona else "no_persona", problem.id, r): 1
        for persona in CONDITIONS
        for problem in PROBLEMS
        for r in range(2)
    }
    for sample in samples:
        wrong = sample.persona == POOL.personas[0].key
        assert sample.status == ("wrong" if wrong else "correct")
        assert sample.pred == ("99" if wrong else sample.gold)
        assert (sample.finish_reason, sample.prompt_tokens, sample.completion_tokens) == ("stop", 10, 4)
        assert "system" in sample.prompt or sample.persona == "no_persona"
        assert sample.mark == "boxed"
    assert len({request.seed for request in engine.asked}) == 24
    assert {sample.seed for sample in samples} == {request.seed for request in engine.asked}


def test_a_finished_folder_asks_nothing_and_more_runs_or_personas_only_what_is_new(
    tmp_path: Path, scorer: Scorer
) -> None:
    go(tmp_path, scorer)
    before = stored(tmp_path)
    assert go(tmp_path, scorer)[0] == GenerationOutcome(24, 0, 0)
    outcome, engine = go(tmp_path, scorer, runs=3, conditions=[*CONDITIONS, POOL.personas[5]])
    assert outcome == GenerationOutcome(48, 24, 0)
    assert stored(tmp_path)[:24] == before
    assert not {request.key for request in engine.asked} & {sample.key for sample in before}
    # Fewer are wanted: nothing to do, nothing lost.
    assert go(tmp_path, scorer, runs=1)[0] == GenerationOutcome(12, 0, 0)
    assert len(stored(tmp_path)) == 48


@pytest.mark.parametrize("dies_after", [0, 1, 7, 23])
def test_interrupted_it_goes_on_and_ends_as_if_it_had_not_been(tmp_path: Path, scorer: Scorer, dies_after: int) -> None:
    go(tmp_path / "whole", scorer)
    with pytest.raises(KeyboardInterrupt):
        go(tmp_path / "cut", scorer, TableEngine(dies_after))
    kept = stored(tmp_path / "cut")
    with pytest.raises(UserError, match=r"missing|no samples"):
        load_results(tmp_path / "cut")  # whole personas may be absent
    # What SIGKILL in the middle of a write leaves behind.
    file = tmp_path / "cut" / "samples" / "sums.jsonl"
    with file.open("a") if file.exists() else (file.parent / "sums.jsonl").open("w") as stream:
        stream.write('{"key": "abc", "task": "su')
    outcome, engine = go(tmp_path / "cut", scorer)
    assert outcome.generated == 24 - len(kept)
    assert not {request.key for request in engine.asked} & {sample.key for sample in kept}
    assert sorted(stored(tmp_path / "cut"), key=lambda s: s.key) == sorted(
        stored(tmp_path / "whole"), key=lambda s: s.key
    )


def test_a_failed_request_is_noted_never_scored_and_asked_again(tmp_path: Path, scorer: Scorer) -> None:
    outcome, _ = go(tmp_path, scorer, TableEngine(fails="2 +"))
    assert outcome == GenerationOutcome(stored=18, generated=18, failed=6)
    noted = [json.loads(line) for line in (tmp_path / "failures.jsonl").read_text().splitlines()]
    assert {record["problem"] for record in noted} == {"sums/2"}
    assert all(record["error"] == "HTTP 500: no" for record in noted)
    with pytest.raises(
        UserError, match=r"6 of 24 samples of task sums are missing; give its eval/run.py command again"
    ):
        load_results(tmp_path)
    (partly,) = load_results(tmp_path, allow_incomplete=True)
    assert (len(partly.problems), partly.dropped) == (3, 1)
    assert go(tmp_path, scorer)[0] == GenerationOutcome(24, 6, 0)
    assert load_results(tmp_path)[0].dropped == 0


def test_results_as_arrays_are_the_stored_verdicts(tmp_path: Path, scorer: Scorer) -> None:
    go(tmp_path, scorer)
    (found,) = load_results(tmp_path)
    assert found.personas == tuple(persona.key for persona in POOL.personas[:2])
    assert found.correct_PRN.shape == (2, 2, 4)
    assert found.correct_PRN.mean(axis=(1, 2)).tolist() == [0.0, 1.0]
    assert found.control_RN is not None
    assert found.control_RN.all()
    assert found.status_counts[found.personas[0]] == StatusCounts(
        samples=8, correct=0, wrong=8, no_answer=0, timeout=0, error=0, truncated=0, strict=0
    )
    assert found.status_counts[found.personas[1]].strict == 8
    assert found.mark_counts == {condition: {"boxed": 8} for condition in (*found.personas, "no_persona")}


def test_another_prompt_for_a_stored_sample_is_refused(tmp_path: Path, scorer: Scorer) -> None:
    go(tmp_path, scorer)
    changed = Persona(POOL.personas[0].key, "", "You are somebody else.")
    with pytest.raises(UserError, match=r"problem sums/0 under another prompt .* give another --out"):
        go(tmp_path, scorer, conditions=[changed])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"model": {"name": "other", "fingerprint": "o"}}, "holds results with model .*table.* not .*other"),
        ({"adapter": {"name": "a", "fingerprint": "a"}}, "holds results with adapter None"),
        ({"sampling": {"temperature": 1.0}}, "holds results with sampling"),
        ({"tasks": {"sums": {"problems": 9}}}, "holds results with task sums"),
    ],
)
def test_a_folder_of_other_settings_is_refused_and_left_alone(
    tmp_path: Path, scorer: Scorer, change: dict[str, Any], message: str
) -> None:
    go(tmp_path, scorer)
    before = {file: file.read_bytes() for file in tmp_path.rglob("*.json*")}
    with pytest.raises(UserError, match=f"{message}.*give another --out"):
        SampleStore(tmp_path).begin(SETTINGS | change, {})
    assert {file: file.read_bytes() for file in tmp_path.rglob("*.json*")} == before


def test_settings_of_a_run_that_made_no_sample_are_replaced(
    tmp_path: Path, scorer: Scorer, capsys: pytest.CaptureFixture[str]
) -> None:
    """A run with a typo in --model, or one killed in its first sample, leaves such settings behind."""
    store = SampleStore(tmp_path)
    with store.writing():
        store.begin(SETTINGS | {"model": {"name": "typo"}}, {"sums": {"arms": ["pilot"], "runs": 9}})
        store.append_failure({"key": "x", "error": "no such model"})
    (tmp_path / "samples" / "sums.jsonl").write_text('{"key": "half')
    outcome, _ = go(tmp_path, scorer)
    assert outcome.generated == 24
    assert capsys.readouterr().out.count("held the settings of a run that made no sample") == 1
    assert store.settings()["model"] == SETTINGS["model"]
    assert store.settings()["wanted"]["sums"]["runs"] == 2
    assert not (tmp_path / "failures.jsonl").exists()
    go(tmp_path, scorer)
    assert "held the settings" not in capsys.readouterr().out, "now they bind"


def test_a_task_without_a_sample_may_be_asked_otherwise(tmp_path: Path, scorer: Scorer) -> None:
    go(tmp_path, scorer)
    store = SampleStore(tmp_path)
    for problems, runs in ((9, 5), (3, 1)):
        store.begin(SETTINGS | {"tasks": {"more": {"problems": problems}}}, {"more": {"arms": ["chef"], "runs": runs}})
    assert store.settings()["tasks"] == {"sums": {"problems": 4}, "more": {"problems": 3}}
    assert store.settings()["wanted"]["more"] == {"arms": ["chef"], "runs": 1}
    with pytest.raises(UserError, match="holds results with task sums"):
        store.begin(SETTINGS | {"tasks": {"sums": {"problems": 9}}}, {})


def test_a_task_may_be_added_later(tmp_path: Path, scorer: Scorer) -> None:
    go(tmp_path, scorer)
    store = SampleStore(tmp_path)
    store.begin(SETTINGS | {"tasks": {"more": {"problems": 9}}}, {"more": {"arms": ["chef"], "runs": 1}})
    assert store.settings()["tasks"] == {"sums": {"problems": 4}, "more": {"problems": 9}}
    with pytest.raises(UserError, match="no samples of task more yet"):
        load_results(tmp_path)
    assert [found.task for found in load_results(tmp_path, allow_incomplete=True)] == ["sums"]


def test_two_evaluations_cannot_write_to_one_folder(tmp_path: Path) -> None:
    with (
        SampleStore(tmp_path).writing(),
        pytest.raises(UserError, match="another evaluation is writing to"),
        SampleStore(tmp_path).writing(),
    ):
        pass


def test_a_damaged_line_is_named_and_nothing_is_lost(tmp_path: Path, scorer: Scorer) -> None:
    go(tmp_path, scorer)
    file = tmp_path / "samples" / "sums.jsonl"
    lines = file.read_bytes().splitlines(keepends=True)
    file.write_bytes(b"".join([*lines[:3], lines[3][:40] + b"\n", *lines[4:]]))
    damaged = file.read_bytes()
    with pytest.raises(UserError, match=r"sums.jsonl, line 4: not a sample .*delete this line"):
        go(tmp_path, scorer)
    assert file.read_bytes() == damaged
    # The remedy that it names.
    file.write_bytes(b"".join([*lines[:3], *lines[4:]]))
    assert go(tmp_path, scorer)[0] == GenerationOutcome(24, 1, 0)


def test_a_sample_that_stands_twice_is_refused(tmp_path: Path, scorer: Scorer) -> None:
    go(tmp_path, scorer)
    file = tmp_path / "samples" / "sums.jsonl"
    file.write_text(file.read_text() + file.read_text().splitlines()[4] + "\n")
    with pytest.raises(UserError, match="line 25: the same sample as on line 5"):
        load_results(tmp_path)


def test_scoring_again_needs_no_model_and_changes_only_verdicts(tmp_path: Path, scorer: Scorer) -> None:
    go(tmp_path, scorer)
    before = stored(tmp_path)
    task_file = tmp_path / "sums.py"
    task_file.write_text(
        "from permix_verl.evaluation.tasks import Task\n"
        "TASK = Task('sums', '-', 8, lambda s: [], lambda p: p.question,\n"
        "            lambda output, problem, verify: {'status': 'correct', 'pred': output[-3:-1]},\n"
        "            lambda p: p.gold)\n"
    )
    (changes,) = rescore(tmp_path, [str(task_file)]).values()
    assert (changes.samples, changes.changed) == (24, 24)
    after = stored(tmp_path)
    assert {sample.status for sample in after} == {"correct"}
    assert {sample.mark for sample in after} == {""}, "this task knows no marks"
    assert [(s.key, s.output, s.seed) for s in after] == [(s.key, s.output, s.seed) for s in before]


def test_a_folder_from_before_marks_were_kept_is_read_continued_and_filled_in(tmp_path: Path, scorer: Scorer) -> None:
    go(tmp_path, scorer)
    file = tmp_path / "samples" / "sums.jsonl"
    rows = [json.loads(line) for line in file.read_text().splitlines()]
    file.write_text("".join(json.dumps({k: row[k] for k in row if k != "mark"}) + "\n" for row in rows))
    assert {sample.mark for sample in stored(tmp_path)} == {""}
    assert load_results(tmp_path)[0].mark_counts is None
    assert go(tmp_path, scorer, runs=3)[0] == GenerationOutcome(36, 12, 0)
    assert Counter(sample.mark for sample in stored(tmp_path)) == {"": 24, "boxed": 12}
    assert load_results(tmp_path)[0].mark_counts is None, "two thirds of the correct answers are without"
    task_file = tmp_path / "sums.py"
    task_file.write_text(
        "from permix_verl.evaluation.tasks import Task, boxed_gold, score_math\n"
        "TASK = Task('sums', '-', 8, lambda s: [], lambda p: p.question, score_math, boxed_gold)\n"
    )
    (changes,) = rescore(tmp_path, [str(task_file)]).values()
    assert (changes.samples, changes.changed) == (36, 0), "a mark that is filled in changes no verdict"
    assert {sample.mark for sample in stored(tmp_path)} == {"boxed"}
    assert load_results(tmp_path)[0].mark_counts is not None


def test_results_on_two_orders_of_one_file_are_not_paired(tmp_path: Path, scorer: Scorer) -> None:
    """Their problems have the same numbers, and a paired test would compare answers to different ones."""
    reordered = [EvalProblem(f"sums/{n}", f"{3 - n} + 1 = ?", str(4 - n)) for n in range(4)]
    others = [EvalProblem(f"sums/{n}", f"{n + 1} + 1 = ?", str(n + 2)) for n in range(4)]
    for name, problems in (("one", PROBLEMS), ("same", PROBLEMS), ("order", reordered), ("other", others)):
        go(tmp_path / name, scorer, problems=problems)
    one, same, order, other = (load_results(tmp_path / name)[0] for name in ("one", "same", "order", "other"))
    assert compare(one, same, seed=0).refused is None
    assert compare(one, order, seed=0).refused == (
        "4 of 4 problems have another gold answer, first sums/0 (1 and 4): the same problems in another order; "
        "evaluate both on one file"
    )
    assert "other problems under the same numbers; evaluate both" in (compare(one, other, seed=0).refused or "")


def test_a_model_that_is_right_in_surplus_runs_only_is_compared_without_a_swap_test(
    tmp_path: Path, scorer: Scorer
) -> None:
    """The swap test drops surplus runs, and PSS without a correct completion is undefined."""
    go(tmp_path / "one", scorer, runs=1)
    go(tmp_path / "two", scorer, runs=2)
    one, two = (load_results(tmp_path / name)[0] for name in ("one", "two"))
    assert compare(one, two, seed=0).swap_test is not None
    two.correct_PRN[:, 0] = 0
    assert two.correct_PRN.any()
    pair = compare(one, two, seed=0)
    assert (pair.refused, pair.swap_test) == (None, None)
    assert pair.mean_difference is not None
