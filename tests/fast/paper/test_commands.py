"""The paper's tables: their methods, plan, rows beside the paper's, and values that cannot be measured."""

import json
import os
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from permix_verl import UserError, load_pool
from permix_verl.cli import reproduce
from permix_verl.evaluation.sample_store import Sample, SampleStore
from permix_verl.fidelity.personagym.tasks import CONSISTENCY, TASKS
from permix_verl.inference.judges.store import Answer, FidelityStore, Judgement
from permix_verl.paper.commands import (
    PaperSettings,
    evaluation_estimate,
    parameters,
    results_folder,
    run_folder,
    steps,
    training_estimate,
)
from permix_verl.paper.report import markdown, read_rows, write_table
from permix_verl.paper.tables import ALL, BASE, PAPER_MODEL, PERMIX, RLVR, SFT, TABLES, find_table, paper_figures
from permix_verl.paper.token_budget import read_budget

ROOT = Path(__file__).resolve().parents[3]
PAPER = ROOT / "docs" / "paper_tables"
WRITERS = {"rewriter": "gpt-5-mini", "qwen": "Qwen/Qwen3-32B", "llama": "a/b-70B", "gemma": "google/gemma-3-27b-it"}


@pytest.fixture
def settings(tmp_path: Path) -> PaperSettings:
    return PaperSettings(PAPER_MODEL, 0, tmp_path / "runs", tmp_path / "out", 2, 20, ("gsm8k",), WRITERS)


@pytest.mark.parametrize("number", TABLES)
def test_the_papers_rows_and_the_methods_correspond(number: str) -> None:
    table = TABLES[number]
    if table.paper == "table10_personagym.csv":
        rows = {tuple(line.split(",")[:4]) for line in (PAPER / table.paper).read_text().splitlines()[1:]}
    else:
        rows = {key[:4] for key in paper_figures(PAPER / table.paper)}
    assert {method.row for method in table.methods} <= rows
    if len(table.methods) == len(ALL):
        assert rows == {method.row for method in table.methods}


def test_tables_2_and_3_cover_all_twelve_rows_between_them() -> None:
    rows = {key[:4] for key in paper_figures(PAPER / "table2_3.csv")}
    assert rows == {method.row for number in ("2", "3") for method in TABLES[number].methods}
    assert len({method.key for method in ALL}) == len(ALL) == 12


def test_the_papers_pss_is_worst_over_best_where_its_own_tables_say_so() -> None:
    for (*_, task), figures in paper_figures(PAPER / "table11_aime24.csv").items():
        assert task == "aime24"
        assert figures["pss"] == pytest.approx(figures["worst"] / figures["best"], abs=0.003)


def test_each_method_is_trained_and_evaluated_with_the_same_base_and_seed(settings: PaperSettings) -> None:
    result = steps(find_table("2"), replace(settings, rewriter_url="https://api"), "python", ROOT)
    assert [step.title for step in result] == [
        "Base: evaluation",
        *(
            f"{name}: {what}"
            for name in ("SFT", "PerMix-SFT", "PerMix-SFT (styled)", "RLVR", "PerMix-RLVR")
            for what in ("training", "evaluation")
        ),
    ]
    trainings = [step for step in result if step.knobs]
    assert {(step.knobs["MODEL"], step.knobs["SEED"]) for step in trainings} == {(PAPER_MODEL, "0")}
    assert len({step.knobs["RUN_DIR"] for step in trainings}) == 5
    styled = next(step for step in trainings if "styled" in step.title)
    assert (styled.knobs["TARGET"], styled.knobs["REWRITER"]) == ("styled", "gpt-5-mini")
    assert styled.knobs["BASE_URL"] == "https://api"
    for step in result:
        if "evaluation" in step.title:
            assert step.command[step.command.index("--limit") + 1] == "20"
            assert ("--adapter" in step.command) == (step.title != "Base: evaluation")


