"""Robustness of a validation among its metrics, before verl logs it."""

import csv
import importlib.util
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from permix_verl.runs.persona_validation import ValidationPersonas, write_robustness_csv
from permix_verl.training.hooks.buffer_hooks import RunContext
from permix_verl.training.hooks.validation_metrics import VALUES, LogRobustness, log_robustness, robustness_metrics


def accuracies(**by_persona: float) -> dict[str, float]:
    return {f"val-core/gsm8k/{arm}/acc/mean@1": value for arm, value in by_persona.items()}


VALIDATION = accuracies(chef=0.5, zen_master=0.25, pilot=0.75, no_persona=0.4) | {"val-aux/num_turns/mean": 2.0}


def test_worst_mean_best_and_pss_are_those_of_the_file(tmp_path: Path) -> None:
    for personas in (ValidationPersonas(), ValidationPersonas(held_out=frozenset({"chef", "zen_master"}))):
        write_robustness_csv(tmp_path / "robustness.csv", {3: VALIDATION}, personas)
        with (tmp_path / "robustness.csv").open() as file:
            (row,) = csv.DictReader(file)
        logged = robustness_metrics(VALIDATION, personas)
        assert logged == {f"robustness/{name}": float(row[name]) for name in VALUES if row[name]}
        assert {"robustness/worst", "robustness/mean", "robustness/best", "robustness/pss"} <= set(logged)


def test_an_undefined_value_is_left_out() -> None:
    nothing_solved = robustness_metrics(accuracies(chef=0.0, pilot=0.0), ValidationPersonas())
    assert nothing_solved == {"robustness/worst": 0.0, "robustness/mean": 0.0, "robustness/best": 0.0}
    assert robustness_metrics(accuracies(no_persona=1.0), ValidationPersonas()) == {}
    assert robustness_metrics({"val/loss": 1.0}, ValidationPersonas()) == {}


def trainer() -> Any:
    made = SimpleNamespace(logged={})
    made._validate = lambda: dict(VALIDATION)
    return made


def test_verls_trainer_gets_it_with_its_own_metrics() -> None:
    made = trainer()
    assert "robustness/worst" not in made._validate()  # without the hook
    log_robustness(made, ValidationPersonas)
    values = made._validate()
    assert values.items() >= VALIDATION.items()
    assert values["robustness/pss"] == pytest.approx(1 / 3)


def test_the_hook_reads_the_runs_validation_personas(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "manifest.json").write_text('{"dev_personas": ["chef"]}')
    for run_dir, worst in ((tmp_path, 0.5), (None, 0.25)):
        made = trainer()
        LogRobustness(RunContext(made, {}, run_dir, 0, print)).on_begin()
        assert made._validate()["robustness/worst"] == worst


def test_verl_still_validates_by_the_method_that_is_wrapped() -> None:
    verl = importlib.util.find_spec("verl")
    assert verl is not None
    assert verl.origin is not None
    source = (Path(verl.origin).parent / "trainer" / "ppo" / "v1" / "trainer_base.py").read_text()
    assert source.count("= self._validate()\n") == 2
    assert source.count("def _validate(self) -> dict[str, float]:") == 1
