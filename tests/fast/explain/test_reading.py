"""``permix doctor --explain`` reads lines of many processes apart: prefixes, chains, which of them is the cause."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from permix_verl.explain.choosing import Explanation, explain
from permix_verl.explain.lines import parse_line

PREFIXES = [
    ("\x1b[36m(TaskRunnerV1 pid=16)\x1b[0m text", "TaskRunnerV1 pid=16", "", "text"),
    ("(WorkerDict pid=7, ip=10.0.0.2) text", "WorkerDict pid=7, ip=10.0.0.2", "", "text"),
    ("(pid=7) text", "pid=7", "", "text"),
    ("(raylet, ip=10.0.0.2) text", "raylet, ip=10.0.0.2", "", "text"),
    (
        "(VllmWorker rank=0 pid=6) ERROR 06-20 12:27:37 [multiproc.py:5]   File",
        "VllmWorker rank=0 pid=6",
        "ERROR",
        "  File",
    ),
    (
        "(Server pid=2) (EngineCore_DP0 pid=3) ERROR 11-28 10:38:12 [core.py:1] x",
        "Server pid=2 > EngineCore_DP0 pid=3",
        "ERROR",
        "x",
    ),
    ("(Server pid=2) (Worker pid=3) text", "Server pid=2 > Worker pid=3", "", "text"),
    ("ERROR 04-26 01:59:07 worker_base.py:157] text", "", "ERROR", "text"),
    ("[rank1]: Traceback (most recent call last):", "rank1", "", "Traceback (most recent call last):"),
    ("[rank7]:[E626 05:14:36.393067540 ProcessGroupNCCL.cpp:1743] text", "rank7", "ERROR", "text"),
    (
        "(WorkerDict pid=7) [rank1]:W1128 10:17:22.796000 7 a/b.py:56] text",
        "WorkerDict pid=7 > rank1",
        "WARNING",
        "text",
    ),
    ("(WorkerDict pid=7) INFO:2026-11-28 10:24:32,787:text", "WorkerDict pid=7", "INFO", "text"),
    ("[2026-11-28 10:35:20,383][a/b.py][WARNING] - text", "", "WARNING", "text"),
    ("2026-11-28 10:24:05,086\tWARNING worker.py:85 -- text", "", "WARNING", "text"),
    ("(raylet) [2025-12-07 09:57:19,206 E 39 39] (raylet) node_manager.cc:3277: text", "raylet", "ERROR", "text"),
    ("2026-11-28 10:31:48,919 - ERROR - a.b - text", "", "ERROR", "text"),
    ("worker-1  | 2024-09-26 06:12:44 | ERROR | stderr | text", "", "ERROR", "text"),
    ("[2026-02-24T20:21:58Z] (EngineCore pid=6)     raise x", "EngineCore pid=6", "", "    raise x"),
    ("[2026-03-11 17:47:54] text", "", "", "text"),
    ("10%|# |\r20%|## |\rtext", "", "", "text"),
    ("vllm-1  | INFO 03-22 09:50:04 [core.py:340] text", "", "INFO", "text"),
    ("Aug 17 18:42:18 host vllm[8052]: (APIServer pid=8052)   File", "APIServer pid=8052", "", "  File"),
    ("\u2502 ERROR 09-27 06:46:46 engine.py:157] text", "", "ERROR", "text"),
    (
        "> (EngineCore_DP0 pid=3)ESC[0;0m ERROR 09-17 05:40:55 [v1/engine/core.py:7] text",
        "EngineCore_DP0 pid=3",
        "ERROR",
        "text",
    ),
    ('123   File "/a.py", line 6, in fit', "", "", '  File "/a.py", line 6, in fit'),
    ("131 TypeError: no argument", "", "", "TypeError: no argument"),
    ("[131] TypeError: no argument", "", "", "TypeError: no argument"),
    ("131 rows", "", "", "131 rows"),
    (
        "INFO 2025-11-19T20:16:36.09Z [resource.labels.containerName: vllm] (Engine pid=2) text",
        "Engine pid=2",
        "",
        "text",
    ),
    ("a | b", "", "", "a | b"),
    ("(worker) text", "", "", "(worker) text"),
    ("[2, 3] text", "", "", "[2, 3] text"),
]


@pytest.mark.parametrize(("raw", "process", "level", "text"), PREFIXES)
def test_a_line_is_told_from_who_wrote_it(raw: str, process: str, level: str, text: str) -> None:
    line = parse_line(3, raw + "\n")
    assert (line.number, line.process, line.level, line.text) == (3, process, level, text)


def test_times_of_different_loggers_compare() -> None:
    stamps = ["INFO 11-28 10:24:31 [a.py:1] x", "INFO:2026-11-28 10:24:31,500:x", "W1128 10:24:31.600000 7 a.py:1] x"]
    times = [parse_line(1, stamp).seconds for stamp in stamps]
    assert None not in times
    assert times == sorted(times)  # type: ignore[type-var]
    assert times[2] - times[0] == pytest.approx(0.6)  # type: ignore[operator]


def cause_of(log: str) -> Explanation:
    return explain(log.strip("\n").split("\n"))


def said(log: str) -> tuple[str, str, int]:
    """Return the cause's first line, its process and its line number."""
    sign = cause_of(log).cause
    assert sign is not None
    return sign.said.splitlines()[0], sign.process, sign.line