def test_distillation_has_every_teacher_with_and_without_personas(settings: PaperSettings) -> None:
    apart = replace(settings, rewriter_url="https://api", teacher_url="http://here")
    trainings = [step for step in steps(find_table("3"), apart, "python", ROOT) if "TEACHER" in step.knobs]
    assert {step.knobs["BASE_URL"] for step in trainings} == {"http://here"}, "not the rewriter's"
    assert [(step.knobs["TEACHER"], step.knobs["PERSONA"]) for step in trainings] == [
        (WRITERS[key], persona) for key in ("qwen", "llama", "gemma") for persona in ("0", "1")
    ]


def test_a_missing_rewriter_is_named(settings: PaperSettings) -> None:
    with pytest.raises(UserError, match="no model is set to write its targets; set REWRITER"):
        steps(find_table("2"), replace(settings, writers={}), "python", ROOT)


def test_the_estimate_is_the_stated_arithmetic(settings: PaperSettings) -> None:
    result = training_estimate(SFT, settings, 8e9)
    assert result.tokens == 3 * 7441 * (120 + 130)
    assert result.gpu_hours == pytest.approx(6 * 8e9 * result.tokens / (111e12 * 0.3) / 3600)
    assert training_estimate(RLVR, settings, 8e9).tokens == 7441 * 8 * (120 + 200), (
        "as read_budget counts a finished run's"
    )
    assert training_estimate(BASE, settings, 8e9).tokens == 0
    assert training_estimate(PERMIX, settings, 8e9).tokens > training_estimate(RLVR, settings, 8e9).tokens
    evaluated = evaluation_estimate(settings, 8e9)
    assert evaluated.tokens == 20 * 17 * 2 * 200
    assert evaluated.gpu_hours == pytest.approx(2 * 8e9 * evaluated.tokens / (111e12 * 0.2) / 3600)


@pytest.mark.parametrize(
    ("model", "size"),
    [(PAPER_MODEL, 8e9), ("Qwen/Qwen3-0.6B", 0.6e9), ("a/b-70B_x", 70e9), ("permix_verl/lab/model", None)],
)
def test_a_models_size_is_read_from_its_name(model: str, size: float | None) -> None:
    assert parameters(model) == size


@pytest.mark.parametrize("number", TABLES)
def test_the_plan_has_commands_tokens_hours_and_judge_calls(
    number: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert reproduce.main([number, "--dry-run", "--out", str(tmp_path), "--runs-dir", str(tmp_path)]) == 0
    printed = capsys.readouterr().out
    table = TABLES[number]
    for method in table.methods:
        assert f"  {method.label}: " in printed or not method.recipe
    assert "GPU hours" in printed
    assert ("calls of each judge, but no judge is set" in printed) == table.personagym
    assert list(tmp_path.iterdir()) == []


def test_unmeasurable_tables_are_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="table 10 is about PersonaGym, and no judge is set; set JUDGE"):
        reproduce.main(["10", "--rewriter", "x", "--out", str(tmp_path)])
    with pytest.raises(UserError, match="two judges are named 'j'"):
        reproduce.main(["10", "--judge", "j", "--judge", "j", "--out", str(tmp_path)])
    with pytest.raises(UserError, match="no table '7' that compares trained models; known: 2"):
        reproduce.main(["7"])


def write_results(settings: PaperSettings, arm_key: str, right: int) -> None:
    """Twenty problems under every persona, of which so many are solved; under the first persona one fewer."""
    method = next(method for method in ALL if method.key == arm_key)
    store = SampleStore(results_folder(method, settings))
    personas = load_pool("eval").keys
    rows = [
        Sample(f"{p} {n} {r}", "gsm8k", p, f"p{n}", r, "", "", "5", "5", "5", status, "stop", 9, 9, 0)
        for number, p in enumerate(personas)
        for n in range(20)
        for r in range(2)
        if (status := "correct" if n < right - (number == 0) else "wrong")
    ]
    described = {"model": {"name": "m"}, "adapter": None, "tasks": {"gsm8k": {"problems": 20}}}
    with store.writing():
        store.begin(described, {"gsm8k": {"arms": list(personas), "runs": 2}})
        store.append(rows)


