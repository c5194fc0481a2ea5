"""PersonaGym scores of a results folder, read from its stored judgements.

Axes of arrays: J judges, P personas, T tasks, Q questions of a task (blocks, in the ``official`` scoring).
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
from permix_verl.inference.judges.replies import FINAL_STATUSES
from permix_verl.inference.judges.store import FOLDER, FidelityStore, Judgement

TOTAL = "total"
"""Name of the mean over tasks: PersonaGym's PersonaScore."""
LOWEST_OF = {"fixed": LOWEST, "official": 0}
"""Lowest score of each scoring."""


@dataclass(frozen=True)
class ScoringResult:
    """Scores of one model in one scoring.

    Attributes:
        ratings_JPTQ: scores, NaN where there is none.
        counts: by judge: number of replies by status; "missing" counts those not stored, "wanted" all.
        judge_identities: identity of each judge, to check that two models had the same one.
    """

    judges: tuple[str, ...]
    personas: tuple[str, ...]
    tasks: tuple[str, ...]
    ratings_JPTQ: NDArray[np.float64]
    counts: Mapping[str, Mapping[str, int]]
    judge_identities: Mapping[str, Any]

    def by_persona(self, judge: int | None = None) -> NDArray[np.float64]:
        """Average over questions, then over judges.

        Args:
            judge: index of one judge; ``None`` averages over all.

        Returns:
            Shape (P, T + 1); the last column is the mean over tasks. An entry is NaN if a judge (in the last column, a
            task) has no score at all, because a mean over the rest would depend on which one is missing.
        """
        scores_JPT = mean_of_present(self.ratings_JPTQ, axis=3)
        scores_PT = scores_JPT.mean(axis=0) if judge is None else scores_JPT[judge]
        return np.concatenate([scores_PT, scores_PT.mean(axis=1, keepdims=True)], axis=1)


@dataclass(frozen=True)
class ModelFidelity:
    """Persona fidelity of one model.

    Attributes:
        label: name of the results folder.
        questions: hash of the question set.
        made_by: author of the question set.
        roles: system prompt of each persona.
        sampling: sampling parameters of the answers.
        answers: number of answers "wanted", "there" (stored) and "cut" (truncated).
        scorings: results of each scoring in which a judge has replied.
    """

    label: str
    model: str
    adapter: str | None
    questions: str
    made_by: str
    roles: Mapping[str, str]
    sampling: Mapping[str, Any]
    answers: Mapping[str, int]
    scorings: Mapping[str, ScoringResult]


def has_fidelity(results: Path) -> bool:
    """Return True if the results folder holds at least one PersonaGym answer or judgement."""
    store = FidelityStore(results)
    return store.has_settings() and not store.is_empty()


