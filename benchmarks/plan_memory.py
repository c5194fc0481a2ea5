"""What `permix plan` says a training step takes, against the peak of verl's own engine.

    python benchmarks/plan_memory.py cpu              # float32 and small, the allocator's events (PyTorch's profiler)
    python benchmarks/plan_memory.py gpu              # the shapes of real models on one CUDA device
    python benchmarks/plan_memory.py calibration      # those that the estimate was developed on

Each setting is a process: verl's FSDP2 engine on a model of random weights, its own loss and optimizer, with every row
at full length. "ranks" of more than one are played: of a process group of that many this is the first, and collectives
do nothing, so memory is that of one GPU among as many. The estimates are made first, and no figure goes back into them.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from permix_verl.preflight.memory_plan.job import Job

LLAMA = {"model_type": "llama", "architectures": ["LlamaForCausalLM"], "rms_norm_eps": 1e-5}
QWEN = {"model_type": "qwen2", "architectures": ["Qwen2ForCausalLM"], "rms_norm_eps": 1e-6}


def shape(
    family: dict[str, Any], hidden: int, inner: int, layers: int, heads: int, kv: int, vocab: int, tied: bool
) -> Any:
    """A model's ``config.json``."""
    return family | {
        "hidden_size": hidden,
        "intermediate_size": inner,
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        "num_key_value_heads": kv,
        "vocab_size": vocab,
        "tie_word_embeddings": tied,
        "max_position_embeddings": 8192,
    }


LLAMA_8B = shape(LLAMA, 4096, 14336, 32, 32, 8, 128256, False)
LLAMA_3B = shape(LLAMA, 3072, 8192, 28, 24, 8, 128256, True)
QWEN_7B = shape(QWEN, 3584, 18944, 28, 28, 4, 152064, False)
QWEN_1_5B = shape(QWEN, 1536, 8960, 28, 12, 2, 151936, True)
QWEN_0_5B = shape(QWEN, 896, 4864, 24, 14, 2, 151936, True)


def job(ranks: int, micro: int, log_prob: int, tokens: int, **others: Any) -> Job:
    """Two micro-batches an update, so that gradients are accumulated."""
    return Job(
        ranks=ranks,
        batch=2 * micro * ranks,
        samples=1,
        micro_batch=micro,
        log_prob_micro_batch=log_prob,
        prompt_tokens=0,
        answer_tokens=tokens,
        **others,
    )


