"""What runs inside the sandbox, in the program's own process: set the limits, then become the program.

Nothing here is secret and nothing here is trusted afterwards: whatever the program does to this file's objects, its
process ends with it, and what counts was written to standard output and is read outside.

running.py compiles this file and hands it in with the settings and the program: ``stream`` is what they are read from.
Modules that cost milliseconds to import, os among them, are left to the programs that want them.
"""

from __future__ import annotations

import builtins
import marshal
import posix
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def main(stream: Any, begun: int) -> None:
    with stream:
        settings = marshal.load(stream)
        program = stream.read().decode("utf-8", "replace")
    limit(settings["limits"], settings["user"])
    sys.argv = ["solution.py"]
    sys.path += settings["path"]
    # What site would bring, and many programs call.
    for name in ("exit", "quit"):
        setattr(builtins, name, leave)
    call = settings["call"]
    given = silence() if call else None
    # What came before is ours, and a failure of it; what comes now is the program's.
    posix.write(begun, b"b")
    posix.close(begun)
    module = type(sys)("solution" if call else "__main__")
    sys.modules[module.__name__] = module
    try:
        code = compile(program, "solution.py", "exec", dont_inherit=True)
        offer_imports(code, module.__dict__, settings["stars"], settings["modules"])
        exec(code, module.__dict__)
        if given:
            answer(module, call, *given)
    except SystemExit as end:
        if isinstance(end.code, str):
            print(end.code, file=sys.stderr)


def leave(code: Any = None) -> None:
    raise SystemExit(code)


def limit(limits: dict[str, tuple[int, int]], user: int | None) -> None:
    """Identity and limits; the hard ones, so that the program cannot raise them. ``-1`` is no limit."""
    import resource

    for name, (soft, hard) in limits.items():
        which = getattr(resource, name)
        most = resource.getrlimit(which)[1]
        if most != -1:
            hard = most if hard == -1 else min(hard, most)
            soft = min(soft, hard)
        resource.setrlimit(which, (soft, hard))
    if user is not None:
        posix.setgroups([])
        posix.setresgid(user, user, user)
        posix.setresuid(user, user, user)


def silence() -> tuple[Any, int]:
    """Take standard input and output for ourselves: the program's prints are not its answer. The two."""
    given = open(posix.dup(0), encoding="utf-8")  # noqa: SIM115 (it ends with the process)
    answer_to = posix.dup(1)
    nothing = posix.open("/dev/null", posix.O_RDWR)
    posix.dup2(nothing, 0)
    posix.dup2(nothing, 1)
    posix.close(nothing)
    return given, answer_to


def offer_imports(code: Any, names: dict[str, Any], stars: dict[str, str], modules: tuple[str, ...]) -> None:
    """Bind what LiveCodeBench imports in front of every program, as far as the program names it.

    Args:
        stars: name -> the module whose ``*`` it comes from.
        modules: names of modules.
    """
    wanted = set()
    codes = [code]
    while codes:
        one = codes.pop()
        wanted.update(one.co_names)
        codes += [constant for constant in one.co_consts if isinstance(constant, type(code))]
    for name in wanted & stars.keys():
        module = __import__(stars[name])
        if hasattr(module, name):
            names[name] = getattr(module, name)
    for name in wanted & set(modules):
        names[name] = __import__(name)
    sys.setrecursionlimit(50_000)


def answer(module: Any, call: str, given: Any, answer_to: int) -> None:
    """Call the function with the arguments, one JSON value a line, and write what it returns as JSON."""
    import json

    arguments = [json.loads(line) for line in given.read().split("\n") if line.strip()]
    solution = getattr(module, "Solution", None)
    function = getattr(solution(), call, None) if isinstance(solution, type) else None
    function = function or getattr(module, call, None)
    if function is None:
        raise NameError(f"the program defines no function or Solution method {call!r}")
    text = json.dumps(function(*arguments), default=plain)
    with open(answer_to, "w", encoding="utf-8") as stream:
        stream.write(text)


def plain(value: Any) -> Any:
    """numpy's numbers and arrays as Python's."""
    if hasattr(value, "tolist"):
        return value.tolist()
    raise TypeError(f"a {type(value).__name__} is no JSON value")
