"""The audit of the answer checker: rows are read, judged three ways, counted, and shown so that no output acts."""

import csv
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import pytest

from permix_verl import UserError
from permix_verl.audit.cases import CHECKERS, KINDS, LENIENT, MATH_VERIFY, STRICT, Case, CheckResult, select_cases
from permix_verl.audit.checks import check_rows, strict_result
from permix_verl.audit.counts import count, count_by
from permix_verl.audit.math_verify_pool import MathVerifyPool
from permix_verl.audit.math_verify_worker import boxed
from permix_verl.audit.printable import printable
from permix_verl.audit.rows import OutputRow, read_rows
from permix_verl.cli.audit import INTERRUPTED, audit
from permix_verl.cli.main import run
from permix_verl.evaluation.sample_store import Sample, SampleStore
from permix_verl.evaluation.scoring import load_reward

BOXED = {"output": "9 * 2 is \\boxed{18}.", "gold": "18"}
WORDS = {"output": "The answer is 18.", "gold": "18"}
TAGGED = {"output": "<answer>18</answer> I ate $3$ of them.", "gold": "18"}
"""math-verify reads 3, the reward 18."""
WRONG = {"output": "So \\boxed{17}.", "gold": "18"}


def written(tmp_path: Path, *rows: Mapping[str, Any] | str, name: str = "outputs.jsonl") -> Path:
    file = tmp_path / name
    file.write_text("".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows))
    return file


def rows_of(file: Path, **given: str) -> list[OutputRow]:
    return list(read_rows([file], given))


def refusal(file: Path, **given: str) -> str:
    with pytest.raises(UserError) as caught:
        rows_of(file, **given)
    return str(caught.value)


def statuses(case: Case) -> list[str]:
    return [case.results[checker].status for checker in CHECKERS]


# --- rows -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("output", ["output", "solution", "response", "completion"])
@pytest.mark.parametrize("gold", ["gold", "answer", "ground_truth", "gold_answer", "target"])
def test_a_row_is_read_under_the_usual_names(tmp_path: Path, output: str, gold: str) -> None:
    (row,) = rows_of(written(tmp_path, {output: "it is 18", gold: 18, "question": "How many?", "persona": "pirate"}))
    assert (row.output, row.gold, row.question, row.persona, row.label) == (
        "it is 18",
        "18",
        "How many?",
        "pirate",
        None,
    )


@pytest.mark.parametrize(
    ("label", "right"),
    [
        (True, True),
        (False, False),
        (1, True),
        (0, False),
        ("true", True),
        ("Correct", True),
        ("wrong", False),
        ("", None),
    ],
)
def test_labels_may_be_written_in_several_ways(tmp_path: Path, label: Any, right: bool | None) -> None:
    for name in ("label", "is_correct", "correct"):
        assert rows_of(written(tmp_path, BOXED | {name: label}))[0].label is right


def test_a_fields_own_name_goes_before_others(tmp_path: Path) -> None:
    (row,) = rows_of(written(tmp_path, BOXED | {"solution": "the book's", "answer": "19"}))
    assert (row.output, row.gold) == (BOXED["output"], "18")


def test_a_chat_asks_with_its_last_user_message_and_answers_with_the_assistants_last(tmp_path: Path) -> None:
    chat = [{"role": "system", "content": "Be a pirate."}, {"role": "user", "content": "How many eggs?"}]
    reply = [{"role": "assistant", "content": [{"type": "text", "text": "It is "}, {"type": "text", "text": "18."}]}]
    first, second = rows_of(
        written(tmp_path, {"prompt": chat, "completion": reply, "gold": "18"}, BOXED | {"prompt": json.dumps(chat)})
    )
    assert (first.question, first.output, second.question) == ("How many eggs?", "It is 18.", "How many eggs?")


