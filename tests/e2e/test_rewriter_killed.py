"""Generation of styled targets, killed and resumed, with a rewriter behind HTTP."""

import json
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

from permix_verl.cli import prep_sft as gsm8k_sft

from ..fast.sft_targets.test_rewriting import arguments, asked, faithful, targets
from ..support.endpoint import ROOT, Reply, Server


def test_a_kill_loses_nothing_and_pays_for_nothing_twice(
    server: Server, problem_file: Path, tokenizer_folder: Path, tmp_path: Path
) -> None:
    server.answer = faithful
    gsm8k_sft.main(arguments(server, problem_file, tokenizer_folder, tmp_path / "undisturbed"))
    expected, before = targets(tmp_path / "undisturbed"), len(asked(server))

    def slow(body: dict[str, Any], attempt: int) -> Reply:
        reply = faithful(body, attempt)
        reply.delay_s = 0.05
        return reply

    server.answer = slow
    concurrency = 4
    command = arguments(server, problem_file, tokenizer_folder, tmp_path, "--concurrency", str(concurrency))
    launched = [sys.executable, str(ROOT / "data_prep" / "gsm8k_sft.py"), *command]
    for stored in (8, 25):
        process = subprocess.Popen(launched, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        file = tmp_path / "store" / "targets.jsonl"
        while not file.is_file() or file.read_bytes().count(b"\n") < stored:
            assert process.poll() is None
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert not (tmp_path / "out").exists(), "nothing half-written"
    assert subprocess.run(launched, capture_output=True).returncode == 0
    assert targets(tmp_path) == expected
    seeds = Counter(body["seed"] for body in asked(server)[before:])
    assert len(seeds) == 60
    assert sum(seeds.values()) - 60 <= 2 * concurrency, "at most what was under way when it was killed"
    lines = (tmp_path / "store" / "targets.jsonl").read_text().splitlines()
    assert len({json.loads(line)["key"] for line in lines}) == len(lines) == 60
