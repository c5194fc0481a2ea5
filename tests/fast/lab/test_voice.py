"""Style read from a results folder: by persona, run and problem, and independent of correctness."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from permix_verl.errors import UserError
from permix_verl.evaluation.sample_store import Sample, SampleStore
from permix_verl.lab.voice import read_voice

OUTPUTS = {
    ("chef", "p0"): r"Sizzling! 2+3=5. The answer is \boxed{5}. Delicious!",
    ("chef", "p1"): r"The answer is \boxed{5}. Delicious!",
    ("pilot", "p0"): r"Sizzling! The answer is \boxed{5}. Delicious!",
    ("pilot", "p1"): r"Cleared! 2+3=5. The answer is \boxed{5}. Landed!",
    ("no_persona", "p0"): r"2+3=5. The answer is \boxed{5}.",
    ("no_persona", "p1"): r"The answer is \boxed{5}.",
}


def write(folder: Path, outputs: dict[tuple[str, str], str], **changes: str) -> None:
    store = SampleStore(folder)
    with store.writing():
        settings = {"model": {"name": "m"}, "adapter": None, "tasks": {"lab_easy": {"problems": 2}}}
        methods = list(dict.fromkeys(method for method, _ in outputs))
        store.begin(settings, {"lab_easy": {"arms": methods, "runs": 1}})
        plain = Sample("", "lab_easy", "", "", 0, "", "", "5", "", "5", "correct", "stop", 9, 9, 0)
        store.append(
            [
                replace(plain, key=f"{method} {problem}", persona=method, problem=problem, output=output, **changes)  # type: ignore[arg-type]
                for (method, problem), output in outputs.items()
            ]
        )


def test_voice_and_blurting_by_persona_and_problem(tmp_path: Path) -> None:
    write(tmp_path, OUTPUTS)
    voice = read_voice(tmp_path)["lab_easy"]
    assert (voice.personas, voice.problems) == (("chef", "pilot"), ("p0", "p1"))
    assert voice.voice_PRN[:, 0].tolist() == [[1, 0.5], [0, 1]], "another persona's voice is not the pilot's"
    assert np.array_equal(voice.blurted_PRN[:, 0], [[0, 1], [1, 0]])
    assert np.array_equal(voice.worked_PRN, 1 - voice.blurted_PRN)
    assert not voice.truncated_PRN.any()
    assert voice.blurted_control_RN is not None
    assert np.array_equal(voice.blurted_control_RN, [[0, 1]])


def test_correctness_changes_nothing(tmp_path: Path) -> None:
    write(tmp_path / "right", OUTPUTS)
    write(tmp_path / "wrong", OUTPUTS, status="wrong")
    right, wrong = (read_voice(tmp_path / name)["lab_easy"] for name in ("right", "wrong"))
    assert np.array_equal(right.voice_PRN, wrong.voice_PRN)
    assert np.array_equal(right.blurted_PRN, wrong.blurted_PRN)


def test_a_missing_answer_is_neither_worked_nor_blurted(tmp_path: Path) -> None:
    write(tmp_path, OUTPUTS | {("chef", "p0"): "Sizzling! 2+3"}, finish_reason="length")
    voice = read_voice(tmp_path)["lab_easy"]
    assert voice.worked_PRN[0, 0, 0] == voice.blurted_PRN[0, 0, 0] == 0
    assert voice.truncated_PRN.all()


def test_without_a_control_there_is_no_control_value(tmp_path: Path) -> None:
    write(tmp_path, {key: output for key, output in OUTPUTS.items() if key[0] != "no_persona"})
    assert read_voice(tmp_path)["lab_easy"].blurted_control_RN is None


def test_a_persona_outside_the_lab_is_refused(tmp_path: Path) -> None:
    write(tmp_path, OUTPUTS | {("pirate", "p0"): "Ahoy!", ("pirate", "p1"): "Ahoy!"})
    with pytest.raises(UserError, match="persona 'pirate' has no style in the lab"):
        read_voice(tmp_path)
