"""LiveCodeBench with a tiny model on local vLLM, under personas, and its report."""

import json
from collections import Counter
from pathlib import Path

from permix_verl.lab.base_model import MODEL

from ..support.code_rows import CUBE, DOUBLE, PLUS_ONE, SQUARE, row, write
from ..support.evaluations import command, done, rows

PERSONAS = ("kindergarten", "lawyer", "teacher")


def test_a_tiny_model_completes_the_task(tmp_path: Path) -> None:
    """The model answers with arithmetic, not programs; integration/evaluation/test_livecodebench.py scores programs."""
    more = [row(f"more_{number}", [("1\n", "1\n")], "medium") for number in range(2)]
    write(tmp_path / "lcb.jsonl", PLUS_ONE, DOUBLE, SQUARE, CUBE, *more)
    out = tmp_path / "results"
    chosen = ["--tasks", f"livecodebench={tmp_path / 'lcb.jsonl'}", "-T", "difficulty=medium,hard", "--runs", 2]
    asked = ["--max-tokens", 48, "--personas", f"eval:{','.join(PERSONAS)}"]
    arguments = command("run.py", "--model", MODEL, *chosen, *asked, "--out", out)
    done(arguments)
    samples = rows(out)
    assert Counter(entry["persona"] for entry in samples) == dict.fromkeys((*PERSONAS, "no_persona"), 5 * 2)
    assert {entry["status"] for entry in samples} <= {"no_answer", "wrong"}
    assert all("Give the whole program in one block" in entry["prompt"] for entry in samples)
    before = (out / "samples" / "livecodebench.jsonl").read_bytes()
    assert "0 of them new" in done(arguments)
    assert (out / "samples" / "livecodebench.jsonl").read_bytes() == before
    done(command("report.py", out, "--out", tmp_path / "report", "--draws", 50))
    report = json.loads((tmp_path / "report" / "report.json").read_text())
    assert list(report["tasks"]) == ["livecodebench_medium", "livecodebench_hard", "livecodebench"]
    assert report["tasks"]["livecodebench_medium"]["models"]["results"]["problems"] == 3
