"""Which part of an answer is the program.

LiveCodeBench takes what stands between the last two lines that hold three backticks. That is the program where an
answer has one block; where more is said in blocks behind it, or the last one was cut off, it is something else or
nothing. Characters differ in just that, so a block is chosen here: the last one that can be the program.
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


def extract_program(answer: str, call: str | None = None) -> str | None:
    """The program in an answer, or ``None``.

    Text up to the last ``</think>`` is not read. Of the blocks in Python, or if there are none those of no named
    language, the last one that can be the answer: that defines the function asked for, or else that reads the input;
    if none of them does so, the last one. A block that the answer's end cut off counts if there is no other. Without
    any block an answer that begins like a program is one.

    Args:
        call: the function that the program must define; ``None`` where it reads standard input.
    """
    _, mark, tail = answer.rpartition("</think>")
    if not mark and "<think>" in answer:
        tail = answer.partition("<think>")[0]  # still thinking when it ended
    blocks = [block for block in _blocks(tail) if block.text.strip()]
    if not blocks:
        return tail if "```" not in tail and _begins_like_a_program(tail) else None
    named = [block for block in blocks if block.language.lower() in PYTHON]
    unnamed = [block for block in blocks if not block.language]
    for candidates in (named, unnamed):
        whole = [block for block in candidates if block.closed] or candidates
        fitting = [block for block in whole if _can_be_the_answer(block.text, call)]
        if fitting or whole:
            return (fitting or whole)[-1].text
    return None


def _can_be_the_answer(text: str, call: str | None) -> bool:
    if call is None:
        return bool(_READS.search(text))
    name = re.escape(call)
    return bool(re.search(rf"\bdef[ \t]+{name}\b|^[ \t]*{name}[ \t]*=", text, re.MULTILINE))


def _begins_like_a_program(text: str) -> bool:
    first = text.strip().split("\n", 1)[0][:200]
    return bool(re.match(r"(import|from)\s+\w|(def|class)\s+\w+\s*[(:]|[\w, ]+=.*\b(input|stdin)\b|#!", first))


def _opening(line: str) -> tuple[str, str]:
    """Fence and language of a line that opens a block, both empty if it does not.

    By hand, not by a pattern: this runs on what a model wrote, and must be done in time whatever that is.
    """
    text = line.lstrip()
    mark = text[:1]
    fence = text[: len(text) - len(text.lstrip(mark))] if mark in ("`", "~") else ""
    rest = text[len(fence) :].strip()
    if len(fence) < 3 or "`" in rest:
        return "", ""
    return fence, rest.split(maxsplit=1)[0] if rest else ""


def _blocks(text: str) -> Iterator[_Block]:
    """Fenced blocks as in Markdown; a fence behind a last line of code closes it too."""
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
