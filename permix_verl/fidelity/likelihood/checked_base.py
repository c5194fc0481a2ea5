"""The frozen base of a likelihood measure, which has passed the check on answers whose persona is known."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from permix_verl.errors import UserError

SETTINGS, ESTIMATES = "settings.json", "likelihood.json"
"""Files of a check's folder: model and template, and the estimates."""
WRITTEN = "written by hand"
"""Group of answers by which a base passes or fails."""


@dataclass(frozen=True, slots=True)
class CheckedBase:
    """A base whose likelihoods tell personas apart, as ``permix likelihood-check`` found.

    Attributes:
        identity: name and fingerprint of the base.
        template_kwargs: chat template variables of the check.
        rate: share of the hand-written answers whose persona was identified: "estimate", "low", "high".
    """

    identity: Mapping[str, str]
    template_kwargs: Mapping[str, Any]
    rate: Mapping[str, float]

    def as_settings(self) -> dict[str, Any]:
        """Return the base as JSON, for the settings of what is computed with it."""
        return {**self.identity, "chat_template_kwargs": dict(self.template_kwargs), "check": dict(self.rate)}


def read_check(folder: Path, identity: Mapping[str, str]) -> CheckedBase:
    """Read the check of a base.

    Args:
        folder: ``--out`` of ``permix likelihood-check``.
        identity: of the base to be used.

    Raises:
        UserError: no finished check, one of another model, or one that the base did not pass.
    """
    try:
        settings = json.loads((folder / SETTINGS).read_text())
        found = json.loads((folder / ESTIMATES).read_text())
        checked, rate, usable = settings["model"], found[WRITTEN]["rate"], found["usable"]
    except (OSError, ValueError, KeyError):
        raise UserError(
            f"{folder} holds no finished check of a base",
            f"write one: permix likelihood-check --model {identity['name']} --out {folder}",
        ) from None
    if checked != dict(identity):
        raise UserError(
            f"{folder} holds the check of {checked['name']}, not of {identity['name']} as it is now",
            "give the folder of this base's check",
        )
    if not usable:
        raise UserError(
            f"under {identity['name']} the personas of {100 * rate['estimate']:.1f} % of the hand-written answers were "
            "identified, with an interval that does not lie above chance",
            "this base's likelihood is no measure of fidelity; take another base, or permix judge",
        )
    return CheckedBase(
        identity, settings["chat_template_kwargs"], {key: rate[key] for key in ("estimate", "low", "high")}
    )
