"""Which keys a run reads: noted in its processes, and compared with those that are set."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from permix_verl.config.compose import RunConfig
from permix_verl.runs.folder import RunFolder
from permix_verl.training.key_reads import check as check_module
from permix_verl.training.key_reads.check import UnreadKeyCheck, given_keys
from permix_verl.training.key_reads.unread import Reads, is_read_late, read_reads, suggestion, unread_keys

from ...support.configs import bare, config_of

PROBE = """
import copy, os, pickle, sys, time
from permix_verl.recipe.resolve import resolve
node = resolve("permix_grpo", ["PROFILE=cpu"], {}).node
import verl
from omegaconf import OmegaConf
from verl.utils.config import omega_conf_to_dataclass
from verl.workers.config import FSDPEngineConfig
exec(sys.argv[1])
"""


def reads_of(code: str, folder: Path, install: bool = True) -> Reads:
    """Return what a process that runs ``code`` on the recipe's configuration ``node`` has noted."""
    variables = os.environ | {"VERL_PLATFORM": "cpu"} | ({"PERMIX_KEY_READS": str(folder)} if install else {})
    done = subprocess.run([sys.executable, "-c", PROBE, code], env=variables, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    return read_reads(folder)


def test_look_ups_are_noted_and_printing_and_converting_are_not(tmp_path: Path) -> None:
    read = reads_of(
        "print(node); copy.deepcopy(node); OmegaConf.to_container(node, resolve=True); OmegaConf.to_yaml(node)\n"
        "OmegaConf.merge(node, {}); OmegaConf.resolve(node); str(node.actor_rollout_ref.actor)\n"
        "node.data.train_batch_size; node['trainer']['nnodes']; node.data.get('seed'); node.data.get('none', 1)\n"
        "pickle.loads(pickle.dumps(node.actor_rollout_ref)).rollout.n; node.actor_rollout_ref.model.target_modules",
        tmp_path,
    )
    model, data = "actor_rollout_ref.model", "data"
    wanted = {f"{data}.train_batch_size", f"{data}.seed", "trainer.nnodes", f"{model}.target_modules"}
    assert read.keys == wanted | {"actor_rollout_ref.rollout.n"}
    assert read.processes == 1
    assert read.lookups > 0


def test_fields_of_verls_objects_are_noted_one_by_one(tmp_path: Path) -> None:
    read = reads_of(
        "actor = omega_conf_to_dataclass(node.actor_rollout_ref.actor)\n"
        "repr(actor); pickle.loads(pickle.dumps(actor)).kl_loss_coef; actor.optim.clip_grad; actor.optim['betas']\n"
        "alone = omega_conf_to_dataclass(OmegaConf.create(OmegaConf.to_container(node.actor_rollout_ref.rollout)))\n"
        "alone.top_k; alone.engine_kwargs\n"
        "model = omega_conf_to_dataclass(node.actor_rollout_ref.model); model.lora.get('merge')",
        tmp_path,
    )
    actor, model = "actor_rollout_ref.actor", "actor_rollout_ref.model"
    assert {f"{actor}.kl_loss_coef", f"{actor}.optim.clip_grad", f"{actor}.optim.betas"} <= read.keys
    assert {"@RolloutConfig.top_k", "@RolloutConfig.engine_kwargs.*", f"{model}.lora.merge"} <= read.keys
    assert f"{model}.path" in read.keys, "read while the object was made, to derive another field"
    config = config_of("permix_grpo", PROFILE="cpu")
    dead = [f"{actor}.grad_clip", f"{model}.lora.dropout", f"{actor}.fsdp_config.dtype"]
    seen = ["actor_rollout_ref.rollout.top_k", "actor_rollout_ref.rollout.engine_kwargs.vllm.block_size"]
    assert unread_keys(config, read.keys, [*dead, *seen]) == dead


def test_without_the_variable_nothing_is_noted(tmp_path: Path) -> None:
    """Negative control."""
    assert reads_of("node.data.seed", tmp_path, install=False).processes == 0


def test_a_look_up_costs_little(tmp_path: Path) -> None:
    """The time is printed, not tested; a hundred thousand look-ups of one key are one note."""
    read = reads_of("data = node.data\nfor _ in range(100_000): data.seed", tmp_path)
    print(f"{read.seconds / read.lookups * 1e6:.2f} us a look-up")
    assert read.keys == {"data.seed"}
    assert read.lookups > 98_000


def config() -> RunConfig:
    node = OmegaConf.create(
        {
            "a": {"_target_": "verl.x.Kind", "n": 1, "m": "${b.n}", "d": {"x": 1, "y": 2}},
            "b": {"n": 2, "k": "${oc.select:c.deep,null}", "unused": 3},
            "c": {"deep": {"u": 1, "v": 2}},
        }
    )
    return RunConfig(node, "grpo", {}, ())


@pytest.mark.parametrize(
    ("noted", "read"),
    [
        (["a.n"], ["a.n"]),
        (["a.m"], ["a.m", "b.n"]),
        (["b.k"], ["b.k", "c.deep.u", "c.deep.v"]),
        (["a.d.*"], ["a.d.x", "a.d.y"]),
        (["@Kind.n"], ["a.n"]),
        (["deep.u"], ["c.deep.u"]),
        (["nowhere"], []),
    ],
)
def test_a_key_is_read_through_others_too(noted: list[str], read: list[str]) -> None:
    keys = ["a.n", "a.m", "a.d.x", "a.d.y", "b.n", "b.k", "b.unused", "c.deep.u", "c.deep.v"]
    assert unread_keys(config(), noted, keys) == [key for key in keys if key not in read]


def test_suggestions_are_keys_that_are_read() -> None:
    read = ["actor_rollout_ref.rollout.temperature", "actor_rollout_ref.actor.optim.clip_grad", "data.seed"]
    assert suggestion("data.temprature", read) == "actor_rollout_ref.rollout.temperature"
    assert suggestion("actor_rollout_ref.actor.grad_clip", read) == "actor_rollout_ref.actor.optim.clip_grad"
    assert suggestion("trainer.something_else", read) is None


def test_keys_of_later_events_wait() -> None:
    late = ["trainer.save_freq", "actor_rollout_ref.rollout.val_kwargs.top_p", "trainer.resume_mode"]
    assert all(map(is_read_late, late))
    assert not is_read_late("actor_rollout_ref.actor.grad_clip")


def test_the_warning_comes_once_and_late_keys_at_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(check_module, "_SETTLE_S", 0.0)
    settings = bare("+a.used=1", "+a.usedd=2", "+a.val_x=3", "permix.seed=1", "+b={c:1,d:2}")
    assert given_keys(settings) == ["a.used", "a.usedd", "a.val_x"], "sections without a dot are not verl's keys"
    unread = UnreadKeyCheck(settings, RunFolder(tmp_path), "now")
    folder = tmp_path / "key_reads" / "now"
    folder.mkdir(parents=True)
    (folder / "host-1.tsv").write_text("a.used\t10\t0.001\nb.c\t20\t0.0")  # the last line is being written
    unread.update([])
    assert capsys.readouterr().out == ""
    unread.update([1])
    assert capsys.readouterr().out == "! you set a.usedd=2; nothing read it; did you mean a.used?\n"
    unread.update([1, 2])
    unread.finish()
    assert capsys.readouterr().out.startswith("! you set a.val_x=3; nothing read it")
    record = json.loads((tmp_path / "key_reads.json").read_text())
    assert record["set_by_user_and_unread"] == ["a.usedd", "a.val_x"]
    assert (record["processes"], record["lookups"]) == (1, 20)


def test_a_run_whose_processes_wrote_nothing_warns_of_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nodes without this file system: no reads are seen, and no key is blamed."""
    unread = UnreadKeyCheck(bare("+a.b=1"), RunFolder(tmp_path), "now")
    unread.update([1])
    unread.finish()
    assert capsys.readouterr().out == ""
    assert not (tmp_path / "key_reads.json").exists()