@pytest.mark.parametrize(
    ("number", "columns", "paper"),
    [
        ("4", ["v1_easy", "v6_easy", "v1_medium"], {"worst": 22.5, "best": 30.4, "mean": 25.4, "pss": 0.741}),
        ("12", ["v1_hard"], {"worst": 0, "best": 1.33, "mean": 0.85, "pss": 0}),
    ],
)
def test_code_is_reported_by_difficulty_beside_the_papers_figures_of_release_v1(
    settings: PaperSettings, number: str, columns: list[str], paper: dict[str, float]
) -> None:
    code = replace(settings, tasks=("livecodebench=/data/lcb",))
    table = replace(find_table(number), methods=(BASE,))
    ids = {"v1/easy": 4, "v6/easy": 3, "v1/medium": 3, "v1/hard": 5}
    problems = [f"livecodebench/{part}/{n}" for part, count in ids.items() for n in range(count)]
    groups = {
        f"livecodebench_{part.replace('/', '_')}": [problem for problem in problems if part in problem] for part in ids
    }
    store = SampleStore(results_folder(BASE, code))
    with store.writing():
        described = {"livecodebench": {"problems": len(problems), "groups": groups}}
        methods = {"livecodebench": {"arms": ["a", "b"], "runs": 1}}
        store.begin({"model": {"name": "m"}, "adapter": None, "tasks": described}, methods)
        store.append(
            [
                Sample(f"{p} {n}", "livecodebench", p, n, 0, "", "", "g", "", "", status, "stop", 9, 9, 0)
                for p in ("a", "b")
                for n in problems
                if (status := "correct" if p == "b" or n.endswith("/0") else "wrong")
            ]
        )
    (row,) = read_rows(table, code, PAPER / table.paper)
    assert list(row.cells) == [f"livecodebench_{column}" for column in columns]
    first = row.cells[f"livecodebench_{columns[0]}"]
    assert (first.worst, first.best) == pytest.approx((100 / len(groups[f"livecodebench_{columns[0]}"]), 100))
    assert first.paper == pytest.approx(paper)
    assert all(cell.paper is None for name, cell in row.cells.items() if "v6" in name)
    assert "fit the number of problems of v1" in markdown([row], table, code)


def write_metrics(folder: Path, steps: list[dict[str, float]]) -> None:
    (folder / "metrics").mkdir(parents=True)
    lines = [json.dumps({"step": number, "data": data}) for number, data in enumerate(steps, start=1)]
    (folder / "metrics" / "a.jsonl").write_text("\n".join(lines) + "\n")


def test_rows_are_printed_beside_the_papers_with_each_methods_budget(settings: PaperSettings) -> None:
    table = replace(find_table("2"), methods=(BASE, SFT, PERMIX))
    for key, right in (("base", 10), ("sft", 12), ("permix", 18)):
        write_results(settings, key, right)
    write_metrics(run_folder(SFT, settings), [{"train/loss": 0.5, "train/global_tokens": 1000}] * 3)
    permix = run_folder(PERMIX, settings)
    write_metrics(permix, [{"critic/score/mean": 0.5, "perf/total_num_tokens": 5000}] * 2)
    (permix / "records").mkdir()
    (permix / "records" / "1.jsonl").write_text('{"tokens": 30}\n{"tokens": 12}\n')
    rows = read_rows(table, settings, PAPER / table.paper)
    cell = rows[1].cells["gsm8k"]
    assert (cell.worst, cell.best, cell.pss) == pytest.approx((55, 60, 11 / 12))
    assert cell.mean == pytest.approx(60 - 5 / 16)
    assert cell.paper is not None
    assert cell.paper["worst"] == 73.4
    text = markdown(rows, table, settings)
    assert "| SFT | 3 | 3,000 | 0 | 55.0 (73.4) | 60.0 (77.2) | 59.7 (75.8) | 0.917 (0.951) | refused |" in text
    assert "| PerMix-RLVR | 2 | 10,000 | 42 |" in text
    assert "| Base |  |  |  | 45.0 (81.1)" in text
    assert "PersonaGym is not measured: no judge is set (JUDGE)." in text
    files = write_table(rows, table, settings)
    assert [file.name for file in files] == ["table2.md", "table2.csv", "table2.json"]
    assert json.loads(files[2].read_text())["rows"][1]["budget"] == {"steps": 3, "tokens": 3000, "generated": 0}
    assert "PerMix-RLVR,gsm8k,2,10000,85.0000,90.0000" in files[1].read_text()


