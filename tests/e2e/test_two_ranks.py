"""Two ranks without Ray: verl's engine on an NF4 base (QLORA=1), and an adapter exported from two shards."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from permix_verl import UserError
from permix_verl.checkpoints.adapter import read_lora_weights

from ..fast.checkpoints.test_adapter import lora_model, lora_state
from ..fast.training.test_qlora import save_base, tuned
from ..support.qlora_rank import tokens

RANKS = 2


@pytest.fixture(scope="module")
def base(tokenizer: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_base(tokenizer, tmp_path_factory.mktemp("untied"), tied=False)


@pytest.fixture(scope="module")
def ranks(base: Path, tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """Records of two ranks that run verl's engine with verl's checkpoints."""
    out = tmp_path_factory.mktemp("ranks")
    tuned(base).save_pretrained(out / "adapter")
    script = Path(__file__).resolve().parents[1] / "support" / "qlora_rank.py"
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc_per_node={RANKS}"]
    environment = os.environ | {"VERL_PLATFORM": "cpu", "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [*launcher, str(script), str(base), str(out / "adapter"), str(out)],
        capture_output=True,
        text=True,
        env=environment,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    return [torch.load(out / f"{rank}.pt", weights_only=True) for rank in range(RANKS)]


def test_the_base_is_replicated_and_frozen_and_only_the_adapter_is_sharded(ranks: list[dict[str, Any]]) -> None:
    for seen in ranks:
        assert seen["engine"] == "ReplicatedNF4Engine"
        kinds = seen["kinds"]
        assert {kind for name, kind in kinds.items() if "lora_" in name} == {"DTensor"}
        assert {kind for name, kind in kinds.items() if "lora_" not in name} == {"Params4bit", "Parameter"}
        assert [name for name, kind in kinds.items() if kind == "Params4bit"] == [
            name for name in kinds if ".base_layer.weight" in name
        ]
        assert seen["trained"] == [name for name in kinds if "lora_" in name]
        assert seen["precision"]["base"] == "nf4"
        assert seen["precision"]["adapter"] == "torch.float32"


def test_the_base_is_the_same_bytes_on_all_ranks_and_after_steps_and_a_resume(ranks: list[dict[str, Any]]) -> None:
    assert len({digest for seen in ranks for digest in seen["digests"]}) == 1
    assert len(ranks[0]["digests"]) == 3


def test_without_a_broadcast_ranks_have_different_bytes(ranks: list[dict[str, Any]]) -> None:
    """Negative control: weights that differ from rank to rank."""
    alone, shared = zip(*(seen["alone_and_shared"] for seen in ranks), strict=True)
    assert len(set(alone)) == RANKS
    assert len(set(shared)) == 1


def test_the_adapters_gradients_are_those_of_peft_and_bitsandbytes_alone(
    ranks: list[dict[str, Any]], base: Path
) -> None:
    model = tuned(base)
    for name, weight in model.named_parameters():
        weight.requires_grad_("lora_" in name)
    for rank in range(RANKS):
        (model(input_ids=tokens(rank), labels=tokens(rank)).loss / RANKS).backward()
    for seen in ranks:
        for name, weight in model.named_parameters():
            if "lora_" in name:
                torch.testing.assert_close(seen["gradients"][name], weight.grad, rtol=1e-4, atol=1e-6)
    assert max(gradient.abs().max() for gradient in ranks[0]["gradients"].values()) > 1e-3


def test_without_its_adapter_the_policy_is_the_reference_before_and_after_a_step(ranks: list[dict[str, Any]]) -> None:
    for seen in ranks:
        assert torch.equal(*seen["reference"])
        before, after = seen["policy"]
        assert (before - seen["reference"][0]).abs().max() > 1e-2
        assert (after - before).abs().max() > 1e-4


def test_a_resumed_engine_equals_an_uninterrupted_one(ranks: list[dict[str, Any]]) -> None:
    for seen in ranks:
        for went_on, resumed in zip(seen["adapters"], seen["resumed"], strict=True):
            assert went_on.keys() == resumed.keys()
            assert all(torch.equal(tensor, resumed[name]) for name, tensor in went_on.items())
        first, second = seen["adapters"]
        assert any(not torch.equal(tensor, second[name]) for name, tensor in first.items())
        assert all(torch.equal(tensor, ranks[0]["adapters"][0][name]) for name, tensor in first.items())


def test_the_reference_stays_the_initial_adapter_after_steps_and_a_resume(ranks: list[dict[str, Any]]) -> None:
    """The reference is bit-identical each time."""
    for seen in ranks:
        found = seen["given"]
        first, before, again, trained, back, resumed, last = found["policy"]
        for reference in found["reference"]:
            assert torch.equal(reference, first)
        assert len(found["reference"]) == 3
        assert torch.equal(before, first)
        assert torch.equal(again, first)
        assert (trained - first).abs().max() > 1e-4
        assert torch.equal(back, trained)
        assert torch.equal(resumed, trained)
        assert torch.equal(last, trained)
        assert found["saved"] == [name for name in seen["kinds"] if "lora_" in name]
        assert found["sent"] == list(seen["adapters"][0])


SHARD = """
import sys, torch, torch.distributed as dist
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.tensor import Replicate, Shard, distribute_tensor
dist.init_process_group("gloo")
mesh = init_device_mesh("cpu", (2,))
state = {}
for name, tensor in torch.load(sys.argv[1], weights_only=True).items():
    state[name] = distribute_tensor(tensor, mesh, [Replicate() if "layers.0" in name else Shard(0)])
torch.save(state, f"{sys.argv[2]}/model_world_size_2_rank_{dist.get_rank()}.pt")
"""


def test_shards_of_two_ranks_are_combined(tokenizer: Any, tmp_path: Path) -> None:
    model, _ = lora_model(tokenizer, tmp_path)
    state = lora_state(model)
    torch.save(state, tmp_path / "full.pt")
    script = tmp_path / "shard.py"
    script.write_text(SHARD)
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2", str(script)]
    subprocess.run([*command, str(tmp_path / "full.pt"), str(tmp_path)], check=True, capture_output=True)
    found = read_lora_weights(tmp_path)
    assert len(found) == len(state)
    for name, tensor in state.items():
        assert torch.equal(found[name.replace(".default.weight", ".weight")], tensor)
    (tmp_path / "model_world_size_2_rank_1.pt").unlink()
    with pytest.raises(UserError, match=r"lacks the shards of ranks \[1\] of 2"):
        read_lora_weights(tmp_path)
