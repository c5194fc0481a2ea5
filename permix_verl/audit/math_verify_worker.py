"""math-verify in its own process: one request a line on stdin, one result a line on stdout.

The file imports nothing of permix_verl, so that it starts fast. math-verify enforces its time limits
with signals; the parent kills the worker where they do not fire.
"""

import contextlib
import json
import logging
import os
import resource
import sys
from typing import Any

MEMORY_LIMIT = 2 << 30
"""Address space limit in bytes."""
MAX_PRED_CHARS = 200


class LogStatus(logging.Handler):
    """Handler that recovers timeouts and errors from math-verify's log; it swallows the exceptions.

    Attributes:
        status: "timeout" or "error" after one was logged, else empty.
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
    """Box the final answer of a gold (the part after ``####``), so that math-verify parses all of it."""
    text = gold.rpartition("####")[2].strip()
    if "\\boxed" in text:
        return text
    return f"\\boxed{{{text.strip('$').strip()}}}"


def check_output(output: str, gold: str, log: LogStatus) -> tuple[str, str]:
    """Return the status, in the reward file's terms, and the parsed answer."""
    from math_verify import LatexExtractionConfig, parse, verify

    log.status = ""
    parsed_gold = parse(boxed(gold), [LatexExtractionConfig()])
    if not parsed_gold:
        return log.status or "error", ""
    log.status = ""
    parsed = parse(output)
    if not parsed:
        return log.status or "no_answer", ""
    pred = next((part for part in reversed(parsed) if isinstance(part, str)), "")[:MAX_PRED_CHARS]
    if verify(parsed_gold, parsed):
        return "correct", pred
    return log.status or "wrong", pred


def resident_bytes() -> int:
    """Return this process's resident memory in bytes; 0 if unknown."""
    try:
        with open("/proc/self/statm") as file:
            return int(file.read().split()[1]) * resource.getpagesize()
    except OSError:
        return 0


def serve() -> None:
    """Answer requests until stdin closes."""
    replies = os.fdopen(os.dup(sys.stdout.fileno()), "w", buffering=1)
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # keep prints out of the replies
    with contextlib.suppress(ValueError, OSError):  # not supported on macOS
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY_LIMIT, MEMORY_LIMIT))
    import math_verify  # noqa: F401  # slow import: before the first request's timeout starts

    log, logger = LogStatus(), logging.getLogger("math_verify")
    logger.addHandler(log)
    logger.setLevel(logging.DEBUG)
    logger.propagate = False
    replies.write("ready\n")
    for line in sys.stdin:
        request: dict[str, Any] = json.loads(line)
        try:
            status, pred = check_output(request["output"], request["gold"], log)
        except Exception:
            status, pred = "error", ""
        # sympy's caches grow: above a quarter of the limit, ask to be replaced.
        last = resident_bytes() > MEMORY_LIMIT / 4
        replies.write(json.dumps({"status": status, "pred": pred, "last": last}) + "\n")


if __name__ == "__main__":
    serve()
