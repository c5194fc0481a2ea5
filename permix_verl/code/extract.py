"""Extraction of the program from a completion.

LiveCodeBench takes the text between the last two lines with three backticks. That is the program if a completion has
one block; if more blocks follow, or the last one is truncated, it is something else or empty. Personas differ in just
that, so we choose a block: the last one that can be the program.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

PYTHON = ("python", "python3", "py")
_READS = re.compile(r"\binput\s*\(|\bstdin\b|\bopen\s*\(\s*(0|['\"]/dev/stdin)|\bfileinput\b|\bos\.read\b")


@dataclass(frozen=True, slots=True)
class _Block:
    language: str
    text: str
    closed: bool


def extract_program(completion: str, call: str | None = None) -> str | None:
    """Return the program in a completion, or ``None``.

    Text up to the last ``</think>``, or in a ``<think>`` that does not end, is ignored. The candidates are the Python
    blocks or, if there are none, the blocks without a language. The program is the last candidate that can solve the
    problem: it defines the required function, or reads standard input. If there is no such candidate, it is the last
    one. A truncated block counts only if there is no complete one. A completion without blocks is the program if it
    begins like one.

    Args:
        call: the function that the program must define; ``None`` where it reads standard input.
    """
    tail = completion.rpartition("</think>")[2].partition("<think>")[0]  # a thought that does not end holds no program
    blocks = [block for block in _blocks(tail) if block.text.strip()]
    if not blocks:
        return tail if "```" not in tail and _begins_like_a_program(tail) else None
    named = [block for block in blocks if block.language.lower() in PYTHON]
    unnamed = [block for block in blocks if not block.language]
    for candidates in (named, unnamed):
        complete = [block for block in candidates if block.closed] or candidates
        solving = [block for block in complete if _can_solve(block.text, call)]
        if complete:
            return (solving or complete)[-1].text
    return None


def _can_solve(text: str, call: str | None) -> bool:
    if call is None:
        return bool(_READS.search(text))
    name = re.escape(call)
    return bool(re.search(rf"\bdef[ \t]+{name}\b|^[ \t]*{name}[ \t]*=", text, re.MULTILINE))


def _begins_like_a_program(text: str) -> bool:
    first = text.strip().split("\n", 1)[0][:200]
    return bool(re.match(r"(import|from)\s+\w|(def|class)\s+\w+\s*[(:]|[\w, ]+=.*\b(input|stdin)\b|#!", first))


def _opening(line: str) -> tuple[str, str]:
    """Return fence and language of a line that opens a block, both empty if it does not.

    No regular expression: this runs on arbitrary model output and must take linear time.
    """
    text = line.lstrip()
    mark = text[:1]
    fence = text[: len(text) - len(text.lstrip(mark))] if mark in ("`", "~") else ""
    rest = text[len(fence) :].strip()
    if len(fence) < 3 or "`" in rest:
        return "", ""
    return fence, rest.split(maxsplit=1)[0] if rest else ""


def _blocks(text: str) -> Iterator[_Block]:
    """Yield the fenced blocks of Markdown; a fence at the end of a code line also closes its block."""
    fence, language, lines = "", "", list[str]()
    for line in text.split("\n"):
        if not fence:
            fence, language = _opening(line)
            lines = []
            continue
        stripped = line.strip()
        if stripped and set(stripped) == {fence[0]} and len(stripped) >= len(fence):
            yield _Block(language, "\n".join(lines), closed=True)
            fence = ""
        elif fence[0] == "`" and stripped.endswith(fence) and not stripped.startswith(fence):
            yield _Block(language, "\n".join([*lines, line.rstrip().removesuffix(fence)]), closed=True)
            fence = ""
        else:
            lines.append(line)
    if fence:
        yield _Block(language, "\n".join(lines), closed=False)
