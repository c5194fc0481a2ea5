"""Accuracy of `permix plan`: estimated against measured peak memory of verl's own engine.

    python benchmarks/plan_memory.py cpu              # small float32 models; allocator events of PyTorch's profiler
    python benchmarks/plan_memory.py gpu              # shapes of real models on one CUDA device
    python benchmarks/plan_memory.py calibration      # the settings that the estimate was developed on

Each setting runs in its own process (plan_memory_measure.py): verl's FSDP2 engine with random weights, its own loss and
optimizer, and every row at full length. More than one rank is emulated by a fake process group whose collectives do
nothing, so memory is that of one GPU among as many. The estimate is made before the measurement.
"""

import argparse
import json
import os
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

from permix_verl.preflight.memory_plan.job import Job

MEASURE = Path(__file__).with_name("plan_memory_measure.py")

LLAMA = {"model_type": "llama", "architectures": ["LlamaForCausalLM"], "rms_norm_eps": 1e-5}
QWEN = {"model_type": "qwen2", "architectures": ["Qwen2ForCausalLM"], "rms_norm_eps": 1e-6}


def shape(
    family: dict[str, Any], hidden: int, inner: int, layers: int, heads: int, kv: int, vocab: int, tied: bool
) -> Any:
    """Build a model's ``config.json``."""
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
    """Build a job with two micro-batches an update, so that gradients are accumulated."""
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
    """Build a small Llama's ``config.json``."""
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
    parser.add_argument("--only", type=int, help="index of one setting, from 0")
    parser.add_argument("--no-estimate", action="store_true", help="only measure")
    args = parser.parse_args()
    print(f"{'setting':<36}{'turn':<10}{'estimate':>10}{'measured':>10}{'off':>8}{'reserved':>10}")
    device = "cpu" if args.settings == "cpu" else "cuda"
    for number, (name, config, its) in enumerate(SETTINGS[args.settings]):
        if args.only not in (None, number):
            continue
        estimates = {} if args.no_estimate else estimate(config, its)
        done = subprocess.run(
            [sys.executable, str(MEASURE), json.dumps({"config": config, "job": asdict(its), "device": device})],
            stdout=subprocess.PIPE,
            text=True,
            env=os.environ | ({"VERL_PLATFORM": "cpu"} if device == "cpu" else {}),
        )
        if done.returncode:
            print(f"{name:<36}failed with status {done.returncode}")
            continue
        result = json.loads(done.stdout.splitlines()[-1])
        for phase in ("update", "log_probs"):
            measured, reserved = result[phase]
            estimated = estimates.get(phase, 0)
            off = f"{estimated / measured - 1:+7.1%}"
            print(f"{name:<36}{phase:<10}{_mib(estimated)}{_mib(measured)}{off:>8}{_mib(reserved)}", flush=True)
        print(f"{'':<36}{result['note']}", flush=True)


def _mib(size: float) -> str:
    return f"{size / 2**20:>10,.0f}"


def estimate(config: Any, its: Job) -> dict[str, int]:
    """Estimate the peak bytes of an update and of a log-prob pass."""
    from transformers import AutoConfig

    from permix_verl.preflight.memory_plan.trace import actor_peaks

    peaks = actor_peaks(its, AutoConfig.for_model(**config))
    return {"update": peaks.update.total(), "log_probs": peaks.log_probs.total()}


if __name__ == "__main__":
    main()
