r"""Binary answer correctness with math-verify, blind to the persona. One file, copy it anywhere.

verl:  reward.custom_reward_function.path=/path/to/math_reward.py
       reward.custom_reward_function.name=compute_score

``compute_score`` returns 1.0 or 0.0 (the paper, appendix B.4) in a dict that has the same
keys for every sample, on failures too:

    score, acc        1.0 if the answer is correct, else 0.0
    no_answer         1.0 if math-verify found no answer in the solution
    timeout, error    1.0 if no verdict was reached; such a sample scores 0.0 and is counted here
    status            "correct", "wrong", "no_answer", "timeout" or "error"
    pred              the answer that was read in the solution, as text; empty if none was
    persona, row_id   copied from extra_info, for curves per persona

math-verify keeps its time limits with signals, which work in the main thread only, and verl
calls rewards from worker threads: there math-verify raises, and "wrong" would be a lie. So
the work is done in a child process, this same file run with ``--worker``, which answers one
JSON line per request and is killed and replaced when a request exceeds ``TIME_LIMIT_S``. It
starts with the first request and ends when its input closes, that is, when its parent ends;
one that is hanging then is ended by a timer of its own.

Needs: math-verify, in the Python that runs it.
"""

import itertools
import json
import os
import select
import signal
import subprocess
import sys
import threading
import time

TIME_LIMIT_S = 5.0
"""Seconds one verification may take."""
START_LIMIT_S = 120.0
"""Seconds the worker may take to start; importing sympy is slow on a cold disk."""
MAX_SOLUTION_CHARS = 100_000
"""Only the end of a longer solution is read; answers stand at the end."""
MAX_GOLD_CHARS = 10_000
"""A longer ground truth is an error."""
MAX_PRED_CHARS = 200
"""What is kept of the answer that was read."""

STATUSES = ("correct", "wrong", "no_answer", "timeout", "error")


def compute_score(data_source, solution_str, ground_truth, extra_info=None, **_):
    """Score one solution: the signature of verl's custom reward functions.

    Args:
        data_source: the row's data source; not used.
        solution_str: the model's whole answer.
        ground_truth: the bare final answer, or LaTeX, or a text that ends in ``#### answer``.
        extra_info: the row's extra_info; ``persona`` and ``row_id`` are passed through.
    """
    status, pred = _verify(solution_str, ground_truth)
    return _result(status, pred, extra_info)


def _result(status, pred, extra_info):
    info = extra_info or {}
    correct = float(status == "correct")
    return {
        "score": correct,
        "acc": correct,
        "no_answer": float(status == "no_answer"),
        "timeout": float(status == "timeout"),
        "error": float(status == "error"),
        "status": status,
        "pred": pred,
        "persona": str(info.get("persona", "")),
        "row_id": str(info.get("row_id", "")),
    }


# --- the caller's side: one worker per process, requests one at a time ---------------------

_lock = threading.Lock()
_worker = None
_request_ids = itertools.count()


def _forget_worker():
    """In a forked child: the worker is the parent's, and the lock may be held by a thread that is not here."""
    global _lock, _worker
    _lock, _worker = threading.Lock(), None


os.register_at_fork(after_in_child=_forget_worker)


def _verify(solution, gold):
    """Status and the answer that was read."""
    gold = str(gold if gold is not None else "").strip()
    if not isinstance(solution, str):
        return "no_answer", ""
    if not gold or len(gold) > MAX_GOLD_CHARS:
        return "error", ""
    with _lock:
        for attempt in (1, 2):
            try:
                reply = _ask(solution[-MAX_SOLUTION_CHARS:], gold)
                break
            except (OSError, EOFError) as error:
                # A worker that died before it answered may have been killed from outside: ask another, once.
                _stop_worker()
                if attempt == 2:
                    print(f"math_reward: the verifier process failed twice ({error!r})", file=sys.stderr)
                    return "error", ""
            except BaseException:  # an interrupt leaves an answer in the pipe that would be the next sample's
                _stop_worker()
                raise
        if reply is None:
            _stop_worker()
            return "timeout", ""
    if reply["status"] == "error":
        print(f"math_reward: math-verify failed: {reply.get('reason')}", file=sys.stderr)
    return reply["status"], reply["pred"]


