"""INIT_ADAPTER in the recipes, the doctor, the plan, a run's settings and its verdict."""

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
from permix_verl.runs.init_adapter_settings import KEY, REFERENCE, start_of
from permix_verl.runs.overrides import as_dict
from permix_verl.runs.settings import begin
from permix_verl.training.run_checks import adapter_problems

from ..checkpoints.test_adapter import META, lora_model, lora_state, write_checkpoint, write_record
from ..checkpoints.test_merge import other_base, rename_base, trained_adapter
from ..preflight.test_plan import JOB, PEAKS
from ..preflight.test_plan import MODEL as SIZES
from ..recipes.test_recipes import overrides_of, recipe
from .test_launch import checkpoint, overrides

LAB = {"PROFILE": "cpu", "LAB": "1"}


@pytest.fixture(scope="module")
def adapter(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return trained_adapter(tmp_path_factory.mktemp("adapter"))


@pytest.mark.parametrize(
    ("script", "model"), [("run_permix_grpo.sh", "actor_rollout_ref.model"), ("run_sft.sh", "model")]
)
def test_rank_alpha_and_modules_are_the_adapters(adapter: Path, script: str, model: str) -> None:
    without = as_dict(overrides_of(script, **LAB))
    found = as_dict(overrides_of(script, INIT_ADAPTER=str(adapter), **LAB))
    assert (without[f"{model}.lora_rank"], without[f"{model}.lora_alpha"]) == ("8", "16")
    assert (found[f"{model}.lora_rank"], found[f"{model}.lora_alpha"]) == ("4", "8")
    assert found[f"{model}.target_modules"] == "[down_proj,gate_proj,k_proj,o_proj,q_proj,up_proj,v_proj]"
    assert found[f"{model}.lora_adapter_path"].endswith("/initial_adapter"), "the run has a copy of its own"
    assert found[KEY] == str(adapter)
    assert KEY not in without
    # Supervised training has no reference.
    library = f"[{REFERENCE}]" if model != "model" else None
    assert found.get("actor_rollout_ref.model.external_lib") == library
    assert start_of(found) == Path(found[f"{model}.lora_adapter_path"])
    assert start_of(without) is None


def test_a_base_in_nf4_goes_with_it(adapter: Path) -> None:
    found = as_dict(overrides_of("run_rlvr_grpo.sh", INIT_ADAPTER=str(adapter), QLORA="1", **LAB))
    assert found["actor_rollout_ref.model.external_lib"] == f"[permix_verl.training.qlora.engine,{REFERENCE}]"
    supervised = as_dict(overrides_of("run_sft.sh", INIT_ADAPTER=str(adapter), QLORA="1", **LAB))
    assert supervised["model.external_lib"] == "permix_verl.training.qlora.engine"


@pytest.mark.parametrize(
    ("knobs", "message"),
    [
        ({"LORA_RANK": "8"}, "LORA_RANK=8, and INIT_ADAPTER={} has 4; unset LORA_RANK, and it is the adapter's"),
        ({"LORA_ALPHA": "4"}, "LORA_ALPHA=4, and INIT_ADAPTER={} has 8; unset LORA_ALPHA"),
        ({"INIT_ADAPTER": "/no/adapter"}, "INIT_ADAPTER=/no/adapter is no adapter: no adapter_config.json there"),
    ],
)
def test_a_recipe_says_what_does_not_go_with_it(adapter: Path, knobs: dict[str, str], message: str) -> None:
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
    assert done.stderr.strip().endswith("; set INIT_ADAPTER=/my/adapter")
    assert recipe(script, f"{key}=null", DRY_RUN="overrides", **LAB).returncode == 0


def test_verl_accepts_the_config_and_another_rank_behind_it_is_refused(adapter: Path) -> None:
    from permix_verl.training.dry_run import resolve

    lines = overrides_of("run_permix_grpo.sh", INIT_ADAPTER=str(adapter), QLORA="1", **LAB)
    assert list(resolve(lines).actor_rollout_ref.model.external_lib) == ["permix_verl.training.qlora.engine", REFERENCE]
    with pytest.raises(UserError, match="lora_rank=16, and INIT_ADAPTER="):
        resolve([*lines, "actor_rollout_ref.model.lora_rank=16"])
    with pytest.raises(UserError, match="set INIT_ADAPTER=/my/adapter"):
        resolve([*overrides_of("run_sft.sh", **LAB), "model.lora_adapter_path=/my/adapter"], "sft")


def test_the_doctor_looks_at_base_and_weights(adapter: Path, tmp_path: Path) -> None:
    def found(given: Path | None, model: str = str(MODEL), run_dir: Path | None = None) -> list[tuple[str, str]]:
        settings = {} if given is None else {KEY: str(given)}
        setup = Setup(model=model, settings=settings, run_dir=run_dir)
        return [(one.severity, f"{one.text}; {one.remedy}") for one in initial_adapter(setup)]

    assert found(None) == []
    ((severity, text),) = found(adapter)
    assert (severity, text) == ("ok", f"{adapter}: rank 4, alpha 8, on 7 kinds of layers of this model; ")
    ((severity, text),) = found(adapter, str(other_base(tmp_path / "other")))
    assert severity == "error"
    assert "has other weights" in text
    ((severity, text),) = found(rename_base(adapter, tmp_path / "gone", "/gone/base"))
    assert severity == "warning"
    ((severity, text),) = found(tmp_path)
    assert "is no adapter" in text


def test_another_adapter_under_the_same_name_does_not_go_on(adapter: Path, tmp_path: Path) -> None:
    folder, given = RunFolder(tmp_path), tmp_path / "given"
    folder.checkpoints.mkdir()
    shutil.copytree(adapter, given)
    begin(folder, overrides(folder, f"+{KEY}='{given}'"))
    checkpoint(folder, 2)
    first = fingerprint(given)
    begin(folder, overrides(folder, f"+{KEY}='{given}'"))
    begin(folder, overrides(folder, f"+{KEY}='{adapter}'"))  # the same one elsewhere
    weights = (given / WEIGHTS).read_bytes()
    (given / WEIGHTS).write_bytes(weights[:-4] + bytes(4))
    setup = Setup(model=str(MODEL), settings={KEY: str(given)}, run_dir=folder.path)
    said = [one.text for one in initial_adapter(setup) if one.severity == "error"]
    assert said == [
        f"{folder.path} holds a run that began with an adapter of other weights ({first}) than {given} has now "
        f"({fingerprint(given)})"
    ]
    told = rf"holds a run with INIT_ADAPTER={adapter} \(weights {first}\), and this command has INIT_ADAPTER={given} \("
    with pytest.raises(UserError, match=told):
        begin(folder, overrides(folder, f"+{KEY}='{given}'"))
    with pytest.raises(UserError, match=r"and this command has INIT_ADAPTER=None; set another RUN_DIR"):
        begin(folder, overrides(folder))


def test_the_plan_has_it_twice_on_the_host_and_nowhere_else(adapter: Path) -> None:
    its = read_job(as_dict(overrides_of("run_permix_grpo.sh", INIT_ADAPTER=str(adapter), **LAB)), "grpo", 576)
    assert its.adapter_reference
    assert not read_job(as_dict(overrides_of("run_permix_grpo.sh", **LAB)), "grpo", 576).adapter_reference
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
