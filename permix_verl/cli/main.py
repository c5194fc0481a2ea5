"""The console script ``permix``: what is asked before and after a run."""

import sys
from collections.abc import Callable, Sequence

from permix_verl.errors import exit_with_message


def doctor(arguments: Sequence[str]) -> int:
    """What would end a run, said before it begins."""
    from permix_verl.cli.doctor import main as run

    return run(arguments)


def merge(arguments: Sequence[str]) -> int:
    """An adapter and its base as one Hugging Face folder, checked to say what the adapter says."""
    from permix_verl.checkpoints.merge import main as run

    return run(arguments)


def plan(arguments: Sequence[str]) -> int:
    """What a run will take of memory and time, from its settings and the model's config.json."""
    from permix_verl.cli.plan import main as run

    return run(arguments)


def audit(arguments: Sequence[str]) -> int:
    """Which answers of a model the reward, its strict reading and math-verify judge differently."""
    from permix_verl.cli.audit import main as run

    return run(arguments)


COMMANDS: dict[str, Callable[[Sequence[str]], int]] = {
    "doctor": doctor,
    "plan": plan,
    "merge": merge,
    "audit": audit,
}


def run(argv: Sequence[str] | None = None) -> int:
    """Dispatch to a command.

    Returns:
        Its exit status; 2 for an unknown command.
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    if arguments and arguments[0] in COMMANDS:
        return COMMANDS[arguments[0]](arguments[1:])
    about = "\n".join(f"  {name:<10}{command.__doc__}" for name, command in COMMANDS.items())
    asked_for_help = arguments[:1] in (["-h"], ["--help"])
    print(f"usage: permix COMMAND ...\n\n{about}", file=sys.stdout if asked_for_help else sys.stderr)
    return 0 if asked_for_help else 2


def main() -> None:
    exit_with_message(run)


if __name__ == "__main__":
    main()
