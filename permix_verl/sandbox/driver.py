"""The driver inside the sandbox, in the program's own process: set the limits, then run the program.

Nothing here is secret, and nothing here is trusted afterwards: whatever the program does to this module's objects, its
process ends with it, and its result is standard output, read outside.

run.py compiles this file and passes it in with the settings and the program, which ``main`` reads from ``stream``.
Modules that take milliseconds to import, os among them, are left to the programs that need them.
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
    # Builtins of the site module that many programs call.
    for name in ("exit", "quit"):
        setattr(builtins, name, leave)
    call = settings["call"]
    streams = take_over_streams() if call else None
    # Errors before this point are the sandbox's; after it, the program's.
    posix.write(begun, b"b")
    posix.close(begun)
    module = type(sys)("solution" if call else "__main__")
    sys.modules[module.__name__] = module
    try:
        code = compile(program, "solution.py", "exec", dont_inherit=True)
        add_imports(code, module.__dict__, settings["star_imports"], settings["modules"])
        exec(code, module.__dict__)
        if streams:
            call_function(module, call, *streams)
    except SystemExit as end:
        if isinstance(end.code, str):
            print(end.code, file=sys.stderr)


def leave(code: Any = None) -> None:
    raise SystemExit(code)


def limit(limits: dict[str, tuple[int, int]], user: int | None) -> None:
    """Set resource limits, hard ones too so that the program cannot raise them, then the uid. ``-1`` is no limit."""
    import resource

    for name, (soft, hard) in limits.items():
        limit_id = getattr(resource, name)
        ceiling = resource.getrlimit(limit_id)[1]
        if ceiling != -1:
            hard = ceiling if hard == -1 else min(hard, ceiling)
            soft = min(soft, hard)
        resource.setrlimit(limit_id, (soft, hard))
    if user is not None:
        posix.setgroups([])
        posix.setresgid(user, user, user)
        posix.setresuid(user, user, user)


def take_over_streams() -> tuple[Any, int]:
    """Return stdin as a stream and stdout as a descriptor, and give the program /dev/null: its prints do not count."""
    arguments = open(posix.dup(0), encoding="utf-8")  # noqa: SIM115 (it ends with the process)
    result = posix.dup(1)
    null = posix.open("/dev/null", posix.O_RDWR)
    posix.dup2(null, 0)
    posix.dup2(null, 1)
    posix.close(null)
    return arguments, result


def add_imports(code: Any, names: dict[str, Any], star_imports: dict[str, str], modules: tuple[str, ...]) -> None:
    """Bind the names that LiveCodeBench imports in front of every program, if the program uses them.

    Args:
        star_imports: name -> the module whose ``import *`` binds it.
        modules: names of the modules imported by name.
    """
    used = set()
    codes = [code]
    while codes:
        block = codes.pop()
        used.update(block.co_names)
        codes += [constant for constant in block.co_consts if isinstance(constant, type(code))]
    for name in used & star_imports.keys():
        module = __import__(star_imports[name])
        if hasattr(module, name):
            names[name] = getattr(module, name)
    for name in used & set(modules):
        names[name] = __import__(name)
    sys.setrecursionlimit(50_000)


def call_function(module: Any, call: str, stream: Any, result: int) -> None:
    """Call the function with the arguments in ``stream``, one JSON value per line; write its result as JSON."""
    import json

    arguments = [json.loads(line) for line in stream.read().split("\n") if line.strip()]
    solution = getattr(module, "Solution", None)
    function = getattr(solution(), call, None) if isinstance(solution, type) else None
    function = function or getattr(module, call, None)
    if function is None:
        raise NameError(f"the program defines no function or Solution method {call!r}")
    text = json.dumps(function(*arguments), default=to_python)
    with open(result, "w", encoding="utf-8") as output:
        output.write(text)


def to_python(value: Any) -> Any:
    """Convert numpy numbers and arrays to Python's."""
    if hasattr(value, "tolist"):
        return value.tolist()
    raise TypeError(f"a {type(value).__name__} is no JSON value")
