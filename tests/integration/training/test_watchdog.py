"""The watchdog names a part that has died or stalls, and leaves working parts alone."""

import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from permix_verl.training.guards.watchdog import CAUSE_FILE, UnreachableError, Watchdog


class Reply:
    """A part that replies with the result of a function."""

    def __init__(self, give: Callable[[], Any]) -> None:
        self.give = give

    def wait(self, timeout_s: float) -> tuple[bool, Any]:
        return True, self.give()


class Silence:
    def wait(self, timeout_s: float) -> tuple[bool, Any]:
        return False, None


def fail() -> Any:
    raise ConnectionError("The actor died unexpectedly.\n  more of it")


def watchdog(run_dir: Path | None = None, stall_s: float = 0.2, warm_up_s: float = 0.0, **parts: Any) -> Watchdog:
    named = {name.replace("_", " "): part for name, part in parts.items()}
    return Watchdog(named, run_dir, stall_s, interval_s=0.02, warm_up_s=warm_up_s)


def after(seconds: float, dog: Watchdog) -> str | None:
    assert dog.check() is None
    time.sleep(seconds)
    return dog.check()


def test_a_dead_part_is_named_at_once() -> None:
    dog = watchdog(reward_worker_0=lambda: Reply(lambda: True), rollout_server_0=lambda: Reply(fail))
    assert dog.check() == "rollout server 0 is gone (ConnectionError: The actor died unexpectedly.)"
    assert dog.diagnose() == ["rollout server 0 is gone (ConnectionError: The actor died unexpectedly.)"]


def test_a_part_whose_probe_cannot_be_sent_is_named() -> None:
    dog = watchdog(rollout_server_0=fail, reward_worker_0=lambda: Reply(lambda: True))
    assert "rollout server 0 is gone" in str(dog.check())
    assert len(dog.diagnose()) == 1


class Unreachable:
    """A part that is unreachable for some probes."""

    def __init__(self, failed_probes: int, then: Callable[[], Any]) -> None:
        self.left, self.then = failed_probes, then

    def __call__(self) -> Reply:
        self.left -= 1
        return Reply(self.then if self.left < 0 else self.unreachable)

    def unreachable(self) -> Any:
        raise UnreachableError("The actor is unavailable: RPC error")


def test_an_unreachable_part_is_probed_until_it_is_known_to_be_dead() -> None:
    dog = watchdog(rollout_server_0=lambda: Reply(lambda: True), rollout_server_1=Unreachable(3, fail))
    assert dog.diagnose(undecided_s=3.0) == ["rollout server 1 is gone (ConnectionError: The actor died unexpectedly.)"]


def test_a_network_that_recovers_is_no_fault() -> None:
    assert watchdog(rollout_server_1=Unreachable(3, lambda: True)).diagnose(undecided_s=3.0) == []
    dog = watchdog(rollout_server_1=Unreachable(1, lambda: True))
    assert dog.check() is None
    assert dog.check() is None


def test_a_part_that_stays_unreachable_is_named() -> None:
    dog = watchdog(rollout_server_1=Unreachable(10**6, lambda: True))
    problem = "rollout server 1 cannot be reached (The actor is unavailable: RPC error)"
    assert dog.diagnose(undecided_s=0.1) == [problem]
    dog.set_waiting("rollouts of step 1", queue=0)
    assert "rollout server 1 does not answer" in str(after(0.3, dog)), "and it is no progress"


def test_a_silent_part_is_named_when_nothing_progresses() -> None:
    dog = watchdog(agent_loop_worker_3=Silence)
    assert after(0.3, dog) is None, "nobody waits for it"
    dog.set_waiting("rollouts of step 1", queue=0)
    cause = str(after(0.3, dog))
    assert cause.startswith("no progress for 0 s while waiting for rollouts of step 1")
    assert "agent loop worker 3 does not answer" in cause
    assert watchdog(a=Silence).diagnose(patience_s=0.1) == ["a has not answered for 0 s"]


def test_a_part_too_busy_to_answer_is_left_alone_while_rollouts_finish() -> None:
    dog = watchdog(rollout_server_0=Silence)
    for finished in range(4):
        dog.set_waiting("rollouts", queue=finished, finished=finished)
        assert after(0.1, dog) is None


def test_the_first_rollout_of_a_launch_has_a_longer_limit() -> None:
    dog = watchdog(warm_up_s=10.0)
    dog.set_waiting("rollouts", queue=1)
    assert after(0.3, dog) is None
    dog.set_waiting("rollouts", queue=2, finished=1)
    assert after(0.3, dog) is not None


def test_a_queue_that_is_shut_down_after_training_is_no_fault() -> None:
    dog = Watchdog({"the transfer queue": lambda: Reply(fail)}, None, only_while_waiting=["the transfer queue"])
    assert dog.check() is None
    dog.set_waiting("rollouts")
    assert "the transfer queue is gone" in str(dog.check())


def test_the_first_cause_is_kept(tmp_path: Path) -> None:
    dog = watchdog(tmp_path)
    dog.report("2 prompts failed")
    dog.report("rollout server 0 is gone")
    assert (tmp_path / CAUSE_FILE).read_text() == "2 prompts failed"


def test_a_stalled_wait_names_what_it_waits_for() -> None:
    dog = watchdog(
        rollout_server_0=lambda: Reply(lambda: "96 unfinished requests, 12 tokens so far"),
        reward_worker_0=lambda: Reply(lambda: True),
    )
    dog.set_waiting("rollouts of step 7, 12 prompts running", queue=(0, 12))
    cause = str(after(0.3, dog))
    assert cause.startswith("no progress for 0 s while waiting for rollouts of step 7, 12 prompts running")
    assert cause.endswith("(rollout server 0: 96 unfinished requests, 12 tokens so far)")


def test_tokens_finished_prompts_and_other_work_are_progress() -> None:
    tokens = iter(range(1, 100))
    generating = watchdog(rollout_server_0=lambda: Reply(lambda: next(tokens)))
    generating.set_waiting("rollouts", queue=1)
    assert after(0.3, generating) is None, "a long completion is no stall"

    finishing = watchdog()
    finishing.set_waiting("rollouts", queue=1)
    time.sleep(0.3)
    finishing.set_waiting("rollouts", queue=2)
    assert finishing.check() is None

    training = watchdog()
    training.set_waiting("rollouts", queue=1)
    training.set_waiting(None)
    assert after(0.3, training) is None, "only a wait can stall"


def test_the_thread_writes_the_cause_and_ends_the_process(tmp_path: Path) -> None:
    ended = threading.Event()
    dog = Watchdog({"reward worker 0": lambda: Reply(fail)}, tmp_path, interval_s=0.02, end=ended.set)
    dog.start()
    assert ended.wait(5)
    assert (tmp_path / CAUSE_FILE).read_text().startswith("reward worker 0 is gone")


def test_a_fault_of_the_watchdog_does_not_end_the_run(tmp_path: Path) -> None:
    ended = threading.Event()
    dog = Watchdog({}, tmp_path, interval_s=0.02, end=ended.set)
    dog.check = fail  # type: ignore[method-assign]
    dog.start()
    assert not ended.wait(0.2)
    assert not (tmp_path / CAUSE_FILE).exists()
