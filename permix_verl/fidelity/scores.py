"""Scores of a results folder's PersonaGym part: by task, by judge, by persona, and between two models.

Axes of arrays: J judges, P personas, T tasks, Q questions of a task (blocks, in PersonaGym's scoring).
"""

import warnings
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from permix_verl import statistics
from permix_verl.errors import UserError
from permix_verl.evaluation.store import SampleStore
from permix_verl.fidelity import official
from permix_verl.fidelity.replies import FINAL
from permix_verl.fidelity.store import FOLDER, FidelityStore, Judgement
from permix_verl.fidelity.tasks import HIGHEST, LOWEST, TASKS

TOTAL = "total"
"""Under this name the mean of the tasks: PersonaGym's PersonaScore."""
_WIDTHS = {"fixed": (LOWEST, HIGHEST), "official": (0, HIGHEST)}


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
        of_judges_JPT = _mean(self.ratings_JPTQ, axis=3)
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
    """Whether a results folder has a PersonaGym part."""
    return (results / FOLDER / "settings.json").is_file()


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
    for name in _WIDTHS:
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
    if not (results / "settings.json").is_file():
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


def analyse_fidelity(folders: Sequence[Fidelity], *, seed: int = 0) -> dict[str, Any]:
    """Everything that the report says of fidelity, as plain data.

    Raises:
        UserError: two folders of one name.
    """
    labels = [one.label for one in folders]
    for label in labels:
        if labels.count(label) > 1:
            raise UserError(f"two results folders are named {label}; rename one of them")
    models = {one.label: _analyse_model(one, seed) for one in folders}
    pairs = [compare(first, second, seed=seed) for i, first in enumerate(folders) for second in folders[i + 1 :]]
    return {"models": models, "pairs": [pair for pair in pairs if pair["scorings"]]}


def _analyse_model(one: Fidelity, seed: int) -> dict[str, Any]:
    return {
        "model": one.model,
        "adapter": one.adapter,
        "questions": one.questions,
        "made_by": one.made_by,
        "answers": dict(one.answers),
        "scorings": {name: _analyse_scoring(name, scored, seed) for name, scored in one.scorings.items()},
    }


def _analyse_scoring(name: str, scored: Scored, seed: int) -> dict[str, Any]:
    lowest, highest = _WIDTHS[name][0], max(float(np.nanmax(scored.ratings_JPTQ, initial=HIGHEST)), HIGHEST)
    together_PT = scored.by_persona()
    apart_JPT = [scored.by_persona(judge) for judge in range(len(scored.judges))]
    found: dict[str, Any] = {}
    for column, task in enumerate([*scored.tasks, TOTAL]):
        estimand = f"mean score of roles like these: {task}"
        chosen = scored.ratings_JPTQ if task == TOTAL else scored.ratings_JPTQ[:, :, column : column + 1]
        items = chosen.reshape(*chosen.shape[:2], -1)
        found[task] = {
            "together": asdict(statistics.persona_interval(together_PT[:, column], estimand, lowest, highest)),
            "judges": {
                judge: asdict(statistics.persona_interval(values[:, column], estimand, lowest, highest))
                for judge, values in zip(scored.judges, apart_JPT, strict=True)
            },
            "personas": dict(zip(scored.personas, map(_number, together_PT[:, column]), strict=True)),
            "without": int(np.isnan(together_PT[:, column]).sum()),
            # PersonaGym's ratings of a block are means, on no scale of their own.
            "alpha": asdict(statistics.krippendorff_alpha(items, range(LOWEST, HIGHEST + 1), seed=seed))
            if name == "fixed"
            else None,
        }
    return {
        "judges": list(scored.judges),
        "tasks": found,
        "counts": {judge: dict(counts) for judge, counts in scored.counts.items()},
    }


def compare(first: Fidelity, second: Fidelity, *, seed: int) -> dict[str, Any]:
    """Two models on the judgements that both have."""
    pair: dict[str, Any] = {"first": first.label, "second": second.label, "scorings": {}}
    for name in _WIDTHS:
        if name not in first.scorings or name not in second.scorings:
            continue
        pair["scorings"][name] = _compared(first, second, name, seed)
    return pair


def _compared(first: Fidelity, second: Fidelity, name: str, seed: int) -> dict[str, Any]:
    mine, other = first.scorings[name], second.scorings[name]
    judges = [judge for judge in mine.judges if mine.judged[judge] == other.judged.get(judge)]
    if first.questions != second.questions:
        return {"refused": "other questions", "tasks": {}}
    if not judges:
        return {"refused": "no judge in common", "tasks": {}}
    if first.sampling != second.sampling:
        return {"refused": "answers drawn with other sampling settings", "tasks": {}}
    personas = [key for key in mine.personas if key in other.personas and first.roles[key] == second.roles[key]]
    tasks = [task for task in mine.tasks if task in other.tasks]
    if not personas or not tasks:
        return {"refused": "no persona and task in common, told in the same words", "tasks": {}}

    def chosen(scored: Scored) -> NDArray[np.float64]:
        indices = [scored.judges.index(one) for one in judges], [scored.personas.index(one) for one in personas]
        return scored.ratings_JPTQ[np.ix_(*indices, [scored.tasks.index(one) for one in tasks])]

    mine_JPTQ, other_JPTQ = chosen(mine), chosen(other)
    number = min(mine_JPTQ.shape[3], other_JPTQ.shape[3])  # personas that only one has may have more questions
    mine_JPTQ, other_JPTQ = mine_JPTQ[..., :number], other_JPTQ[..., :number]
    both = ~np.isnan(mine_JPTQ) & ~np.isnan(other_JPTQ)
    of_both = [_mean(np.where(both, ratings, np.nan), axis=3).mean(axis=0) for ratings in (mine_JPTQ, other_JPTQ)]
    mine_PT, other_PT = (np.concatenate([one, one.mean(axis=1, keepdims=True)], axis=1) for one in of_both)
    largest = max(float(np.nanmax(ratings, initial=HIGHEST)) for ratings in (mine_JPTQ, other_JPTQ))
    width = largest - _WIDTHS[name][0]
    return {
        "refused": None,
        "judges": judges,
        "tasks": {
            task: asdict(
                statistics.paired_ratings(
                    mine_PT[:, column],
                    other_PT[:, column],
                    f"difference in mean score of roles like these: {task}",
                    width,
                    seed=seed,
                )
            )
            for column, task in enumerate([*tasks, TOTAL])
        },
    }


def _mean(values: NDArray[np.float64], axis: int) -> NDArray[np.float64]:
    """Mean of what is there; NaN where nothing is."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        mean: NDArray[np.float64] = np.nanmean(values, axis=axis)
    return mean


def _number(value: float) -> float | None:
    return None if np.isnan(value) else float(value)