def test_several_files_and_a_results_folder_are_read_in_order(tmp_path: Path) -> None:
    store = SampleStore(tmp_path / "results")
    common: dict[str, Any] = {"run": 1, "prompt": "How many?", "prompt_sha256": "", "gold": "18", "output": "18"}
    common |= {"pred": "", "status": "wrong", "finish_reason": "stop", "prompt_tokens": 1, "completion_tokens": 1}
    with store.writing():
        store.append([Sample(key=task, task=task, persona="pirate", problem="p/3", seed=0, **common) for task in "ba"])
    file = written(tmp_path, BOXED, "", BOXED)
    found = list(read_rows([file, tmp_path / "results"], {}))
    assert [(Path(row.file).name, row.line) for row in found] == [
        *[("outputs.jsonl", line) for line in (1, 3)],
        *[(name, 1) for name in ("a.jsonl", "b.jsonl")],
    ]
    assert (found[2].name, found[2].persona, found[2].question) == ("p/3#1", "pirate", "How many?")


@pytest.mark.parametrize(
    ("row", "told"),
    [
        ('{"output": ', "line 2: not JSON"),
        ('{"output": "\\ud800"', "line 2: not JSON"),
        ("[" * 100_000, "line 2: not JSON"),
        ("[1]", "line 2: expected an object, got list; write one object a line"),
        ({"gold": "18", "text": "x"}, "line 2: no output among the fields (gold, text); name the field that has it"),
        ({"output": "18"}, "line 2: no gold among the fields (output); name the field that has it: --field gold=FIELD"),
        ({"output": 18, "gold": "18"}, "line 2: the output is '18'; it must be text"),
        ({"output": "18", "gold": " "}, "line 2: the gold is ' '; it must be text"),
        ({"output": "18", "gold": True}, "line 2: the gold is 'True'; it must be text"),
        ({"output": "18", "gold": ["18"]}, "line 2: the gold is \"['18']\"; it must be text"),
        ({"response": "18", "solution": "It is 18", "gold": "18"}, "'solution' and 'response' may each be the output"),
        ({"output": "18", "answer": "18", "target": "19"}, "'answer' and 'target' may each be the gold; choose one"),
        (
            BOXED | {"correct": True, "is_correct": False},
            "'is_correct' and 'correct' may each be the label; choose",
        ),
        (BOXED | {"label": "perhaps"}, "line 2: the label is 'perhaps'; write true or false"),
        (BOXED | {"label": 2}, "line 2: the label is '2'; write true or false"),
        (BOXED | {"persona": {"name": "x"}}, "line 2: the persona is"),
        (BOXED | {"task": "livecodebench"}, "line 2: task livecodebench is scored by running programs"),
    ],
)
def test_a_row_that_cannot_be_judged_is_named_with_its_line(tmp_path: Path, row: Any, told: str) -> None:
    assert told in refusal(written(tmp_path, BOXED, row))


def test_names_with_the_same_value_are_no_doubt(tmp_path: Path) -> None:
    assert rows_of(written(tmp_path, {"output": "18", "answer": "18", "target": "18"}))[0].gold == "18"


def test_a_doubtful_field_can_be_named(tmp_path: Path) -> None:
    file = written(tmp_path, {"response": "it is 18", "solution": "the book's", "answer": "18", "ok": 1})
    (row,) = rows_of(file, output="response", label="ok")
    assert (row.output, row.label) == ("it is 18", True)
    assert "no gold among the fields" in refusal(file, output="response", gold="golden")


def test_a_byte_that_is_no_text_is_named(tmp_path: Path) -> None:
    file = tmp_path / "outputs.jsonl"
    file.write_bytes(json.dumps(BOXED).encode() + b'\n{"output": "\xff", "gold": "1"}\n')
    assert "line 2: not JSON" in refusal(file)


def test_files_that_are_not_there_or_empty_are_named(tmp_path: Path) -> None:
    assert "no such file or folder" in refusal(tmp_path / "none.jsonl")
    assert "has no rows" in refusal(written(tmp_path, ""))
    assert "has no samples/*.jsonl" in refusal(tmp_path)
    os.mkfifo(tmp_path / "pipe")
    assert "save the outputs to a file" in refusal(tmp_path / "pipe")


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--field", "pred=x"], "--field pred=x: unknown field; known: output, gold, label, prompt, persona"),
        (["--show", "-1"], "--show is -1"),
        (["--out", __file__], "is a file; give a folder"),
    ],
)
def test_arguments_that_make_no_sense_are_refused(tmp_path: Path, arguments: Sequence[str], told: str) -> None:
    with pytest.raises(UserError, match=told.replace("(", r"\(")):
        run(["audit", str(written(tmp_path, BOXED)), *arguments])


