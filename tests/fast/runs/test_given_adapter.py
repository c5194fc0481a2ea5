"""Adapters that training starts from (INIT_ADAPTER): settings, refusals, and the run's copy."""

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM

from permix_verl import UserError
from permix_verl.checkpoints.adapter_base import FINGERPRINT, record_base
from permix_verl.lab.base_model import MODEL
from permix_verl.runs.given_adapter import CONFIG, WEIGHTS, fingerprint, read_given_adapter
from permix_verl.runs.init_adapter_settings import FROZEN_REFERENCE, INIT_ADAPTER_KEY, refuse_unfit_adapter
from permix_verl.training.hooks.initial_adapter import check_given_adapter, copy_initial_adapter, write_initial_adapter

from ..checkpoints.test_merge import other_base, rename_base, rewrite, trained_adapter

MODULES = "[down_proj,gate_proj,k_proj,o_proj,q_proj,up_proj,v_proj]"


@pytest.fixture(scope="module")
def adapter(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return trained_adapter(tmp_path_factory.mktemp("adapter"))


def changed(given: Path, out: Path, **config: Any) -> Path:
    """Copy an adapter with another configuration."""
    shutil.copytree(given, out)
    was = json.loads((out / CONFIG).read_text())
    (out / CONFIG).write_text(json.dumps(was | config))
    return out


def test_rank_alpha_and_modules_are_read(adapter: Path) -> None:
    given = read_given_adapter(adapter)
    assert (given.rank, given.alpha, f"[{','.join(given.modules)}]") == (4, 8, MODULES)
    assert sorted(given.listed_modules) == list(given.modules)
    done = subprocess.run(
        [sys.executable, "-m", "permix_verl.runs.given_adapter", str(adapter)], capture_output=True, text=True
    )
    assert done.stdout == f"4 8 {MODULES}\n", done.stderr


@pytest.mark.parametrize(
    ("config", "told"),
    [
        ({"use_dora": True}, "has use_dora=True, which training here does not support; merge it into its base"),
        ({"use_rslora": True}, "has use_rslora=True, "),
        ({"bias": "lora_only"}, "has bias=lora_only, "),
        ({"modules_to_save": ["lm_head"]}, r"has modules_to_save=\['lm_head'\], "),
        ({"rank_pattern": {"q_proj": 2}, "alpha_pattern": {"q_proj": 4}}, "has alpha_pattern=.*, rank_pattern="),
        ({"trainable_token_indices": [1, 2]}, "has trainable_token_indices="),
        ({"lora_bias": True}, "has lora_bias=True, "),
        ({"something_new": {"on": 1}}, "has something_new="),
        (
            {"init_lora_weights": "pissa_niter_4"},
            "has init_lora_weights=pissa_niter_4: its initialization changed the base",
        ),
        ({"peft_type": "IA3"}, "has peft_type=IA3, task_type=CAUSAL_LM; training starts from LORA with CAUSAL_LM only"),
        ({"task_type": "SEQ_CLS"}, "has peft_type=LORA, task_type=SEQ_CLS; "),
        ({"lora_alpha": 2.5}, "has lora_alpha=2.5, but verl records an integer"),
        ({"lora_alpha": 0}, "has lora_alpha=0, but verl records an integer of 1 or more"),
        ({"r": None}, "has r=None; give an adapter with a rank of 1 or more"),
    ],
)
def test_what_training_would_lose_or_change_is_refused_by_name(
    adapter: Path,
    tmp_path: Path,
    config: dict[str, Any],
    told: str,
) -> None:
    with pytest.raises(UserError, match=told):
        read_given_adapter(changed(adapter, tmp_path / "other", **config))


def test_what_changes_no_weight_is_taken(adapter: Path, tmp_path: Path) -> None:
    """Negative control; the fingerprint stays the same."""
    harmless = {
        **{"lora_dropout": 0.3, "inference_mode": False, "task_type": None, "base_model_name_or_path": "other/name"},
        **{
            "init_lora_weights": "gaussian",
            "use_dora": False,
            "something_new": None,
            "bias": "none",
            "lora_alpha": 8.0,
        },
    }
    other = changed(adapter, tmp_path / "other", **harmless)
    assert read_given_adapter(other).modules == read_given_adapter(adapter).modules
    assert fingerprint(other) == fingerprint(adapter)


def cut(folder: Path) -> None:
    whole = (folder / WEIGHTS).read_bytes()
    (folder / WEIGHTS).write_bytes(whole[: len(whole) // 2])


FOLDERS: Mapping[str, tuple[Callable[[Path], Any], str]] = {
    "nothing": (
        lambda folder: shutil.rmtree(folder),
        "is not an adapter: it has no adapter_config.json; give a PEFT folder",
    ),
    "no JSON": (lambda folder: (folder / CONFIG).write_text("{"), "is not JSON"),
    "no weights": (
        lambda folder: (folder / WEIGHTS).rename(folder / "adapter_model.bin"),
        f"has no {WEIGHTS}; load it",
    ),
    "cut short": (cut, "cannot be read .*truncated.*; copy the adapter again"),
    "a pointer": (
        lambda folder: (folder / WEIGHTS).write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\n"),
        "cannot be read ",
    ),
    "empty": (
        lambda folder: save_file({}, folder / WEIGHTS),
        "holds no weights, but training starts only from LoRA weights of linear layers",
    ),
    "more": (
        lambda folder: save_file(
            load_file(folder / WEIGHTS) | {"base_model.model.lm_head.weight": torch.zeros(2)}, folder / WEIGHTS
        ),
        r"holds base_model\.model\.lm_head\.weight, but training starts only from LoRA weights of linear layers",
    ),
}


@pytest.mark.parametrize("kind", FOLDERS)
def test_a_folder_that_is_no_whole_adapter_is_refused(adapter: Path, tmp_path: Path, kind: str) -> None:
    spoil, told = FOLDERS[kind]
    folder = Path(shutil.copytree(adapter, tmp_path / "other"))
    spoil(folder)
    with pytest.raises(UserError, match=told):
        read_given_adapter(folder)


def test_keys_with_the_adapters_name_are_refused_for_that(adapter: Path, tmp_path: Path) -> None:
    named = rewrite(adapter, tmp_path / "named", lambda key: key.replace(".weight", ".default.weight"))
    with pytest.raises(UserError, match=r'contain the adapter.s name, "default"'):
        read_given_adapter(named)


def logits_with(folder: Path) -> torch.Tensor:
    from peft import PeftModel

    base = AutoModelForCausalLM.from_pretrained(MODEL, dtype=torch.float32)
    with torch.no_grad():
        return PeftModel.from_pretrained(base, folder).eval()(torch.arange(5, 30)[None]).logits


def test_the_runs_copy_is_the_adapter_with_the_runs_dropout(adapter: Path, tmp_path: Path) -> None:
    out = tmp_path / "initial_adapter"
    assert copy_initial_adapter(read_given_adapter(adapter), str(MODEL), out, dropout=0.05) is None
    config = json.loads((out / CONFIG).read_text())
    assert (config["r"], config["lora_alpha"], config["lora_dropout"]) == (4, 8, 0.05)
    assert config["task_type"] == "CAUSAL_LM"
    assert torch.equal(logits_with(out), logits_with(adapter))
    assert fingerprint(out) == fingerprint(adapter)
    assert (out / WEIGHTS).stat().st_mode == (out / CONFIG).stat().st_mode

    written = (out / WEIGHTS).stat().st_mtime_ns
    copy_initial_adapter(read_given_adapter(adapter), str(MODEL), out, dropout=0.05)
    assert (out / WEIGHTS).stat().st_mtime_ns == written, "the same one is not written twice"
    weights = load_file(out / WEIGHTS)
    save_file({name: value + 1 for name, value in weights.items()}, out / WEIGHTS)
    copy_initial_adapter(read_given_adapter(adapter), str(MODEL), out, dropout=0.05)
    assert fingerprint(out) == fingerprint(adapter), "one that was changed is written anew"
    copy_initial_adapter(read_given_adapter(out), str(MODEL), out, dropout=0.1)
    assert fingerprint(out) == fingerprint(adapter), "it may be given itself"
    assert json.loads((out / CONFIG).read_text())["lora_dropout"] == 0.1


def test_an_adapter_of_another_base_is_refused(adapter: Path, tmp_path: Path) -> None:
    other = other_base(tmp_path / "other")
    with pytest.raises(UserError, match=r"has other weights .*; give MODEL the model that it was trained on"):
        copy_initial_adapter(read_given_adapter(adapter), str(other), tmp_path / "out", dropout=0.0)
    assert not (tmp_path / "out").exists()
    gone = rename_base(adapter, tmp_path / "gone", "/gone/base")
    doubt = check_given_adapter(read_given_adapter(gone), str(MODEL))
    assert doubt is not None
    assert "was trained on /gone/base, and MODEL is" in doubt
    record_base(gone, str(MODEL))
    assert (gone / FINGERPRINT).is_file()
    assert check_given_adapter(read_given_adapter(gone), str(MODEL)) is None


def without_v(key: str) -> str | None:
    return None if "v_proj" in key else key


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda key: key.replace("layers.1.", "layers.91."), r"layers\.91\.\S+ \(the base has no such layer\)"),
        (lambda key: None if "layers.1." in key else key, r"layers\.1\.\S+ \(missing in the adapter\)"),
        (without_v, r"v_proj\.\S+ \(missing in the adapter\)"),
    ],
)
def test_weights_that_do_not_fit_the_base_are_named(
    adapter: Path,
    tmp_path: Path,
    change: Callable[[str], str | None],
    reason: str,
) -> None:
    half = rewrite(adapter, tmp_path / "half", change)
    with pytest.raises(UserError, match=rf"does not fit .* keys, such as .*{reason}"):
        check_given_adapter(read_given_adapter(half), str(MODEL))
    assert (
        check_given_adapter(read_given_adapter(rewrite(adapter, tmp_path / "whole", lambda key: key)), str(MODEL))
        is None
    )


