"""The one exception for what a user gave: problem, value, remedy in its text."""

import sys
from collections.abc import Callable


class UserError(ValueError):
    """Bad input. The message says what is wrong, with which value, and what to do."""


def first_line(error: BaseException) -> str:
    """What another library's exception says, in one line; its kind where it says nothing."""
    text = str(error).strip()
    return text.splitlines()[0] if text else type(error).__name__


def exit_with_message(main: Callable[[], int | None]) -> None:
    """Run a script's ``main``; a :class:`UserError` becomes one line on stderr and exit status 2.

    Any other exception keeps its traceback: it is our bug, not the user's input.
    """
    try:
        sys.exit(main())
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        print("interrupted; the same command goes on from here", file=sys.stderr)
        sys.exit(130)
