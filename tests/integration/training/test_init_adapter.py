"""INIT_ADAPTER in the recipes, the doctor, the plan, a run's settings and its checks."""

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from permix_verl import UserError
from permix_verl.checkpoints.adapter import check_adapter, export_adapter
from permix_verl.lab.base_model import MODEL
from permix_verl.preflight.doctor.adapter import initial_adapter
from permix_verl.preflight.doctor.types import Setup
from permix_verl.preflight.memory_plan.budget import budget
from permix_verl.preflight.memory_plan.job import read_job
from permix_verl.runs.folder import RunFolder
from permix_verl.runs.given_adapter import CONFIG, WEIGHTS, fingerprint
from permix_verl.runs.init_adapter_settings import FROZEN_REFERENCE, INIT_ADAPTER_KEY, init_adapter_copy
from permix_verl.runs.settings import begin_run
from permix_verl.training.run_checks import adapter_problems

from ...fast.checkpoints.test_adapter import META, lora_model, lora_state, write_checkpoint, write_record
from ...fast.checkpoints.test_merge import other_base, rename_base, trained_adapter
from ...fast.training.test_launch import checkpoint, config
from ...support.configs import bare_of, config_of
from ..preflight.test_plan import JOB, PEAKS
from ..preflight.test_plan import MODEL as SIZES
from ..recipes.test_recipes import recipe

LAB = {"PROFILE": "cpu", "LAB": "1"}


@pytest.fixture(scope="module")
def adapter(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return trained_adapter(tmp_path_factory.mktemp("adapter"))


@pytest.mark.parametrize(
    ("script", "model"), [("run_permix_grpo.sh", "actor_rollout_ref.model"), ("run_sft.sh", "model")]
)
def test_rank_alpha_and_modules_are_the_adapters(adapter: Path, script: str, model: str) -> None:
    without = config_of(script, **LAB)
    settings = config_of(script, INIT_ADAPTER=str(adapter), **LAB)
    assert (without[f"{model}.lora_rank"], without[f"{model}.lora_alpha"]) == (8, 16)
    assert (settings[f"{model}.lora_rank"], settings[f"{model}.lora_alpha"]) == (4, 8)
    assert settings[f"{model}.target_modules"] == sorted(without[f"{model}.target_modules"])
    assert settings[f"{model}.lora_adapter_path"].endswith("/initial_adapter"), "the run has a copy of its own"
    assert settings[INIT_ADAPTER_KEY] == str(adapter)
    assert without[INIT_ADAPTER_KEY] is None
    # Supervised training has no reference.
    library = [FROZEN_REFERENCE] if model != "model" else None
    assert settings.get("actor_rollout_ref.model.external_lib") == library
    assert init_adapter_copy(settings) == Path(settings[f"{model}.lora_adapter_path"])
    assert init_adapter_copy(without) is None


def test_an_nf4_base_is_compatible(adapter: Path) -> None:
    settings = config_of("run_rlvr_grpo.sh", INIT_ADAPTER=str(adapter), QLORA="1", **LAB)
    assert settings["actor_rollout_ref.model.external_lib"] == ["permix_verl.training.qlora.engine", FROZEN_REFERENCE]
    supervised = config_of("run_sft.sh", INIT_ADAPTER=str(adapter), QLORA="1", **LAB)
    assert supervised["model.external_lib"] == "permix_verl.training.qlora.engine"


@pytest.mark.parametrize(
    ("knobs", "message"),
    [
        (
            {"LORA_RANK": "8"},
            "LORA_RANK=8, and INIT_ADAPTER={} has LORA_RANK=4; unset LORA_RANK to use the adapter's value",
        ),
        ({"LORA_ALPHA": "4"}, "LORA_ALPHA=4, and INIT_ADAPTER={} has LORA_ALPHA=8; unset LORA_ALPHA"),
        ({"INIT_ADAPTER": "/no/adapter"}, "INIT_ADAPTER=/no/adapter is not an adapter: it has no adapter_config.json"),
    ],
)
def test_a_recipe_refuses_contradictions(adapter: Path, knobs: dict[str, str], message: str) -> None:
    done = recipe("run_permix_grpo.sh", **{"DRY_RUN": "overrides", "INIT_ADAPTER": str(adapter), **LAB, **knobs})
    assert done.returncode == 2
    assert message.format(adapter) in done.stderr.splitlines()[-1]
    assert recipe("run_permix_grpo.sh", DRY_RUN="overrides", INIT_ADAPTER=str(adapter), LORA_RANK="4", **LAB).stdout


@pytest.mark.parametrize(
    ("script", "key"),
    [("run_rlvr_grpo.sh", "actor_rollout_ref.model.lora_adapter_path"), ("run_sft.sh", "model.lora_adapter_path")],
)
def test_verls_own_key_is_answered_with_the_knob(script: str, key: str) -> None:
    done = recipe(script, f"{key}=/my/adapter", DRY_RUN="overrides", **LAB)
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1].startswith(f"error: {key}=/my/adapter: ")
    assert done.stderr.strip().endswith("; set INIT_ADAPTER=/my/adapter to start from that adapter")
    assert recipe(script, f"{key}=null", DRY_RUN="overrides", **LAB).returncode == 0


