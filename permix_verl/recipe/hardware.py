"""Choices that this machine makes: the profile, the number of GPUs, and whether the lab is the default."""

import sys
from collections.abc import Mapping, Sequence

from permix_verl.checkpoints.fetched import is_short_name
from permix_verl.config.knobs import PROFILES
from permix_verl.errors import UserError

PAPER_GPUS = 8


def choose_profile(given: Mapping[str, object], gpu_names: Sequence[str]) -> str:
    """Return the given profile, or the one that fits the GPUs, and print which was chosen.

    Raises:
        UserError: an unknown profile.
    """
    if profile := given.get("profile"):
        if profile not in PROFILES:
            raise UserError(f"unknown profile '{profile}'", f"known: {' '.join(PROFILES)}")
        return str(profile)
    chosen = "gpu" if gpu_names else "cpu"
    if sum("A5000" in name for name in gpu_names) == PAPER_GPUS:
        chosen = "8xa5000"
    print(f"profile {chosen} (PROFILE=... overrides; profiles: {' '.join(PROFILES)})", file=sys.stderr)
    return chosen


def choose_preset(given: Mapping[str, object], profile: str) -> str:
    """Return the given preset; by default that of a short name, the lab without a GPU and a model, else the paper's."""
    model = given.get("permix.model")
    if is_short_name(model):
        return str(given.get("preset", model))
    lab = profile == "cpu" and not model
    return str(given.get("preset", "lab" if lab else "paper"))


def hardware_overrides(given: Mapping[str, object], profile: str, gpu_names: Sequence[str]) -> list[str]:
    """Return the overrides of profile and ranks.

    Args:
        given: key -> value of everything that the user set.
        profile: the chosen one.
        gpu_names: names of the visible GPUs.

    Raises:
        UserError: a number of GPUs that the profile does not have.
    """
    overrides = [f"profile={profile}"]
    if profile == "8xa5000" and given.get("permix.gpus", PAPER_GPUS) != PAPER_GPUS:
        raise UserError(
            f"GPUS={given['permix.gpus']} with PROFILE=8xa5000", "set PROFILE=gpu for another number of GPUs"
        )
    if profile == "gpu" and "permix.gpus" not in given:
        overrides.append(f"permix.gpus={max(1, len(gpu_names))}")  # 1: a dry run for GPUs of another machine
    return overrides


def drop_inapplicable(knobs: Mapping[str, str], profile: str, lab: bool) -> dict[str, str]:
    """Return the knobs without those of another profile or preset, and print a note for each of these."""
    reasons = {
        "GPUS": "" if profile != "cpu" else "on the profile cpu, where RANKS gives the number of processes",
        "RANKS": "" if profile == "cpu" else f"on the profile {profile}, where GPUS gives the number of GPUs",
        "LAB_PROBLEMS": "" if lab else "outside the lab",
    }
    for name in knobs:
        if reason := reasons.get(name):
            print(f"note: {name}={knobs[name]} has no meaning {reason}", file=sys.stderr)
    return {name: value for name, value in knobs.items() if not reasons.get(name)}