INTERLEAVED = """
(Worker pid=1) Traceback (most recent call last):
(Server pid=2) INFO 11-28 10:00:00 [a.py:1] serving
(Worker pid=1)   File "/home/user/reward.py", line 3, in score
(Server pid=2) Traceback (most recent call last):
(Worker pid=1)     return table[key]
(Server pid=2)   File "/usr/lib/python3.11/asyncio/tasks.py", line 5, in wait
(Worker pid=1) KeyError: 'gold'
(Server pid=2) ConnectionResetError: [Errno 104] Connection reset by peer
"""


def test_lines_of_two_processes_between_each_other_are_two_tracebacks() -> None:
    assert said(INTERLEAVED) == ("KeyError: 'gold'", "Worker pid=1", 7)
    sign = cause_of(INTERLEAVED).cause
    assert sign is not None
    assert str(sign.frame) == "/home/user/reward.py:3 in score"


CHAINED = """
Traceback (most recent call last):
  File "/home/user/load.py", line 3, in read
    return open(path)
FileNotFoundError: [Errno 2] No such file or directory: 'a.jsonl'

The above exception was the direct cause of the following exception:

Traceback (most recent call last):
  File "/home/user/load.py", line 9, in load
    raise BatchError("no batch") from error
load.BatchError: no batch

During handling of the above exception, another exception occurred:

Traceback (most recent call last):
  File "/home/user/run.py", line 2, in <module>
    fallback()
ValueError: no fallback either
"""


def test_the_root_of_a_chain_is_its_first_and_what_it_became_is_said_too() -> None:
    sign = cause_of(CHAINED).cause
    assert sign is not None
    assert sign.said == "FileNotFoundError: [Errno 2] No such file or directory: 'a.jsonl'"
    assert sign.became == "ValueError: no fallback either"
    assert sign.line == 4


def test_two_tracebacks_without_a_link_are_two_failures() -> None:
    two = CHAINED.replace("During handling of the above exception, another exception occurred:", "")
    assert cause_of(two).followed_by == 1
    assert cause_of(CHAINED).followed_by == 0


REMOTE = """
Error executing job with overrides: ['trainer.device=cpu']
Traceback (most recent call last):
  File "/venv/site-packages/verl/trainer/main_ppo.py", line 93, in run_ppo
    ray.get(runner.run.remote(config))
ray.exceptions.RayTaskError(ValueError): ray::TaskRunner.run() (pid=10, ip=10.0.0.1, actor_id=ab, repr=<x>)
  File "/venv/site-packages/verl/trainer/main_ppo.py", line 300, in run
    trainer.fit()
ray.exceptions.RayTaskError(ValueError): ray::WorkerDict.update_actor() (pid=20, ip=10.0.0.2, actor_id=cd)
  File "/venv/site-packages/verl/workers/actor.py", line 5, in update
    raise ValueError("the loss is no number")
ValueError: the loss is no number

Set the environment variable HYDRA_FULL_ERROR=1 for a complete stack trace.
"""


