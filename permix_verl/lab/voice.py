"""How much of each persona's voice is left in stored answers, and how many were blurted.

The lab's counterpart of PersonaGym: a program reads the style, no judge is asked. Only the output is
looked at, never its verdict.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from permix_verl.evaluation.results import Results, load_results
from permix_verl.evaluation.sample_store import SampleStore
from permix_verl.lab.styles import voice_kept, way_of
from permix_verl.personas.pool import NO_PERSONA


@dataclass(frozen=True)
class Fidelity:
    """The style of a model's answers on one task: P personas, R runs, N problems.

    Attributes:
        voice_PRN: share of the persona's two words that are there.
        blurted_PRN, worked_PRN: 1 where no calculation leads to the answer, or one does; both 0 without an answer.
        cut_PRN: 1 where the token limit ended the text; it has lost its closing word then.
        blurted_control_RN: blurted without a persona, or ``None``.
    """

    task: str
    personas: tuple[str, ...]
    problems: tuple[str, ...]
    voice_PRN: NDArray[np.float64]
    blurted_PRN: NDArray[np.float64]
    worked_PRN: NDArray[np.float64]
    cut_PRN: NDArray[np.float64]
    blurted_control_RN: NDArray[np.float64] | None


def read_fidelity(folder: Path, results: Sequence[Results] | None = None) -> dict[str, Fidelity]:
    """By task, in the order of personas and problems that ``evaluation.matrix`` gives.

    Args:
        results: the folder's, if they are read already.

    Raises:
        UserError: not a results folder, samples missing, or a persona that is not in the lab.
    """
    store = SampleStore(folder)
    found = {}
    for result in load_results(folder) if results is None else results:
        arms = [*result.personas, *([NO_PERSONA] if result.control_RN is not None else [])]
        row = {arm: number for number, arm in enumerate(arms)}
        column = {problem: number for number, problem in enumerate(result.problems)}
        shape = (len(arms), result.correct_PRN.shape[1], len(column))
        voice, blurted, worked, cut = np.full((4, *shape), np.nan)
        for sample in store.samples(result.task):
            place = row[sample.persona], sample.run, column[sample.problem]
            way = way_of(sample.output)
            blurted[place], worked[place] = way == "blurted", way == "worked"
            cut[place] = sample.finish_reason == "length"
            if sample.persona != NO_PERSONA:
                voice[place] = voice_kept(sample.output, sample.persona)
        number = len(result.personas)
        found[result.task] = Fidelity(
            task=result.task,
            personas=result.personas,
            problems=result.problems,
            voice_PRN=voice[:number],
            blurted_PRN=blurted[:number],
            worked_PRN=worked[:number],
            cut_PRN=cut[:number],
            blurted_control_RN=blurted[number] if len(arms) > number else None,
        )
    return found
