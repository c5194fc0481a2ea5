#!/usr/bin/env python
"""Cost of a pool of 200,000 personas against that of 25: preparation, dataset, loader worker, and a step's counters.

    python benchmarks/large_pool.py --data ../gsm8k/train.jsonl --tokenizer MODEL

Prints seconds (by the clock, and of all CPUs), peak resident MiB and the differences of preparing the data under the
packaged pool and under a generated one; the same for loading the dataset for two epochs, and for the first 10,000 draws
of a dataloader worker; and the time of a step's counters with 5,000 personas and 512 rollouts, as a share of a step of
10 s. Each measurement but the last runs in processes of its own.
"""

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
from pathlib import Path

STEP_S = 10.0
STEPS = 40

MEASURED = """
import resource, sys, time
from pathlib import Path
began = time.perf_counter()
{code}
seconds = time.perf_counter() - began
used = resource.getrusage(resource.RUSAGE_SELF)
print("MEASURED", seconds, used.ru_utime + used.ru_stime, used.ru_maxrss / 1024)
"""
PREPARE = """
from permix_verl.cli import prep
data, tokenizer, pool, out = sys.argv[1:]
limit = ["--max-prompt-length", "1024"]
prep.main(["--data", data, "--tokenizer", tokenizer, "--personas", pool, "--out", out, *limit])
"""
LOAD = """
from omegaconf import OmegaConf
from transformers import AutoTokenizer
from permix_verl.data.rl_dataset import PersonaMixDataset
file, tokenizer = sys.argv[1:]
config = OmegaConf.create({"max_prompt_length": 1024, "filter_overlong_prompts": False, "epochs": 2})
dataset = PersonaMixDataset([file], AutoTokenizer.from_pretrained(tokenizer), config)
"""
WORKER = """
import pickle
draw = pickle.loads(Path(sys.argv[1]).read_bytes())
for number in range(10_000):
    draw.persona(1, f"row {number}")
"""


def measure(code: str, *arguments: object) -> tuple[float, float, float]:
    """Run code in a process; return its seconds, CPU seconds and peak resident MiB."""
    command = [sys.executable, "-c", MEASURED.format(code=code), *map(str, arguments)]
    environment = os.environ | {"TOKENIZERS_PARALLELISM": "true"}
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, env=environment)
    if done.returncode:
        raise SystemExit(done.stdout[-2000:])
    seconds, cpu, peak = map(float, done.stdout.rsplit("MEASURED", 1)[1].split())
    return seconds, cpu, peak


def write_pool(data: Path, count: int, words: int, out: Path) -> Path:
    """Write personas of this many words, drawn from the problems' words with their frequencies."""
    rng = random.Random(0)
    questions = (json.loads(line)["question"] for line in data.read_text().splitlines())
    vocabulary = [word for question in questions for word in question.split()]
    with out.open("w") as file:
        for number in range(count):
            text = f"You are a {' '.join(rng.choices(vocabulary, k=words - 4))} {number}."
            record = {"key": f"persona {number}", "category": f"category {number % 5}", "system_prompt": text}
            file.write(json.dumps(record) + "\n")
    return out


def print_pair(name: str, small: tuple[float, float, float], large: tuple[float, float, float]) -> None:
    """Print a measurement with the packaged pool, with the large one, and the differences."""
    print(f"\n{name:<24} {'seconds':>9} {'CPU s':>9} {'peak MiB':>9}")
    for pool, values in (("25 personas", small), ("large pool", large)):
        print(f"  {pool:<22} {values[0]:>9.1f} {values[1]:>9.1f} {values[2]:>9.0f}")
    extra = [after - before for before, after in zip(small, large, strict=True)]
    ratios = [after / before for before, after in zip(small, large, strict=True)]
    print(f"  {'difference':<22} {extra[0]:>9.1f} {extra[1]:>9.1f} {extra[2]:>9.0f}")
    print(f"  {'ratio':<22} {ratios[0]:>9.2f} {ratios[1]:>9.2f} {ratios[2]:>9.2f}")


def pickled_draw(train: Path, out: Path) -> Path:
    """Write the draw of a data file as a dataloader sends it to a spawned worker."""
    import pickle

    from permix_verl.data.schema import read_draw

    out.write_bytes(pickle.dumps(read_draw(str(train))))
    return out


def print_counters(folder: Path, personas: int = 5000, rollouts: int = 512, samples: int = 8) -> None:
    """Print the time of a step's counters with a pool in memory, and its share of a step."""
    import time
    from statistics import median
    from types import SimpleNamespace

    from permix_verl.personas.pool import Persona, PersonaPool
    from permix_verl.training.hooks.buffer_hooks import RunContext
    from permix_verl.training.hooks.step_hooks import LogPersonaMetrics
    from permix_verl.training.observability.persona_metrics import Rollout

    pool = PersonaPool("own", tuple(Persona(f"p{i}", f"category {i % 5}", f"You are {i}.") for i in range(personas)))
    draw = SimpleNamespace(pool=pool, no_persona_probability=0.0)
    trainer = SimpleNamespace(train_dataset=SimpleNamespace(draw=draw))
    hook = LogPersonaMetrics(RunContext(trainer, {}, folder, 0, print))
    rng, times = random.Random(0), []
    for step in range(1, STEPS + 1):
        batch = []
        for group in range(rollouts // samples):
            persona = f"p{rng.randrange(personas)}"
            for sample in range(samples):
                reward = float(rng.random() < 0.5)
                key = f"{group}_{sample}_0"
                flags = {"no_answer": 0.0, "timeout": 0.0, "error": 0.0}
                batch.append(Rollout(key, str(group), sample, str(group), 0, persona, reward, 100, flags, "correct"))
        began = time.perf_counter()
        hook.on_rollouts(step, batch)
        times.append(time.perf_counter() - began)
    print(f"\ncounters of {personas} personas, {rollouts} rollouts a step:")
    for name, seconds in (("median", median(times)), ("most", max(times))):
        print(f"  {name:<22} {1000 * seconds:>9.1f} ms {seconds / STEP_S:>9.3%} of {STEP_S:g} s")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--data", type=Path, required=True, help="JSON Lines file in GSM8K's format")
    parser.add_argument("--tokenizer", required=True, help="hub name or folder")
    parser.add_argument("--personas", type=int, default=200_000, help="personas of the large pool")
    parser.add_argument("--words", type=int, default=60, help="words of each")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        base = Path(folder)
        pool = write_pool(args.data, args.personas, args.words, base / "large.jsonl")
        print(f"{args.personas} personas of {args.words} words: {pool.stat().st_size / 2**20:.0f} MiB of JSON")
        outs = {"train": base / "small", str(pool): base / "large"}
        small, large = (measure(PREPARE, args.data, args.tokenizer, name, out) for name, out in outs.items())
        print_pair("preparation", small, large)
        files = [out / "train.parquet" for out in outs.values()]
        small, large = (measure(LOAD, file, args.tokenizer) for file in files)
        print_pair("dataset, two epochs", small, large)
        sent = [pickled_draw(file, base / f"{number}.pickle") for number, file in enumerate(files)]
        small, large = (measure(WORKER, file) for file in sent)
        print_pair("loader worker", small, large)
        print(f"  sent to the worker: {sent[0].stat().st_size} and {sent[1].stat().st_size} bytes")
        print_counters(base)


if __name__ == "__main__":
    main()
