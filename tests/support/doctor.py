"""Setups for the doctor's checks, and their findings."""

from collections.abc import Callable
from typing import Any

from permix_verl.preflight.doctor.types import Finding, Setup

from .configs import bare


def setup_with(*overrides: str, **given: Any) -> Setup:
    trainer = given.get("trainer", "grpo")
    return Setup(config=bare(*overrides, trainer=trainer) if overrides else None, **given)


def problems(check: Callable[[Setup], Any], setup: Setup) -> list[Finding]:
    found = [finding for finding in check(setup) if finding.severity != "ok"]
    assert all(finding.text and finding.remedy for finding in found)
    return found


def only(check: Callable[[Setup], Any], setup: Setup, severity: str = "error") -> str:
    (finding,) = problems(check, setup)
    assert finding.severity == severity
    return f"{finding.text}; {finding.remedy}"
