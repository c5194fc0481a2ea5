"""Stored log-likelihoods of a results folder's answers, and the settings that they were computed with.

    results/NAME/likelihood/settings.json    frozen base, its check, and by task the personas and problems
    results/NAME/likelihood/scores.jsonl     one row per answer

Rows are appended, so an interrupted command goes on.
"""

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from permix_verl.inference.jsonl_store import KeyedRows, SettingsFile, check_unchanged, plain
from permix_verl.utils.files import file_lock

FORMAT = 1
FOLDER = "likelihood"


@dataclass(frozen=True, slots=True)
class AnswerScores:
    """One answer under the prompts of all personas.

    Attributes:
        key: key of the sample in the results folder, which depends on model, prompt and sampling.
        nats: log-likelihood under each persona's prompt, in the settings' order, nats per token; ``None`` for an
            answer without a token.
    """

    key: str
    task: str
    persona: str
    problem: str
    nats: list[float] | None


class LikelihoodStore:
    """The log-likelihoods of a results folder."""

    def __init__(self, results: Path) -> None:
        self.folder = results / FOLDER
        self._settings = SettingsFile(
            self.folder / "settings.json",
            FORMAT,
            (f"{results} has no log-likelihoods", "score its answers: permix likelihood"),
        )
        self.rows = KeyedRows(
            self.folder / "scores.jsonl", AnswerScores, "log-likelihoods", "permix likelihood computes them again"
        )

    def exists(self) -> bool:
        """Return whether log-likelihoods are stored."""
        return self._settings.exists() and not self.rows.is_empty()

    def settings(self) -> dict[str, Any]:
        """Read the settings.

        Raises:
            UserError: there are none.
        """
        return self._settings.read()

    @contextlib.contextmanager
    def writing(self, settings: Mapping[str, Any]) -> Iterator[KeyedRows[AnswerScores]]:
        """Lock the folder for appending rows of these settings.

        Settings bind once a row is stored. The problems of a task may become more, and tasks may be added.

        Raises:
            UserError: another process is writing there, or the folder has rows of another base or of other personas.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        with file_lock(self.folder / ".lock", f"another process is scoring {self.folder}", "wait for it"):
            now = {"format": FORMAT, **plain(settings)}
            if self.exists():
                before = self.settings()
                check_unchanged(self.folder, "base", before["base"], now["base"])
                for task in before["tasks"].keys() & now["tasks"].keys():
                    check_unchanged(
                        self.folder,
                        f"personas of {task}",
                        before["tasks"][task]["personas"],
                        now["tasks"][task]["personas"],
                    )
                larger = {task: _larger(before["tasks"].get(task), wanted) for task, wanted in now["tasks"].items()}
                now["tasks"] = {**before["tasks"], **larger}
            self._settings.write(now)
            with self.rows.appending() as rows:
                yield rows


def _larger(before: Mapping[str, Any] | None, now: Mapping[str, Any]) -> Mapping[str, Any]:
    return before if before and len(before["problems"]) > len(now["problems"]) else now