def read_fidelity(results: Path, judges: Sequence[str] | None = None) -> ModelFidelity:
    """Read the PersonaGym scores of a results folder.

    Args:
        judges: names of the judges to read; default: all. An incomplete judge makes means over judges NaN.

    Raises:
        UserError: the folder has no PersonaGym results, or they do not parse.
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
    stored = [answers[item_id] for item_id in wanted if item_id in answers]
    tasks = [task for task in TASKS if any(task in persona["questions"] for persona in personas.values())]
    scorings = {}
    for name in LOWEST_OF:
        identities = {
            one["judge"]: one
            for one in settings["judged"].values()
            if one["scoring"] == name and (judges is None or one["judge"] in judges)
        }
        answer_keys = {item_id: row.key for item_id, row in answers.items()}
        result = _read_scoring(name, store, identities, personas, tasks, answer_keys)
        if result is not None:
            scorings[name] = result
    adapter = settings["adapter"]
    return ModelFidelity(
        label=results.resolve().name,
        model=settings["model"]["name"],
        adapter=adapter["name"] if adapter else None,
        questions=settings["questions"]["sha256"],
        made_by=settings["questions"]["made_by"],
        roles={key: persona["system_prompt"] for key, persona in personas.items()},
        sampling=settings["sampling"],
        answers={
            "wanted": len(wanted),
            "there": len(stored),
            "cut": sum(row.finish_reason == "length" for row in stored),
        },
        scorings=scorings,
    )


def check_same_model(results: Path) -> None:
    """Refuse a folder whose accuracies and judgements are of different models.

    Raises:
        UserError: two models in one folder.
    """
    if not SampleStore(results).has_samples():
        return
    accuracies, judgements = SampleStore(results).settings(), FidelityStore(results).settings()
    for name in ("model", "adapter"):
        if accuracies.get(name) != judgements[name]:
            raise UserError(
                f"{results} holds accuracies of {name} {accuracies.get(name)!r} and judgements of {judgements[name]!r}",
                f"move its {FOLDER} folder to another results folder",
            )


def _read_scoring(
    name: str,
    store: FidelityStore,
    identities: Mapping[str, Any],
    personas: Mapping[str, Any],
    tasks: Sequence[str],
    answer_keys: Mapping[tuple[str, str, int], str],
) -> ScoringResult | None:
    """Read the scores of one scoring; ``None`` if no judge has replied yet."""
    replies = _last_replies(name, store, identities, personas, answer_keys)
    judges, keys = [judge for judge in identities if any(key[0] == judge for key in replies)], list(personas)
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
            index = j, keys.index(key), tasks.index(task)
            for number in range(count):
                reply = replies.get((judge, key, task, number))
                has_failed = (judge, name, key, task, number) in failed
                ratings[*index, number] = _rating(name, reply, has_failed)
                counts[judge]["wanted"] += 1
                counts[judge][_status(name, reply, has_failed)] += 1
    return ScoringResult(tuple(judges), tuple(keys), tuple(tasks), ratings, counts, identities)


def _last_replies(
    name: str,
    store: FidelityStore,
    identities: Mapping[str, Any],
    personas: Mapping[str, Any],
    answer_keys: Mapping[tuple[str, str, int], str],
) -> dict[tuple[str, str, str, int], Judgement]:
    """Return each item's last judgement, by (judge, persona, task, number), if it is about the current answers."""
    replies: dict[tuple[str, str, str, int], Judgement] = {}
    for row in store.judgements.by_key.values():
        if row.scoring != name or row.judge not in identities or row.version != identities[row.judge]["version"]:
            continue
        persona, task, number = row.place
        if list(row.about) != _about(name, answer_keys, persona, task, number, personas):
            continue  # an earlier judgement of the block, when one of its answers was missing
        before = replies.get((row.judge, persona, task, number))
        if before is None or (before.status not in FINAL_STATUSES and row.attempt > before.attempt):
            replies[row.judge, persona, task, number] = row
    return replies


def _about(
    name: str,
    answer_keys: Mapping[tuple[str, str, int], str],
    persona: str,
    task: str,
    number: int,
    personas: Mapping[str, Any],
) -> list[str]:
    """Return the keys of the current answers that a judgement of this item covers."""
    if name == "fixed":
        numbers = range(number, number + 1)
    else:
        count = personas.get(persona, {"questions": {}})["questions"].get(task, 0)
        numbers = range(number * official.BLOCK, min(count, (number + 1) * official.BLOCK))
    ids = [(persona, task, one) for one in numbers]
    return [answer_keys[item_id] for item_id in ids if item_id in answer_keys]


def _rating(name: str, reply: Judgement | None, has_failed: bool) -> float:
    if name == "official" and (reply or has_failed):  # a failed call is a block of misses, which scores 0
        return official.mean_without_misses((reply.verdict or ()) if reply else ())
    return float(reply.verdict) if reply and reply.status == "scored" else float("nan")


def _status(name: str, reply: Judgement | None, has_failed: bool) -> str:
    if reply is None:
        return "failed" if has_failed else "missing"
    if name == "official":
        return "scored" if any(reply.verdict or ()) else "block of misses"
    return reply.status


def mean_of_present(values: NDArray[np.float64], axis: int) -> NDArray[np.float64]:
    """Return the mean over values that are not NaN; NaN if all are."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        mean: NDArray[np.float64] = np.nanmean(values, axis=axis)
    return mean