def _ask(solution, gold):
    """Send one request; the reply as a dict, or None when the time limit passed."""
    worker = _running_worker()
    request = {"id": next(_request_ids), "limit": TIME_LIMIT_S, "solution": solution, "gold": gold}
    deadline = time.monotonic() + TIME_LIMIT_S
    if not _write(worker, json.dumps(request).encode() + b"\n", deadline):
        return None
    line = _read_line(worker, deadline)
    if line is None:
        return None
    reply = json.loads(line)
    if reply["id"] != request["id"]:
        raise EOFError(f"the verifier answered request {reply['id']} instead of {request['id']}")
    return reply


def _running_worker():
    global _worker
    if _worker is None or _worker.poll() is not None:
        _worker = subprocess.Popen(
            [sys.executable, os.path.abspath(__file__), "--worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            bufsize=0,
            env={**os.environ, "PYTHONSAFEPATH": "1"},  # files beside this one must not shadow modules
        )
        os.set_blocking(_worker.stdin.fileno(), False)  # type: ignore[union-attr]
        # It says when it is ready, so that start-up is not timed.
        if _read_line(_worker, time.monotonic() + START_LIMIT_S) is None:
            raise EOFError(f"the verifier did not start within {START_LIMIT_S} s; is math-verify installed?")
    return _worker


def _write(worker, data, deadline):
    """Write all of it; False if the worker did not take it before the deadline."""
    while data:
        _, ready, _ = select.select([], [worker.stdin], [], max(deadline - time.monotonic(), 0))
        if not ready:
            return False
        data = data[os.write(worker.stdin.fileno(), data[: select.PIPE_BUF]) :]
    return True


def _read_line(worker, deadline):
    """One line of the worker's output, or None if it did not come before the deadline."""
    line = b""
    while not line.endswith(b"\n"):
        ready, _, _ = select.select([worker.stdout], [], [], max(deadline - time.monotonic(), 0))
        if not ready:
            return None
        chunk = os.read(worker.stdout.fileno(), 65536)
        if not chunk:
            raise EOFError(f"the verifier ended with status {worker.wait()}")
        line += chunk
    if line.count(b"\n") > 1:
        raise EOFError("the verifier gave a reply that nobody waits for")
    return line


def _stop_worker():
    global _worker
    worker, _worker = _worker, None
    if worker is not None:
        worker.kill()
        worker.wait()
        for pipe in (worker.stdin, worker.stdout):
            pipe.close()  # type: ignore[union-attr]


# --- the worker's side ---------------------------------------------------------------------


def _judge(solution, gold):
    """math-verify's judgement and the answer it read. Golds are boxed: it misreads 108 of MATH-500's 500 bare ones.

    Where it swallows an exception of its own and goes on as if there were no answer, or a wrong
    one, it is asked again to raise it. The parent keeps the time limit, by killing this process.
    """
    from math_verify import ExprExtractionConfig, LatexExtractionConfig, parse, verify

    gold = gold.rpartition("####")[2].strip()
    boxed = gold if "\\boxed" in gold else f"\\boxed{{{gold}}}"
    gold_parsed = parse(boxed, [LatexExtractionConfig()], parsing_timeout=None)
    if not gold_parsed:
        raise ValueError(f"cannot read the ground truth {gold!r}")
    targets = [LatexExtractionConfig(), ExprExtractionConfig()]
    answer = parse(solution, targets, parsing_timeout=None)
    if not answer:
        parse(solution, targets, parsing_timeout=None, raise_on_error=True)
        return "no_answer", ""
    # The text it read stands behind the expressions it made of it.
    pred = next((part for part in reversed(answer) if isinstance(part, str)), "")[:MAX_PRED_CHARS]
    if verify(gold_parsed, answer, timeout_seconds=None):
        return "correct", pred
    verify(gold_parsed, answer, timeout_seconds=None, raise_on_error=True)
    return "wrong", pred


def _serve():
    import logging

    replies = os.fdopen(os.dup(sys.stdout.fileno()), "w", buffering=1)
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # whatever prints must not garble the replies

    import math_verify  # noqa: F401  (the slow import, before the first request's clock starts)

    logging.getLogger("math_verify").setLevel(logging.CRITICAL)
    replies.write("ready\n")
    for line in sys.stdin:
        request = json.loads(line)
        # CPU seconds, default action: ends a hanging worker whose parent is gone.
        signal.setitimer(signal.ITIMER_PROF, request["limit"] + 5)
        try:
            status, pred = _judge(request["solution"], request["gold"])
            reply = {"status": status, "pred": pred}
        except Exception as error:
            reply = {"status": "error", "pred": "", "reason": repr(error)[:500]}
        replies.write(json.dumps({"id": request["id"], **reply}) + "\n")


if __name__ == "__main__" and sys.argv[1:] == ["--worker"]:
    _serve()
