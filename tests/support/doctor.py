"""Setups for the doctor's checks, and their findings."""

from collections.abc import Callable
from typing import Any

from permix_verl.preflight.doctor.types import Finding, Setup
from permix_verl.runs.overrides import overrides_by_key


def setup_with(*overrides: str, **given: Any) -> Setup:
    return Setup(overrides=overrides, settings=overrides_by_key(list(overrides)), **given)


def problems(check: Callable[[Setup], Any], setup: Setup) -> list[Finding]:
    found = [finding for finding in check(setup) if finding.severity != "ok"]
    assert all(finding.text and finding.remedy for finding in found)
    return found


def only(check: Callable[[Setup], Any], setup: Setup, severity: str = "error") -> str:
    (finding,) = problems(check, setup)
    assert finding.severity == severity
    return f"{finding.text}; {finding.remedy}"