def test_of_a_task_error_in_a_task_error_the_innermost_task_is_named() -> None:
    assert said(REMOTE) == ("ValueError: the loss is no number", "WorkerDict.update_actor pid=20", 11)
    assert cause_of(REMOTE).followed_by == 0


def test_an_actor_that_could_not_be_made_is_named_by_what_it_raised() -> None:
    log = """
ray.exceptions.ActorDiedError: The actor died because of an error raised in its creation task, ray::W.__init__() (pid=4)
  File "/home/user/worker.py", line 3, in __init__
RuntimeError: no such shard
"""
    assert said(log) == ("RuntimeError: no such shard", "W.__init__ pid=4", 3)


def test_an_earlier_time_comes_first_even_where_it_is_printed_later() -> None:
    log = """
(Server pid=1) ERROR 11-28 10:00:09 [api.py:1] Traceback (most recent call last):
(Server pid=1) ERROR 11-28 10:00:09 [api.py:1]   File "/a.py", line 1, in serve
(Server pid=1) ERROR 11-28 10:00:09 [api.py:1] RuntimeError: no answer
(Engine pid=2) ERROR 11-28 10:00:03 [core.py:1] Traceback (most recent call last):
(Engine pid=2) ERROR 11-28 10:00:03 [core.py:1]   File "/b.py", line 1, in step
(Engine pid=2) ERROR 11-28 10:00:03 [core.py:1] ValueError: bad shape
"""
    assert said(log)[:2] == ("ValueError: bad shape", "Engine pid=2")
    other_clock = log.replace("10:00:03", "02:00:03")
    assert said(other_clock)[:2] == ("RuntimeError: no answer", "Server pid=1"), "eight hours are another time zone"


def test_what_says_why_comes_before_who_is_gone_and_who_only_saw_it() -> None:
    log = """
[rank0]: RuntimeError: [gloo/pair.cc:547] Connection closed by peer [127.0.0.1]:3
ray.exceptions.ActorDiedError: The actor died unexpectedly before finishing this task.
(Worker pid=3) AssertionError: 5 != 4
"""
    assert said(log) == ("AssertionError: 5 != 4", "Worker pid=3", 3)
    gone = "\n".join(log.strip("\n").split("\n")[:2])
    assert said(gone)[0].startswith("ray.exceptions.ActorDiedError")
    only_seen = log.strip("\n").split("\n")[0]
    assert "Connection closed by peer" in said(only_seen)[0]


def test_a_signal_that_ended_a_process_comes_before_what_others_raised_after_it() -> None:
    log = """
(WorkerDict pid=3) *** SIGSEGV received at time=17 on cpu 0 ***
(Runner pid=1) KeyError: 'log_probs'
"""
    sign = cause_of(log).cause
    assert sign is not None
    assert sign.signature is not None
    assert sign.signature.id == "segmentation-fault"


STEPS = "".join(f"(TaskRunnerV1 pid=1) step:{number} - reward:0.5\n" for number in range(3, 6))


def test_an_error_that_the_run_went_on_after_is_no_cause() -> None:
    log = "(Server pid=2) ValueError: a bad request\n" + STEPS
    explanation = cause_of(log)
    assert explanation.cause is None
    assert [sign.said for sign in explanation.outlived] == ["ValueError: a bad request"]
    assert said(log + "(Worker pid=3) KeyError: 'x'\n")[0] == "KeyError: 'x'"


def test_the_last_step_before_the_end_may_come_after_the_error_that_ended_it() -> None:
    assert said("(Server pid=2) ValueError: bad\n" + STEPS.splitlines()[0])[0] == "ValueError: bad"


@pytest.mark.parametrize(
    "log",
    [
        "Exception ignored in: <function Pool.__del__ at 0x7>\nTraceback (most recent call last):\n"
        '  File "/a.py", line 1, in __del__\nOSError: [Errno 9] Bad file descriptor\n',
        "WARNING 11-28 10:00:00 [a.py:1] Traceback (most recent call last):\n"
        'WARNING 11-28 10:00:00 [a.py:1]   File "/a.py", line 1, in probe\n'
        "WARNING 11-28 10:00:00 [a.py:1] ImportError: no such kernel\n",
        "UserWarning: torchtitan engine is not available: ModuleNotFoundError(\"No module named 'torchtitan'\")\n",
        "(WorkerDict pid=5)  'nccl_timeout': 600, 'on_error': 'ValueError: x'\n",
        "",
    ],
)
def test_what_does_no_harm_is_no_cause(log: str) -> None:
    assert cause_of(log).cause is None


