"""Voice and blurting in stored completions: the lab's counterpart of PersonaGym.

A program detects the style, without a judge and independently of correctness.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from permix_verl.evaluation.results import Results, load_results
from permix_verl.evaluation.sample_store import SampleStore
from permix_verl.lab.styles import reasoning_style, voice_kept
from permix_verl.personas.pool import NO_PERSONA


@dataclass(frozen=True)
class VoiceScores:
    """Style of a model's completions on one task: P personas, R runs, N problems.

    Attributes:
        voice_PRN: fraction of the persona's two words present.
        blurted_PRN, worked_PRN: 1 for an answer without, or with, a calculation before it; both 0 without an answer.
        truncated_PRN: 1 if truncated at the token limit, which removes the closing word.
        blurted_control_RN: blurted without a persona, or ``None`` if not evaluated.
    """

    task: str
    personas: tuple[str, ...]
    problems: tuple[str, ...]
    voice_PRN: NDArray[np.float64]
    blurted_PRN: NDArray[np.float64]
    worked_PRN: NDArray[np.float64]
    truncated_PRN: NDArray[np.float64]
    blurted_control_RN: NDArray[np.float64] | None


def read_voice(folder: Path, results: Sequence[Results] | None = None) -> dict[str, VoiceScores]:
    """Read the style of a results folder, by task; personas and problems are ordered as in ``evaluation.results``.

    Args:
        results: results of the folder, if already read.

    Raises:
        UserError: not a results folder, missing samples, or a persona that is not in the lab.
    """
    store = SampleStore(folder)
    scores = {}
    for result in load_results(folder) if results is None else results:
        conditions = [*result.personas, *([NO_PERSONA] if result.control_RN is not None else [])]
        row = {condition: number for number, condition in enumerate(conditions)}
        column = {problem: number for number, problem in enumerate(result.problems)}
        shape = (len(conditions), result.correct_PRN.shape[1], len(column))
        voice, blurted, worked, truncated = np.full((4, *shape), np.nan)
        for sample in store.samples(result.task):
            index = row[sample.persona], sample.run, column[sample.problem]
            reasoning = reasoning_style(sample.output)
            blurted[index], worked[index] = reasoning == "blurted", reasoning == "worked"
            truncated[index] = sample.finish_reason == "length"
            if sample.persona != NO_PERSONA:
                voice[index] = voice_kept(sample.output, sample.persona)
        number = len(result.personas)
        scores[result.task] = VoiceScores(
            task=result.task,
            personas=result.personas,
            problems=result.problems,
            voice_PRN=voice[:number],
            blurted_PRN=blurted[:number],
            worked_PRN=worked[:number],
            truncated_PRN=truncated[:number],
            blurted_control_RN=blurted[number] if len(conditions) > number else None,
        )
    return scores