def judge_everything(settings: PaperSettings, arm_key: str, given: int) -> None:
    """Write one judge's scores of nine personas, one reply per task; the first persona's consistency is one lower."""
    method = next(method for method in ALL if method.key == arm_key)
    store = FidelityStore(results_folder(method, settings))
    personas = load_pool("eval").keys[:9]
    with store.writing():
        fixed = {"model": {"name": "m"}, "adapter": None, "questions": {"sha256": "0", "made_by": "x"}, "sampling": {}}
        roles = {key: {"system_prompt": "", "questions": dict.fromkeys(TASKS, 1)} for key in personas}
        store.begin(fixed, {"personas": roles}, {"judged": {"j": {"scoring": "fixed", "judge": "j", "version": "v"}}})
        for number, key in enumerate(personas):
            for task in TASKS:
                score = given - (number == 0 and task == CONSISTENCY)
                answer = Answer(f"{key} {task}", key, task, 0, "?", "!", "stop", 1, 1, 0)
                store.answers.append(answer)
                place = [key, task, 0]
                store.judgements.append(
                    Judgement(
                        f"j {answer.key}", "fixed", "j", "v", place, [answer.key], 0, "", "stop", "scored", score, 1, 1
                    )
                )


def test_fidelity_is_in_the_same_rows(settings: PaperSettings) -> None:
    judged = replace(settings, judges=("j",))
    table = replace(find_table("2"), methods=(BASE, PERMIX))
    for key, right, score in (("base", 10, 3), ("permix", 18, 4)):
        write_results(judged, key, right)
        judge_everything(judged, key, score)
    rows = read_rows(table, judged, PAPER / table.paper)
    assert rows[0].fidelity["Persona Consistency"].score == pytest.approx(3 - 1 / 9)
    assert rows[1].fidelity["total"].score == pytest.approx(4 - 1 / 45)
    text = markdown(rows, table, judged)
    assert "| PersonaGym: Persona Consistency |" in text
    assert "PersonaGym: total" not in text, "the paper's Table 2 has consistency only"
    assert "| 2.89 (3.19) (interval refused) |" in text
    files = write_table(rows, table, judged)
    assert "PerMix-RLVR,PersonaGym: total,,,,,,,,,,,3.977" in files[1].read_text()

    ten = replace(find_table("10"), methods=(BASE, PERMIX))
    alone = replace(judged, tasks=())
    text = markdown(read_rows(ten, alone, PAPER / ten.paper), ten, alone)
    assert "| PersonaGym: Toxicity | PersonaGym: total |" in text
    assert "4.00 (3.03) (interval refused)" in text
    with pytest.raises(UserError, match="has no PersonaGym results"):
        read_rows(replace(ten, methods=(SFT,)), alone, PAPER / ten.paper)


