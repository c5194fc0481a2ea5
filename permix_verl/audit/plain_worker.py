"""math-verify as it comes, in a process of its own: a request a line in, a verdict a line out.

A file that stands alone, so that it starts with math-verify and nothing else. Its time limits are
math-verify's own, kept with signals; whoever starts it ends it where those do not help.
"""

import contextlib
import json
import logging
import os
import resource
import sys
from typing import Any

MEMORY_LIMIT = 2 << 30
"""Bytes of address space."""
MAX_PRED_CHARS = 200


class Heard(logging.Handler):
    """math-verify swallows its exceptions and goes on as if nothing were there; its log says so.

    Attributes:
        status: "timeout" or "error" once there was one, else empty.
    """

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.status = ""

    def emit(self, record: logging.LogRecord) -> None:
        message = str(record.msg)
        if message.startswith("Timeout during"):
            self.status = "timeout"
        elif message.startswith(("Error parsing", "Error during comparison")):
            self.status = self.status or "error"


def boxed(gold: str) -> str:
    """A gold as LaTeX that math-verify reads whole: the answer behind ``####``, in a box."""
    text = gold.rpartition("####")[2].strip()
    if "\\boxed" in text:
        return text
    return f"\\boxed{{{text.strip('$').strip()}}}"


def judge(output: str, gold: str, heard: Heard) -> tuple[str, str]:
    """Status and the answer that was read, as the reward file names them."""
    from math_verify import LatexExtractionConfig, parse, verify

    heard.status = ""
    wanted = parse(boxed(gold), [LatexExtractionConfig()])
    if not wanted:
        return heard.status or "error", ""
    heard.status = ""
    read = parse(output)
    if not read:
        return heard.status or "no_answer", ""
    pred = next((part for part in reversed(read) if isinstance(part, str)), "")[:MAX_PRED_CHARS]
    if verify(wanted, read):
        return "correct", pred
    return heard.status or "wrong", pred


def resident() -> int:
    """Bytes of memory that this process has; 0 where the system does not say."""
    try:
        with open("/proc/self/statm") as file:
            return int(file.read().split()[1]) * resource.getpagesize()
    except OSError:
        return 0


def serve() -> None:
    replies = os.fdopen(os.dup(sys.stdout.fileno()), "w", buffering=1)
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # whatever prints must not garble the replies
    with contextlib.suppress(ValueError, OSError):  # macOS has no such limit
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY_LIMIT, MEMORY_LIMIT))
    import math_verify  # noqa: F401  # the slow import, before the first request's clock starts

    heard, logger = Heard(), logging.getLogger("math_verify")
    logger.addHandler(heard)
    logger.setLevel(logging.DEBUG)
    logger.propagate = False
    replies.write("ready\n")
    for line in sys.stdin:
        request: dict[str, Any] = json.loads(line)
        try:
            status, pred = judge(request["output"], request["gold"], heard)
        except Exception:
            status, pred = "error", ""
        # sympy remembers what it has seen: above a quarter of the limit, let another go on.
        last = resident() > MEMORY_LIMIT / 4
        replies.write(json.dumps({"status": status, "pred": pred, "last": last}) + "\n")


if __name__ == "__main__":
    serve()