def test_fewer_kinds_of_layers_are_fine_and_some_layers_of_a_kind_are_not(adapter: Path, tmp_path: Path) -> None:
    fewer = rewrite(adapter, tmp_path / "fewer", without_v)
    names = [name for name in read_given_adapter(adapter).modules if name != "v_proj"]
    assert read_given_adapter(changed(fewer, tmp_path / "listed", target_modules=names)).modules == tuple(names)
    assert check_given_adapter(read_given_adapter(tmp_path / "listed"), str(MODEL)) is None
    first = rewrite(adapter, tmp_path / "first", lambda key: key if "layers.0." in key else None)
    only = changed(first, tmp_path / "only", layers_to_transform=[0])
    with pytest.raises(UserError, match="missing in the adapter"):
        check_given_adapter(read_given_adapter(only), str(MODEL))


def test_values_that_are_no_numbers_are_refused(adapter: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(adapter, tmp_path / "nan"))
    weights = load_file(folder / WEIGHTS)
    weights[next(iter(weights))][0, 0] = float("nan")
    save_file(weights, folder / WEIGHTS)
    with pytest.raises(UserError, match="has non-finite values in 1 weights such as base_model"):
        check_given_adapter(read_given_adapter(folder), str(MODEL))


@pytest.mark.filterwarnings("ignore:.*tie_word_embeddings")
def test_the_output_layer_is_refused(tmp_path: Path) -> None:
    from peft import LoraConfig, get_peft_model

    base = AutoModelForCausalLM.from_pretrained(MODEL, dtype=torch.float32)
    model = get_peft_model(base, LoraConfig(r=4, target_modules=["q_proj", "lm_head"], task_type="CAUSAL_LM"))
    model.save_pretrained(tmp_path / "head", save_embedding_layers=False)
    with pytest.raises(
        UserError, match="adapts the output layer too, which the rollout engine would leave out; merge it"
    ):
        check_given_adapter(read_given_adapter(tmp_path / "head"), str(MODEL))


