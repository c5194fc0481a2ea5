"""What runs inside the sandbox, in the program's own process: set the limits, then become the program.

Nothing here is secret and nothing here is trusted afterwards: whatever the program does to this file's objects, its
process ends with it, and what counts was written to standard output and is read outside.

Called by sandbox/running.py as ``python -I -S -B driver.py FD BEGUN``: FD holds a marshalled dict and the program,
and BEGUN is told when the program begins.
"""

import marshal
import os
import resource
import sys


def main() -> None:
    settings_fd, begun = int(sys.argv[1]), int(sys.argv[2])
    with os.fdopen(settings_fd, "rb") as stream:
        settings = marshal.load(stream)
        program = stream.read().decode("utf-8", "replace")
    limit(settings)
    sys.argv = ["solution.py"]
    sys.path += settings["path"]
    add_what_site_would()
    call = settings["call"]
    result = silence() if call else None
    # What came before is ours, and a failure of it; what comes now is the program's.
    os.write(begun, b"b")
    os.close(begun)
    module = type(sys)("solution" if call else "__main__")
    sys.modules[module.__name__] = module
    try:
        code = compile(program, "solution.py", "exec", dont_inherit=True)
        offer_imports(code, module.__dict__, settings["stars"], settings["modules"])
        exec(code, module.__dict__)
        if result:
            answer(module, call, *result)
    except SystemExit as end:
        if isinstance(end.code, str):
            print(end.code, file=sys.stderr)


def limit(settings):  # type: ignore[no-untyped-def]
    """Identity and limits; the hard ones, so that the program cannot raise them."""
    for name, value in settings["limits"].items():
        soft, hard = value
        _, most = resource.getrlimit(getattr(resource, name))
        if most != resource.RLIM_INFINITY:
            hard = min(hard, most) if hard != resource.RLIM_INFINITY else most
            soft = min(soft, hard) if hard != resource.RLIM_INFINITY else soft
        resource.setrlimit(getattr(resource, name), (soft, hard))
    user = settings["user"]
    if user is not None:
        os.setgroups([])
        os.setresgid(user, user, user)
        os.setresuid(user, user, user)


def add_what_site_would():  # type: ignore[no-untyped-def]
    """``exit`` and ``quit``, which many programs call, without the cost of ``site``."""
    import builtins
    from _sitebuiltins import Quitter

    for name in ("exit", "quit"):
        setattr(builtins, name, Quitter(name, "Ctrl-D"))


def silence():  # type: ignore[no-untyped-def]
    """Take standard input and output for ourselves: the program's prints are not its answer. The two streams."""
    given = os.fdopen(os.dup(0), encoding="utf-8")
    answer_to = os.dup(1)
    nothing = os.open("/dev/null", os.O_RDWR)
    os.dup2(nothing, 0)
    os.dup2(nothing, 1)
    os.close(nothing)
    return given, answer_to


def offer_imports(code, names, stars, modules):  # type: ignore[no-untyped-def]
    """Bind what LiveCodeBench imports in front of every program, as far as the program names it.

    Args:
        stars: name -> the module whose ``*`` it comes from.
        modules: names of modules.
    """
    wanted = set()
    open_codes = [code]
    while open_codes:
        one = open_codes.pop()
        wanted.update(one.co_names)
        open_codes += [constant for constant in one.co_consts if isinstance(constant, type(code))]
    for name in wanted & stars.keys():
        module = __import__(stars[name])
        if hasattr(module, name):
            names[name] = getattr(module, name)
    for name in wanted & set(modules):
        names[name] = __import__(name)
    sys.setrecursionlimit(50_000)


def answer(module, call, given, answer_to):  # type: ignore[no-untyped-def]
    """Call the function with the arguments, one JSON value a line, and write what it returns as JSON."""
    import json

    arguments = [json.loads(line) for line in given.read().split("\n") if line.strip()]
    solution = getattr(module, "Solution", None)
    function = getattr(solution(), call, None) if isinstance(solution, type) else None
    function = function or getattr(module, call, None)
    if function is None:
        raise NameError(f"the program defines no function or Solution method {call!r}")
    text = json.dumps(function(*arguments), default=plain)
    with os.fdopen(answer_to, "w", encoding="utf-8") as stream:
        stream.write(text)


def plain(value):  # type: ignore[no-untyped-def]
    """numpy's numbers and arrays as Python's."""
    if hasattr(value, "tolist"):
        return value.tolist()
    raise TypeError(f"a {type(value).__name__} is no JSON value")


if __name__ == "__main__":
    main()
