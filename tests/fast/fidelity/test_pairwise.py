"""``eval/pairwise.py`` on stored answers of two models, with a judge all of whose choices are known."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from permix_verl import UserError
from permix_verl.cli import compare as pairwise
from permix_verl.evaluation.sample_store import Sample, SampleStore
from permix_verl.evaluation.tasks import find_task, load_problems

from ...support.endpoint import Reply, Server, chat

PROBLEMS = 24
PERSONA = "You are p1."


def choice(value: str | None) -> Reply:
    return chat(json.dumps({"reason": "", "choice": value}))


def choose(number: int, order: str) -> Reply:
    """The judge: first model better on 0 to 9 and 23, second on 10 to 13; the rest is trouble."""
    better = {"A": {"ab": "first", "ba": "second"}, "B": {"ab": "second", "ba": "first"}}
    if number <= 9 or number == 23:
        return choice(better["A"][order])
    if number <= 13:
        return choice(better["B"][order])
    if number <= 16:
        return choice("first")
    if number == 17:
        return choice("second")
    if number <= 19:
        return choice("tie")
    if number == 20:
        return choice("tie" if order == "ab" else better["A"]["ba"])
    if number == 21:
        return chat("The first one!") if order == "ab" else choice(better["A"]["ba"])
    return choice(None)


def perform(body: dict[str, Any], attempt: int) -> Reply:
    prompt = body["messages"][-1]["content"]
    if prompt == "1 + 1 = ?":
        return chat(prompt_tokens=10 * len(body["messages"]))
    if body["model"] in ("A", "B"):
        number = re.search(r"Problem (\d+)", prompt)
        assert number is not None
        return chat(f"{body['model']} says {number[1]}")
    answers = re.findall(r"^([AB]) says (\d+)$", prompt, re.MULTILINE)
    assert len(answers) == 2, prompt
    return choose(int(answers[0][1]), "ab" if answers[0][0] == "A" else "ba")


@pytest.fixture
def results(server: Server, tmp_path: Path) -> Path:
    """Answers of models A and B under persona p1, the persona's pool and the problems."""
    server.answer = perform
    rows = [{"question": f"Problem {number}", "answer": f"#### {number}"} for number in range(PROBLEMS)]
    (tmp_path / "problems.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    pool = tmp_path / "pool.jsonl"
    pool.write_text(json.dumps({"key": "p1", "system_prompt": PERSONA}) + "\n")
    task = find_task("gsm8k")
    problems = load_problems(task, str(tmp_path / "problems.jsonl"), None)
    for model in "AB":
        store = SampleStore(tmp_path / model)
        with store.writing():
            described = {"model": {"name": model}, "adapter": None, "sampling": {}}
            store.begin({**described, "tasks": {"gsm8k": {}}}, {"gsm8k": {"arms": ["p1"], "runs": 1}})
            for number, problem in enumerate(problems):
                chat = [{"role": "system", "content": PERSONA}, {"role": "user", "content": task.prompt(problem)}]
                said = f"{model} says {number}"
                place = ("gsm8k", "p1", problem.id, 0)
                shown = json.dumps(chat) if model == "A" else f"<s>{PERSONA}</s>{task.prompt(problem)}<a>"
                scored = ("5", "correct", "stop")
                row = Sample(f"{model}{number}", *place, shown, "", problem.gold, said, *scored, 9, 9, 0)
                store.append([row])
    return tmp_path


def arguments(server: Server, results: Path, *more: str) -> list[str]:
    task = f"gsm8k={results / 'problems.jsonl'}"
    given = ["--a", str(results / "A"), "--b", str(results / "B"), "--persona", "p1", "--task", task]
    given += ["--personas", str(results / "pool.jsonl"), "--judge", f"j@{server.url}", "--out", str(results / "pairs")]
    return [*given, *more]


def read(results: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((results / "pairs" / "pairwise.json").read_text())
    return found


def test_every_figure_is_the_one_computed_by_hand(server: Server, results: Path) -> None:
    """22 pairs with both verdicts: A wins 11, B 4; of the 7 ties three flip to the first place, one to the second."""
    assert pairwise.main(arguments(server, results)) == 0
    found = read(results)["judges"]["j"]
    assert found["pairs"] == 22
    assert found["first_wins"]["estimate"] == pytest.approx(11 / 22)
    assert found["second_wins"]["estimate"] == pytest.approx(4 / 22)
    assert found["ties"] == pytest.approx(7 / 22)
    assert found["first_wins_without_ties"]["estimate"] == pytest.approx(11 / 15)
    assert found["net_margin"]["estimate"] == pytest.approx(7 / 22)
    # Of eleven 1, four -1 and seven 0: squared deviations 15 - 49/22, over 21, over 22.
    assert found["net_margin"]["standard_error"] == pytest.approx(((15 - 49 / 22) / 21 / 22) ** 0.5)
    # 11 or more of 15 decided pairs on one side: 2 (1365 + 455 + 105 + 15 + 1) / 2**15.
    assert found["p_value"] == pytest.approx(2 * 1941 / 2**15, abs=0.01)
    # First places preferred: 11 + 4 of the pairs that agree, 6 of flips; second: 11 + 4, 2 and one of problem 20.
    assert found["position"]["first_preferred"]["estimate"] == pytest.approx(21 / 39)
    assert found["position"]["flipped_to_first"] == 3
    assert found["position"]["flipped_to_second"] == 1
    assert found["counts"] == {"wanted": 48, "scored": 45, "malformed": 1, "refused": 2}


def test_figures_do_not_depend_on_the_order_in_which_answers_came_in(server: Server, results: Path) -> None:
    assert pairwise.main(arguments(server, results)) == 0
    before = read(results)
    file = results / "A" / "samples" / "gsm8k.jsonl"
    file.write_text("".join(reversed(file.read_text().splitlines(keepends=True))))
    assert pairwise.main(arguments(server, results, "--out", str(results / "again"))) == 0
    assert json.loads((results / "again" / "pairwise.json").read_text()) == before


def test_the_page_says_what_the_figures_say(server: Server, results: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pairwise.main(arguments(server, results))
    said = capsys.readouterr().out
    assert "j: A wins 50.0 %, B 18.2 %, ties 31.8 %, net margin +31.8 points" in said
    page = (results / "pairs" / "pairwise.md").read_text()
    assert re.search(r"\| 50\.0 \\?\[", page)
    assert re.search(r"\| 53\.8 \\?\[", page)
    assert "A against B on 24 problems of task gsm8k" in page
    assert (results / "pairs" / "pairwise.html").read_text().startswith("<!DOCTYPE html>")


def test_both_orders_are_asked_once_and_never_again(server: Server, results: Path) -> None:
    assert pairwise.main(arguments(server, results)) == 0
    asked = [body for body in server.bodies if body["messages"][-1]["content"] != "1 + 1 = ?"]
    assert len(asked) == 48 + 1, "and the malformed one a second time"
    assert all(PERSONA in body["messages"][-1]["content"] for body in asked)
    assert all("Problem" in body["messages"][-1]["content"] for body in asked)
    first = read(results)
    assert pairwise.main(arguments(server, results)) == 0
    assert len([body for body in server.bodies if body["messages"][-1]["content"] != "1 + 1 = ?"]) == 49
    assert read(results) == first


def test_swapped_folders_swap_the_wins(server: Server, results: Path) -> None:
    pairwise.main(arguments(server, results))
    found = read(results)["judges"]["j"]
    swapped = arguments(server, results)
    swapped[1], swapped[3] = swapped[3], swapped[1]
    swapped[-1] = str(results / "swapped")
    pairwise.main(swapped)
    other = json.loads((results / "swapped" / "pairwise.json").read_text())["judges"]["j"]
    assert other["second_wins"]["estimate"] == found["first_wins"]["estimate"]
    assert other["net_margin"]["estimate"] == -found["net_margin"]["estimate"]


def test_judges_together_need_each_ones_verdict(server: Server, results: Path) -> None:
    """A second judge who always prefers B: A wins (11 + 0) / 2 of 22 pairs, B (4 + 22) / 2."""

    def answer(body: dict[str, Any], attempt: int) -> Reply:
        prompt = body["messages"][-1]["content"]
        if body["model"] != "k" or prompt == "1 + 1 = ?":
            return perform(body, attempt)
        return choice("first" if prompt.index("B says") < prompt.index("A says") else "second")

    server.answer = answer
    assert pairwise.main(arguments(server, results, "--judge", f"k@{server.url}")) == 0
    found = read(results)["judges"]
    assert found["k"]["second_wins"]["estimate"] == 1
    assert found["k"]["position"]["first_preferred"]["estimate"] == 0.5
    assert found["all judges"]["pairs"] == 22
    assert found["all judges"]["first_wins"]["estimate"] == pytest.approx(5.5 / 22)
    assert found["all judges"]["second_wins"]["estimate"] == pytest.approx(13 / 22)


def test_an_answer_that_claims_to_be_the_better_one_is_fenced(server: Server, results: Path) -> None:
    pairwise.main(arguments(server, results))
    for body in server.bodies:
        prompt = body["messages"][-1]["content"]
        if prompt != "1 + 1 = ?":
            for name in ("first", "second"):
                assert re.search(rf"<{name} (\w+)>\n[AB] says \d+\n</{name} \1>", prompt)


BAD = {
    "nobody": (["--persona", "p2"], "unknown persona 'p2'"),
    "the same folder twice": (["--b", "A"], "are the same folder"),
    "no folder": (["--a", "nowhere"], "is not a results folder"),
    "another task": (["--task", "lab_easy"], "no answer in common of task lab_easy"),
    "no runs": (["--runs", "0"], "--runs is 0"),
    "no attempts": (["--attempts", "0"], "--attempts is 0"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_one_clear_error(server: Server, results: Path, case: str) -> None:
    (name, value), message = BAD[case]
    given = arguments(server, results)
    if name in ("--a", "--b"):
        value = str(results / value)
    with pytest.raises(UserError) as raised:
        pairwise.main([*given, name, value])
    assert message in str(raised.value)
    assert not (results / "pairs").exists()


def test_other_problems_than_were_answered_are_refused(server: Server, results: Path) -> None:
    file = results / "problems.jsonl"
    file.write_text(file.read_text().replace("Problem 3", "Riddle 3"))
    with pytest.raises(UserError, match="lacks the problem text 'Riddle 3"):
        pairwise.main(arguments(server, results))
    file.write_text(file.read_text().replace("Riddle 3", "Problem 3"))
    (results / "pool.jsonl").write_text(json.dumps({"key": "p1", "system_prompt": "You are another."}) + "\n")
    with pytest.raises(UserError, match="lacks the persona text"):
        pairwise.main(arguments(server, results))


def test_a_comparison_without_a_judge_is_refused(results: Path) -> None:
    with pytest.raises(UserError, match="no judge is given"):
        pairwise.main(["--a", "x", "--b", "y", "--persona", "kindergarten", "--out", str(results / "pairs")])
