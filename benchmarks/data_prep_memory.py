#!/usr/bin/env python
"""Peak memory and rows per second of data preparation, on a small set and on one a hundred times as large.

    python benchmarks/data_prep_memory.py --data ../gsm8k/train.jsonl --tokenizer MODEL

Each size runs in its own process. Prints one table. The peak ratio in the last column
should stay near 1, because data preparation streams.
"""

import argparse
import json
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

SCRIPT = Path(__file__).resolve().parents[1] / "data_prep" / "gsm8k_persona.py"


def copies(source: Path, times: int, out: Path) -> Path:
    """Write the source's rows ``times`` over, with shifted numbers so that texts differ."""
    rows = [json.loads(line) for line in source.read_text().splitlines()]
    with out.open("w") as file:
        for copy in range(times):
            for row in rows:
                question = re.sub(r"\d+", lambda match: str(int(match[0]) + copy), row["question"])  # noqa: B023
                file.write(json.dumps({"question": question, "answer": row["answer"]}) + "\n")
    return out


def measure(data: Path, tokenizer: str, out: Path) -> tuple[float, float]:
    """Prepare the data in a child process; return seconds and peak resident MiB."""
    code = (
        "import resource, runpy, sys; sys.argv = sys.argv[1:]\n"
        "try:\n    runpy.run_path(sys.argv[0], run_name='__main__')\n"
        "except SystemExit as exit:\n    assert not exit.code, exit.code\n"
        "print('PEAK', resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)"
    )
    command = [
        sys.executable,
        "-c",
        code,
        str(SCRIPT),
        "--data",
        str(data),
        "--tokenizer",
        tokenizer,
        "--out",
        str(out),
    ]
    started = time.perf_counter()
    done = subprocess.run([*command, "--max-prompt-length", "1024"], check=True, capture_output=True, text=True)
    seconds = time.perf_counter() - started
    return seconds, float(done.stdout.rsplit("PEAK", 1)[1])


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--data", type=Path, required=True, help="JSON Lines file in GSM8K's format")
    parser.add_argument("--tokenizer", required=True, help="hub name or folder")
    parser.add_argument("--times", type=int, default=100, help="how much larger the large set is")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        results = []
        for times in (1, args.times):
            data = copies(args.data, times, Path(folder) / f"{times}.jsonl")
            rows = sum(1 for _ in data.open())
            results.append((rows, *measure(data, args.tokenizer, Path(folder) / "out")))
    print(f"{'rows':>9} {'seconds':>8} {'rows/s':>8} {'peak MB':>8} {'peak ratio':>10}")
    for rows, seconds, peak in results:
        print(f"{rows:>9} {seconds:>8.1f} {rows / seconds:>8.0f} {peak:>8.0f} {peak / results[0][2]:>10.2f}")


if __name__ == "__main__":
    main()
