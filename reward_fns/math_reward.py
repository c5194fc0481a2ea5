r"""Binary answer correctness with math-verify, blind to the persona. One file, copy it anywhere.

verl:  reward.custom_reward_function.path=/path/to/math_reward.py
       reward.custom_reward_function.name=compute_score

``compute_score`` returns 1.0 or 0.0 (the paper, appendix B.4) in a dict that has the same
keys for every sample, on failures too:

    score, acc        1.0 if the answer is correct, else 0.0
    no_answer         1.0 if math-verify found no answer in the solution
    timeout, error    1.0 if no verdict was reached; such a sample scores 0.0 and is counted here
    status            "correct", "wrong", "no_answer", "timeout" or "error"
    persona, row_id   copied from extra_info, for curves per persona

math-verify keeps its time limits with signals, which work in the main thread only, and verl
calls rewards from worker threads: there math-verify raises, and "wrong" would be a lie. So
the work is done in a child process, this same file run with ``--worker``, which answers one
JSON line per request and is killed and replaced when a request exceeds ``TIME_LIMIT_S``. It
starts with the first request and ends when its input closes, that is, when its parent ends.

Needs: math-verify, in the Python that runs it.
"""

import contextlib
import json
import os
import select
import subprocess
import sys
import threading

TIME_LIMIT_S = 5.0
"""Seconds one verification may take."""
START_LIMIT_S = 120.0
"""Seconds the worker may take to start; importing sympy is slow on a cold disk."""
MAX_SOLUTION_CHARS = 100_000
"""Only the end of a longer solution is read; answers stand at the end."""

STATUSES = ("correct", "wrong", "no_answer", "timeout", "error")


def compute_score(data_source, solution_str, ground_truth, extra_info=None, **_):
    """Score one solution: the signature of verl's custom reward functions.

    Args:
        data_source: the row's data source; not used.
        solution_str: the model's whole answer.
        ground_truth: the bare final answer, or LaTeX, or a text that ends in ``#### answer``.
        extra_info: the row's extra_info; ``persona`` and ``row_id`` are passed through.
    """
    return _result(_verify(solution_str, ground_truth), extra_info)


def _result(status, extra_info):
    info = extra_info or {}
    correct = float(status == "correct")
    return {
        "score": correct,
        "acc": correct,
        "no_answer": float(status == "no_answer"),
        "timeout": float(status == "timeout"),
        "error": float(status == "error"),
        "status": status,
        "persona": str(info.get("persona", "")),
        "row_id": str(info.get("row_id", "")),
    }


# --- the caller's side: one worker per process, requests one at a time ---------------------

_lock = threading.Lock()
_worker = None
_worker_owner = None  # pid that started it: a forked child must not talk through its parent's pipes


def _verify(solution, gold):
    if not isinstance(solution, str) or not str(gold if gold is not None else "").strip():
        return "error" if isinstance(solution, str) else "no_answer"
    request = json.dumps({"solution": solution[-MAX_SOLUTION_CHARS:], "gold": str(gold)}) + "\n"
    with _lock:
        try:
            reply = _ask(request.encode())
        except (OSError, EOFError) as error:
            # A worker that died before it answered may have been killed from outside: ask another, once.
            _stop_worker()
            try:
                reply = _ask(request.encode())
            except (OSError, EOFError):
                _stop_worker()
                print(f"math_reward: the verifier process failed twice ({error!r})", file=sys.stderr)
                return "error"
        if reply is None:
            _stop_worker()
            return "timeout"
    if reply["status"] == "error":
        print(f"math_reward: math-verify failed: {reply.get('reason')}", file=sys.stderr)
    return reply["status"]


def _ask(request):
    """Send one request; the reply as a dict, or None when the time limit passed."""
    worker = _running_worker()
    worker.stdin.write(request)
    worker.stdin.flush()
    line = _read_line(worker, TIME_LIMIT_S)
    return None if line is None else json.loads(line)


def _running_worker():
    global _worker, _worker_owner
    if _worker is None or _worker_owner != os.getpid() or _worker.poll() is not None:
        _worker_owner = os.getpid()
        _worker = subprocess.Popen(
            [sys.executable, os.path.abspath(__file__), "--worker"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        if _read_line(_worker, START_LIMIT_S) is None:  # it says when it is ready, so that start-up is not timed
            raise EOFError(f"the verifier did not start within {START_LIMIT_S} s; is math-verify installed?")
    return _worker


def _read_line(worker, limit_s):
    """One line of the worker's output, or None after ``limit_s`` seconds."""
    ready, _, _ = select.select([worker.stdout], [], [], limit_s)
    if not ready:
        return None
    line = worker.stdout.readline()
    if not line:
        raise EOFError(f"the verifier ended with status {worker.wait()}")
    return line


def _stop_worker():
    global _worker
    if _worker is not None and _worker_owner == os.getpid():
        _worker.kill()
        _worker.wait()
        for pipe in (_worker.stdin, _worker.stdout):
            with contextlib.suppress(OSError):  # unsent bytes to a dead worker
                pipe.close()  # type: ignore[union-attr]
    _worker = None


# --- the worker's side ---------------------------------------------------------------------


def _judge(solution, gold):
    """math-verify's judgement. Golds are boxed: it reads 108 of MATH-500's 500 bare ones wrongly."""
    from math_verify import ExprExtractionConfig, LatexExtractionConfig, parse, verify

    gold = gold.rpartition("####")[2].strip()
    boxed = gold if "\\boxed" in gold else f"\\boxed{{{gold}}}"
    # The parent keeps the time limit, by killing this process.
    gold_parsed = parse(boxed, [LatexExtractionConfig()], parsing_timeout=None)
    if not gold_parsed:
        raise ValueError(f"cannot read the ground truth {gold!r}")
    answer = parse(solution, [LatexExtractionConfig(), ExprExtractionConfig()], parsing_timeout=None)
    if not answer:
        return "no_answer"
    return "correct" if verify(gold_parsed, answer, timeout_seconds=None) else "wrong"


def _serve():
    import logging

    import math_verify  # noqa: F401  (the slow import, before the first request's clock starts)

    logging.getLogger("math_verify").setLevel(logging.CRITICAL)
    replies = os.fdopen(os.dup(sys.stdout.fileno()), "w", buffering=1)
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # whatever prints must not garble the replies
    replies.write("ready\n")
    for line in sys.stdin:
        request = json.loads(line)
        try:
            reply = {"status": _judge(request["solution"], request["gold"])}
        except Exception as error:
            reply = {"status": "error", "reason": repr(error)[:500]}
        replies.write(json.dumps(reply) + "\n")


if __name__ == "__main__" and sys.argv[1:] == ["--worker"]:
    _serve()
