"""Seconds of a GRPO step on CPU against its model work alone: bare vLLM generation plus bare PyTorch passes.

    python benchmarks/grpo_step.py                                     # the lab's step, 128 samples: about 6 minutes
    python benchmarks/grpo_step.py --steps 5 MODEL=smollm2 RESPONSE_LENGTH=64    # a real model's, 64 samples

Arguments behind the flags are settings of ``recipes/run_permix_grpo.sh``. The bare side gets the prompts of the run's
steps and the lengths of its responses: ``vllm.LLM.generate`` of the base without an adapter, each response as long as
the step's, then transformers and PEFT in float32: log-probs of the policy and of the reference, and one update with an
adapter of the run's rank, in micro-batches of the recipe's sizes. Both sides have the same threads, and run one after
the other. The ratio is of medians over the steps. A step's seconds are verl's ``timing_s/step`` without validation and
checkpoint; the first two steps, which load and compile, are left out.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from permix_verl.chat_templates.use import DEFAULT_ARGUMENTS
from permix_verl.data.tokenizers import load_prompt_tokenizer
from permix_verl.personas.prompts import render
from permix_verl.runs.metrics import read_metrics

ROOT = Path(__file__).resolve().parents[1]
PHASES = ("gen", "old_log_prob", "ref", "update_actor")
LEFT_OUT = ("testing", "save_checkpoint")
WARM_UP = 2


def train(settings: list[str], steps: int, run_dir: Path) -> None:
    """Run the recipe for some steps, without validation."""
    environment = os.environ | {
        "PERMIX_SKIP_SETUP": "1",
        "PYTHON": sys.executable,
        "RUN_DIR": str(run_dir),
        "DOCTOR": "0",
    }
    rows = ["trainer.val_before_train=False", "trainer.test_freq=-1", f"trainer.total_training_steps={steps}"]
    command = ["bash", str(ROOT / "recipes" / "run_permix_grpo.sh"), *settings, *rows]
    subprocess.run(command, check=True, env=environment, stdout=sys.stderr)


def seconds_of_steps(run_dir: Path) -> list[dict[str, float]]:
    """Return each counted step's seconds by phase."""
    found = []
    for step, values in read_metrics(run_dir / "metrics").items():
        if step > WARM_UP and "timing_s/step" in values:
            whole = values["timing_s/step"] - sum(values.get(f"timing_s/{name}", 0) for name in LEFT_OUT)
            found.append({"step": whole, **{name: values[f"timing_s/{name}"] for name in PHASES}})
    return found


def write_work(run_dir: Path, file: Path) -> None:
    """Write the token ids of each counted step's prompts and responses, from verl's dump of its rollouts."""
    config = json.loads((run_dir / "adapter" / "adapter_config.json").read_text())
    model = config["base_model_name_or_path"]
    tokenizer = load_prompt_tokenizer(model, DEFAULT_ARGUMENTS)
    steps = []
    dumps = sorted((run_dir / "rollouts").glob("*.jsonl"), key=lambda dump: int(dump.stem))
    rendered = prompts_by_text(run_dir, tokenizer)
    for dump in dumps[WARM_UP:]:
        rows = [json.loads(line) for line in dump.read_text().splitlines()]
        steps.append(
            {
                "prompts": [rendered[row["input"]] for row in rows],
                "responses": [
                    [*tokenizer(row["output"], add_special_tokens=False)["input_ids"], tokenizer.eos_token_id]
                    for row in rows
                ],
            }
        )
    kept = {name: config[name] for name in ("r", "lora_alpha", "lora_dropout", "target_modules")}
    file.write_text(json.dumps({"model": model, "adapter": kept, "steps": steps}))


def prompts_by_text(run_dir: Path, tokenizer: Any) -> dict[str, list[int]]:
    """Return the text of each prompt of epoch 0 without special tokens, as verl dumps it -> its token ids."""
    import pyarrow.parquet as pq

    rows = pq.read_table(run_dir / "data" / "train.parquet", columns=["prompt"]).to_pylist()
    found = {}
    for row in rows:
        text = render(tokenizer, row["prompt"], DEFAULT_ARGUMENTS)
        ids = tokenizer(text, add_special_tokens=False)["input_ids"]
        found[tokenizer.decode(ids, skip_special_tokens=True)] = ids
    return found


