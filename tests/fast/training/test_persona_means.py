"""Curves and tables of pools with many personas: quantiles, best and worst, and categories."""

import csv
import json
import random
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from permix_verl import Persona, PersonaPool, load_pool
from permix_verl.runs import metrics as m
from permix_verl.runs.folder import RunFolder
from permix_verl.runs.persona_validation import PersonaValidation, ValidationPersonas
from permix_verl.training.hooks.buffer_hooks import RunContext
from permix_verl.training.hooks.step_hooks import LogPersonaMetrics, WriteRecords
from permix_verl.training.hooks.validation_metrics import LogRobustness, category_accuracy
from permix_verl.training.observability.curves import category_series, plot_curves
from permix_verl.training.observability.persona_means import (
    MAX_SERIES,
    PERSONAS_CSV,
    PersonaMeans,
    category_metrics,
    read_means,
)
from permix_verl.training.observability.persona_metrics import Rollout
from permix_verl.training.observability.smoke_report import collect_report
from permix_verl.training.trackers.results import collect_results


def rollout(persona: str, reward: float, number: int = 0) -> Rollout:
    return Rollout(f"{number}_0_0", str(number), 0, str(number), 0, persona, reward, 3)


def pool_of(count: int, categories: int = 3) -> PersonaPool:
    return PersonaPool("own", tuple(Persona(f"p {i}", f"c & {i % categories}", f"{i}") for i in range(count)))


def context(run_dir: Path | None, pool: PersonaPool | None, no_persona: float = 0.0) -> RunContext:
    draw = SimpleNamespace(pool=pool, no_persona_probability=no_persona) if pool else None
    trainer = SimpleNamespace(train_dataset=SimpleNamespace(draw=draw))
    return RunContext(trainer, {}, run_dir, 0, print)


def steps_of(pool: PersonaPool, steps: int, size: int = 64, seed: int = 0) -> list[list[Rollout]]:
    rng = random.Random(seed)
    return [[rollout(rng.choice(pool.keys), float(rng.random() < 0.4), i) for i in range(size)] for _ in range(steps)]


def test_quantiles_are_those_of_the_means_over_the_run() -> None:
    means = PersonaMeans()
    assert means.quantiles() == {}
    rewards: dict[str, list[float]] = {}
    for step in steps_of(pool_of(300), 5):
        means.add((one.persona, one.reward) for one in step)
        for one in step:
            rewards.setdefault(one.persona, []).append(one.reward)
    means.add([("no_persona", 1.0)])
    expected = [float(np.mean(values)) for values in rewards.values()]
    found = means.quantiles()
    assert found["persona/seen"] == len(rewards) == len(means)
    for name, share in (("min", 0), ("p10", 0.1), ("median", 0.5), ("p90", 0.9), ("max", 1)):
        assert found[f"persona/{name}_reward"] == pytest.approx(float(np.quantile(expected, share)))


def test_the_table_has_all_of_few_personas_and_the_ends_of_many() -> None:
    means = PersonaMeans()
    means.add([("a", 1.0), ("b", 1.0), ("b", 1.0), ("c", 0.0), ("d", 0.0), ("d", 0.0)])
    assert [(row["rank"], row["persona"], row["rollouts"]) for row in means.table({})] == [
        (1, "b", 2),
        (2, "a", 1),
        (3, "d", 2),
        (4, "c", 1),
    ]
    means.add([(f"x{i}", i / 100) for i in range(1, 60)])
    table = means.table({"b": "B"})
    assert [(row["end"], row["rank"]) for row in table] == [(end, n) for end in ("best", "worst") for n in range(1, 11)]
    assert [row["persona"] for row in table][:3] == ["b", "a", "x59"]
    assert [row["persona"] for row in table][10:13] == ["d", "c", "x1"]
    assert [row["category"] for row in table][:2] == ["B", ""]


def log(hook: LogPersonaMetrics, steps: list[list[Rollout]], first: int = 1) -> list[Mapping[str, float]]:
    return [hook.on_rollouts(number, step) for number, step in enumerate(steps, start=first)]


