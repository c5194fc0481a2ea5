#!/usr/bin/env python
"""Speed of the reward file against math-verify and verl's own checkers, in answers a second.

    python benchmarks/reward_speed.py --gsm8k outputs.jsonl --math solutions.jsonl

Both files are JSON Lines: ``solution`` and ``gold_answer`` for the first, ``solution`` and ``answer`` for the second,
as in MATH-500. MATH's solutions are scored against their own answers; those with a symbolic answer also against the
next one's answer, which forces a symbolic comparison. Both sets are scored again without answer marks (GSM8K's last
line, MATH's box). Rates are medians of three passes over warm processes; ratios are relative to math-verify in this
process with one thread. It also prints the time of the first call in a fresh process, the rates of the synchronous and
the async function in an event loop like verl's reward loop, and the caller's worst extraction time over 10,000 fuzzed
texts of up to 10,000 characters, with its growth in their length.
"""

import argparse
import asyncio
import json
import random
import re
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median
from typing import Any

from permix_verl.evaluation.scoring import load_reward

SOURCE = Path(__file__).resolve().parents[1] / "reward_fns" / "math_reward.py"
Pairs = Sequence[tuple[str, str]]


def rate(score: Callable[[Pairs], Any], pairs: Pairs) -> float:
    """Return answers per second: the median of three passes after a warm-up."""
    score(pairs[:20])
    times = []
    for _ in range(3):
        began = time.perf_counter()
        score(pairs)
        times.append(time.perf_counter() - began)
    return len(pairs) / median(times)


def checkers() -> dict[str, Callable[[Pairs], Any]]:
    """Return the checkers by name, math-verify first."""
    from math_verify import ExprExtractionConfig, LatexExtractionConfig, parse, verify
    from verl.utils.reward_score import gsm8k, math_verify

    latex, everything = [LatexExtractionConfig()], [LatexExtractionConfig(), ExprExtractionConfig()]
    ours, two = load_reward(), load_reward()
    ours.WORKERS, two.WORKERS = 1, 2

    def reference(pairs: Pairs) -> None:
        for solution, gold in pairs:
            verify(parse(f"\\boxed{{{gold}}}", latex), parse(solution, everything))

    def batched(module: Any) -> Callable[[Pairs], Any]:
        return lambda pairs: module.compute_score_batch(
            [""] * len(pairs), [solution for solution, _ in pairs], [gold for _, gold in pairs]
        )

    return {
        "math-verify": reference,
        "ours, one by one": lambda pairs: [ours.compute_score("", solution, gold) for solution, gold in pairs],
        "ours, batch, 1 worker": batched(ours),
        "ours, batch, 2 workers": batched(two),
        "verl gsm8k, strict": lambda pairs: [gsm8k.compute_score(solution, gold) for solution, gold in pairs],
        "verl gsm8k, flexible": lambda pairs: [
            gsm8k.compute_score(solution, gold, method="flexible") for solution, gold in pairs
        ],
        "verl math_verify": lambda pairs: [math_verify.compute_score(solution, gold) for solution, gold in pairs],
    }


def first_call_seconds() -> float:
    """Measure the first call that needs a worker in a fresh process, seconds."""
    code = (
        "import importlib.util, sys, time\n"
        "spec = importlib.util.spec_from_file_location('r', sys.argv[1]); r = importlib.util.module_from_spec(spec)\n"
        "spec.loader.exec_module(r); began = time.perf_counter()\n"
        "assert r.compute_score('', '\\\\boxed{\\\\sqrt{25}}', '5')['score'] == 1.0\n"
        "print(time.perf_counter() - began)"
    )
    runs = [subprocess.run([sys.executable, "-c", code, SOURCE], stdout=subprocess.PIPE, check=True) for _ in range(3)]
    return median(float(run.stdout) for run in runs)


def in_an_event_loop(pairs: Pairs) -> dict[str, float]:
    """Measure answers per second in an event loop, all at once; the synchronous function runs in executor threads."""
    module = load_reward()

    async def plain() -> None:
        loop = asyncio.get_running_loop()
        await asyncio.gather(
            *(loop.run_in_executor(None, module.compute_score, "", solution, gold) for solution, gold in pairs)
        )

    async def twin() -> None:
        await asyncio.gather(*(module.compute_score_async("", solution, gold) for solution, gold in pairs))

    rates = {}
    for name, ask in (("compute_score", plain), ("compute_score_async", twin)):
        asyncio.run(ask())
        began = time.perf_counter()
        asyncio.run(ask())
        rates[name] = len(pairs) / (time.perf_counter() - began)
    return rates


