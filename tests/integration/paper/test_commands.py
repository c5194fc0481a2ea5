"""The paper's tables: their methods, plan, rows beside the paper's, and values that cannot be measured."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from permix_verl import UserError, load_pool
from permix_verl.evaluation.sample_store import Sample, SampleStore
from permix_verl.fidelity.personagym.tasks import CONSISTENCY, TASKS
from permix_verl.inference.judges.store import Answer, FidelityStore, Judgement
from permix_verl.paper.commands import Step, plan_lines, steps
from permix_verl.paper.estimates import evaluation_estimate, training_estimate
from permix_verl.paper.report import markdown, write_table
from permix_verl.paper.rows import pool, read_rows
from permix_verl.paper.settings import PaperSettings, results_folder, run_folder
from permix_verl.paper.tables import ALL, BASE, PAPER_MODEL, PERMIX, RLVR, SFT, TABLES, find_table, paper_figures
from permix_verl.paper.token_budget import TrainingBudget, read_budget
from permix_verl.recipe.resolve import resolve
from permix_verl.utils.commands import PERMIX as COMMAND

from ...support.recorded_commands import unset_knobs

ROOT = Path(__file__).resolve().parents[3]
PAPER = ROOT / "docs" / "paper_tables"
WRITERS = {"rewriter": "gpt-5-mini", "qwen": "Qwen/Qwen3-32B", "llama": "a/b-70B", "gemma": "google/gemma-3-27b-it"}


@pytest.fixture(autouse=True)
def no_knobs(monkeypatch: pytest.MonkeyPatch) -> None:
    unset_knobs(monkeypatch)


def knobs_of(step: Step) -> dict[str, str]:
    """Return the KNOB=VALUE arguments of a training."""
    assert step.command[:4] == [*COMMAND, "train"]
    return dict(text.split("=", 1) for text in step.command[5:])


def trainings_of(found: list[Step]) -> list[Step]:
    return [step for step in found if "training" in step.title]


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
    result = steps(find_table("2"), replace(settings, rewriter_url="https://api"))
    assert [step.title for step in result] == [
        "Base: evaluation",
        *(
            f"{name}: {what}"
            for name in ("SFT", "PerMix-SFT", "PerMix-SFT (styled)", "RLVR", "PerMix-RLVR")
            for what in ("training", "evaluation")
        ),
    ]
    trainings = trainings_of(result)
    assert [step.command[4] for step in trainings] == ["sft", "permix_sft", "permix_sft", "rlvr_grpo", "permix_grpo"]
    knobs = [knobs_of(step) for step in trainings]
    assert {(one["MODEL"], one["SEED"]) for one in knobs} == {(PAPER_MODEL, "0")}
    assert len({one["RUN_DIR"] for one in knobs}) == 5
    styled = knobs[2]
    assert (styled["TARGET"], styled["REWRITER"], styled["BASE_URL"]) == ("styled", "gpt-5-mini", "https://api")
    assert all("BASE_URL" not in one for one in knobs if one is not styled)
    for step in result:
        if "evaluation" in step.title:
            assert step.command[:4] == [*COMMAND, "eval"]
            assert step.command[step.command.index("--limit") + 1] == "20"
            assert ("--adapter" in step.command) == (step.title != "Base: evaluation")


def test_every_training_composes(settings: PaperSettings) -> None:
    """Knobs among the arguments must be of the method: another's would be refused."""
    for step in trainings_of(steps(find_table("4"), settings)):
        config = resolve(step.command[4], step.command[5:], {"PROFILE": "8xa5000"})
        assert config["permix.run_dir"] == knobs_of(step)["RUN_DIR"]
        assert config["permix.model"] == PAPER_MODEL


def test_distillation_has_every_teacher_with_and_without_personas(settings: PaperSettings) -> None:
    apart = replace(settings, rewriter_url="https://api", teacher_url="http://here")
    trainings = [knobs_of(step) for step in trainings_of(steps(find_table("3"), apart))]
    taught = [knobs for knobs in trainings if "TEACHER" in knobs]
    assert {knobs["BASE_URL"] for knobs in taught} == {"http://here"}, "not the rewriter's"
    assert [(knobs["TEACHER"], knobs["PERSONA"]) for knobs in taught] == [
        (WRITERS[key], persona) for key in ("qwen", "llama", "gemma") for persona in ("0", "1")
    ]


def test_seeds_are_trained_and_evaluated_in_turn(settings: PaperSettings) -> None:
    table = replace(find_table("11"), methods=(BASE, SFT))
    result = steps(table, replace(settings, seed=3, seeds=2))
    assert [step.title for step in result] == [
        f"{name}, seed {seed}: {what}"
        for seed in (3, 4)
        for name, what in (("Base", "evaluation"), ("SFT", "training"), ("SFT", "evaluation"))
    ]
    for number, seed in ((0, "3"), (3, "4")):
        base, training, evaluation = result[number : number + 3]
        knobs = knobs_of(training)
        assert (knobs["SEED"], Path(knobs["RUN_DIR"]).name) == (seed, f"sft-Llama-3.1-8B-Instruct-seed{seed}")
        for step, key in ((base, "base"), (evaluation, "sft")):
            assert step.command[step.command.index("--seed") + 1] == seed
            assert step.command[-1] == str(settings.out / f"{key}-seed{seed}")
        assert f"{knobs['RUN_DIR']}/adapter" in evaluation.command


