"""An evaluation killed twenty times at random moments loses no row, and repeats none.

By hand, about 15 minutes on 2 cores:

.venv/bin/python -m pytest tests/soak/test_twenty_eval_kills.py -s --basetemp=runs/soak | tee docs/soak/eval_kills.log
"""

import random
from collections import Counter
from pathlib import Path

from ..e2e.conftest import world  # noqa: F401
from ..support.evaluations import (
    ARMS,
    command,
    done,
    engine_core,
    kill,
    no_row_is_missing_or_doubled,
    nobody,
    rows,
    short_problems,
)

PROBLEMS, RUNS, KILLS = 24, 5, 20
SAMPLES = 2 * len(ARMS) * PROBLEMS * RUNS


def test_twenty_kills_lose_nothing(world: dict[str, Path], shared_data: Path, tmp_path: Path) -> None:  # noqa: F811
    folder = tmp_path / "results"
    problems = short_problems(shared_data, tmp_path, PROBLEMS)
    arguments = command(
        "run.py", "--model", world["model"], "--out", folder, "--max-tokens", 64, "--runs", RUNS,
        "--tasks", ",".join(f"{task}={file}" for task, file in problems.items()),
    )  # fmt: skip
    draw = random.Random(0)
    kinds = Counter[str]()
    for number in range(KILLS):
        # From the first import through vLLM's start to the middle of the rows.
        starting, victim = draw.random() < 0.3, draw.choice((nobody, engine_core))
        seconds, fresh = draw.uniform(1, 25), draw.randint(1, 250)
        kind = f"{victim.__name__} after " + (f"{seconds:.0f} s" if starting else f"{fresh} rows")
        moment = {"after_s": seconds} if starting else {"after_rows": fresh}
        killed = kill(arguments, folder, victim, **moment)
        assert killed is not None, "it was finished before the last kill"
        added, what = killed
        kinds[what + (", generating" if added else ", before its first row")] += 1
        print(f"--- kill {number + 1}: {kind}: {added} new rows, {len(rows(folder))} of {SAMPLES}", flush=True)
    kept = {row["key"] for row in rows(folder)}
    print("---", next(line for line in done(arguments).splitlines() if " samples in " in line))
    assert kept <= {row["key"] for row in rows(folder)}
    no_row_is_missing_or_doubled(folder, SAMPLES)
    print(f"--- {dict(kinds)}; {SAMPLES} samples, none missing, none doubled")