RUN = Path("/runs/x")


def settings(given: Path, model: str = "actor_rollout_ref.model", **more: Any) -> dict[str, Any]:
    return {
        "trainer.default_local_dir": str(RUN / "checkpoints"),
        f"{model}.lora_adapter_path": str(RUN / "initial_adapter"),
        f"{model}.lora_rank": 4,
        f"{model}.lora_alpha": 8,
        f"{model}.target_modules": MODULES.strip("[]").split(","),
        f"{model}.external_lib": [FROZEN_REFERENCE],
        "actor_rollout_ref.actor.strategy": "fsdp2",
        INIT_ADAPTER_KEY: str(given),
        **more,
    }


@pytest.mark.parametrize(
    ("more", "told"),
    [
        ({"lora_rank": 8}, r"lora_rank=8, but INIT_ADAPTER=.* has 4; leave it unset"),
        ({"lora_alpha": 16}, r"lora_alpha=16, but INIT_ADAPTER=.* has 8"),
        (
            {"target_modules": ["q_proj", "v_proj"]},
            r"target_modules=\[q_proj,v_proj\], but INIT_ADAPTER=.* has \[down_proj,",
        ),
        ({"target_modules": "all-linear"}, r"target_modules=all-linear, but INIT_ADAPTER="),
        ({"external_lib": "mine"}, f"external_lib=mine lacks {re.escape(FROZEN_REFERENCE)}"),
        (
            {"lora_adapter_path": "/a/b"},
            "lora_adapter_path=/a/b: verl would load it with its own dropout, and the KL reference would be the base "
            "without it; set INIT_",
        ),
    ],
)
def test_settings_that_are_not_the_adapters_are_refused(
    adapter: Path,
    more: dict[str, Any],
    told: str,
) -> None:
    model = "actor_rollout_ref.model"
    refuse_unfit_adapter(settings(adapter))
    with pytest.raises(UserError, match=told):
        refuse_unfit_adapter(settings(adapter, **{f"{model}.{key}": value for key, value in more.items()}))