def test_errors_that_ray_shows_once_are_counted_as_often_as_it_saw_them() -> None:
    log = (
        "(Worker pid=1) KeyError: 'gold'\n"
        "(Loop pid=2) RuntimeError: no reward\x1b[32m [repeated 7x across cluster] (Ray deduplicates logs)\x1b[0m\n"
    )
    explanation = cause_of(log)
    assert explanation.cause is not None
    assert explanation.cause.said == "KeyError: 'gold'"
    assert explanation.followed_by == 7


def test_a_log_that_begins_within_a_traceback_is_read_from_its_first_frame() -> None:
    log = """
(Engine pid=3) ERROR 11-18 14:16:34 [core.py:708]     self.workers = wait(workers)
(Engine pid=3) ERROR 11-18 14:16:34 [core.py:708]   File "/home/user/serve.py", line 509, in wait
(Engine pid=3) ERROR 11-18 14:16:34 [core.py:708]     raise e from None
(Engine pid=3) ERROR 11-18 14:16:34 [core.py:708] Exception: no worker is ready
"""
    assert said(log) == ("Exception: no worker is ready", "Engine pid=3", 4)


def test_a_fatal_line_of_a_compiled_part_is_quoted_where_nothing_says_more() -> None:
    log = "(task pid=95) [2021-10-25 02:52:12,862 C 95 11] transport.cc:591: IOError: 14: no route\n"
    assert said(log) == ("IOError: 14: no route", "task pid=95", 1)
    assert said("[2021-10-25 02:52:12,862 C 95 11] a.cc:5: Check failed: x\n" + "KeyError: 'x'")[0] == "KeyError: 'x'"


def test_a_group_of_exceptions_is_named_by_its_first() -> None:
    log = """
  + Exception Group Traceback (most recent call last):
  |   File "/home/user/serve.py", line 4, in main
  |     async with TaskGroup() as group:
  | ExceptionGroup: unhandled errors in a TaskGroup (1 sub-exception)
  +-+---------------- 1 ----------------
    | Traceback (most recent call last):
    |   File "/home/user/serve.py", line 9, in answer
    |     raise ValueError("no prompt")
    | ValueError: no prompt
    +------------------------------------
"""
    assert said(log)[0] == "ValueError: no prompt"


def test_a_message_of_this_project_is_the_cause_wherever_it_stands() -> None:
    log = "KeyError: 'x'\nray.exceptions.RayTaskError(UserError): ray::R.run() (pid=1)\n  File \"/a\", line 1, in b\n"
    assert said(log + "permix_verl.errors.UserError: row 3: bad\n")[0] == "permix_verl.errors.UserError: row 3: bad"


PIECES = st.sampled_from(
    [
        "Traceback (most recent call last):\n",
        '  File "/a.py", line 1, in f\n',
        "    x = 1\n",
        "ValueError: x\n",
        "\n",
        "During handling of the above exception, another exception occurred:\n",
        "ray.exceptions.RayTaskError(ValueError): ray::A.f() (pid=3, ip=1.1.1.1)\n",
        "(A pid=1) ",
        "[rank0]: ",
        "ERROR 11-28 10:00:00 [a.py:1] ",
        "ERROR 13-99 99:99:99 [a.py:1] ",
        "step:3 - x\n",
        "\x1b[36m",
        "\r",
        " | ",
        "KeyboardInterrupt\n",
    ]
)


@given(st.lists(PIECES | st.text(max_size=20), max_size=40))
def test_no_text_breaks_it(pieces: list[str]) -> None:
    explanation = explain("".join(pieces).split("\n"))
    if explanation.cause is not None:
        assert 1 <= explanation.cause.line <= explanation.length
        assert explanation.cause.said