def test_with_a_judge_every_method_is_judged_after_its_evaluation(settings: PaperSettings) -> None:
    judged = replace(settings, judges=("a@http://h/v1", "b"), personagym_flags=("--top-p", "1"))
    result = steps(find_table("2"), judged, "python", ROOT)
    assert [step.title for step in result[:2]] == ["Base: evaluation", "Base: PersonaGym"]
    last = result[-1]
    assert last.title == "PerMix-RLVR: PersonaGym"
    assert "--top-p" in last.command
    assert last.command[-2:] == ["--out", str(results_folder(PERMIX, judged))]
    assert [last.command[n + 1] for n, part in enumerate(last.command) if part == "--judge"] == ["a@http://h/v1", "b"]
    assert last.command[last.command.index("--adapter") + 1] == str(run_folder(PERMIX, judged) / "adapter")
    assert all("PersonaGym" not in step.title for step in steps(find_table("11"), judged, "python", ROOT))
    assert [step.title for step in steps(find_table("10"), replace(judged, tasks=()), "python", ROOT)][:3] == [
        "Base: PersonaGym",
        "SFT: training",
        "SFT: PersonaGym",
    ]


def test_another_models_figures_are_not_printed_beside_the_papers(settings: PaperSettings) -> None:
    mine = replace(settings, model="Qwen/Qwen3-4B")
    table = replace(find_table("2"), methods=(BASE,))
    write_results(mine, "base", 10)
    rows = read_rows(table, mine, PAPER / table.paper)
    assert rows[0].cells["gsm8k"].paper is None
    assert f"The paper's figures are for {PAPER_MODEL}" in markdown(rows, table, mine)


def test_a_run_without_metrics_has_no_budget(tmp_path: Path) -> None:
    assert read_budget(tmp_path) is None


def recipe(*arguments: str, **knobs: str) -> subprocess.CompletedProcess[str]:
    environment = {key: os.environ[key] for key in ("PATH", "HOME") if key in os.environ} | knobs
    command = ["bash", str(ROOT / "recipes" / "reproduce.sh"), *arguments]
    return subprocess.run(command, capture_output=True, text=True, env=environment, stdin=subprocess.DEVNULL)


def test_the_recipe_passes_its_knobs_on(fake_python: dict[str, str], tmp_path: Path) -> None:
    from ...conftest import recorded

    done = recipe(
        "2",
        OUT=str(tmp_path / "o"),
        MODEL="a/b-1B",
        REWRITER="r",
        RUNS="3",
        DRY_RUN="1",
        JUDGE="j@http://h",
        **fake_python,
    )
    assert done.returncode == 0, done.stderr
    (call,) = recorded(fake_python)
    assert call.startswith(f"{ROOT}/eval/reproduce.py 2 --seed 0 ")
    for flag in (
        "--model a/b-1B",
        f"--out {tmp_path}/o",
        "--runs 3",
        "--rewriter r",
        "--judge j@http://h",
        "--dry-run",
    ):
        assert f" {flag}" in call
    assert "--teacher" not in call


def test_the_lab_has_the_tables_shape(fake_python: dict[str, str]) -> None:
    from ...conftest import recorded

    assert recipe("3", LAB="1", **fake_python).returncode == 0
    (call,) = recorded(fake_python)
    teacher = ROOT / "permix_verl" / "lab" / "teacher"
    assert f"--tasks lab_easy,lab_hard --rewriter lab --teacher-qwen {teacher} --teacher-llama {teacher}" in call
    assert "--eval-flags --temperature 1 --top-p 1" in call


@pytest.mark.parametrize(
    ("arguments", "knobs", "message"),
    [
        ([], {}, "give one table of the paper"),
        (["2", "3"], {}, "give one table of the paper"),
        (["2"], {"TEACHER": "x"}, "TEACHER is set here"),
        (["2"], {"INIT_ADAPTER": "x"}, "INIT_ADAPTER is set here"),
        (["10"], {"LAB": "1"}, "table 10 needs other problems than the lab"),
    ],
)
def test_unsupported_arguments_are_refused(arguments: list[str], knobs: dict[str, str], message: str) -> None:
    done = recipe(*arguments, **knobs)
    assert done.returncode == 2
    assert message in done.stderr
