"""Wheels for another machine: its Python, its architecture, its C library."""

import platform
import sys

import pytest

from permix_verl import UserError
from permix_verl.wheelhouse.target import Target, parse_target, unfit

OURS = Target((sys.version_info[0], sys.version_info[1]), 17, platform.machine())


def test_linux_alone_is_the_glibc_of_a_few_years_ago() -> None:
    assert parse_target("3.12", "linux_x86_64") == Target((3, 12), 31, "x86_64")
    assert parse_target("3.11.7", "manylinux_2_28_aarch64") == Target((3, 11), 28, "aarch64")


@pytest.mark.parametrize("python", ["3.10", "3.13", "3", "cp312", ""])
def test_another_python_is_refused(python: str) -> None:
    with pytest.raises(UserError, match=r"Python 3\.11 or 3\.12 is needed"):
        parse_target(python, "linux_x86_64")


@pytest.mark.parametrize("name", ["win_amd64", "musllinux_1_2_x86_64", "linux_ppc64le", "manylinux_x86_64"])
def test_another_platform_is_refused(name: str) -> None:
    with pytest.raises(UserError, match=f"--platform {name} is not known"):
        parse_target("3.11", name)


def test_the_best_wheel_is_the_one_that_pip_would_take() -> None:
    target = parse_target("3.12", "manylinux_2_28_x86_64")
    plain, abi3 = "x-1-py3-none-any.whl", "x-1-cp38-abi3-manylinux_2_17_x86_64.manylinux2014_x86_64.whl"
    own, newer = "x-1-cp312-cp312-manylinux1_x86_64.whl", "x-1-cp312-cp312-manylinux_2_31_x86_64.whl"
    other, arm = "x-1-cp311-cp311-manylinux1_x86_64.whl", "x-1-cp312-cp312-manylinux_2_17_aarch64.whl"
    assert target.best([plain, abi3, own, newer, other, arm]) == own
    assert target.best([plain, abi3, newer, other, arm]) == abi3
    assert target.best([plain, newer]) == plain
    assert target.best([newer, other, arm]) is None


def test_platforms_are_those_of_an_older_glibc_too() -> None:
    names = Target((3, 11), 18, "x86_64").platforms()
    assert names[:3] == ["manylinux_2_18_x86_64", "manylinux_2_17_x86_64", "manylinux2014_x86_64"]
    assert names[-2:] == ["manylinux1_x86_64", "linux_x86_64"]
    assert "manylinux_2_16_aarch64" not in Target((3, 11), 18, "aarch64").platforms()


def test_this_machine_takes_its_own_wheels() -> None:
    assert unfit(OURS) is None


def test_another_machine_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    other = (3, 12) if OURS.python == (3, 11) else (3, 11)
    assert "is Python" in (unfit(Target(other, 17, OURS.machine)) or "")
    assert "this machine is" in (unfit(Target(OURS.python, 17, "riscv64")) or "")
    monkeypatch.setattr("platform.libc_ver", lambda: ("glibc", "2.28"))
    assert unfit(Target(OURS.python, 31, OURS.machine)) == "this machine has glibc 2.28"
    monkeypatch.setattr("platform.libc_ver", lambda: ("", ""))
    assert "other than glibc" in (unfit(OURS) or "")
