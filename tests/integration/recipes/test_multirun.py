"""Several runs of one command: seeds and sweeps, each in a folder of its own."""

from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from permix_verl import UserError
from permix_verl.cli.main import run
from permix_verl.recipe import multirun

from ...support.configs import config_of


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """Commands of the runs; the process of the third fails."""
    made: list[list[str]] = []

    def record(command: Sequence[str], environment: Mapping[str, str] | None = None) -> int:
        assert environment is not None
        assert not {"SEEDS", "SEED", "RUN_DIR"} & environment.keys()
        made.append(list(command)[3:])
        return 7 if len(made) == 3 else 0

    monkeypatch.setattr(multirun, "run_command", record)
    return made


def folder_of(call: list[str]) -> Any:
    return config_of(call[1], *call[2:], PROFILE="cpu")["permix.run_dir"].rpartition("/")[2]


def test_seeds_are_runs_of_their_own_and_the_first_failure_ends_them(
    calls: list[list[str]], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SEED", "5")
    assert run(["train", "rlvr_grpo", "SEEDS=4", "PROFILE=cpu", "permix.kl=0.5"]) == 7
    assert [call[0] for call in calls] == ["train"] * 3
    assert [folder_of(call) for call in calls] == ["rlvr-lab-seed5", "rlvr-lab-seed6", "rlvr-lab-seed7"]
    assert all("permix.kl=0.5" in call for call in calls)
    said = capsys.readouterr()
    assert "== run 3 of 4: " in said.out
    assert "error: run 3 of 4 ended with 7; the same command goes on" in said.err


def test_a_sweep_is_every_combination(calls: list[list[str]]) -> None:
    assert run(["train", "permix_grpo", "-m", "permix.kl=0.1,0.2", "permix.seed=0,1", "PROFILE=cpu"]) == 7
    names = ["permix-lab-kl=0.1-seed0", "permix-lab-kl=0.1-seed1", "permix-lab-kl=0.2-seed0"]
    assert [folder_of(call) for call in calls] == names


def test_a_sweep_needs_the_flag() -> None:
    with pytest.raises(UserError, match=r"permix\.kl=0\.1,0\.2: several values; give --multirun"):
        run(["train", "permix_grpo", "permix.kl=0.1,0.2", "PROFILE=cpu"])


@pytest.mark.parametrize("seeds", ["0", "two", "-1"])
def test_a_wrong_number_of_seeds_is_an_error(seeds: str) -> None:
    with pytest.raises(UserError, match=f"SEEDS={seeds} is not a number of 1 or more"):
        run(["train", "permix_grpo", f"SEEDS={seeds}"])


def test_runs_may_not_share_a_folder() -> None:
    with pytest.raises(UserError, match="RUN_DIR with several runs"):
        run(["train", "permix_grpo", "SEEDS=2", "RUN_DIR=/r", "PROFILE=cpu"])
