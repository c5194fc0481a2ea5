r"""Reward for code: binary correctness of programs, independent of the persona.

verl:  reward.custom_reward_function.path=/path/to/code_reward.py
       reward.custom_reward_function.name=compute_score_async   (or compute_score)

``ground_truth`` is JSON, as in verl's code rows; a function's values may also be given as JSON text:

    {"inputs": ["3\n1 2 3\n"], "outputs": ["6\n"], "fn_name": null}             reads standard input
    {"inputs": [[[1, 2, 3]]], "outputs": [6], "fn_name": "total"}               a function, or a method of Solution

``compute_score`` returns 1.0 if the program in the completion passes every test, else 0.0, in a dict with the keys of
``math_reward.py``, the same for every sample:

    score, acc        1.0 or 0.0
    no_answer         1.0 if there is no program in the completion
    timeout           1.0 if the program exceeded its time limit
    error             1.0 if there is no result: the sandbox failed, or the ground truth cannot be parsed
    status            "correct", "wrong", "no_answer", "timeout" or "error"
    pred              "12 of 12 tests", "test 3 of 12: wrong output", ...
    persona, row_id   copied from extra_info, for curves per persona
    truncated_thought with ``thinking`` alone: 1.0 if the completion ended inside a thought

``thinking`` and ``thought_marks`` are those of ``math_reward.py``.

Each test runs in its own sandbox (``permix_verl.sandbox``): bubblewrap's namespaces, no network, a read-only file
system, limits. The expected output never enters it. If the machine does not allow that, the first call raises an error
with the reason; CODE_REWARD_SANDBOX=off-programs-run-with-my-rights accepts the risk.

Needs: permix-verl and bubblewrap, on every node that scores. Works in any thread.
"""

import asyncio
import concurrent.futures
import os
import threading

from permix_verl.code import Cases, extract_program, judge
from permix_verl.errors import UserError
from permix_verl.reward_fns.math_reward import split_thoughts
from permix_verl.sandbox import Limits, Sandbox

WORKERS = int(os.environ.get("CODE_REWARD_WORKERS") or os.cpu_count() or 1)
"""Concurrent programs per calling process."""
LIMITS = Limits(cpu_s=int(os.environ.get("CODE_REWARD_CPU_S") or 6))
"""Limits of each test."""
MAX_SOLUTION_CHARS = 200_000
"""Only the end of a longer completion is read; the program is at the end."""

_lock = threading.Lock()
_shared: dict = {}


def compute_score(data_source, solution_str, ground_truth, extra_info=None, thinking=None, thought_marks=(), **_):
    """Score one completion: the signature of verl's custom reward functions.

    Args:
        data_source: the row's data source; unused.
        solution_str: the model's whole completion.
        ground_truth: the tests, as JSON.
        extra_info: the row's extra_info; ``persona`` and ``row_id`` are copied.
        thinking: "on" or "open" for a model that thinks first; "open": the prompt ends with ``<think>``.
        thought_marks: other marks of thoughts than ``<think>`` and ``</think>``, in pairs.

    Returns:
        A dict with the keys listed in the module's docstring.

    Raises:
        permix_verl.sandbox.SandboxUnavailableError: this machine cannot isolate a program.
    """
    return _submit(solution_str, ground_truth, extra_info, thinking, thought_marks).result()


async def compute_score_async(
    data_source, solution_str, ground_truth, extra_info=None, thinking=None, thought_marks=(), **_
):
    """Async version of ``compute_score``; running programs block no thread of the event loop."""
    return await asyncio.wrap_future(_submit(solution_str, ground_truth, extra_info, thinking, thought_marks))


def compute_score_batch(
    data_sources, solution_strs, ground_truths, extra_infos=None, thinking=None, thought_marks=(), **_
):
    """Score many completions, ``WORKERS`` concurrently: the signature of verl's batch reward manager.

    Returns:
        A list of ``compute_score``'s dicts, in order.
    """
    infos = extra_infos if extra_infos is not None else [None] * len(solution_strs)
    rows = zip(solution_strs, ground_truths, infos, strict=True)
    futures = [_submit(*row, thinking, thought_marks) for row in rows]
    return [future.result() for future in futures]


def _submit(solution, ground_truth, extra_info, thinking=None, thought_marks=()):
    solution, cut = split_thoughts(solution, thinking, thought_marks)
    with _lock:
        if not _shared:
            _shared["sandbox"] = Sandbox(os.environ.get("CODE_REWARD_SANDBOX") or "on")
            _shared["pool"] = concurrent.futures.ThreadPoolExecutor(WORKERS)
    return _shared["pool"].submit(_score, solution, ground_truth, extra_info, cut)


def _score(solution, ground_truth, extra_info, cut=None):
    try:
        cases = Cases.from_ground_truth(ground_truth)
    except UserError as error:
        return _result("error", str(error), extra_info, cut)
    program = extract_program((solution or "")[-MAX_SOLUTION_CHARS:], cases.call)
    result = judge(program, cases, _shared["sandbox"], LIMITS)
    return _result(result.status, result.summary, extra_info, cut)


def _result(status, pred, extra_info, cut=None):
    info = extra_info or {}
    correct = float(status == "correct")
    found = {
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
    return found if cut is None else found | {"truncated_thought": float(cut)}
