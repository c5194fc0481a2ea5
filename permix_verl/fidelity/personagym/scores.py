"""Scores of a results folder's PersonaGym part, as its rows have them.

Axes of arrays: J judges, P personas, T tasks, Q questions of a task (blocks, in PersonaGym's scoring).
"""

import warnings
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from permix_verl.errors import UserError
from permix_verl.evaluation.sample_store import SampleStore
from permix_verl.fidelity.personagym import official
from permix_verl.fidelity.personagym.tasks import LOWEST, TASKS
from permix_verl.inference.judges.replies import FINAL
from permix_verl.inference.judges.store import FOLDER, FidelityStore, Judgement

TOTAL = "total"
"""Under this name the mean of the tasks: PersonaGym's PersonaScore."""
LOWEST_OF = {"fixed": LOWEST, "official": 0}
"""Scoring -> its least score."""


@dataclass(frozen=True)
class Scored:
    """One model in one scoring.

    Attributes:
        ratings_JPTQ: scores, NaN where there is none.
        counts: by judge, replies by status, "missing" where none is stored, "wanted" in all.
        judged: identity of each judge, to see whether two models had the same.
    """

    judges: tuple[str, ...]
    personas: tuple[str, ...]
    tasks: tuple[str, ...]
    ratings_JPTQ: NDArray[np.float64]
    counts: Mapping[str, Mapping[str, int]]
    judged: Mapping[str, Any]

    def by_persona(self, judge: int | None = None) -> NDArray[np.float64]:
        """Shape (P, T + 1): mean over questions, then over judges, and at the end the mean of the tasks.

        NaN where a judge, or for the last column a task, has no score at all: a mean over what is left would depend
        on who is missing.
        """
        of_judges_JPT = mean_of_present(self.ratings_JPTQ, axis=3)
        scores_PT = of_judges_JPT.mean(axis=0) if judge is None else of_judges_JPT[judge]
        return np.concatenate([scores_PT, scores_PT.mean(axis=1, keepdims=True)], axis=1)


@dataclass(frozen=True)
class Fidelity:
    """One model.

    Attributes:
        label: the results folder's name.
        questions: hash of the question set.
        roles: by persona, what the model was told.
        sampling: how its answers were drawn.
        answers: "wanted", "there", "cut".
        scorings: by name, those in which a judge has replied.
    """

    label: str
    model: str
    adapter: str | None
    questions: str
    made_by: str
    roles: Mapping[str, str]
    sampling: Mapping[str, Any]
    answers: Mapping[str, int]
    scorings: Mapping[str, Scored]


def has_fidelity(results: Path) -> bool:
    """Whether a results folder has a PersonaGym part, with an answer at least."""
    store = FidelityStore(results)
    return store.settings_file.is_file() and not store.is_empty()


def read_fidelity(results: Path, judges: Sequence[str] | None = None) -> Fidelity:
    """Read a results folder's PersonaGym part.

    Args:
        judges: names; only these are looked at. A judge that was given up halfway has to be left out so: a persona of
            which one judge has no score has none of all judges together.

    Raises:
        UserError: there is none, or it does not read.
    """
    store = FidelityStore(results).read()
    settings = store.settings()
    personas: Mapping[str, Any] = settings["personas"]
    answers = {(row.persona, row.task, row.question): row for row in store.answers.by_key.values()}
    wanted = [
        (key, task, number)
        for key, persona in personas.items()
        for task, count in persona["questions"].items()
        for number in range(count)
    ]
    there = [answers[place] for place in wanted if place in answers]
    tasks = [task for task in TASKS if any(task in persona["questions"] for persona in personas.values())]
    scorings = {}
    for name in LOWEST_OF:
        judged = {
            one["judge"]: one
            for one in settings["judged"].values()
            if one["scoring"] == name and (judges is None or one["judge"] in judges)
        }
        scored = _scored(name, store, judged, personas, tasks, {place: row.key for place, row in answers.items()})
        if scored is not None:
            scorings[name] = scored
    adapter = settings["adapter"]
    return Fidelity(
        label=results.resolve().name,
        model=settings["model"]["name"],
        adapter=adapter["name"] if adapter else None,
        questions=settings["questions"]["sha256"],
        made_by=settings["questions"]["made_by"],
        roles={key: persona["system_prompt"] for key, persona in personas.items()},
        sampling=settings["sampling"],
        answers={
            "wanted": len(wanted),
            "there": len(there),
            "cut": sum(row.finish_reason == "length" for row in there),
        },
        scorings=scorings,
    )