def test_a_small_pool_has_a_curve_for_every_persona_and_no_quantiles() -> None:
    pool = pool_of(MAX_SERIES)
    (logged,) = log(LogPersonaMetrics(context(None, pool)), steps_of(pool, 1))
    assert sum(name.endswith("/rollouts") and name.startswith("persona/") for name in logged) == MAX_SERIES
    assert "persona/median_reward" not in logged


def test_a_large_pool_has_the_same_curves_at_every_step() -> None:
    pool = pool_of(MAX_SERIES + 1)
    logged = log(LogPersonaMetrics(context(None, pool, 0.5)), steps_of(pool, 6))
    by_persona = {name for step in logged for name in step if name.startswith("persona/")}
    assert by_persona == {
        f"persona/{name}" for name in ("seen", *(f"{q}_reward" for q in ("min", "p10", "median", "p90", "max")))
    }
    assert {"reward/zero_variance_groups"} <= set(logged[0])
    assert len({frozenset(step) for step in logged}) == 1, "no curve begins or ends"


def test_many_personas_without_a_pool_stop_having_curves() -> None:
    pool = pool_of(200)
    logged = log(LogPersonaMetrics(context(None, None)), steps_of(pool, 4))
    assert "persona/median_reward" in logged[-1]
    assert not [name for name in logged[-1] if name.endswith("/rollouts")]


def test_a_resumed_run_goes_on_with_the_means_of_its_records(tmp_path: Path) -> None:
    pool, steps = pool_of(200), steps_of(pool_of(200), 6)
    run = context(tmp_path, pool)
    record, hook = WriteRecords(run), LogPersonaMetrics(run)
    for number, step in enumerate(steps, start=1):
        record.on_rollouts(number, step)
    whole = log(hook, steps)
    table = (tmp_path / PERSONAS_CSV).read_text()
    resumed = LogPersonaMetrics(run)
    assert log(resumed, steps[3:], first=4) == whole[3:], "records of steps that are trained again do not count twice"
    assert (tmp_path / PERSONAS_CSV).read_text() == table
    assert log(LogPersonaMetrics(run), steps[3:], first=1) != whole[3:], "without earlier steps"


def test_a_record_that_cannot_be_read_is_left_out(tmp_path: Path) -> None:
    lines = [json.dumps({"persona": "a", "reward": 1.0}), '{"persona"']
    (tmp_path / "1.jsonl").write_text("\n".join(lines))
    (tmp_path / "2.jsonl").write_text(lines[0] + "\n")
    assert read_means(tmp_path, 3).table({})[0]["rollouts"] == 1
    assert len(read_means(tmp_path, 1)) == len(read_means(tmp_path / "none", 9)) == 0


def test_the_table_in_the_run_folder_is_in_the_smoke_report(tmp_path: Path) -> None:
    pool = pool_of(200)
    log(LogPersonaMetrics(context(tmp_path, pool)), steps_of(pool, 3))
    with (tmp_path / PERSONAS_CSV).open() as file:
        table = list(csv.DictReader(file))
    assert len(table) == 20
    assert collect_report(tmp_path)["personas"] == table
    assert table[0]["category"].startswith("c & ")
    results = collect_results({"trainer.project_name": "p", "trainer.experiment_name": "n"}, RunFolder(tmp_path))
    assert [Path(file).name for file in results.files] == [PERSONAS_CSV], "the trackers get it, too"


def test_categories_have_curves_and_their_rollouts_sum_to_those_of_the_pool() -> None:
    pool, (step,) = pool_of(30), steps_of(pool_of(30), 1)
    rollouts = [*step, rollout("no_persona", 1.0), rollout("stranger", 1.0)]
    found = category_metrics(rollouts, pool.categories())
    counts = {name: value for name, value in found.items() if name.endswith("/rollouts")}
    assert set(counts) == {f"category/c_{number}/rollouts" for number in range(3)}
    assert sum(counts.values()) == len(step)
    mine = [one.reward for one in step if int(one.persona.split()[1]) % 3 == 2]
    assert found["category/c_2/reward"] == pytest.approx(sum(mine) / len(mine))
    unseen = category_metrics([rollout("p 0", 1.0)], pool.categories())
    assert unseen["category/c_1/rollouts"] == 0
    assert "category/c_1/reward" not in unseen