PIECES = [
    *("\\boxed{", "}", "{", "####", "answer is ", "Answer: ", '"answer": ', '"result": ', '{"', '"', "'", "$", "$$"),
    *("\\(", "\\[", "\\]", "\\", "%", ",", ".", "-", " - ", "/", "5", "12", "1,234", "3.5", "\\frac{", "\\text{"),
    *(" dollars", "\n", "\n\n", " and ", " or ", "</think>", "^", "_", "\u0663", "\u00bd", "e9", "!", "?", "x=", "("),
    *(")", "<answer>", "</answer>", "<b>", "**", "__", "*", "`", "~~", "three", "twenty-", "hundred ", " of ", " So "),
    *(
        "wait, no ",
        "that is wrong. ",
        "Correction: ",
        " = ",
        " times ",
        "respuesta es ",
        "\u7b54\u6848\u662f",
        "3:40 PM",
    ),
    *(" sqrt(", "\u221a", "\u03c0", "<<", "{,}", " ", " not ", " after "),
]
GOLDS = ("5", "1, 2", "x", "3:40", "17_8", "0,7", "\\frac{1}{2}", "a=2,b=3")


def fuzzed(rng: random.Random, length: int) -> str:
    """Generate a text from a few kinds of pieces in random order."""
    pieces = rng.sample(PIECES, rng.choice((1, 2, 3, 5, 8, 20, len(PIECES))))
    text = ""
    while len(text) < length:
        text += rng.choice(pieces)
    return text[:length]


def reading_seconds(module: Any, text: str, gold: str, passes: int = 2) -> float:
    """Return the CPU seconds of extracting one answer in the calling process: the best of ``passes``."""
    times = []
    for _ in range(passes):
        began = time.process_time()
        module._read(text, gold)
        times.append(time.process_time() - began)
    return min(times)


def worst_reading(count: int) -> tuple[float, float]:
    """Return the worst seconds over fuzzed texts, and the largest factor by which doubling a slow text slows it."""
    module, rng = load_reward(), random.Random(0)
    timings = []
    for _ in range(count):
        text, gold = fuzzed(rng, rng.choice((100, 1_000, 5_000, 10_000))), rng.choice(GOLDS)
        timings.append((reading_seconds(module, text, gold), text, gold))
    timings.sort(key=lambda entry: -entry[0])
    slow = [(text, gold) for seconds, text, gold in timings[: count // 10] if len(text) >= 5_000 and seconds > 0.001]
    growth = [
        reading_seconds(module, text + text, gold, 5) / reading_seconds(module, text, gold, 5) for text, gold in slow
    ]
    return timings[0][0], max(growth)


def without_marks(name: str, pairs: Pairs) -> Pairs:
    """Strip the answer marks from the solutions."""
    if name == "GSM8K":
        return [(re.sub(r"\n\s*(?:A:|####|The answer is)[^\n]*\s*\Z", "", solution), gold) for solution, gold in pairs]
    box = re.compile(r"\\boxed\s?\{([^{}]*(?:\{[^{}]*\}[^{}]*)*)\}")
    return [(box.sub(r"\1", solution), gold) for solution, gold in pairs]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--gsm8k", type=Path, required=True, metavar="FILE", help="model outputs on GSM8K")
    parser.add_argument("--math", type=Path, required=True, metavar="FILE", help="solutions to MATH problems")
    arguments = parser.parse_args()
    sets = {}
    for name, path, gold in (("GSM8K", arguments.gsm8k, "gold_answer"), ("MATH", arguments.math, "answer")):
        rows = [json.loads(line) for line in path.read_text().splitlines()]
        sets[name] = [(str(row["solution"]), str(row[gold])) for row in rows]
    symbolic = [(solution, gold) for solution, gold in sets["MATH"] if load_reward()._gold(gold).number is None]
    golds = [gold for _, gold in symbolic]
    pairs = [(solution, gold) for (solution, _), gold in zip(symbolic, [*golds[1:], golds[0]], strict=True)]
    sets["MATH, symbols, another's answer"] = pairs
    for name in ("GSM8K", "MATH"):
        sets[f"{name}, no mark"] = list(without_marks(name, sets[name]))
    for name, pairs in sets.items():
        print(f"\n{name}: {len(pairs)} answers")
        base = 0.0
        for checker, score in checkers().items():
            if "gsm8k" in checker and not name.startswith("GSM8K"):
                continue
            per_second = rate(score, pairs)
            base = base or per_second
            print(f"  {checker:<24} {per_second:>10.0f}/s {per_second / base:>8.2f}x")
    print(f"\nfirst call that needs a worker: {first_call_seconds():.2f} s")
    for name, per_second in in_an_event_loop(sets["GSM8K"]).items():
        print(f"in an event loop, {name}: {per_second:.0f}/s")
    worst, growth = worst_reading(10_000)
    print(
        f"\nextraction, worst of 10,000 fuzzed texts: {worst * 1000:.1f} ms; at most {growth:.2f}x for twice the text"
    )


if __name__ == "__main__":
    main()