def check_same_model(results: Path) -> None:
    """Refuse a folder whose accuracies are of another model than its judgements.

    Raises:
        UserError: two models in one folder.
    """
    if not SampleStore(results).has_samples():
        return
    there, here = SampleStore(results).settings(), FidelityStore(results).settings()
    for name in ("model", "adapter"):
        if there.get(name) != here[name]:
            raise UserError(
                f"{results} holds accuracies of {name} {there.get(name)!r} and judgements of {here[name]!r}; move its "
                f"{FOLDER} folder to another results folder"
            )


def _scored(
    name: str,
    store: FidelityStore,
    judged: Mapping[str, Any],
    personas: Mapping[str, Any],
    tasks: Sequence[str],
    answer_keys: Mapping[tuple[str, str, int], str],
) -> Scored | None:
    """``None`` where no judge has replied yet."""
    replies: dict[tuple[str, str, str, int], Judgement] = {}
    for row in store.judgements.by_key.values():
        if row.scoring != name or row.judge not in judged or row.version != judged[row.judge]["version"]:
            continue
        persona, task, number = row.place
        if list(row.about) != _about(name, answer_keys, persona, task, number, personas):
            continue  # of a block that had an answer missing
        before = replies.get((row.judge, persona, task, number))
        if before is None or (before.status not in FINAL and row.attempt > before.attempt):
            replies[row.judge, persona, task, number] = row
    judges, keys = [judge for judge in judged if any(place[0] == judge for place in replies)], list(personas)
    if not judges:
        return None
    units = {
        (key, task): count if name == "fixed" else -(-count // official.BLOCK)
        for key, persona in personas.items()
        for task, count in persona["questions"].items()
    }
    failed = store.failed()
    ratings = np.full((len(judges), len(keys), len(tasks), max(units.values())), np.nan)
    counts: dict[str, Counter[str]] = {judge: Counter() for judge in judges}
    for j, judge in enumerate(judges):
        for (key, task), count in units.items():
            place = j, keys.index(key), tasks.index(task)
            for number in range(count):
                reply = replies.get((judge, key, task, number))
                gave_up = (judge, name, key, task, number) in failed
                ratings[*place, number] = _rating(name, reply, gave_up)
                counts[judge]["wanted"] += 1
                counts[judge][_outcome(name, reply, gave_up)] += 1
    return Scored(tuple(judges), tuple(keys), tuple(tasks), ratings, counts, judged)


def _about(
    name: str,
    answer_keys: Mapping[tuple[str, str, int], str],
    persona: str,
    task: str,
    number: int,
    personas: Mapping[str, Any],
) -> list[str]:
    """Keys of the answers that a judgement of this place is about, as the answers are now."""
    if name == "fixed":
        numbers = range(number, number + 1)
    else:
        count = personas.get(persona, {"questions": {}})["questions"].get(task, 0)
        numbers = range(number * official.BLOCK, min(count, (number + 1) * official.BLOCK))
    places = [(persona, task, one) for one in numbers]
    return [answer_keys[place] for place in places if place in answer_keys]


def _rating(name: str, reply: Judgement | None, gave_up: bool) -> float:
    if name == "official" and (reply or gave_up):  # a failed call is a block of misses, and a block of misses is 0
        return official.mean_given((reply.verdict or ()) if reply else ())
    return float(reply.verdict) if reply and reply.status == "scored" else float("nan")


def _outcome(name: str, reply: Judgement | None, gave_up: bool) -> str:
    if reply is None:
        return "failed" if gave_up else "missing"
    if name == "official":
        return "scored" if any(reply.verdict or ()) else "block of misses"
    return reply.status


def mean_of_present(values: NDArray[np.float64], axis: int) -> NDArray[np.float64]:
    """Mean of what is there; NaN where nothing is."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        mean: NDArray[np.float64] = np.nanmean(values, axis=axis)
    return mean
