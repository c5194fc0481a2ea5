"""Comparison of base, RLVR and PerMix-RLVR in the lab: the paper's Table 2 in miniature, its claims, its theory.

Input: results folders of ``eval/run.py``, one for the base and one for each seed of each method.
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
from permix_verl.lab.claims import BASE, BASELINE_CLAIMS, CLAIMS, ModelScores, check_claims, influence
from permix_verl.lab.theory_fit import fit_closed_form, predicted_blurting
from permix_verl.lab.voice import VoiceScores, read_voice
from permix_verl.statistics.clustered import MIN_PROBLEMS


@dataclass(frozen=True)
class ModelResults:
    """One model on one task, on the personas and problems common to all models: P personas, R runs, N problems."""

    label: str
    correct_PRN: NDArray[np.float64]
    voice_PRN: NDArray[np.float64]
    blurted_PRN: NDArray[np.float64]
    worked_PRN: NDArray[np.float64]
    truncated_PRN: NDArray[np.float64]
    control_RN: NDArray[np.float64] | None
    """Correctness without a persona, or ``None`` if not evaluated."""


@dataclass(frozen=True)
class StudyTask:
    """Models of a task by method, the base first; a method has one model for each seed."""

    personas: tuple[str, ...]
    problems: tuple[str, ...]
    methods: Mapping[str, Sequence[ModelResults]]


def read_study(base: Path, methods: Mapping[str, Sequence[Path]]) -> dict[str, StudyTask]:
    """Read the tasks common to all folders.

    Args:
        base: results folder of the base model.
        methods: name -> results folders, in the order of the seeds.

    Raises:
        UserError: a method named like the base, a duplicate or unreadable folder, or nothing in common.
    """
    if BASE in methods:
        raise UserError(f"method name {BASE!r} is reserved for the base model", "rename it")
    folders = {BASE: [base], **methods}
    all_folders = [folder.resolve() for group in folders.values() for folder in group]
    if len(set(all_folders)) < len(all_folders):
        duplicate = next(folder for folder in all_folders if all_folders.count(folder) > 1)
        raise UserError(f"results folder {duplicate} is given twice", "give each folder once")
    results = {folder: {result.task: result for result in load_results(folder)} for folder in all_folders}
    tasks = [task for task in results[base.resolve()] if all(task in by_task for by_task in results.values())]
    if not tasks:
        raise UserError("the results folders have no task in common", "evaluate base and methods on the same tasks")
    voices = {folder: read_voice(folder, list(by_task.values())) for folder, by_task in results.items()}
    study = {}
    for task in tasks:
        of_task = {folder: by_task[task] for folder, by_task in results.items()}
        personas, problems = _in_common(list(of_task.values()), task)
        measured = {
            method: [
                _measured(of_task[path], voices[path][task], personas, problems) for path in map(Path.resolve, group)
            ]
            for method, group in folders.items()
        }
        study[task] = StudyTask(tuple(personas), tuple(problems), measured)
    return study


def _in_common(results: Sequence[Results], task: str) -> tuple[list[str], list[str]]:
    personas = [key for key in results[0].personas if all(key in other.personas for other in results)]
    shared = set(results[0].problems).intersection(*(other.problems for other in results[1:]))
    problems = [problem for problem in results[0].problems if problem in shared]
    if len(personas) < 2 or len(problems) < MIN_PROBLEMS:
        raise UserError(
            f"task {task}: the models have {len(personas)} personas and {len(problems)} problems in common",
            f"evaluate all models on at least 2 common personas and {MIN_PROBLEMS} problems",
        )
    return personas, problems


def _measured(result: Results, style: VoiceScores, personas: Sequence[str], problems: Sequence[str]) -> ModelResults:
    # The style arrays are ordered as the results they were read with.
    rows = [result.personas.index(persona) for persona in personas]
    column_of = {problem: column for column, problem in enumerate(result.problems)}
    columns = [column_of[problem] for problem in problems]
    arrays = (result.correct_PRN, style.voice_PRN, style.blurted_PRN, style.worked_PRN, style.truncated_PRN)
    control_RN = None if result.control_RN is None else result.control_RN[:, columns]
    correct, voice, blurted, worked, truncated = (array[rows][:, :, columns] for array in arrays)
    return ModelResults(result.label, correct, voice, blurted, worked, truncated, control_RN)


def analyse_study(study: Mapping[str, StudyTask], *, seed: int = 0) -> dict[str, Any]:
    """Compute figures, claims and theory, as JSON types and ``Interval``.

    Returns:
        ``tasks``: for each task and method the models' figures, and the theory's fit of each trained model.
        ``claims``: results of the paper's claims about the methods given.
    """
    tasks = {}
    for name, task in study.items():
        base = task.methods[BASE][0]
        tasks[name] = {
            "personas": list(task.personas),
            "problems": len(task.problems),
            "arms": {method: [_figures(model, seed) for model in models] for method, models in task.methods.items()},
            "theory": {
                method: [_fit_theory(base, model, seed) for model in models]
                for method, models in task.methods.items()
                if method != BASE
            },
        }
    first = next(iter(study.values()))
    claims = [claim for claim in (*CLAIMS, *BASELINE_CLAIMS) if claim[1] in first.methods and claim[2] in first.methods]
    scores = {
        name: {
            method: [ModelScores(m.correct_PRN, m.voice_PRN) for m in models] for method, models in task.methods.items()
        }
        for name, task in study.items()
    }
    return {"tasks": tasks, "claims": [asdict(claim) for claim in check_claims(scores, claims, seed=seed)]}


def _figures(model: ModelResults, seed: int) -> dict[str, Any]:
    accuracy = statistics.persona_accuracy(model.correct_PRN)
    scores = ModelScores(model.correct_PRN, model.voice_PRN)
    return {
        "label": model.label,
        "worst": float(accuracy.min()),
        "best": float(accuracy.max()),
        "mean": float(accuracy.mean()),
        "no_persona": None if model.control_RN is None else float(model.control_RN.mean()),
        "pss": float(statistics.pss(accuracy)),
        "pss_interval": statistics.pss_interval(model.correct_PRN, seed=seed),
        "cross_fitted_worst": influence(scores, "worst", seed)[0],
        "cross_fitted_pss": influence(scores, "pss", seed)[0],
        "voice": float(model.voice_PRN.mean()),
        "voice_interval": statistics.persona_interval(
            model.voice_PRN.mean(axis=(1, 2)), "share of a persona's words", 0, 1
        ),
        "blurted": float(model.blurted_PRN.sum() / max((model.blurted_PRN + model.worked_PRN).sum(), 1)),
        "no_answer": float(1 - (model.blurted_PRN + model.worked_PRN).mean()),
        "cut": float(model.truncated_PRN.mean()),
        "by_persona": {
            "accuracy": accuracy.tolist(),
            "voice": model.voice_PRN.mean(axis=(1, 2)).tolist(),
            "blurted": _blurted_share(model).tolist(),
        },
    }


def _blurted_share(model: ModelResults) -> NDArray[np.float64]:
    given_P = (model.blurted_PRN + model.worked_PRN).sum(axis=(1, 2))
    share: NDArray[np.float64] = model.blurted_PRN.sum(axis=(1, 2)) / np.maximum(given_P, 1)
    return share


def _fit_theory(base: ModelResults, trained: ModelResults, seed: int) -> dict[str, Any]:
    """Fit the theory and predict the styles if the coefficient is identified; ``refused`` says why there is no fit."""
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