def test_the_plan_of_seeds_is_the_multiple_of_one(settings: PaperSettings) -> None:
    def totals(seeds: int) -> tuple[str, list[str]]:
        lines = plan_lines(find_table("2"), replace(settings, seeds=seeds, judges=("j",)))
        return lines[0], [line for line in lines if line.startswith(("in all", "rewriter", "PersonaGym"))]

    (head, one), (heads, three) = totals(1), totals(3)
    assert "seeds" not in head
    assert heads.endswith("PersonaGym, 3 seeds each")
    assert (one[1].split()[1], three[1].split()[1]) == ("7441", str(3 * 7441))
    tokens = [int(lines[0].split()[3].replace(",", "")) for lines in (one, three)]
    assert tokens[1] == 3 * tokens[0]
    calls = [int(lines[2].split()[11].replace(",", "")) for lines in (one, three)]
    assert calls[1] == 3 * calls[0]


def test_a_missing_rewriter_is_named(settings: PaperSettings) -> None:
    with pytest.raises(UserError, match="no model is set to write its targets; set REWRITER"):
        steps(find_table("2"), replace(settings, writers={}))


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
    result = steps(find_table("2"), judged)
    assert [step.title for step in result[:2]] == ["Base: evaluation", "Base: PersonaGym"]
    last = result[-1]
    assert last.title == "PerMix-RLVR: PersonaGym"
    assert "--top-p" in last.command
    assert last.command[-2:] == ["--out", str(results_folder(PERMIX, judged))]
    assert [last.command[n + 1] for n, part in enumerate(last.command) if part == "--judge"] == ["a@http://h/v1", "b"]
    assert last.command[last.command.index("--adapter") + 1] == str(run_folder(PERMIX, judged) / "adapter")
    assert all("PersonaGym" not in step.title for step in steps(find_table("11"), judged))
    assert [step.title for step in steps(find_table("10"), replace(judged, tasks=()))][:3] == [
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


def test_seeds_are_pooled_with_their_range(settings: PaperSettings) -> None:
    table = replace(find_table("2"), methods=(BASE, PERMIX))
    several = replace(settings, seeds=2, judges=("j",))
    for one, right, given in zip(several.each_seed(), (10, 14), (3, 4), strict=True):
        for key in ("base", "permix"):
            write_results(one, key, right)
            judge_everything(one, key, given)
        write_metrics(run_folder(PERMIX, one), [{"critic/score/mean": 0.5, "perf/total_num_tokens": 1000 * right}] * 2)
    rows = read_rows(table, several, PAPER / table.paper)
    single = [read_rows(table, one, PAPER / table.paper)[1].cells["gsm8k"] for one in several.each_seed()]
    cell = rows[1].cells["gsm8k"]
    assert (cell.worst, cell.ranges["worst"]) == (55, (45, 65))
    assert cell.pss == pytest.approx((single[0].pss + single[1].pss) / 2), "not the ratio of the pooled accuracies"
    assert cell.ranges["pss"] == (single[0].pss, single[1].pss)
    assert cell.pss_interval is None
    assert rows[1].budget == TrainingBudget(2, 24000, 0)
    score = rows[1].fidelity["Persona Consistency"]
    assert score.score == pytest.approx(3.5 - 1 / 9)
    assert score.range == pytest.approx((3 - 1 / 9, 4 - 1 / 9))
    text = markdown(rows, table, several)
    assert f"{PAPER_MODEL}, seeds 0 to 1, 2 runs." in text
    assert "A figure is the mean of the seeds' values" in text
    assert "95 %" not in text
    assert "| PerMix-RLVR | 2 | 24,000 | 0 | 55.0, 45.0 to 65.0 (84.9) |" in text
    assert "| 3.39, 2.89 to 3.89 (3.41) |" in text
    files = write_table(rows, table, several)
    head, *lines = files[1].read_text().splitlines()
    assert head.endswith(
        ",worst_least,worst_most,best_least,best_most,mean_least,mean_most,pss_least,pss_most,score_least,score_most"
    )
    assert {line.count(",") for line in lines} == {head.count(",")}
    values = [dict(zip(head.split(","), line.split(","), strict=True)) for line in lines]
    assert (values[0]["worst_least"], values[0]["score_most"]) == ("45.0000", "")
    assert [row["worst_most"] for row in values if row["task"] == "PersonaGym: total"] == ["", ""]
    assert float(next(row["score_least"] for row in values if row["task"] == "PersonaGym: total")) == pytest.approx(
        3 - 1 / 45
    )
    document = json.loads(files[2].read_text())
    assert document["seeds"] == [0, 1]
    assert document["rows"][0]["cells"]["gsm8k"]["ranges"]["worst"] == [45, 65]


def test_one_seed_has_no_range_anywhere(settings: PaperSettings) -> None:
    """Negative control."""
    table = replace(find_table("2"), methods=(BASE,))
    write_results(settings, "base", 10)
    rows = read_rows(table, settings, PAPER / table.paper)
    assert rows == [pool(rows)]
    text = markdown(rows, table, settings)
    assert "95 % of PSS" in text
    assert "45.0 (81.1)" in text
    assert "seed 0, " in text
    texts = [file.read_text() for file in write_table(rows, table, settings)]
    assert not any(word in file for file in texts for word in ("range", "seeds", "least"))


def test_a_seed_that_is_missing_is_named(settings: PaperSettings) -> None:
    write_results(settings, "base", 10)
    table = replace(find_table("2"), methods=(BASE,))
    with pytest.raises(UserError, match="base-seed1"):
        read_rows(table, replace(settings, seeds=2), PAPER / table.paper)
