"""The audit's three checkers, and the counts of their differences."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from permix_verl.audit.cases import CHECKERS, LENIENT, MATH_VERIFY, STRICT, AuditCase, CheckResult, select_cases
from permix_verl.audit.checks import check_rows, strict_result
from permix_verl.audit.counts import count, count_by
from permix_verl.audit.math_verify_pool import MathVerifyPool
from permix_verl.audit.math_verify_worker import boxed
from permix_verl.audit.rows import OutputRow
from permix_verl.cli.audit import audit
from permix_verl.evaluation.scoring import load_reward

from ...support.audit_rows import BOXED, TAGGED, WORDS, WRONG, statuses_of, write_rows


def test_every_output_is_judged_three_ways(tmp_path: Path) -> None:
    hanging = {"output": "So \\boxed{18} and $x$", "gold": "no ### gold \\boxed{"}
    none = {"output": "I do not know.", "gold": "18"}
    cases = audit([write_rows(tmp_path, BOXED, WORDS, TAGGED, WRONG, none, hanging)], {})
    assert [statuses_of(case) for case in cases[:5]] == [
        ["correct", "correct", "correct"],
        ["correct", "no_answer", "correct"],
        ["correct", "no_answer", "wrong"],
        ["wrong", "wrong", "wrong"],
        ["no_answer", "no_answer", "no_answer"],
    ]
    assert [case.mark for case in cases[:5]] == ["boxed", "phrase", "tag", "boxed", "none"]
    assert (cases[2].results[LENIENT].pred, cases[2].results[MATH_VERIFY].pred) == ("18", "3")
    assert not cases[5].results[MATH_VERIFY].credit


def test_strict_equals_the_reward_files_own_strict_mode() -> None:
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
    for result, expected in zip(lenient, strict, strict=True):
        derived = strict_result(CheckResult(result["status"], result["pred"]), result["mark"], reward.STRICT_MARKS)
        assert (derived.status, derived.pred) == (expected["status"], expected["pred"])
    assert {result["status"] for result in strict} == {"correct", "wrong", "no_answer"}


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
def test_the_gold_is_boxed_for_math_verify(gold: str, latex: str) -> None:
    assert boxed(gold) == latex


def test_a_hanging_or_dead_math_verify_is_reported_and_the_next_output_is_judged(
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


def make_case(
    lenient: bool, strict: bool, plain: bool, label: bool | None = None, *, line: int = 1, persona: str = ""
) -> AuditCase:
    words = {True: CheckResult("correct", "18"), False: CheckResult("wrong", "17")}
    results = dict(zip(CHECKERS, (words[lenient], words[strict], words[plain]), strict=True))
    return AuditCase("f", line, "", persona, "boxed", "18", "", "x", label, results)


@pytest.mark.parametrize(
    ("case", "kind"),
    [
        (make_case(False, False, True, True), "lost"),
        (make_case(True, True, True, False), "credited"),
        (make_case(True, True, False, True), "lenient alone"),
        (make_case(True, False, False), "lenient alone"),
        (make_case(False, False, True, False), "math-verify alone"),
        (make_case(True, False, True), "strict"),
        (make_case(True, True, True, True), "agreed"),
        (make_case(False, False, False), "agreed"),
    ],
)
def test_a_case_has_its_most_important_kind_of_difference(case: AuditCase, kind: str) -> None:
    assert case.kind == kind


def test_every_kind_is_shown_and_the_most_important_comes_first() -> None:
    strict = [make_case(True, False, True, line=line) for line in range(50)]
    lost = [make_case(False, False, True, True, line=line) for line in range(50, 52)]
    agreed = [make_case(True, True, True)]
    result = select_cases(strict + agreed + lost, 10, agreed=False)
    assert [case.kind for case in result] == ["lost"] * 2 + ["strict"] * 8
    assert [case.line for case in result] == [50, 51, *range(8)]
    assert [case.kind for case in select_cases(strict + agreed + lost, 1, agreed=True)] == ["lost"]
    assert select_cases(strict + agreed + lost, 99, agreed=True)[-1] is agreed[0]
    assert select_cases(strict, 0, agreed=True) == []


def test_lost_right_answers_and_credited_wrong_ones_are_counted_for_each_checker() -> None:
    result = count(
        [
            make_case(False, False, True, True),
            make_case(True, False, True, True),
            make_case(True, True, False, False),
            make_case(False, False, False, False),
            make_case(True, True, True),
        ]
    )
    assert (result.outputs, result.right, result.wrong, result.differences) == (5, 2, 2, 3)
    tallies = {checker: (tally.lost, tally.credited) for checker, tally in result.checkers.items()}
    assert tallies == {LENIENT: (1, 1), STRICT: (2, 1), MATH_VERIFY: (0, 0)}
    assert result.as_json()["judges"][STRICT] == {
        **{"correct": 2, "wrong": 3, "no_answer": 0, "timeout": 0, "error": 0},
        **{"lost": 2, "credited": 1},
    }


def test_without_labels_nothing_is_lost_or_credited() -> None:
    assert count([make_case(True, True, True)]).as_json()["judges"][LENIENT]["lost"] is None


def test_groups_with_the_most_differences_come_first() -> None:
    cases = [make_case(True, True, True, persona="calm")] * 3 + [make_case(True, False, True, persona="pirate")]
    assert list(count_by(cases, lambda case: case.persona)) == ["pirate", "calm"]


def test_real_outputs_with_labels_are_audited(shared_data: Path, tmp_path: Path) -> None:
    lines = (shared_data / "verifier" / "gsm8k_outputs.jsonl").read_text().splitlines()[:200]
    result = count(audit([write_rows(tmp_path, *lines)], {}))
    assert (result.outputs, result.labelled) == (200, 200)
    assert [(tally.lost, tally.credited) for tally in (result.checkers[LENIENT], result.checkers[MATH_VERIFY])] == [
        (0, 0)
    ] * 2
    assert result.checkers[STRICT].lost == result.right
