"""Process activity: a working process is told from one that polls, by the kernel's counters."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest

from permix_verl.training.process_activity import ProcessActivity, Reading, read_processes
from permix_verl.utils import processes


@pytest.fixture
def token() -> Iterator[str]:
    value = processes.new_token()
    yield value
    processes.end_processes(value, grace_s=1.0)


def run(token: str, program: str) -> subprocess.Popen[bytes]:
    environment = {processes.TOKEN_VARIABLE: token, "PATH": os.environ["PATH"]}
    process = subprocess.Popen([sys.executable, "-c", program], env=environment, stdout=subprocess.PIPE)
    assert process.stdout is not None
    process.stdout.readline()  # wait for its start
    return process


WAITS = "import time\nprint(flush=True)\nwhile True: time.sleep(0.1)"
COMPUTES = "print(flush=True)\nwhile True: pass"
READS = "print(flush=True)\nimport time\nwhile True:\n open('/dev/zero', 'rb').read(1 << 20); time.sleep(0.2)"
CHILDREN = "import subprocess, sys\nprint(flush=True)\nwhile True: subprocess.run([sys.executable, '-c', 'pass'])"


@pytest.mark.parametrize(
    ("program", "works"), [(WAITS, False), (COMPUTES, True), (READS, True), (CHILDREN, True)], ids=lambda x: str(x)[:9]
)
def test_work_is_told_from_waiting_by_the_kernels_counters(token: str, program: str, works: bool) -> None:
    run(token, program)
    activity = ProcessActivity(lambda: read_processes(token), window_s=0.5)
    assert activity.is_working(), "nothing is known yet"
    time.sleep(0.6)
    activity.is_working()  # its own start-up has ended
    time.sleep(1.0)
    assert activity.is_working() == works


@pytest.mark.parametrize(
    ("counted", "works"),
    [
        (Reading("p", "S", 0.2, 200_000, 4, {1: 4.0, 2: 4.0}), False),  # a polling process of a hung run
        (Reading("p", "S", 0.5, 0, 0, {}), True),
        (Reading("p", "D", 0.0, 3_000_000, 0, {}), True),
        (Reading("p", "D", 0.0, 0, 5, {}), True),  # memory-mapped weights on a slow disk
        (Reading("p", "R", 0.1, 0, 0, {1: 0.1, 2: 9.0}), True),  # waits for a core that others use
    ],
)
def test_work_exceeds_polling_or_waits_for_a_core(counted: Reading, works: bool) -> None:
    nothing = Reading("p", "S", 0.0, 0, 0, {})
    assert counted.has_worked(nothing, seconds=10.0) == works
    assert counted.has_worked(None, seconds=10.0) == works, "one that has begun since"
    assert counted.has_worked(counted, seconds=10.0) is False


def test_a_stopped_process_is_named(token: str) -> None:
    process = run(token, WAITS)
    process.send_signal(signal.SIGSTOP)
    time.sleep(0.2)
    activity = ProcessActivity(lambda: read_processes(token))
    activity.is_working()
    assert [line.endswith(f"(pid {process.pid}) is stopped") for line in activity.describe_blocked()] == [True]
