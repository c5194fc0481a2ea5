"""Base, RLVR and PerMix-RLVR side by side in the lab: the paper's Table 2 in miniature, its claims, its theory.

Reads results folders of ``eval/run.py``: one of the base, and one a seed of each arm.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from permix_verl import statistics
from permix_verl.errors import UserError
from permix_verl.evaluation.results import Results, load_results
from permix_verl.lab.claims import BASE, BASELINE_CLAIMS, CLAIMS, Answers, influence, judge_claims
from permix_verl.lab.theory_fit import fit_closed_form, predicted_blurting
from permix_verl.lab.voice import Fidelity, read_fidelity
from permix_verl.statistics.clustered import MIN_PROBLEMS


@dataclass(frozen=True)
class Measured:
    """One model on one task, on the personas and problems that all models have: P personas, R runs, N problems."""

    label: str
    correct_PRN: NDArray[np.float64]
    voice_PRN: NDArray[np.float64]
    blurted_PRN: NDArray[np.float64]
    worked_PRN: NDArray[np.float64]
    cut_PRN: NDArray[np.float64]
    control_RN: NDArray[np.float64] | None
    """Correctness without a persona, if that was asked."""


@dataclass(frozen=True)
class Task:
    """A task's models by arm, the base first; an arm has one model a seed."""

    personas: tuple[str, ...]
    problems: tuple[str, ...]
    arms: Mapping[str, Sequence[Measured]]


def read_study(base: Path, arms: Mapping[str, Sequence[Path]]) -> dict[str, Task]:
    """All tasks that every folder has.

    Args:
        base: results folder of the base model.
        arms: name -> results folders, in the order of the seeds.

    Raises:
        UserError: an arm named like the base, a folder that stands twice or does not read, nothing in common.
    """
    if BASE in arms:
        raise UserError(f"an arm is named {BASE!r}, which is the base model's name here; rename it")
    folders = {BASE: [base], **arms}
    every = [folder.resolve() for group in folders.values() for folder in group]
    if len(set(every)) < len(every):
        twice = next(folder for folder in every if every.count(folder) > 1)
        raise UserError(f"results folder {twice} stands twice; give each once")
    results = {folder: {result.task: result for result in load_results(folder)} for folder in every}
    tasks = [task for task in results[base.resolve()] if all(task in found for found in results.values())]
    if not tasks:
        raise UserError("the results folders have no task in common; evaluate base and arms on the same tasks")
    fidelity = {folder: read_fidelity(folder, list(found.values())) for folder, found in results.items()}
    study = {}
    for task in tasks:
        of_task = {folder: found[task] for folder, found in results.items()}
        personas, problems = _in_common(list(of_task.values()), task)
        measured = {
            arm: [
                _measured(of_task[path], fidelity[path][task], personas, problems) for path in map(Path.resolve, group)
            ]
            for arm, group in folders.items()
        }
        study[task] = Task(tuple(personas), tuple(problems), measured)
    return study


def _in_common(results: Sequence[Results], task: str) -> tuple[list[str], list[str]]:
    personas = [key for key in results[0].personas if all(key in other.personas for other in results)]
    shared = set(results[0].problems).intersection(*(other.problems for other in results[1:]))
    problems = [problem for problem in results[0].problems if problem in shared]
    if len(personas) < 2 or len(problems) < MIN_PROBLEMS:
        raise UserError(
            f"task {task}: the models have {len(personas)} personas and {len(problems)} problems in common; at least 2 "
            f"and {MIN_PROBLEMS} are needed"
        )
    return personas, problems


def _measured(result: Results, style: Fidelity, personas: Sequence[str], problems: Sequence[str]) -> Measured:
    # Fidelity has the order of the results that it was read with.
    rows = [result.personas.index(persona) for persona in personas]
    place = {problem: column for column, problem in enumerate(result.problems)}
    columns = [place[problem] for problem in problems]
    arrays = (result.correct_PRN, style.voice_PRN, style.blurted_PRN, style.worked_PRN, style.cut_PRN)
    control_RN = None if result.control_RN is None else result.control_RN[:, columns]
    correct, voice, blurted, worked, cut = (array[rows][:, :, columns] for array in arrays)
    return Measured(result.label, correct, voice, blurted, worked, cut, control_RN)