def small(vocab: int, hidden: int, layers: int, tied: bool = False) -> Any:
    return shape(LLAMA, hidden, 3 * hidden, layers, hidden // 64, max(1, hidden // 128), vocab, tied)


FULL = {"compute_bytes": 4, "device": "cpu", "lora_rank": 8}
SETTINGS: dict[str, list[tuple[str, Any, Job]]] = {
    "calibration": [
        ("Llama-3.1-8B, 2 ranks", LLAMA_8B, job(2, 1, 2, 512)),
        ("Qwen2.5-0.5B", QWEN_0_5B, job(1, 8, 8, 384)),
    ],
    "gpu": [
        ("Llama-3.1-8B, 8xa5000 profile", LLAMA_8B, job(8, 2, 4, 768)),
        ("Llama-3.1-8B, one GPU", LLAMA_8B, job(1, 4, 8, 768)),
        ("Llama-3.1-8B, SFT, 2048 tokens", LLAMA_8B, job(4, 1, 1, 2048)),
        ("Llama-3.2-3B, rank 16", LLAMA_3B, job(2, 8, 8, 768, lora_rank=16)),
        ("Qwen2.5-7B", QWEN_7B, job(8, 2, 4, 768)),
        ("Llama-3.1-8B, base in NF4", LLAMA_8B, job(2, 2, 4, 768, nf4=True)),
        ("Qwen2.5-1.5B, no checkpointing", QWEN_1_5B, job(1, 4, 4, 512, checkpointing=False)),
    ],
    "cpu": [
        ("6 layers of 512, vocabulary 32,000", small(32000, 512, 6), job(1, 4, 4, 256, checkpointing=False, **FULL)),
        ("the same, checkpointed", small(32000, 512, 6), job(1, 4, 4, 256, **FULL)),
        ("12 layers of 384, vocabulary 4,000", small(4000, 384, 12), job(1, 8, 8, 192, checkpointing=False, **FULL)),
        ("4 layers of 768, 4 ranks", small(16000, 768, 4), job(4, 2, 4, 256, checkpointing=False, **FULL)),
        ("8 layers of 256, tied, long", small(8000, 256, 8, True), job(1, 2, 2, 1024, **FULL)),
        ("5 layers of 512, 8 ranks", small(50000, 512, 5), job(8, 1, 2, 384, **FULL)),
    ],
}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("settings", choices=SETTINGS)
    parser.add_argument("--only", type=int, help="number of one setting, from 0")
    parser.add_argument("--measure", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--no-estimate", action="store_true", help="measure alone")
    args = parser.parse_args()
    if args.measure:
        name, config, its = SETTINGS[args.settings][args.only]
        print(json.dumps(measure(config, its, args.settings == "cpu")))
        return
    print(f"{'setting':<36}{'turn':<10}{'estimate':>10}{'measured':>10}{'off':>8}{'reserved':>10}")
    for number, (name, config, its) in enumerate(SETTINGS[args.settings]):
        if args.only not in (None, number):
            continue
        guess = {} if args.no_estimate else estimate(config, its)
        done = subprocess.run(
            [sys.executable, __file__, args.settings, "--only", str(number), "--measure"],
            stdout=subprocess.PIPE,
            text=True,
            env=os.environ | ({"VERL_PLATFORM": "cpu"} if args.settings == "cpu" else {}),
        )
        if done.returncode:
            print(f"{name:<36}failed with status {done.returncode}")
            continue
        found = json.loads(done.stdout.splitlines()[-1])
        for turn in ("update", "log_probs"):
            measured, reserved = found[turn]
            guessed = guess.get(turn, 0)
            off = f"{guessed / measured - 1:+7.1%}"
            print(f"{name:<36}{turn:<10}{_mib(guessed)}{_mib(measured)}{off:>8}{_mib(reserved)}", flush=True)
        print(f"{'':<36}{found['note']}", flush=True)


def _mib(size: float) -> str:
    return f"{size / 2**20:>10,.0f}"


def estimate(config: Any, its: Job) -> dict[str, int]:
    from transformers import AutoConfig

    from permix_verl.preflight.memory_plan.trace import actor_peaks

    peaks = actor_peaks(its, AutoConfig.for_model(**config))
    return {"update": peaks.update.total(), "log_probs": peaks.log_probs.total()}


def measure(config: Any, its: Job, on_cpu: bool) -> dict[str, Any]:
    """Bytes at the peak of an update and of a log-prob pass: live, and reserved by CUDA's allocator."""
    import torch

    _begin(its.ranks, on_cpu)
    if not on_cpu:
        torch.cuda.memory._set_allocator_settings("expandable_segments:True")  # as verl does around each turn
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "config.json").write_text(json.dumps(config))
        engine = _engine(folder, its)
    peak = _events(engine) if on_cpu else _allocator()
    device = "cpu" if on_cpu else "cuda"
    found: dict[str, Any] = {}
    turns = {
        "log_probs": lambda: engine.infer_batch(_rows(its, its.log_prob_micro_batch, True, device)),
        "update": lambda: engine.train_batch(_rows(its, its.micro_batch, False, device), _loss()),
    }
    notes = [torch.__version__]
    _fill_optimizer(engine)
    for name, mode in (("log_probs", engine.eval_mode), ("update", engine.train_mode)):
        with mode():
            found[name] = peak(turns[name])
            if not on_cpu:
                more = _least_reserve(turns[name], found[name][0])
                notes.append(f"{name}: {_seconds(turns[name]):.2f} s, runs in {more} of its peak")
    if not on_cpu:
        engine.to("cpu")
        torch.cuda.empty_cache()
        notes.append(f"{torch.cuda.memory_allocated() >> 20} MiB when all is offloaded")
        free, total = torch.cuda.mem_get_info()
        outside = (total - free - torch.cuda.memory_reserved()) >> 20
        notes += [torch.cuda.get_device_name(), f"{outside} MiB outside PyTorch"]
    found["note"] = ", ".join(notes)
    return found


def _begin(ranks: int, on_cpu: bool) -> None:
    import torch.distributed as dist
    from torch.testing._internal.distributed.fake_pg import FakeStore

    if ranks > 1:
        dist.init_process_group("fake", store=FakeStore(), rank=0, world_size=ranks)
    else:
        store = dist.HashStore()
        dist.init_process_group("gloo" if on_cpu else "nccl", store=store, rank=0, world_size=1)


def _engine(folder: str, its: Job) -> Any:
    import torch
    from transformers import AutoModelForCausalLM
    from verl.trainer.config import CheckpointConfig
    from verl.workers.config import FSDPEngineConfig, FSDPOptimizerConfig, HFModelConfig
    from verl.workers.engine.fsdp.transformer_impl import FSDPEngineWithLMHead, device_name

    class RandomWeights(FSDPEngineWithLMHead):
        """verl's engine, whose weights come from nowhere."""

        def _build_module(self) -> Any:
            with torch.device("meta"):
                module = AutoModelForCausalLM.from_config(
                    self.model_config.hf_config, dtype=torch.float32, attn_implementation="sdpa"
                )
                if self.model_config.enable_gradient_checkpointing:
                    module.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
            return _nf4(module) if its.nf4 else module

        def _build_lora_module(self, module: Any) -> Any:
            from peft import LoraConfig, get_peft_model

            # As the recipes' initial adapter has it, with dropout.
            module.enable_input_require_grads()
            adapter = LoraConfig(
                r=its.lora_rank,
                lora_dropout=its.lora_dropout,
                target_modules=list(its.lora_targets),
                task_type="CAUSAL_LM",
            )
            module = get_peft_model(module, adapter, low_cpu_mem_usage=not its.nf4)
            if its.nf4:
                for parameter in module.parameters():
                    parameter.data = parameter.data.float() if parameter.requires_grad else parameter.data
            return module

        def _build_fsdp_module(self, module: Any) -> Any:
            if its.nf4:
                from permix_verl.training.qlora.engine import ReplicatedNF4Engine

                self._autocast_dtype, self._reduce_dtype = torch.bfloat16, torch.float32
                return ReplicatedNF4Engine._build_fsdp_module(self, module)
            from torch.distributed.fsdp import MixedPrecisionPolicy
            from verl.utils.fsdp_utils import apply_fsdp2

            self._autocast_dtype = torch.bfloat16 if its.compute_bytes == 2 else torch.float32
            policy = MixedPrecisionPolicy(
                param_dtype=self._autocast_dtype, reduce_dtype=torch.float32, cast_forward_inputs=True
            )
            keywords = {"mesh": self.device_mesh, "mp_policy": policy, "reshard_after_forward": True}
            apply_fsdp2(module, keywords, self.engine_config)
            module.to_empty(device=device_name)
            for values in [*module.parameters(), *module.buffers()]:
                getattr(values, "_local_tensor", values).data.normal_(std=0.02)
            return module

    model = HFModelConfig(
        path=folder,
        load_tokenizer=False,
        lora_rank=its.lora_rank,
        target_modules=list(its.lora_targets),
        enable_gradient_checkpointing=its.checkpointing,
        use_remove_padding=False,
        override_config={"attn_implementation": "sdpa"},
    )
    engine = RandomWeights(
        model,
        FSDPEngineConfig(strategy="fsdp2", use_torch_compile=False),
        FSDPOptimizerConfig(lr=1e-5, total_training_steps=10, clip_grad=0.1, override_optimizer_config={"fused": True}),
        CheckpointConfig(),
    )
    engine._build_model_optimizer()
    return engine


def _nf4(module: Any) -> Any:
    """The base as our engine makes it; of what is on the meta device only the shape is kept."""
    import torch
    from verl.utils.device import get_device_id

    from permix_verl.checkpoints.nf4 import quantize_base

    def fill(tensor: torch.Tensor) -> None:
        tensor.normal_(std=0.02)

    return quantize_base(module, torch.bfloat16, get_device_id(), fill)


def _rows(its: Job, micro: int, forward_only: bool, device: str) -> Any:
    """Rows of full length as verl's workers hand them over: two micro-batches of an update, one of a forward pass."""
    import torch
    from tensordict import TensorDict
    from verl.utils import tensordict_utils as tu
    from verl.utils.dataset.dataset_utils import DatasetPadMode

    count = micro if forward_only else 2 * micro

    def jagged(values: Any) -> Any:
        return torch.nested.as_nested_tensor(list(values), layout=torch.jagged)

    length = its.length
    rows = {
        "input_ids": jagged(torch.randint(0, 1000, (count, length))),
        "position_ids": jagged(torch.arange(length).expand(count, length)),
        "loss_mask": jagged(torch.ones(count, length)),
    }
    data = TensorDict(rows, batch_size=[count])
    tu.assign_non_tensor(
        data,
        temperature=1.0,
        use_remove_padding=False,
        use_dynamic_bsz=False,
        micro_batch_size_per_gpu=micro,
        pad_mode=DatasetPadMode.NO_PADDING,
        calculate_entropy=forward_only,
        use_fused_kernels=False,
        pad_token_id=0,
        global_batch_size=count * its.ranks,
    )
    return data


def _loss() -> Callable[..., Any]:
    import functools

    from verl.workers.utils.losses import sft_loss

    return functools.partial(sft_loss, config=None)


def _fill_optimizer(engine: Any) -> None:
    """State of a step that was made, as every step but the first finds it."""
    import torch

    for group in engine.optimizer.param_groups:
        for parameter in group["params"]:
            if parameter.requires_grad:
                parameter.grad = torch.zeros_like(parameter)
    engine.optimizer.step()
    engine.optimizer.zero_grad()


def _allocator() -> Callable[[Callable[[], Any]], tuple[int, int]]:
    import torch

    def peak(run: Callable[[], Any]) -> tuple[int, int]:
        run()
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
        run()
        torch.cuda.synchronize()
        return torch.cuda.max_memory_allocated(), torch.cuda.max_memory_reserved()

    return peak


def _least_reserve(run: Callable[[], Any], peak: int) -> str:
    """How much of the peak a process must be let have, so that the turn still runs."""
    import torch

    total = torch.cuda.mem_get_info()[1]
    for share in (1.01, 1.03, 1.06, 1.1, 1.15, 1.25, 1.5):
        torch.cuda.empty_cache()
        torch.cuda.set_per_process_memory_fraction(min(1.0, share * peak / total))
        try:
            run()
        except torch.OutOfMemoryError:
            continue
        finally:
            torch.cuda.set_per_process_memory_fraction(1.0)
        return f"{share:.0%}"
    return "more than 150%"


def _seconds(run: Callable[[], Any]) -> float:
    import time

    import torch

    run()
    torch.cuda.synchronize()
    started = time.perf_counter()
    run()
    torch.cuda.synchronize()
    return time.perf_counter() - started


def _events(engine: Any) -> Callable[[Callable[[], Any]], tuple[int, int]]:
    """On a CPU: what lies there before, and the allocator's own events from there on."""
    from torch.profiler import ProfilerActivity, profile

    def peak(run: Callable[[], Any]) -> tuple[int, int]:
        run()
        state = [v for s in engine.optimizer.state.values() for v in s.values() if hasattr(v, "untyped_storage")]
        held = [getattr(t, "_local_tensor", t) for t in [*engine.module.parameters(), *engine.module.buffers(), *state]]
        storages = {t.untyped_storage()._cdata: t.untyped_storage().nbytes() for t in held}
        with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiler:
            run()
        results = profiler.profiler.kineto_results.events()  # type: ignore[union-attr]
        events = sorted((e.start_ns(), e.nbytes()) for e in results if e.name() == "[memory]")
        now = highest = 0
        for _, size in events:
            now += size
            highest = max(highest, now)
        return sum(storages.values()) + highest, 0

    return peak


if __name__ == "__main__":
    main()