def test_verl_accepts_the_config_and_another_rank_behind_it_is_refused(adapter: Path) -> None:
    from permix_verl.training.dry_run import validate

    knobs = {"INIT_ADAPTER": str(adapter), "QLORA": "1", **LAB}
    assert list(validate(config_of("permix_grpo", **knobs)).actor_rollout_ref.model.external_lib) == [
        "permix_verl.training.qlora.engine",
        FROZEN_REFERENCE,
    ]
    with pytest.raises(UserError, match="lora_rank=16, but INIT_ADAPTER="):
        validate(config_of("permix_grpo", "actor_rollout_ref.model.lora_rank=16", **knobs))


def test_the_doctor_checks_base_and_weights(adapter: Path, tmp_path: Path) -> None:
    def findings(given: Path | None, model: str = str(MODEL), run_dir: Path | None = None) -> list[tuple[str, str]]:
        config = bare_of({} if given is None else {INIT_ADAPTER_KEY: str(given)})
        setup = Setup(model=model, config=config, run_dir=run_dir)
        return [(finding.severity, f"{finding.text}; {finding.remedy}") for finding in initial_adapter(setup)]

    assert findings(None) == []
    ((severity, text),) = findings(adapter)
    assert (severity, text) == ("ok", f"{adapter}: rank 4, alpha 8, on 7 kinds of layers of this model; ")
    ((severity, text),) = findings(adapter, str(other_base(tmp_path / "other")))
    assert severity == "error"
    assert "has other weights" in text
    ((severity, text),) = findings(rename_base(adapter, tmp_path / "gone", "/gone/base"))
    assert severity == "warning"
    ((severity, text),) = findings(tmp_path)
    assert "is not an adapter" in text


def test_a_resume_with_another_adapter_is_refused(adapter: Path, tmp_path: Path) -> None:
    folder, given = RunFolder(tmp_path), tmp_path / "given"
    folder.checkpoints.mkdir()
    shutil.copytree(adapter, given)
    begin_run(folder, config(folder, f"+{INIT_ADAPTER_KEY}='{given}'"))
    checkpoint(folder, 2)
    first = fingerprint(given)
    begin_run(folder, config(folder, f"+{INIT_ADAPTER_KEY}='{given}'"))
    begin_run(folder, config(folder, f"+{INIT_ADAPTER_KEY}='{adapter}'"))  # the same adapter elsewhere
    weights = (given / WEIGHTS).read_bytes()
    (given / WEIGHTS).write_bytes(weights[:-4] + bytes(4))
    setup = Setup(model=str(MODEL), config=bare_of({INIT_ADAPTER_KEY: str(given)}), run_dir=folder.path)
    errors = [finding.text for finding in initial_adapter(setup) if finding.severity == "error"]
    assert errors == [
        f"{folder.path} holds a run that started from an adapter with other weights ({first}) than {given} has now "
        f"({fingerprint(given)})"
    ]
    told = rf"holds a run with INIT_ADAPTER={adapter} \(weights {first}\), but this command has INIT_ADAPTER={given} \("
    with pytest.raises(UserError, match=told):
        begin_run(folder, config(folder, f"+{INIT_ADAPTER_KEY}='{given}'"))
    with pytest.raises(UserError, match=r"but this command has INIT_ADAPTER=None; set another RUN_DIR"):
        begin_run(folder, config(folder))


def test_the_plan_counts_it_twice_in_host_memory_only(adapter: Path) -> None:
    job = read_job(config_of("run_permix_grpo.sh", INIT_ADAPTER=str(adapter), **LAB), "grpo", 576)
    assert job.adapter_reference
    assert not read_job(config_of("run_permix_grpo.sh", **LAB), "grpo", 576).adapter_reference
    plain, kept = (budget(replace(JOB, adapter_reference=on), SIZES, PEAKS, 24 * 2**30) for on in (False, True))
    assert kept.phases == plain.phases
    (line,) = set(kept.host) - set(plain.host)
    assert line.size == 2 * 4 * SIZES.adapter_weights * JOB.ranks_per_node // JOB.ranks


def test_the_verdict_compares_with_the_adapter_that_was_given(tokenizer: Any, tmp_path: Path) -> None:
    model, base = lora_model(tokenizer, tmp_path)
    start = tmp_path / "start"
    model.save_pretrained(start)
    untrained = write_checkpoint(tmp_path / "untrained", lora_state(model), META)
    record = write_record(model, untrained)
    adapter = export_adapter(untrained, str(base), tmp_path / "adapter")
    from_base = check_adapter(adapter, str(base), record, torch.float32, "cpu")
    from_start = check_adapter(adapter, str(base), record, torch.float32, "cpu", start=start)
    assert from_base.largest == from_start.largest < 1e-5
    assert from_base.base_mean > 1e-3, "as if it had been trained"
    assert from_start.base_largest < 1e-5

    with torch.no_grad():
        for name, weight in model.named_parameters():
            if "lora_B" in name:
                weight.mul_(3)
    trained = write_checkpoint(tmp_path / "trained", lora_state(model), META)
    record = write_record(model, trained)
    adapter = export_adapter(trained, str(base), tmp_path / "adapter")
    check = check_adapter(adapter, str(base), record, torch.float32, "cpu", start=start)
    assert check.largest < 1e-5 < 1e-3 < check.base_mean
    assert adapter_problems(check, "largest", 1e-4) == []
    forgotten = check_adapter(start, str(base), record, torch.float32, "cpu", start=start)
    assert "is not the trained model" in adapter_problems(forgotten, "largest", 1e-4)[0]
    assert (start / CONFIG).is_file()