def analyse_study(study: Mapping[str, Task], *, seed: int = 0) -> dict[str, Any]:
    """Figures, claims and theory, as plain data for JSON.

    Returns:
        ``tasks``: by task and arm a list of models' figures, and what the theory says of each trained one;
        ``claims``: the paper's claims about the arms that are there.
    """
    tasks = {}
    for name, task in study.items():
        base = task.arms[BASE][0]
        tasks[name] = {
            "personas": list(task.personas),
            "problems": len(task.problems),
            "arms": {arm: [_figures(model, seed) for model in models] for arm, models in task.arms.items()},
            "theory": {
                arm: [_theory(base, model, seed) for model in models]
                for arm, models in task.arms.items()
                if arm != BASE
            },
        }
    first = next(iter(study.values()))
    claims = [claim for claim in (*CLAIMS, *BASELINE_CLAIMS) if claim[1] in first.arms and claim[2] in first.arms]
    answers = {
        name: {arm: [Answers(m.correct_PRN, m.voice_PRN) for m in models] for arm, models in task.arms.items()}
        for name, task in study.items()
    }
    return {"tasks": tasks, "claims": [asdict(verdict) for verdict in judge_claims(answers, claims, seed=seed)]}


def _figures(model: Measured, seed: int) -> dict[str, Any]:
    accuracy = statistics.persona_accuracy(model.correct_PRN)
    answers = Answers(model.correct_PRN, model.voice_PRN)
    return {
        "label": model.label,
        "worst": float(accuracy.min()),
        "best": float(accuracy.max()),
        "mean": float(accuracy.mean()),
        "no_persona": None if model.control_RN is None else float(model.control_RN.mean()),
        "pss": float(statistics.pss(accuracy)),
        "pss_interval": asdict(statistics.pss_interval(model.correct_PRN, seed=seed)),
        "cross_fitted_worst": influence(answers, "worst", seed)[0],
        "cross_fitted_pss": influence(answers, "pss", seed)[0],
        "voice": float(model.voice_PRN.mean()),
        "voice_interval": asdict(
            statistics.persona_interval(model.voice_PRN.mean(axis=(1, 2)), "share of a persona's words", 0, 1)
        ),
        "blurted": float(model.blurted_PRN.sum() / max((model.blurted_PRN + model.worked_PRN).sum(), 1)),
        "no_answer": float(1 - (model.blurted_PRN + model.worked_PRN).mean()),
        "cut": float(model.cut_PRN.mean()),
        "by_persona": {
            "accuracy": accuracy.tolist(),
            "voice": model.voice_PRN.mean(axis=(1, 2)).tolist(),
            "blurted": _blurted_share(model).tolist(),
        },
    }


def _blurted_share(model: Measured) -> NDArray[np.float64]:
    given_P = (model.blurted_PRN + model.worked_PRN).sum(axis=(1, 2))
    share: NDArray[np.float64] = model.blurted_PRN.sum(axis=(1, 2)) / np.maximum(given_P, 1)
    return share


def _theory(base: Measured, trained: Measured, seed: int) -> dict[str, Any]:
    """The fit, and the styles that it predicts where it has found a coefficient; or why there is none."""
    try:
        fit = fit_closed_form(base.correct_PRN, trained.correct_PRN, seed=seed)
        expected_P = predicted_blurting(base.blurted_PRN, base.worked_PRN, base.correct_PRN, fit.beta)
    except UserError as error:
        return {"refused": str(error)}
    return asdict(fit) | {
        "refused": None,
        "measured_P": fit.measured_P.tolist(),
        "predicted_P": fit.predicted_P.tolist(),
        "blurted_measured_P": _blurted_share(trained).tolist(),
        "blurted_predicted_P": expected_P.tolist() if fit.identified else None,
    }