# --- verdicts -------------------------------------------------------------------------------------------------------


def test_every_output_is_judged_three_ways(tmp_path: Path) -> None:
    hanging = {"output": "So \\boxed{18} and $x$", "gold": "no ### gold \\boxed{"}
    none = {"output": "I do not know.", "gold": "18"}
    cases = audit([written(tmp_path, BOXED, WORDS, TAGGED, WRONG, none, hanging)], {})
    assert [statuses(case) for case in cases[:5]] == [
        ["correct", "correct", "correct"],
        ["correct", "no_answer", "correct"],
        ["correct", "no_answer", "wrong"],
        ["wrong", "wrong", "wrong"],
        ["no_answer", "no_answer", "no_answer"],
    ]
    assert [case.mark for case in cases[:5]] == ["boxed", "phrase", "tag", "boxed", "none"]
    assert (cases[2].results[LENIENT].pred, cases[2].results[MATH_VERIFY].pred) == ("18", "3")
    assert not cases[5].results[MATH_VERIFY].credit


def test_strict_is_what_the_reward_file_says_when_it_is_strict() -> None:
    reward = load_reward()
    outputs = [
        *(str(row["output"]) for row in (BOXED, WORDS, TAGGED, WRONG)),
        "",
        "#### 18",
        "18",
        "**18** eggs",
        "x \\boxed{",
    ]
    golds = ["18"] * len(outputs)
    lenient = reward.compute_score_batch(outputs, outputs, golds)
    strict = reward.compute_score_batch(outputs, outputs, golds, strict=True)
    reward.close()
    for one, other in zip(lenient, strict, strict=True):
        found = strict_result(CheckResult(one["status"], one["pred"]), one["mark"], reward.STRICT_MARKS)
        assert (found.status, found.pred) == (other["status"], other["pred"])
    assert {one["status"] for one in strict} == {"correct", "wrong", "no_answer"}


def test_the_reward_is_blind_to_question_and_persona() -> None:
    class Reward:
        STRICT_MARKS = ("boxed",)

        def compute_score_batch(self, sources: Any, outputs: Any, golds: Any) -> list[dict[str, Any]]:
            return [{"status": "correct", "pred": "18", "mark": "boxed"} for _ in outputs]

    row = OutputRow("f", 1, "", "pirate", "How many?", "\\boxed{18}", "18", None)
    plain = MathVerifyPool(1)
    cases = list(check_rows([row, replace(row, question="", persona="")], Reward(), plain))
    plain.close()
    assert [case.results["lenient"].status for case in cases] == ["correct", "correct"]


@pytest.mark.parametrize(
    ("gold", "latex"),
    [
        ("18", "\\boxed{18}"),
        ("9 * 2\n#### 18", "\\boxed{18}"),
        ("$\\frac12$", "\\boxed{\\frac12}"),
        ("\\boxed{1}", "\\boxed{1}"),
    ],
)
def test_the_gold_stands_in_a_box_for_math_verify(gold: str, latex: str) -> None:
    assert boxed(gold) == latex


