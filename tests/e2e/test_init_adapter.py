"""RL from an adapter (INIT_ADAPTER): it is the first policy and the KL reference, and one adapter is exported.

Stopped and resumed, with dropout, from SFT, in NF4, and with the reference switched off: docs/soak/init_adapter.log.
"""

import json

import pytest

from permix_verl.runs import metrics as m
from permix_verl.runs.given_adapter import CONFIG, fingerprint
from permix_verl.training.guards.reference_check import DISTANCE

from .conftest import SHORT, Recipe, Run


def test_the_first_kl_is_zero_and_the_exported_adapter_fits_the_plain_base(
    recipe: Recipe, first_run: Run, tmp_path_factory: pytest.TempPathFactory
) -> None:
    given = first_run.folder / "adapter"
    run = recipe(
        "run_permix_grpo.sh",
        tmp_path_factory.mktemp("from_adapter") / "run",
        "trainer.val_before_train=False",
        "trainer.test_freq=-1",
        "trainer.total_training_steps=2",
        INIT_ADAPTER=str(given),
        LORA_DROPOUT="0",
        **SHORT | {"BATCH": "8"},
    ).check()
    first, second = (run.metrics[step] for step in (1, 2))
    assert first[DISTANCE] == 0
    assert abs(first[m.KL]) < 1e-9
    assert second[m.KL] > 1e-6
    assert first[m.ADAPTER_NORM_RATIO] == pytest.approx(1, abs=1e-5), "the engine has it from the first rollout on"
    assert fingerprint(run.folder / "initial_adapter") == fingerprint(given)
    record = json.loads((run.folder / "live.json").read_text())
    assert record["lora"]["reference"] == "the adapter that was given"

    check = json.loads((run.folder / "verdict.json").read_text())["adapter"]
    assert check["largest"] < 1e-4
    assert check["base_mean"] > 1e-4, "of the adapter that was given"
    assert "(INIT_ADAPTER's: " in run.output
    was, now = (json.loads((folder / CONFIG).read_text()) for folder in (given, run.folder / "adapter"))
    assert now == was, "rank, alpha, modules and base"
