"""The reward file on real model outputs and on the test suites of other checkers."""

import importlib
import json
import shutil
from collections import Counter
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest

from ...support.reward_file import SOURCE, load


@pytest.fixture(scope="module")
def reward(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A copy of the file in an empty folder, without anything beside it."""
    module = load(Path(shutil.copy(SOURCE, tmp_path_factory.mktemp("alone"))))
    yield module
    module.close()


def records(shared_data: Path, name: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (shared_data / "verifier" / f"{name}.jsonl").read_text().splitlines()]


def test_scores_agree_with_the_labels_of_real_gsm8k_outputs(reward: Any, shared_data: Path) -> None:
    outputs = records(shared_data, "gsm8k_outputs")
    results = reward.compute_score_batch(
        [""] * len(outputs), [output["solution"] for output in outputs], [output["gold_answer"] for output in outputs]
    )
    assert len(outputs) == 2616
    assert [
        output
        for output, result in zip(outputs, results, strict=True)
        if (result["score"] == 1.0) != (str(output["is_correct"]) == "True")
    ] == []


FAMILIES = {"Qwen2.5-Math": "Qwen MATH", "MathCoder": "MathCoder", "MR-GSM8K": "MR-GSM8K"}
# False negatives and false positives by the sources' labels; docs/answers.md explains each.
DISAGREEMENTS = {
    ("Qwen MATH", "FP"): 1,
    ("MathCoder", "FN"): 1,
    ("MathCoder", "FP"): 3,
    ("MR-GSM8K", "FP"): 1,
    ("ZeroEval GSM8K", "FN"): 1,
    ("ZeroEval GSM8K", "FP"): 9,
    ("ZeroEval MATH", "FN"): 3,
    ("ZeroEval MATH", "FP"): 1,
}


def test_scores_on_real_chat_outputs_differ_from_the_labels_only_as_documented(reward: Any, shared_data: Path) -> None:
    outputs = records(shared_data, "chat_outputs")
    results = reward.compute_score_batch(
        [""] * len(outputs), [output["output"] for output in outputs], [output["gold_answer"] for output in outputs]
    )
    found: Counter[tuple[str, str]] = Counter()
    for output, result in zip(outputs, results, strict=True):
        label = str(output["is_correct"]) == "True"
        if (result["score"] == 1.0) != label:
            family = next((name for start, name in FAMILIES.items() if output["model"].startswith(start)), None)
            found[family or f"ZeroEval {output['dataset'].split('-')[0]}", "FN" if label else "FP"] += 1
    assert len(outputs) == 5034
    assert not any(result["timeout"] or result["error"] for result in results)
    assert dict(found) == DISAGREEMENTS


def test_the_fast_path_agrees_with_math_verify_on_every_real_answer(reward: Any, shared_data: Path) -> None:
    """Compare the fast path with the worker on the same extracted answers."""
    outputs = [
        (output.get("solution") or output["output"], output["gold_answer"])
        for name in ("gsm8k_outputs", "chat_outputs")
        for output in records(shared_data, name)
    ]
    here: dict[tuple[str, str], str] = {}
    for solution, gold in outputs:
        result, _ = reward._read(solution, gold)
        if result is not None and result[0] in ("correct", "wrong"):
            here[result[1], gold] = result[0]
    # Units and percent in decimals are the two intended differences of the fast path.
    plain = {key: status for key, status in here.items() if not set(key[0]) & set("abcdefghijklmnopqrstuvwxyz%\\")}
    requests = [reward._state.submit({"kind": "box", "answer": pred, "text": "", "gold": gold}) for pred, gold in plain]
    slow = [request.result()[0] for request in requests]
    assert len(plain) > 1500
    assert [(key, fast, other) for (key, fast), other in zip(plain.items(), slow, strict=True) if fast != other] == []


def cases(shared_data: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (shared_data / "verifier" / "cases.jsonl").read_text().splitlines()]


def failures_of_own_suite(module: Any, shared_data: Path) -> list[dict[str, Any]]:
    """Return Math-Verify's own cases that fail under the options of its suite."""
    library = module.import_math_verify()
    kinds = {
        "latex": library.LatexExtractionConfig(),
        "expr": library.ExprExtractionConfig(),
        "string": library.StringExtractionConfig(lowercase=False),
    }
    chosen = [case for case in cases(shared_data) if case["source"].startswith("huggingface/Math-Verify")]
    assert len(chosen) == 132
    missed = []
    for case in chosen:
        options = dict(case["options"] or {})
        targets = [kinds[kind] for kind in options.pop("match_types", ["latex", "expr"])]
        if "precision" in options:
            options["float_rounding"] = options.pop("precision")
        gold, answer = library.parse(case["gold"], targets), library.parse(case["prediction"], targets)
        if library.verify(gold, answer, **options) != case["expected"]:
            missed.append(case)
    return missed


def test_math_verifys_own_suite_passes_with_the_antlr_that_hydra_pins(reward: Any, shared_data: Path) -> None:
    assert version("antlr4-python3-runtime") == "4.9.3"
    assert failures_of_own_suite(reward, shared_data) == []


def test_without_the_grammar_fix_percent_fails(reward: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Negative control of the grammar fix."""
    from latex2sympy2_extended.antlr_parser import PSParser

    percent = ("box", "28\\%", "", "0.28")
    assert reward._judge(*percent)[0] == "correct"
    monkeypatch.delattr(PSParser.AtomContext, "FUNC_GAMMA")
    monkeypatch.setattr(reward, "import_math_verify", lambda: importlib.import_module("math_verify"))
    importlib.import_module("math_verify.parser").parse_latex_cached.cache_clear()
    assert reward._judge(*percent)[0] != "correct"


# Cases of other checkers' suites that fail here; docs/answers.md gives the reasons.
DOCUMENTED_FAILURES = {
    "0.1, 4, 2": "order of a list",
    "x + \\sqrt2I": "rounding",
    "\\frac13, \\sqrt3, \\pi": "rounding",
    "40\\pi": "rounding",
    "10m": "unit",
    "$\\frac{v_{0}}{r_{0}} \\frac{1}{\\left(1+r / r_{0}\\right)^{3 / 2}}$": "the gold has other symbols",
    "\\begin{matrix} \\frac12 \\\\ 1 \\end{matrix}": "a matrix for a list",
    "\\sin(90^{\\circ}-x)": "degrees",
    "2": "an equation for a number",
    "__import__('os').system('touch marker') or 0": "last number",
    "getattr(__import__('pathlib').Path('marker'), 'touch')() or 0": "last number",
    "(1).__class__.__mro__[1].__subclasses__() or 0": "last number",
    "(lambda: open('marker', 'w'))() or 0": "last number",
    "[open('marker', 'w') for _ in [0]] or 0": "last number",
    "globals()['__builtins__']['open']('marker', 'w') or 0": "last number",
}


def test_other_checkers_suites_fail_only_as_documented(
    reward: Any, shared_data: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)  # a payload would create its marker here
    chosen = [case for case in cases(shared_data) if not case["source"].startswith("huggingface/Math-Verify")]
    results = reward.compute_score_batch(
        [""] * len(chosen), [case["prediction"] for case in chosen], [case["gold"] for case in chosen]
    )
    missed = {
        case["prediction"]
        for case, result in zip(chosen, results, strict=True)
        if (result["score"] == 1.0) != case["expected"]
    }
    assert missed == set(DOCUMENTED_FAILURES)
    assert list(tmp_path.iterdir()) == []