def bare_generation(work: dict[str, Any]) -> list[float]:
    """Return seconds of ``LLM.generate`` for each step's prompts, its responses as long as the step's."""
    from vllm import LLM, SamplingParams, TokensPrompt

    from permix_verl.inference.engines.vllm import CPU_ENGINE_ARGS, configure_cpu

    settings = CPU_ENGINE_ARGS if configure_cpu(None) else {}
    engine = LLM(work["model"], enable_prefix_caching=True, max_model_len=512, **settings)
    seconds = []
    for number, step in enumerate(work["steps"]):
        prompts = [TokensPrompt(prompt_token_ids=ids) for ids in step["prompts"]]
        params = [
            SamplingParams(temperature=1, seed=number * 1000 + row, ignore_eos=True, max_tokens=len(ids), logprobs=0)
            for row, ids in enumerate(step["responses"])
        ]
        began = time.perf_counter()
        engine.generate(prompts, params, use_tqdm=False)
        seconds.append(time.perf_counter() - began)
    return seconds


def bare_passes(work: dict[str, Any], micro_batch: int = 32, log_prob_micro_batch: int = 64) -> list[float]:
    """Return seconds of each step's passes: policy and reference without gradients, then one update."""
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    base = AutoModelForCausalLM.from_pretrained(work["model"], dtype=torch.float32, attn_implementation="sdpa")
    model = get_peft_model(base, LoraConfig(task_type="CAUSAL_LM", **work["adapter"]))
    optimizer = torch.optim.AdamW((one for one in model.parameters() if one.requires_grad), lr=1e-5, fused=True)

    def log_probs(rows: list[list[int]]) -> Any:
        longest = max(map(len, rows))
        ids = torch.tensor([row + [0] * (longest - len(row)) for row in rows])
        mask = torch.tensor([[1] * len(row) + [0] * (longest - len(row)) for row in rows])
        logits = model(input_ids=ids, attention_mask=mask, use_cache=False).logits[:, :-1]
        nats = torch.nn.functional.cross_entropy(logits.flatten(0, 1), ids[:, 1:].flatten(), reduction="none")
        return nats.view(len(rows), -1) * mask[:, 1:]

    def in_parts(rows: list[list[int]], size: int) -> list[list[list[int]]]:
        return [rows[first : first + size] for first in range(0, len(rows), size)]

    seconds = []
    for step in work["steps"]:
        rows = [prompt + response for prompt, response in zip(step["prompts"], step["responses"], strict=True)]
        began = time.perf_counter()
        model.eval()
        with torch.no_grad():
            for part in in_parts(rows, log_prob_micro_batch):
                log_probs(part)
            with model.disable_adapter():
                for part in in_parts(rows, log_prob_micro_batch):
                    log_probs(part)
        model.train()
        for part in in_parts(rows, micro_batch):
            log_probs(part).sum().backward()
        optimizer.step()
        optimizer.zero_grad()
        seconds.append(time.perf_counter() - began)
    return seconds


def bare(file: Path, side: str, threads: int) -> float:
    """Return the median seconds of a step's model work on one side, in a process of its own."""
    environment = os.environ | {"OMP_NUM_THREADS": str(threads)}
    command = [sys.executable, __file__, "--bare", side, "--work", str(file)]
    done = subprocess.run(command, check=True, env=environment, stdout=subprocess.PIPE, text=True)
    seconds = json.loads(done.stdout.splitlines()[-1])
    return statistics.median(seconds[1:] if len(seconds) > 1 else seconds)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=10, help="steps of the run (default: 10)")
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1, help="default: the machine's cores")
    parser.add_argument("--bare", choices=("generation", "passes"), help=argparse.SUPPRESS)
    parser.add_argument("--work", type=Path, help=argparse.SUPPRESS)
    args, settings = parser.parse_known_args()
    if args.bare:
        work = json.loads(args.work.read_text())
        print(json.dumps((bare_generation if args.bare == "generation" else bare_passes)(work)))
        return
    with tempfile.TemporaryDirectory() as folder:
        run_dir, file = Path(folder) / "run", Path(folder) / "work.json"
        train(settings, args.steps, run_dir)
        write_work(run_dir, file)
        sides = {side: bare(file, side, args.threads) for side in ("generation", "passes")}
        steps = seconds_of_steps(run_dir)
        report(steps, sides)


def report(steps: list[dict[str, float]], sides: dict[str, float]) -> None:
    medians = {name: statistics.median(step[name] for step in steps) for name in ("step", *PHASES)}
    print(f"{len(steps)} steps, median seconds")
    for name, value in medians.items():
        print(f"  {name:14}{value:7.2f}")
    print(f"  {'bare generation':18}{sides['generation']:5.2f}")
    print(f"  {'bare passes':18}{sides['passes']:5.2f}")
    print(f"ratio {medians['step'] / sum(sides.values()):.2f}")


if __name__ == "__main__":
    main()
