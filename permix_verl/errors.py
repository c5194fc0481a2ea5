"""The exception for bad user input, and how commands report it."""

import os
import select
import sys
from collections.abc import Callable


class UserError(ValueError):
    """Bad user input.

    Attributes:
        problem: what is wrong, with the value.
        remedy: what to do about it, in the imperative.
    """

    def __init__(self, problem: str, remedy: str = "") -> None:
        super().__init__(problem, remedy)
        self.problem, self.remedy = problem, remedy

    def __str__(self) -> str:
        return f"{self.problem}; {self.remedy}" if self.remedy else self.problem

    def at(self, place: str) -> "UserError":
        """Return the error with its place, such as a file and a line, in front."""
        return UserError(f"{place}: {self.problem}", self.remedy)


def first_line(error: BaseException) -> str:
    """Return the first line of an exception's message, or its type's name if the message is empty."""
    text = str(error).strip()
    return text.splitlines()[0] if text else type(error).__name__


def exit_with_message(main: Callable[[], int | None]) -> None:
    """Run a command's ``main``; report a :class:`UserError` as one line on stderr, with exit status 2.

    A reader that closes the pipe, such as ``head``, is no failure. Any other exception keeps its traceback: it is our
    bug, not the user's input.
    """
    try:
        status = main()
        sys.stdout.flush()
        sys.exit(status)
    except BrokenPipeError:
        if not _reader_is_gone(sys.stdout.fileno()):
            raise
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # Python flushes once more as it ends
        sys.exit(0)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        print("interrupted; run the same command again to resume", file=sys.stderr)
        sys.exit(130)


def _reader_is_gone(pipe: int) -> bool:
    poll = select.poll()
    poll.register(pipe, 0)
    return any(events & select.POLLERR for _, events in poll.poll(0))
