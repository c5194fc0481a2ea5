"""The test of the persona likelihood on answers whose persona is known, for any base model.

Three groups of answers to the same ten problems under the sixteen held-out personas: written by hand, without a word of
any prompt; by the lab's rewriter, in the lab's voice; and quoting the prompt. Beside them the hand-written ones with
their labels exchanged at random. The likelihood may be used as a measure of fidelity under a base only if the interval
of the hand-written group lies above chance.
"""

import json
import random
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from permix_verl.fidelity.likelihood.checked_base import WRITTEN
from permix_verl.fidelity.likelihood.known_texts import quoting_answer, written_problems
from permix_verl.fidelity.likelihood.scores import persona_log_likelihoods
from permix_verl.lab.problems import split_solution
from permix_verl.lab.styles import style_of, styled_completion
from permix_verl.personas.pool import load_pool
from permix_verl.personas.prompts import build_messages
from permix_verl.seeding import derive_seed
from permix_verl.statistics.accuracy import Floats
from permix_verl.statistics.identification import Identification, identification, shuffled_own
from permix_verl.utils.files import write_atomic

GROUPS = (WRITTEN, "lab's rewriter", "quoting the prompt")
POOL = "eval"


def known_answers(group: str) -> list[list[str]]:
    """Return a group's answers, by problem and then by persona in the pool's order.

    Args:
        group: one of :data:`GROUPS`.
    """
    pool, problems = load_pool(POOL), written_problems()
    if group == GROUPS[0]:
        return [[problem.written[persona.key] for persona in pool] for problem in problems]
    if group == GROUPS[2]:
        return [[quoting_answer(persona, problem.solution) for persona in pool] for problem in problems]
    return [
        [
            styled_completion(
                *split_solution(problem.solution),
                style_of(persona.key),
                random.Random(derive_seed("permix.answer", number, persona.key)),
                voice=1.0,
            )
            for persona in pool
        ]
        for number, problem in enumerate(problems)
    ]


def score_group(
    model: Any,
    tokenizer: Any,
    group: str,
    template_kwargs: Mapping[str, Any] | None = None,
    store: Path | None = None,
) -> Floats:
    """Return the log-likelihoods of a group's answers under each persona's prompt, problem by problem, (answers, K).

    Args:
        store: folder that keeps each problem's scores, so that an interrupted check goes on; for one model and one
            setting of the template.
    """
    personas = list(load_pool(POOL))
    blocks = []
    for number, (problem, answers) in enumerate(zip(written_problems(), known_answers(group), strict=True)):
        kept = store / f"{group.replace(' ', '-')}-{number}.json" if store else None
        if kept and kept.is_file():
            blocks.append(np.array(json.loads(kept.read_text())))
            continue
        messages = build_messages(problem.question, None)
        blocks.append(persona_log_likelihoods(model, tokenizer, messages, answers, personas, template_kwargs))
        if kept:
            write_atomic(kept, json.dumps(blocks[-1].tolist()) + "\n")
    return np.concatenate(blocks)


def labels() -> tuple[Any, Any]:
    """Return each answer's persona, as a column, and its problem, both (answers,)."""
    personas, problems = len(load_pool(POOL)), len(written_problems())
    return np.tile(np.arange(personas), problems), np.repeat(np.arange(problems), personas)


def analyse(scores: Mapping[str, Floats], seed: int = 0) -> dict[str, Identification]:
    """Estimate each group's rate of identification, and that of hand-written answers with exchanged labels.

    Args:
        scores: group -> log-likelihoods of :func:`score_group`.
        seed: seed of the exchange.
    """
    own, problem = labels()
    found = {group: identification(scores_AK, own, problem) for group, scores_AK in scores.items()}
    shuffled = shuffled_own(own, problem, seed=derive_seed("permix.answer", seed) % 2**32)
    return {**found, "labels exchanged": identification(scores[GROUPS[0]], shuffled, problem)}


def usable(found: Mapping[str, Identification]) -> bool:
    """Return whether the interval of the hand-written group lies above chance."""
    written = found[GROUPS[0]]
    return written.rate.low is not None and written.rate.low > written.chance


def as_record(found: Mapping[str, Identification]) -> dict[str, Any]:
    """Return the estimates as JSON."""
    return {group: asdict(result) for group, result in found.items()} | {"usable": usable(found)}
