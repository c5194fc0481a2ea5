"""Generation and judging, killed and resumed, with the model and the judges behind HTTP."""

import json
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

from ..support.endpoint import ROOT, Reply, Server
from ..support.fidelity_stage import ANSWERS, JUDGEMENTS, arguments, perform, real_calls, stored_rows


def test_two_kills_lose_nothing_and_pay_for_nothing_twice(server: Server, tmp_path: Path) -> None:
    def slow(body: dict[str, Any], attempt: int) -> Reply:
        reply = perform(body, attempt)
        reply.delay_s = 0.02
        return reply

    server.answer = slow
    limited = [json.dumps({"model": name, "base_url": server.url, "concurrency": 2}) for name in ("gpt-a", "b")]
    command = arguments(server, tmp_path, "--concurrency", "2", judges=())
    command += [part for one in limited for part in ("--judge", one)]
    launched = [sys.executable, str(ROOT / "eval" / "personagym.py"), *command]
    for name, stored in (("answers.jsonl", 9), ("judgements.jsonl", 30)):
        process = subprocess.Popen(launched, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        while len(stored_rows(tmp_path, name)) < stored:
            assert process.poll() is None
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert subprocess.run(launched, capture_output=True).returncode == 0
    calls = Counter((body["model"], body["seed"]) for body in real_calls(server))
    assert len(calls) == ANSWERS + JUDGEMENTS + 1
    assert sum(calls.values()) - len(calls) <= 2 * 4, "at most what was under way when it was killed"
    assert len({row["key"] for row in stored_rows(tmp_path, "judgements.jsonl")}) == JUDGEMENTS + 1
    assert len({row["key"] for row in stored_rows(tmp_path, "answers.jsonl")}) == ANSWERS