def test_no_category_or_too_many_have_no_curves() -> None:
    assert category_metrics([rollout("p", 1.0)], {"p": "", "q": ""}) == {}
    assert category_metrics([rollout("p", 1.0)], {"p": "", "q": "Jobs"}).keys() == {
        *("category/uncategorized/rollouts", "category/uncategorized/reward", "category/Jobs/rollouts")
    }
    assert category_metrics([rollout("p", 1.0)], {f"p{i}": f"{i}" for i in range(MAX_SERIES + 1)}) == {}
    names = {name.split("/")[1] for name in category_metrics([rollout("p", 1.0)], load_pool("train").categories())}
    assert names == {"Tech_Specialist", "Education_Experience", "Character_Traits", "Professional_Roles", "Others"}


ACCURACY = {"chef": 0.5, "pilot": 1.0, "anxious": 0.25, "no_persona": 0.4, "stranger": 0.0}
VALUES = {f"val-core/gsm8k/{slug}/acc/mean@1": value for slug, value in ACCURACY.items()}


def test_validation_accuracy_by_category_is_the_mean_over_its_personas() -> None:
    categories = {"chef": "Professional Roles", "pilot": "Professional Roles", "anxious": "Character Traits"}
    expected = {"category/Character_Traits/val_accuracy": 0.25, "category/Professional_Roles/val_accuracy": 0.75}
    assert category_accuracy(VALUES, ValidationPersonas(), categories) == expected
    held_out = ValidationPersonas(held_out=frozenset({"pilot"}))
    assert category_accuracy(VALUES, held_out, categories) == {"category/Professional_Roles/val_accuracy": 1.0}
    assert category_accuracy(VALUES, ValidationPersonas(), {}) == {}
    assert PersonaValidation(0, {"chef": 0.5}).by_category({"chef": ""}) == {}


def test_the_validation_hook_logs_categories_of_the_training_pool() -> None:
    run = context(None, load_pool("train"))
    run.trainer._validate = lambda: dict(VALUES)
    LogRobustness(run).on_begin()
    assert run.trainer._validate()["category/Professional_Roles/val_accuracy"] == 0.75


def test_the_figure_has_the_categories_if_there_are_several(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    step = {m.REWARD: 0.5, m.LENGTH: 3.0, m.KL: 0.1, m.ROLLOUT_ACTOR_CORR: 0.999}
    logged = [
        {**step, "category/A/reward": 0.1, "category/B/reward": 0.2, "category/B/rollouts": 3.0},
        {**step, "category/A/reward": 0.3, "category/A/val_accuracy": 0.5, "category/B/val_accuracy": 0.4},
    ]
    metrics = dict(enumerate(logged, start=1))
    assert category_series(metrics, "reward") == {"A": [(1, 0.1), (2, 0.3)], "B": [(1, 0.2)]}
    assert category_series({1: {"category/A/reward": 0.1}}, "reward") == {}
    shapes: list[Any] = []
    from matplotlib import pyplot as plt

    subplots = plt.subplots

    def noted(*shape: int, **more: Any) -> Any:
        shapes.append(shape)
        return subplots(*shape, **more)

    monkeypatch.setattr(plt, "subplots", noted)
    plot_curves(metrics, tmp_path / "a.png", "t", 0.99, ValidationPersonas())
    plot_curves({1: dict(step)}, tmp_path / "b.png", "t", 0.99, ValidationPersonas())
    assert shapes == [(2, 3), (2, 2)]
    assert (tmp_path / "a.png").stat().st_size > 1000
