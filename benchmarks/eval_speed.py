"""Wall time of ``eval/run.py`` against a bare ``vllm.LLM.generate`` of the same prompts, both as whole processes.

    python benchmarks/eval_speed.py                # about 10 minutes on 2 cores
    python benchmarks/eval_speed.py --rounds 5 --problems 40

The model has 110 million parameters and random weights, so every answer runs to the token limit and both
sides generate as many tokens. The bare side gets the prompts, the seeds and the settings from a file and throws its
answers away: no rendering, no scoring, no store. Sides alternate; the ratio is of the medians.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PERSONAS = ("math expert", "dumb", "lawyer")
BARE = """
import json, sys
from permix_verl.evaluation.engines.vllm_local import settle_on_cpu
on_cpu = settle_on_cpu(None)
from vllm import LLM, SamplingParams, TokensPrompt
work = json.load(open(sys.argv[1]))
extra = {"enable_chunked_prefill": False, "enforce_eager": True} if on_cpu else {}
llm = LLM(work["model"], dtype="auto", enable_prefix_caching=True, **extra)
prompts = [TokensPrompt(prompt_token_ids=ids) for ids in work["ids"]]
params = [SamplingParams(seed=seed, **work["sampling"]) for seed in work["seeds"]]
outputs = llm.generate(prompts, params, use_tqdm=False)
print(sum(len(output.outputs[0].token_ids) for output in outputs))
"""


def make_model(folder: Path) -> None:
    """A Llama of 110 million parameters, random, with the tiny world's tokenizer."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    from permix_verl.tiny.model import build_tokenizer

    tokenizer = build_tokenizer()
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=768,
        intermediate_size=3072,
        num_hidden_layers=12,
        num_attention_heads=12,
        max_position_embeddings=1024,
        eos_token_id=None,
    )
    model = LlamaForCausalLM(config)
    print(f"{sum(p.numel() for p in model.parameters()) / 1e6:.0f} million parameters")
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def timed(command: list[str]) -> float:
    started = time.perf_counter()
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    if done.returncode != 0:
        raise SystemExit(f"{command} ended with {done.returncode}:\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
    return time.perf_counter() - started


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--problems", type=int, default=24)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--max-tokens", type=int, default=64)
    args = parser.parse_args()
    from transformers import AutoTokenizer

    from permix_verl.tiny.problems import generate

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make_model(folder / "model")
        problems = folder / "problems.jsonl"
        problems.write_text("".join(json.dumps(row) + "\n" for row in generate(args.problems, seed=0)))
        ours = [sys.executable, "eval/run.py", "--model", str(folder / "model"), "--tasks", f"gsm8k={problems}"]
        ours += ["--personas", "eval:" + ",".join(PERSONAS), "--runs", str(args.runs)]
        ours += ["--max-tokens", str(args.max_tokens), "--out"]
        seconds: dict[str, list[float]] = {"eval/run.py": [], "LLM.generate": []}
        for number in range(args.rounds):
            out = folder / f"results{number}"
            seconds["eval/run.py"].append(timed([*ours, str(out)]))
            if number == 0:
                tokenizer = AutoTokenizer.from_pretrained(folder / "model")
                rows = [json.loads(line) for line in (out / "samples" / "gsm8k.jsonl").read_text().splitlines()]
                work = {
                    "model": str(folder / "model"),
                    "ids": tokenizer([row["prompt"] for row in rows], add_special_tokens=False)["input_ids"],
                    "seeds": [row["seed"] for row in rows],
                    "sampling": {"temperature": 0.6, "top_p": 0.9, "max_tokens": args.max_tokens},
                }
                (folder / "work.json").write_text(json.dumps(work))
                (folder / "bare.py").write_text(BARE)
                tokens = sum(row["completion_tokens"] for row in rows)
                print(f"{len(rows)} samples, {tokens} tokens generated")
            seconds["LLM.generate"].append(timed([sys.executable, str(folder / "bare.py"), str(folder / "work.json")]))
            print({side: round(values[-1], 1) for side, values in seconds.items()}, flush=True)
        medians = {side: statistics.median(values) for side, values in seconds.items()}
        print(f"medians {medians}; ratio {medians['eval/run.py'] / medians['LLM.generate']:.3f}")


if __name__ == "__main__":
    main()
