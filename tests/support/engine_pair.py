"""verl's engine and the CPU platform's on the same micro-batches, in a process of its own; test_engine.py reads it.

    python tests/support/engine_pair.py MODEL OUT

Writes OUT, torch's file of case -> differences.
"""

import os
import sys
from collections.abc import Callable
from typing import Any

os.environ |= {"RANK": "0", "WORLD_SIZE": "1", "LOCAL_RANK": "0", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "0"}
os.environ["VERL_PLATFORM"] = "cpu"

import torch
import verl  # noqa: F401, loads the plugin
from tensordict import TensorDict
from verl.trainer.config import CheckpointConfig
from verl.utils import tensordict_utils as tu
from verl.utils.distributed import initialize_global_process_group
from verl.workers.config import FSDPEngineConfig, FSDPOptimizerConfig, HFModelConfig
from verl.workers.engine.fsdp.transformer_impl import FSDPEngineWithLMHead
from verl.workers.utils.padding import no_padding_2_padding

from permix_verl.platform_cpu import engine as cpu_engine
from permix_verl.platform_cpu.engine import ResponseEngine
from permix_verl.platform_cpu.predicted_positions import predicted_positions

MODULES = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
VOCABULARY = 64


def build(engine_class: Any, model: str) -> Any:
    """Return an engine whose adapter is random, the same in each call, and without dropout."""
    torch.manual_seed(0)
    engine = engine_class(
        model_config=HFModelConfig(
            path=model,
            lora_rank=4,
            lora_alpha=8,
            target_modules=MODULES,
            use_remove_padding=False,
            enable_gradient_checkpointing=False,
            override_config={"attn_implementation": "sdpa"},
        ),
        engine_config=FSDPEngineConfig(
            strategy="fsdp2",
            mixed_precision={"param_dtype": "fp32", "reduce_dtype": "fp32"},
            use_torch_compile=False,
        ),
        optimizer_config=FSDPOptimizerConfig(lr=1e-3, clip_grad=1.0, total_training_steps=1),
        checkpoint_config=CheckpointConfig(save_lora_only=True),
    )
    engine.initialize()
    generator = torch.Generator().manual_seed(0)
    for parameter in engine.module.parameters():
        if parameter.requires_grad:
            local = parameter.to_local().data
            local += torch.randn(local.shape, generator=generator) * 0.05
    for module in engine.module.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
    return engine


def nested(rows: list[torch.Tensor]) -> torch.Tensor:
    return torch.nested.as_nested_tensor(rows, layout=torch.jagged)


def grpo_batch(samples: int, temperature: float, seed: int = 1) -> Any:
    """Return 4 prompts of 5 to 30 tokens with some samples each, of 1 to 12 tokens, as verl's trainer passes them."""
    generator = torch.Generator().manual_seed(seed)

    def ids(least: int, most: int) -> torch.Tensor:
        length = int(torch.randint(least, most + 1, (), generator=generator))
        return torch.randint(1, VOCABULARY, (length,), generator=generator)

    prompts = [prompt for prompt in [ids(5, 30) for _ in range(4)] for _ in range(samples)]
    responses = [ids(1, 12) for _ in prompts]
    rows = [torch.cat(pair) for pair in zip(prompts, responses, strict=True)]
    batch = TensorDict(
        {
            "input_ids": nested(rows),
            "position_ids": nested([torch.arange(len(row)) for row in rows]),
            "prompts": nested(prompts),
            "responses": nested(responses),
            "loss_mask": nested([torch.ones(len(response)) for response in responses]),
        },
        batch_size=[len(rows)],
    )
    tu.assign_non_tensor(batch, calculate_entropy=True, **settings(temperature, 2 * samples))
    return batch


def sft_batch(temperature: float) -> Any:
    """Return six conversations with two stretches that have a loss, as verl's SFT trainer passes them."""
    generator = torch.Generator().manual_seed(2)
    rows = [torch.randint(1, VOCABULARY, (length,), generator=generator) for length in (9, 20, 14, 31, 8, 25)]
    masks = [torch.zeros(len(row)) for row in rows]
    for mask in masks:
        mask[3:5] = 1
        mask[-3:] = 1
    batch = TensorDict(
        {
            "input_ids": nested(rows),
            "position_ids": nested([torch.arange(len(row)) for row in rows]),
            "loss_mask": nested(masks),
        },
        batch_size=[len(rows)],
    )
    tu.assign_non_tensor(batch, **settings(temperature, 3))
    return batch


def settings(temperature: float, micro_batch: int) -> dict[str, Any]:
    return {
        "use_remove_padding": False,
        "use_dynamic_bsz": False,
        "micro_batch_size_per_gpu": micro_batch,
        "temperature": temperature,
    }


def read(engine: Any, batch: Any) -> dict[str, torch.Tensor]:
    """Return what a pass without gradients gives, at the responses."""
    with engine.eval_mode():
        output = engine.infer_batch(batch, loss_function=None)["model_output"]
    return {name: no_padding_2_padding(output[name], batch) for name in ("log_probs", "entropy")}


def gradient(engine: Any, make: Callable[[], Any], loss: Any) -> dict[str, torch.Tensor]:
    """Return the adapter's gradient of a loss, and the loss."""
    with engine.train_mode():
        output = engine.forward_backward_batch(make(), loss, forward_only=False)
        grads = [parameter.grad for parameter in engine.module.parameters() if parameter.grad is not None]
        flat = torch.cat([grad.to_local().flatten() for grad in grads])
        engine.optimizer_zero_grad()
    return {"gradient": flat, "loss": torch.tensor(output["loss"])}


def weighted(model_output: Any, data: Any, dp_group: Any = None) -> Any:
    """Return a loss in which each response token has a weight of its own."""
    log_probs = no_padding_2_padding(model_output["log_probs"], data)
    weights = torch.linspace(-1, 1, log_probs.shape[1])
    return -(log_probs * weights).sum(), {}


def sft(model_output: Any, data: Any, dp_group: Any = None) -> Any:
    mask = torch.roll(data["loss_mask"].values(), shifts=-1, dims=0)
    return -(model_output["log_probs"].values() * mask).sum(), {}


def off_by_one(micro_batch: Any) -> torch.Tensor | None:
    positions = predicted_positions(micro_batch)
    return None if positions is None else positions - 1


def main() -> None:
    model, out = sys.argv[1:]
    initialize_global_process_group()
    engines = [build(engine_class, model) for engine_class in (FSDPEngineWithLMHead, ResponseEngine)]

    def differences(run: Callable[[Any], dict[str, torch.Tensor]]) -> dict[str, tuple[float, float]]:
        theirs, ours = map(run, engines)
        return {
            name: (float((theirs[name] - ours[name]).abs().max()), float(theirs[name].abs().max())) for name in theirs
        }

    def cases() -> dict[str, dict[str, tuple[float, float]]]:
        return {
            "shared prompts": differences(lambda engine: read(engine, grpo_batch(4, 1.0))),
            "shared prompts, temperature 0.7": differences(lambda engine: read(engine, grpo_batch(4, 0.7))),
            "own prompts": differences(lambda engine: read(engine, grpo_batch(1, 0.7))),
            "update": differences(lambda engine: gradient(engine, lambda: grpo_batch(4, 0.7), weighted)),
            "supervised": differences(lambda engine: gradient(engine, lambda: sft_batch(1.0), sft)),
        }

    found = {"same": cases()}
    vars(cpu_engine)["predicted_positions"] = off_by_one
    found["off by one"] = cases()
    torch.save(found, out)


if __name__ == "__main__":
    main()