def test_a_math_verify_that_hangs_or_dies_says_so_and_the_next_output_is_judged(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("permix_verl.audit.math_verify_pool.WALL_LIMIT_S", 3.0)
    plain = MathVerifyPool(1)
    try:
        hanging, after = plain.submit("\\boxed{9^{9^{9}}}", "5"), plain.submit("\\boxed{5}", "5")
        assert (hanging.result().status, after.result().status) == ("timeout", "correct")
        (process,) = plain._processes
        process.kill()
        process.wait()
        assert [plain.submit("\\boxed{5}", "5").result().status for _ in range(2)] == ["error", "correct"]
    finally:
        plain.close()


def test_math_verifys_own_limit_is_a_timeout_and_its_exception_an_error() -> None:
    import logging

    from permix_verl.audit.math_verify_worker import LogStatus, check_output

    log = LogStatus()
    for text, status in (("Timeout during comparison", "timeout"), ("Error parsing: x", "error"), ("other", "")):
        log.status = ""
        log.emit(logging.LogRecord("math_verify", logging.DEBUG, "", 0, text, None, None))
        assert log.status == status
    assert check_output("\\boxed{5}", "\\boxed{}", log) == ("error", "")


# --- differences and counts -----------------------------------------------------------------------------------------


def a_case(
    lenient: bool, strict: bool, plain: bool, label: bool | None = None, *, line: int = 1, persona: str = ""
) -> Case:
    words = {True: CheckResult("correct", "18"), False: CheckResult("wrong", "17")}
    results = dict(zip(CHECKERS, (words[lenient], words[strict], words[plain]), strict=True))
    return Case("f", line, "", persona, "boxed", "18", "", "x", label, results)


@pytest.mark.parametrize(
    ("case", "kind"),
    [
        (a_case(False, False, True, True), "lost"),
        (a_case(True, True, True, False), "credited"),
        (a_case(True, True, False, True), "lenient alone"),
        (a_case(True, False, False), "lenient alone"),
        (a_case(False, False, True, False), "math-verify alone"),
        (a_case(True, False, True), "strict"),
        (a_case(True, True, True, True), "agreed"),
        (a_case(False, False, False), "agreed"),
    ],
)
def test_a_case_is_of_the_kind_of_difference_that_matters_most(case: Case, kind: str) -> None:
    assert case.kind == kind


def test_every_kind_has_its_share_of_what_is_shown_and_those_that_matter_most_stand_first() -> None:
    strict = [a_case(True, False, True, line=line) for line in range(50)]
    lost = [a_case(False, False, True, True, line=line) for line in range(50, 52)]
    agreed = [a_case(True, True, True)]
    found = select_cases(strict + agreed + lost, 10, agreed=False)
    assert [case.kind for case in found] == ["lost"] * 2 + ["strict"] * 8
    assert [case.line for case in found] == [50, 51, *range(8)]
    assert [case.kind for case in select_cases(strict + agreed + lost, 1, agreed=True)] == ["lost"]
    assert select_cases(strict + agreed + lost, 99, agreed=True)[-1] is agreed[0]
    assert select_cases(strict, 0, agreed=True) == []


def test_right_answers_that_are_lost_and_wrong_ones_that_are_credited_are_counted_for_each_judge() -> None:
    found = count(
        [
            a_case(False, False, True, True),
            a_case(True, False, True, True),
            a_case(True, True, False, False),
            a_case(False, False, False, False),
            a_case(True, True, True),
        ]
    )
    assert (found.outputs, found.right, found.wrong, found.differences) == (5, 2, 2, 3)
    tallies = {checker: (tally.lost, tally.credited) for checker, tally in found.checkers.items()}
    assert tallies == {LENIENT: (1, 1), STRICT: (2, 1), MATH_VERIFY: (0, 0)}
    assert found.as_json()["judges"][STRICT] == {
        **{"correct": 2, "wrong": 3, "no_answer": 0, "timeout": 0, "error": 0},
        **{"lost": 2, "credited": 1},
    }


def test_without_labels_nothing_is_lost_or_credited() -> None:
    assert count([a_case(True, True, True)]).as_json()["judges"][LENIENT]["lost"] is None


def test_groups_with_the_most_differences_come_first() -> None:
    cases = [a_case(True, True, True, persona="calm")] * 3 + [a_case(True, False, True, persona="pirate")]
    assert list(count_by(cases, lambda case: case.persona)) == ["pirate", "calm"]


# --- the terminal ---------------------------------------------------------------------------------------------------


def test_the_table_and_the_cases_say_what_was_read(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "300")
    rows = [WORDS | {"label": True, "persona": "calm"}, BOXED | {"label": False, "persona": "pirate"}]
    file = written(tmp_path, *rows, TAGGED | {"label": True, "persona": "pirate", "id": "t-1"})
    assert run(["audit", str(file)]) == 0
    text = capsys.readouterr().out
    lines = [line.split() for line in text.splitlines()]
    assert lines[0] == ["lenient", "strict", "math-verify"]
    assert lines[1] == ["answers", *["right", "none", "lost", "false"] * 3]
    blocks = "100.0 0.0 0 1", "33.3 66.7 2 1", "66.7 0.0 1 1"
    assert " ".join(lines[2]) == " ".join(["all 3", *blocks])
    assert "pirate 2 100.0 0.0 0 1 50.0 50.0 1 1 50.0 0.0 1 1" in map(" ".join, lines)
    assert "3 differences in 3 answers" in text
    order = [text.index(f"{KINDS[kind]}: 1 of 1") for kind in ("credited", "lenient alone", "strict")]
    assert order == sorted(order)
    case = text[order[1] :]
    assert "line 3, id t-1, persona pirate\n" in case
    for line in ("gold         18", "label        right", "lenient      correct, read 18  (mark: tag)"):
        assert f"  {line}\n" in case
    assert "  strict       no answer\n  math-verify  wrong, read 3\n  output ends  <answer>18</answer>" in case


def test_where_lenient_and_math_verify_differ_comes_before_where_strict_alone_does(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run(["audit", str(written(tmp_path, WORDS, WORDS, BOXED, TAGGED)), "--show", "1"])
    text = capsys.readouterr().out
    assert ", line 4\n" in text
    assert ", line 1\n" not in text
    assert "lost" not in text.splitlines()[1]


def test_judges_that_agree_leave_nothing_to_show(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Negative control."""
    run(["audit", str(written(tmp_path, BOXED | {"label": 1}, WRONG | {"label": 0}))])
    text = capsys.readouterr().out
    assert "0 differences in 2 answers" in text
    assert "output ends" not in text


def test_what_an_output_says_does_not_act_on_the_terminal(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    hostile = "\x1b]0;owned\x07\x1b[2J\r\b\u202e\u2028\ud800\x9b31m"
    row = {"output": f"{hostile}<answer>18{hostile}</answer>{hostile} or $3$\nend", "gold": "18", "persona": hostile}
    run(["audit", str(written(tmp_path, row | {"label": True, "id": hostile}))])
    text = capsys.readouterr().out
    assert all(letter.isprintable() or letter == "\n" for letter in text)
    assert "\\x1b]0;owned\\x07" in text
    assert "\u23ce end" in text


def test_only_what_acts_is_written_as_an_escape() -> None:
    harmless = "18 \\neq 19, é 答え 🙂 \u0301"
    assert printable(harmless) == harmless
    assert printable("a\nb\tc") == "a b c"
    assert printable("a\r\nb\tc\rd", lines=True) == "a\nb\tc\\x0dd"
    assert printable("\U000e0041\u200b") == "\\U000e0041\\u200b"


def test_lines_fit_the_terminal(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "100")
    row = TAGGED | {"label": False, "persona": "an old sailor who has seen every sea there is, and some that are not"}
    run(["audit", str(written(tmp_path, row, {**row, "gold": "18" * 60}, *[row] * 60))])
    assert max(map(len, capsys.readouterr().out.splitlines())) <= 100


def test_a_reader_that_leaves_is_no_failure(tmp_path: Path) -> None:
    file = written(tmp_path, *[TAGGED] * 50)
    command = f"{sys.executable} -m permix_verl.cli.main audit {file} --show 50 --out {tmp_path / 'out'} | true"
    done = subprocess.run(["bash", "-o", "pipefail", "-c", command], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert (tmp_path / "out" / "audit.html").is_file()


def deaf_to_interrupts(process: psutil.Process) -> bool:
    """A worker that has started: an interrupt is not for it."""
    masks = re.findall(r"^Sig(?:Blk|Ign):\s*(\w+)", Path(f"/proc/{process.pid}/status").read_text(), re.MULTILINE)
    return any(int(mask, 16) >> (signal.SIGINT - 1) & 1 for mask in masks)


def test_an_interrupt_ends_it_and_its_workers_and_writes_nothing(tmp_path: Path) -> None:
    file = written(tmp_path, *[{"output": "\\boxed{\\sqrt{25}}", "gold": "5"}] * 20_000)
    command = [sys.executable, "-m", "permix_verl.cli.main", "audit", str(file), "--out", str(tmp_path / "out")]
    environment = {**os.environ, "MATH_REWARD_WORKERS": "1"}
    audit = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, start_new_session=True, env=environment)
    workers: list[psutil.Process] = []
    while len(workers) < 1 + min(4, os.cpu_count() or 1) or not all(map(deaf_to_interrupts, workers)):
        assert audit.poll() is None
        time.sleep(0.05)
        workers = psutil.Process(audit.pid).children()
    os.killpg(audit.pid, signal.SIGINT)
    _, told = audit.communicate(timeout=60)
    assert audit.returncode == INTERRUPTED
    assert "interrupted; no file is half written" in told
    assert "Traceback" not in told
    assert not (tmp_path / "out").exists()
    with pytest.raises(ProcessLookupError):  # the whole group has ended
        os.killpg(audit.pid, 0)


# --- files ----------------------------------------------------------------------------------------------------------


def test_the_files_have_every_output_and_the_counts(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows: list[dict[str, Any]] = [{**WORDS, "persona": "calm"}]
    rows.append({**TAGGED, "label": True, "persona": "pirate", "id": 7})
    run(["audit", str(written(tmp_path, *rows)), "--out", str(tmp_path / "out")])
    assert "audit.html, audit.csv, audit.json" in capsys.readouterr().out
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out", "outputs.jsonl"]
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["audit.csv", "audit.html", "audit.json"]
    with (tmp_path / "out" / "audit.csv").open(newline="") as file:
        first, second = csv.DictReader(file)
    assert (first["line"], first["persona"], first["label"], first["difference"]) == ("1", "calm", "", "strict")
    assert {name: second[name] for name in ("id", "mark", "gold", "label", "difference")} == {
        **{"id": "7", "mark": "tag", "gold": "18", "label": "true", "difference": "lenient alone"}
    }
    names = ("lenient", "strict", "math_verify", "lenient_pred", "strict_pred", "math_verify_pred")
    assert [second[name] for name in names] == ["correct", "no_answer", "wrong", "18", "", "3"]
    counts = json.loads((tmp_path / "out" / "audit.json").read_text())
    assert counts["math_verify"] == "0.9.0"
    assert counts["overall"]["judges"][MATH_VERIFY] == {
        **{"correct": 1, "wrong": 1, "no_answer": 0, "timeout": 0, "error": 0, "lost": 1, "credited": 0}
    }
    assert set(counts["marks"]) == {"phrase", "tag"}
    assert counts["personas"]["pirate"]["differences"]["lenient alone"] == 1


def test_the_page_shows_differences_first_and_no_text_in_it_is_markup(tmp_path: Path) -> None:
    attack = "</pre></article><script>alert(1)</script>\"'><img src=x onerror=alert(1)>"
    row = TAGGED | {"output": f"<answer>18</answer> $3$ {attack}", "prompt": attack, "persona": attack, "id": attack}
    run(["audit", str(written(tmp_path, BOXED, WORDS, row)), "--out", str(tmp_path / "out")])
    page = (tmp_path / "out" / "audit.html").read_text()
    assert page.count("<script") == 1
    assert "<img" not in page
    assert page.count("&lt;script&gt;alert(1)") >= 5
    assert "default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-" in page.replace("&#39;", "'")
    places = [page.index(f"{KINDS[kind]}: 1 of 1") for kind in ("lenient alone", "strict", "agreed")]
    assert places == sorted(places)
    assert "http" not in page.replace("http-equiv", "")
    assert page.rstrip().endswith("</body>\n</html>")


def test_a_page_holds_so_many_cases_and_says_how_many_it_leaves_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("permix_verl.audit.html_report.CASES", 3)
    run(["audit", str(written(tmp_path, *[BOXED] * 4, TAGGED)), "--out", str(tmp_path / "out")])
    page = (tmp_path / "out" / "audit.html").read_text()
    assert page.count("<article") == 3
    assert "2 more are in audit.csv" in page
    assert f"{KINDS['lenient alone']}: 1 of 1" in page
    assert f"{KINDS['agreed']}: 2 of 4" in page


def test_real_outputs_with_labels_are_audited(shared_data: Path, tmp_path: Path) -> None:
    lines = (shared_data / "verifier" / "gsm8k_outputs.jsonl").read_text().splitlines()[:200]
    found = count(audit([written(tmp_path, *lines)], {}))
    assert (found.outputs, found.labelled) == (200, 200)
    assert [(tally.lost, tally.credited) for tally in (found.checkers[LENIENT], found.checkers[MATH_VERIFY])] == [
        (0, 0)
    ] * 2
    assert found.checkers[STRICT].lost == found.right