def test_an_adapter_in_verls_own_key_is_refused_with_the_knob_to_set() -> None:
    ours, key = {"trainer.default_local_dir": str(RUN / "checkpoints")}, "actor_rollout_ref.model.lora_adapter_path"
    with pytest.raises(UserError, match="set INIT_ADAPTER=/my/adapter to start from that adapter"):
        refuse_unfit_adapter(ours | {key: "/my/adapter"})
    own_dropout = r"^model\.lora_adapter_path=/my/adapter: .* own dropout; set INIT_ADAPTER=/my/adapter"
    with pytest.raises(UserError, match=own_dropout):
        refuse_unfit_adapter(ours | {"model.lora_adapter_path": "/my/adapter"})
    refuse_unfit_adapter(ours | {key: str(RUN / "initial_adapter")})
    refuse_unfit_adapter(ours | {key: None})
    refuse_unfit_adapter({key: "/my/adapter"})  # not a run of the recipes


def test_supervised_training_needs_no_reference(adapter: Path) -> None:
    plain = settings(adapter, "model")
    del plain["model.external_lib"]
    refuse_unfit_adapter(plain)


def test_the_engine_is_fsdp2(adapter: Path) -> None:
    with pytest.raises(UserError, match=r"actor\.strategy=fsdp: the KL reference of INIT_ADAPTER needs fsdp2"):
        refuse_unfit_adapter(settings(adapter) | {"actor_rollout_ref.actor.strategy": "fsdp"})


def test_the_launcher_puts_the_given_adapter_in_place_of_a_seeds(
    adapter: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    given = settings(adapter) | {"permix.lora_dropout": 0.05, "data.seed": 0}
    write_initial_adapter(given, "actor_rollout_ref.model", tmp_path / "a", str(MODEL))
    assert fingerprint(tmp_path / "a") == fingerprint(adapter)
    seeds = {key: value for key, value in given.items() if key != INIT_ADAPTER_KEY}
    write_initial_adapter(seeds, "actor_rollout_ref.model", tmp_path / "b", str(MODEL))
    assert not any(value.any() for name, value in load_file(tmp_path / "b" / WEIGHTS).items() if "lora_B" in name)
    assert capsys.readouterr().out == ""
    gone = given | {INIT_ADAPTER_KEY: str(rename_base(adapter, tmp_path / "gone", "/gone/base"))}
    write_initial_adapter(gone, "actor_rollout_ref.model", tmp_path / "c", str(MODEL))
    assert "warning: " in capsys.readouterr().out
