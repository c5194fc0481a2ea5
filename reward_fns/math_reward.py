r"""Binary answer correctness, blind to the persona. One file, copy it anywhere.

verl:  reward.custom_reward_function.path=/path/to/math_reward.py
       reward.custom_reward_function.name=compute_score         (or compute_score_async)
TRL:   GRPOTrainer(..., reward_funcs=accuracy_reward)           (golds in a column solution, answer or ground_truth)

``compute_score`` returns 1.0 or 0.0 (the paper, appendix B.4) in a dict that has the same
keys for every sample, on failures too:

    score, acc        1.0 if the answer is correct, else 0.0
    no_answer         1.0 if no answer was found in the solution
    timeout, error    1.0 if no verdict was reached; such a sample scores 0.0 and is counted here
    status            "correct", "wrong", "no_answer", "timeout" or "error"
    pred              the answer that was read in the solution, as text; empty if none was
    persona, row_id   copied from extra_info, for curves per persona

What counts as the answer
-------------------------
math-verify is the reference. It judges the answer that the solution marks, and the whole text
where nothing is marked. Marks, the first kind that is there, the last of its kind:

1. ``\boxed{...}``, ``\fbox{...}``, a JSON field ``"answer": ...``, ``<answer>...</answer>``. What
   stands after it is chatter, other boxes before it are steps. (math-verify makes a set of two
   boxes, prefers "the final answer is" to a box, and reads no JSON.) Boxes joined by "and", "or"
   or a comma are one answer where the gold is several.
2. ``#### N``, unless it is a heading like "#### 2. Add them"; "A: N", "Answer: N", "The answer is
   N", before such words that no answer follows ("I hope this answer is helpful"). (math-verify
   takes a number out of the persona's next sentence when the first one has brackets around it.)

Text up to the last ``</think>``, or in a ``<think>`` that does not end, is not read; a JSON object
that was cut off before its answer has none. If the gold is a number, an answer that is one too
is compared as a number:

* of a calculation it is the result ("9 eggs * $2 = $18"); several are no number ("18 or 20",
  "between 18 and 20"), and nor is "2 hours 30 minutes";
* thousands separators (``1,234``, ``1{,}234``, ``1\,234``), currency signs, ``18.00``, ``36/2``
  and digits of other scripts are formatting;
* a unit after it is dropped, inside a box too: ``\boxed{18 dollars}``, of which math-verify
  makes a product of letters. "million" and the like multiply, or are the unit asked for;
* percent is math-verify's: ``28\%`` matches 28 and 0.28. So does ``28.0\%``, in which it sees
  another number than 28.

Golds are the bare answer, or LaTeX, or a text that ends in ``#### answer``; LaTeX is wrapped in
``\boxed{}``, because math-verify misreads 108 of MATH-500's 500 golds without.

How it stays alive
------------------
Plain numbers are compared right here. Everything else goes to worker processes, this same file
run with ``--worker``: math-verify keeps its time limits with signals, which work in the main
thread only, and verl calls rewards from other threads. A worker that exceeds ``TIME_LIMIT_S``
is killed and replaced; it limits its own memory; one that died is replaced and asked again,
once. Workers start when they are first needed and end with their parent.

Needs: math-verify, in the Python that runs it. POSIX.
"""

import asyncio
import concurrent.futures
import contextlib
import itertools
import json
import os
import re
import resource
import select
import signal
import subprocess
import sys
import threading
import time
import unicodedata
from fractions import Fraction

TIME_LIMIT_S = 5.0
"""Seconds one verification may take, from the moment a worker takes it up."""
START_LIMIT_S = 120.0
"""Seconds a worker may take to start; importing sympy is slow on a cold disk."""
MEMORY_LIMIT_MB = 512
"""Address space of one worker, where the system can limit it (macOS cannot)."""
WORKERS = int(os.environ.get("MATH_REWARD_WORKERS") or min(4, os.cpu_count() or 1))
"""Most worker processes beside one calling process; a further one starts when all others are busy."""
MAX_SOLUTION_CHARS = 100_000
"""Only the end of a longer solution is read; answers stand at the end."""
MAX_GOLD_CHARS = 10_000
"""A longer ground truth is an error."""
MAX_PRED_CHARS = 200
"""What is kept of the answer that was read."""

STATUSES = ("correct", "wrong", "no_answer", "timeout", "error")


def compute_score(data_source, solution_str, ground_truth, extra_info=None, **_):
    """Score one solution: the signature of verl's custom reward functions.

    Args:
        data_source: the row's data source; not used.
        solution_str: the model's whole answer.
        ground_truth: the bare final answer, or LaTeX, or a text that ends in ``#### answer``.
        extra_info: the row's extra_info; ``persona`` and ``row_id`` are passed through.

    Returns:
        The keys that the file's docstring lists.
    """
    verdict, request = _read(solution_str, ground_truth)
    status, pred = verdict or _wait([_state.submit(request)])[0]
    return _result(status, pred, extra_info)


async def compute_score_async(data_source, solution_str, ground_truth, extra_info=None, **_):
    """``compute_score`` for an event loop: a solution that hangs holds no thread of the loop's executor."""
    verdict, request = _read(solution_str, ground_truth)
    status, pred = verdict or await asyncio.wrap_future(_state.submit(request))
    return _result(status, pred, extra_info)


def compute_score_batch(data_sources, solution_strs, ground_truths, extra_infos=None, **_):
    """Score many at once, ``WORKERS`` at a time: the signature of verl's batch reward manager.

    Returns:
        A list of ``compute_score``'s dicts, in order.
    """
    verdicts = _verdicts(solution_strs, ground_truths)
    infos = extra_infos if extra_infos is not None else [None] * len(verdicts)
    return [_result(status, pred, info) for (status, pred), info in zip(verdicts, infos, strict=True)]


def accuracy_reward(completions, solution=None, answer=None, ground_truth=None, log_metric=None, **_):
    """Score many at once: TRL's signature of a reward function, as its own ``accuracy_reward``.

    Args:
        completions: texts, or lists of messages of which the last one's content is read.
        solution, answer, ground_truth: the golds; whichever column the dataset has.
        log_metric: TRL's; gets the share of timeouts and errors.

    Returns:
        1.0 or 0.0 each; None, which TRL leaves out, where the verifier failed (``error``).

    Raises:
        ValueError: no column of golds.
    """
    golds = next((column for column in (solution, answer, ground_truth) if column is not None), None)
    if golds is None:
        raise ValueError("no golds: the dataset needs a column named solution, answer or ground_truth")
    texts = [text if isinstance(text, str) else _content(text[-1]["content"]) for text in completions]
    statuses = [status for status, _ in _verdicts(texts, golds)]
    if log_metric is not None and statuses:
        for kind in ("timeout", "error"):
            log_metric(f"math_reward/{kind}_rate", statuses.count(kind) / len(statuses))
    return [None if status == "error" else float(status == "correct") for status in statuses]


def _content(parts):
    """A message's text, which may come in parts."""
    return parts if isinstance(parts, str) else "".join(part.get("text", "") for part in parts)


def close():
    """End the workers, once what they are at is done; the next request that needs one starts another."""
    with _state.lock:
        executor, _state.executor = _state.executor, None
    if executor is not None:
        executor.shutdown(cancel_futures=True)
    for worker in list(_state.workers):
        _stop(worker)


def _result(status, pred, extra_info):
    info = extra_info or {}
    correct = float(status == "correct")
    return {
        "score": correct,
        "acc": correct,
        "no_answer": float(status == "no_answer"),
        "timeout": float(status == "timeout"),
        "error": float(status == "error"),
        "status": status,
        "pred": pred,
        "persona": str(info.get("persona", "")),
        "row_id": str(info.get("row_id", "")),
    }


def _verdicts(solutions, golds):
    """(status, pred) of each, in order; the numeric ones do not wait for the others."""
    if len(solutions) != len(golds):
        raise ValueError(f"{len(solutions)} solutions and {len(golds)} golds")
    read = [_read(solution, gold) for solution, gold in zip(solutions, golds, strict=True)]
    asked = iter(_wait([_state.submit(request) for verdict, request in read if verdict is None]))
    return [verdict or next(asked) for verdict, _ in read]


# --- reading: which part of the solution is the answer ----------------------------------------
#
# These patterns run in the calling process on text that a model chose: every repetition is bounded, or cannot start
# again where it has already been.

_MAX_LINE_CHARS = 500
_MAX_NUMBER_CHARS = 200
_MAX_JOINT_CHARS = 60
_MAX_MARKS = 50
_MULTIPLES = {"hundred": 100, "thousand": 10**3, "million": 10**6, "billion": 10**9, "trillion": 10**12, "dozen": 12}

# Marks.
_BRACES = re.compile(r"\\{1,2}(?:boxed|fbox)\s{0,9}\{|\\.|[{}]", re.DOTALL)
_JOINT = re.compile(
    r"(?:[\s$]|\\q?quad|\\[,;)\]])*(?:,?\s*(?:and|or)\b|,|\\text\s*\{[^{}]*\b(?:and|or)\b[^{}]*\})"
    r"(?:[\s$]|\\q?quad|\\[,;(\[])*"
)
_FIELD = re.compile(
    r"\\?[\"'](?:final[_ ]?)?answer\\?[\"']\s{0,9}:\s{0,9}"
    r"(?:\\?\"(?P<text>(?:[^\"\\]|\\.)*)|'(?P<single>[^'\n]*)|(?P<bare>\[[^\[\]]{0,500}\]|null|None|-?[$]?[0-9][0-9.,/%]{0,99}))",
    re.IGNORECASE | re.DOTALL,
)
_MARK = re.compile(
    r"####|\banswer\b[*_ \t]{0,9}(?:(?:is|equals|would be|will be)\b[*_]{0,3}:?|[:=]|(?=[$]?[0-9][0-9\s,./]{0,30}\Z))"
    r"|^[ \t>*_]{0,9}A[*_]{0,3}:",
    re.IGNORECASE | re.MULTILINE,
)
_HEADING = re.compile(r"[.):][ \t]+\S[^\n]*\n\s*\S")
_FORMULA = re.compile(
    r"[\s*_:]*(?:\$\$(?P<display>[^$]+)\$\$|\$(?P<inline>(?:\\.|[^$\n\\])+)\$|\\\((?P<round>[^\n]+?)\\\)|\\\[(?P<square>.+?)\\\])",
    re.DOTALL,
)
_CUT_JSON = re.compile(r"\s*(?:```(?:json)?\s*)?\{\s*\"\w+\"\s*:")
_SEVERAL = re.compile(r",|\b(?:and|or)\b")

# Numbers, and what may stand around them.
_CURRENCY = r"(?:(?:US|A|C|HK|NZ)?\\?\$|USD|[\u20ac\u00a3\u00a5\u20b9])"
_NUMBER = re.compile(
    rf"\s*(?P<sign>[-+\u2212\u2013\u2014]|(?:negative|minus)\s)?\s?(?:{_CURRENCY}\s?)?(?P<sign2>[-+\u2212])?(?:"
    r"(?:(?P<whole>[0-9]{1,9})(?:\s{1,3}|(?=\\)))?(?:(?P<above>[0-9]{1,99})\s?/\s?(?P<below>[0-9]{1,99})(?![0-9.])"
    r"|\\[dt]?frac\s?\{\s?(?P<above2>[0-9]{1,99})\s?\}\s?\{\s?(?P<below2>[0-9]{1,99})\s?\})"
    r"|(?:(?P<grouped>[1-9][0-9]{0,2}(?:(?:,|\{,\}|\\,|\\!|,\\!\s?|[ \u202f\u00a0])[0-9]{3})+(?![0-9]))"
    r"|(?P<plain>[0-9]+))?"
    r"(?P<decimals>\.[0-9]+)?(?:[eE](?P<power>[-+]?[0-9]{1,3})(?![0-9A-Za-z]))?)",
    re.IGNORECASE,
)
_STARTS = re.compile(
    rf"(?:[-+\u2212\u2013\u2014]\s?)?(?:{_CURRENCY}\s?)?[-\u2212]?(?=\.?[0-9]|\\[dt]?frac\s?\{{\s?[0-9])"
)
_PERCENT = re.compile(r"\s?(?:\\?%|(?:percent|pct|percentage)\b)", re.IGNORECASE)
_TEXT = re.compile(r"\\(?:text(?:bf|it|rm|sf|tt)?|math(?:rm|bf|it|sf)|mbox|operatorname)\s?\{([^{}]*)\}")
_LOOK = re.compile(r"\\(?:color|textcolor)\s?\{\w*\}|\\[ ;:!,]|\\q?quad|~|\*\*|\^\s?\{?\\circ\}?|\u00b0")
_TEXT_BETWEEN = re.compile(rf"{_TEXT.pattern}\s?[0-9]")
_NO_WRAP = re.compile(r"[\\^=+*<>|{}\[\];0-9\u221a\u03c0!]|[-/]\s?$|^\s?[-/]\s?[0-9(]")
_NO_UNIT = {
    "and",
    "or",
    "to",
    "not",
    "plus",
    "minus",
    "times",
    "over",
    "of",
    "sqrt",
    "pi",
    "if",
    "when",
    "where",
    "squared",
}
_NO_UNIT |= {"cubed", "maybe", "wait", "between", "either", "neither", "less", "more", "without"}
_UNIT_LETTERS = frozenset("aAIgGhHlLmMsStT")

# A line that begins with its number.
_LEAD = re.compile(
    r"[\s*_:\"'`\u201c\u2018(\[]*(?:[-\u2022]\s+)?[*_]*(?:[A-Za-z]\s?=\s?)?"
    r"(?:(?:approximately|about|exactly|simply|just|equal to)\s+[*_(]*)?[~\u2248]?(?:\$(?=\s?[-0-9.\\])|\\\()?"
)
_AFTER = r"(?:[*_$\"'`\u201d\u2019)\]]|\\[)\]]){0,6}"
_ATTACHED = re.compile(r"\\[A-Za-z]|[A-Za-z](?![A-Za-z])(?<![mgslhLaA])|(?:pi|sqrt)\b|[\u221a\u03c0^(!]")
_OPERATES = re.compile(
    rf"{_AFTER}\s?(?:[-+]\s?[$\\(]{{0,2}}[0-9]|(?<!\*)[/^*\u00d7\u00f7=]\s?[$\\(0-9A-Za-z]|\\(?:times|cdot|div|pm)|x\s?\$?[0-9]|:[0-9]"
    r"|(?:times|plus|minus|divided|multiplied|over|squared|cubed)\b|of\s\$?[0-9]"
    r"|[A-Za-z]{1,20}(?:\s[A-Za-z]{1,20}){0,2}\s?(?:[-+*/=\u00d7\u00f7]|x\b|at\b|minus\b|plus\b|times\b)\s?\$?[0-9])",
    re.IGNORECASE,
)
_COMES_TO = re.compile(
    r"(?:=|\b(?:is|are|makes?|gives?|equals?|totals?|leaves?|comes? to)\b)[\s*_]{0,3}(?=[$\\]{0,2}[-\u2212]?[0-9.])"
)
_HEDGES = re.compile(
    rf"{_AFTER}(?:\s[A-Za-z]{{1,20}})?,?\s?(?:\b(?:or|maybe|possibly|to)\b|;|[\u2013\u2014])[^.\n]{{0,20}}?\$?[0-9]|{_AFTER}\s+\$?[0-9]",
    re.IGNORECASE,
)
_COMPOUND = re.compile(
    r"\s?(?:hours?|hrs?|minutes?|mins?|dollars?|feet|foot|ft|pounds?|lbs?|weeks?|days?|years?|months?|meters?|yards?),?\s?"
    r"(?:and\s)?[0-9]",
    re.IGNORECASE,
)
_LISTS = re.compile(rf"{_AFTER}\s?,?\s?(?:and\s|,\s?)\$?[0-9]", re.IGNORECASE)
_REFUSES = re.compile(r"(?:either|neither|between|from|not)\s\$?[0-9]", re.IGNORECASE)
_BUT = re.compile(r"\bbut (?:rather |instead )?", re.IGNORECASE)
_CORRECTS = re.compile(r"\b(?:no,? wait|wait,? no|scratch that|correction)\b[^0-9\n]{0,30}", re.IGNORECASE)
_PROSE = re.compile(r"(?<![A-Za-z])[A-Za-z]{2,40},? [A-Za-z]{2}")
_WORD = re.compile(r"(?<![A-Za-z\\])(?!(?:sqrt|sin|cos|tan|log|ln|exp|pi)\b)[A-Za-z]{2}")
_NO_WORD = re.compile(rf"{_TEXT.pattern}|\\(?:begin|end)\s?\{{\w+\*?\}}")


def _read(solution, gold):
    """What can be said here and now, as ((status, pred), None), or else (None, the request to a worker)."""
    gold = str(gold if gold is not None else "").rpartition("####")[2].strip()
    if "\\boxed" in gold:
        gold = (_last_box(gold, several=True) or (0, gold))[1]
    if not isinstance(solution, str):
        return ("no_answer", ""), None
    if not gold or len(gold) > MAX_GOLD_CHARS:
        return ("error", ""), None
    text = solution[-MAX_SOLUTION_CHARS:].rpartition("</think>")[2].partition("<think>")[0]
    if not text.isascii():
        text = _ascii_numbers(text)
    wanted = _numbers(gold, is_gold=True)
    kind, answer = _marked(text, wanted is not None, several=wanted is None and bool(_SEVERAL.search(gold)))
    if kind == "empty" or (kind == "none" and not re.search(r"[\d$\\\[]", text)):
        return ("no_answer", ""), None
    if gold in (answer, answer.removesuffix("."), text.strip()):
        return ("correct", gold[:MAX_PRED_CHARS]), None
    if wanted is not None and kind != "none":
        found = None
        if kind == "line":
            kind, answer, found = _leading(answer)
        if kind in ("box", "bare"):
            found = _numbers(answer) or (_decimal_comma(answer) if wanted[0][0] != int(wanted[0][0]) else None)
        if found is None and kind == "box":
            if len(answer) < _MAX_LINE_CHARS and _PROSE.search(_TEXT.sub("", answer)) and not _doubts(answer):
                kind, text = "line", answer  # a sentence in a field or box
            else:
                answer = _TEXT.sub(" \\1 " if _TEXT_BETWEEN.search(answer) else _kept_text, answer)
        equal = None if found is None else _equal(found, wanted)
        if equal is not None:
            return ("correct" if equal else "wrong", found[2].strip()[:MAX_PRED_CHARS]), None
    return None, {"kind": kind, "answer": answer, "text": text, "gold": _plain_gold(gold, wanted)}


def _ascii_numbers(text):
    """Digits of any script as 0 to 9, and a half as 1/2."""
    text = re.sub(r"\d", lambda digit: str(int(digit[0])), text)
    return re.sub("[\u00bc-\u00be\u2150-\u215e]", lambda part: _vulgar(part[0]), text)


def _vulgar(character):
    return " " + unicodedata.normalize("NFKC", character).replace("\u2044", "/")


def _plain_gold(gold, wanted):
    """The gold for math-verify: without unit and separators if it is a number."""
    if wanted is None:
        return gold
    (value, *_), percent, _, written = wanted
    if "/" in written or "frac" in written or "e" in written.lower():
        number = str(value)
    else:
        number = ("-" if value < 0 else "") + re.sub(r"[^0-9.]", "", written)
    return number + ("\\%" if percent else "")


def _marked(text, numeric, several):
    """(kind, answer): "box", the content of a box or field; "line", what follows a mark; "bare"; "none"; or "empty"."""
    box = _last_box(text, several) if "\\boxed" in text or "\\fbox" in text else None
    field = _last_field(text)
    says = field is not None and (not numeric or re.search(r"[0-9\\]", field[1]))
    if field is not None and (box is None or (says and field[0] > box[0])):
        value = field[1].strip()
        return ("empty", "") if value in ("", "null", "None") else ("box", _undelimited(value))
    if box is not None:
        return "box", box[1]
    line = _marked_line(text)
    if line is None:
        if len(text) < _MAX_LINE_CHARS and "\n" not in text.strip() and not _WORD.search(_NO_WORD.sub("", text)):
            return "bare", text.strip()
        # An object that was to hold the answer and was cut off holds none.
        return ("empty" if _CUT_JSON.match(text) else "none"), ""
    formula = _formula(line)
    if formula is not None and not _JOINT.match(line, formula[1]):
        after = re.compile(r"\s?=\s?").match(line, formula[1])
        return ("line", line[after.end() :].partition("\n")[0]) if after else ("box", formula[0])
    return "line", line.partition("\n")[0]


def _last_box(text, several):
    """(start, content) of the box that was opened last among those that close and hold something, or None."""
    opened: list = []
    boxes: list = []
    for token in _BRACES.finditer(text):
        piece = token[0]
        if piece == "}":
            if opened:
                start, inside, escaped = opened.pop()
                if inside is not None and text[inside : token.start()].strip():
                    boxes.append((start, inside, token.start(), escaped))
        elif piece.endswith("{") and piece != "\\{":
            opened.append((token.start(), token.end() if len(piece) > 1 else None, piece.startswith("\\\\")))
    if not boxes:
        return None
    boxes.sort()
    start, inside, end, escaped = boxes.pop()
    content = text[inside:end].strip()
    while several and boxes:
        after = boxes[-1][2] + 1
        if not 0 < start - after < _MAX_JOINT_CHARS or not _JOINT.fullmatch(text, after, start):
            break
        start, inside, end, escaped = boxes.pop()
        content = f"{text[inside:end].strip()}, {content}"
    return start, content.replace("\\\\", "\\") if escaped else content


def _last_field(text):
    """(start, value) of the last JSON field or tag that is named answer, or None."""
    found = None
    if "nswer" in text and ('"' in text or "'" in text):
        for field in _FIELD.finditer(text):
            found = field.start(), field["bare"] or field["single"] or _unescaped(field["text"] or "")
    end = text.rfind("</answer>")
    start = text.rfind("<answer>", 0, end) if end >= 0 else -1
    if start >= 0 and (found is None or start > found[0]):
        found = start, text[start + len("<answer>") : end]
    return found


def _marked_line(text):
    """The text behind the last mark: "####" that is no heading, else words that an answer follows, else others."""
    weak = prose = None
    for mark in list(_MARK.finditer(text))[: -_MAX_MARKS - 1 : -1]:
        line = text[mark.end() : mark.end() + _MAX_LINE_CHARS].lstrip()
        begins = _number(line, _LEAD.match(line).end())
        if mark[0] == "####":
            if begins is not None and not _HEADING.match(line, begins[1]):
                return line
        elif prose is None and (begins is not None or _formula(line) is not None):
            prose = line
        elif weak is None:
            weak = line
    return prose if prose is not None else weak


def _formula(line):
    """(content, end) of the formula that a line begins with, or None; dollars may be money."""
    found = _FORMULA.match(line)
    if found is None:
        return None
    inside = found["inline"]
    if inside is not None and re.match(r"\s?[0-9]", inside):
        next_one = line[found.end() : found.end() + 1]
        if inside[-1] in " =+-*/(" or next_one.isdigit() or _PROSE.search(_TEXT.sub("", inside)):
            return None
    return next(part for part in found.groups() if part).strip(), found.end()


def _unescaped(text):
    r"""A JSON string's text; LaTeX in it is often not escaped as it should be, so that \f is no form feed."""
    text = text.removesuffix("\\")
    return re.sub(r"\\n(?![a-z])", " ", re.sub(r'\\([\\"/])', r"\1", text))


def _undelimited(text):
    for opening, closing in (("$$", "$$"), ("$", "$"), ("\\(", "\\)"), ("\\[", "\\]")):
        inner = text[len(opening) : -len(closing)]
        if text.startswith(opening) and text.endswith(closing) and inner.strip() and opening not in inner:
            return inner.strip()
    return text


def _number(text, start):
    """(value, end) of the number that stands at this place, or None: 1,234.5 or 3/4 or 2 3/4 or 1e3, and as LaTeX."""
    found = _NUMBER.match(text, start)
    below = found["below"] or found["below2"]
    digits = re.sub("[^0-9]", "", found["grouped"]) if found["grouped"] else found["plain"] or ""
    decimals = (found["decimals"] or ".")[1:]
    value: Fraction | int
    if below:
        if not int(below):
            return None
        value = int(found["whole"] or 0) + Fraction(int(found["above"] or found["above2"]), int(below))
    elif not digits + decimals or len(digits + decimals) > 1000:
        return None
    else:
        value = Fraction(int(digits + decimals), 10 ** len(decimals)) if decimals else int(digits)
    if found["power"] and not below:
        value = value * Fraction(10) ** int(found["power"])
    negative = (found["sign"] or "+") != "+"
    if found["sign2"] in ("-", "\u2212"):
        negative = not negative
    return -value if negative else value, found.end()


def _numbers(content, is_gold=False):
    """What a content may mean that is one number, wrapped: (values, percent, text, the number alone), or None.

    A gold may have a unit, and no words or equation in front.
    """
    if len(content) > _MAX_NUMBER_CHARS or not re.search("[0-9]", content):
        return None
    number = _number(content, 0)
    if number is not None and number[1] == len(content):
        return [number[0]], False, content, content
    plain = _LOOK.sub(" ", _TEXT.sub(_unit_or_text, _undelimited(content)))
    if "frac" not in plain:
        plain = re.sub(r"\{([^{}]*)\}", r"\1", plain)
    if "=" in plain and not is_gold and not _SEVERAL.search(re.sub(r"(?<=[0-9]),(?=[0-9]{3})", "", plain)):
        plain = plain.rpartition("=")[2]
    starts = _STARTS.search(plain)
    number = _number(plain, starts.start()) if starts else None
    if number is None:
        return None
    value, end = number
    percent = _PERCENT.match(plain, end)
    before, after = plain[: starts.start()], plain[percent.end() if percent else end :]
    if not _wraps(before, after) or (is_gold and before.strip()):
        return None
    return _with_multiple(value, after), bool(percent), content, plain[starts.start() : end]


def _wraps(before, after):
    """Whether there are only words around a number: a unit, a name, a sentence without another meaning."""
    trailing = re.sub(r"(?<=[A-Za-z\x00\s])!+\s*$|[\u00b2\u00b3]|\^\s?\{?[23]\}?(?=\s|$|/)", "", after)
    if _NO_WRAP.search(before) or _NO_WRAP.search(trailing):
        return False
    if re.match(r"[A-Za-z](?![A-Za-z])", after) or re.search(r"[A-Za-z]$", before):
        return False
    words = re.findall(r"[A-Za-z]+", f"{before} {trailing}")
    return not any(
        word.lower() in _NO_UNIT or (word not in _UNIT_LETTERS if len(word) == 1 else not word.strip("xyznk"))
        for word in words
    )


def _unit_or_text(found):
    """LaTeX text: a mark for a unit, of one letter too; otherwise what is in it."""
    inside = found[1].strip()
    return "\x00" if re.fullmatch(r"[A-Za-z./]{1,3}", inside) and inside.lower() not in _NO_UNIT else f" {inside} "


def _kept_text(found):
    """LaTeX text, which math-verify drops: what is in it where that changes a number."""
    words = re.findall(r"[a-z]+", found[1].lower())
    return f" {found[1]} " if re.search("[0-9]", found[1]) or _NO_UNIT.intersection(words) else found[0]


def _doubts(content):
    return bool(_NO_UNIT.intersection(re.findall(r"[a-z]+", content.lower())) - {"of", "to", "and", "more", "less"})


def _decimal_comma(content):
    """1,5 as 1.5, for a gold that has decimals."""
    return _numbers(content.replace(",", ".")) if re.fullmatch(r"[-\u2212]?[0-9]+,[0-9]+", content.strip()) else None


def _with_multiple(value, rest):
    word = re.match(r"[\s*_-]{0,5}([A-Za-z]+)", rest)
    multiple = _MULTIPLES.get(word[1].lower().removesuffix("s")) if word else None
    return [value] if multiple is None else [value, value * multiple]


def _leading(line):
    """(kind, answer, reading) of what follows a mark: the number with which it begins, if it does and stands alone.

    Several numbers, or one that is taken back, are no number: a reading without values, which equals no gold.
    """
    start = _LEAD.match(line).end()
    refuses = _REFUSES.match(line, start)
    if refuses:
        but = _BUT.search(line, refuses.end())
        if but is None or refuses[0][:3].lower() != "not":
            return "line", line, ([], False, line, "")
        start = but.end()
    number = _number(line, start)
    if number is None:
        return "line", line, None
    end = number[1]
    corrects = _CORRECTS.search(line, end)
    if corrects and _number(line, corrects.end()) is not None:
        return _leading(line[corrects.end() :])
    percent = _PERCENT.match(line, end)
    if not percent and _ATTACHED.match(line, end):
        return "box", re.compile(r"[^\s;?]+").match(line, start)[0].rstrip(".,!*_$)`\"'"), None
    end = percent.end() if percent else end
    if _OPERATES.match(line, end):
        sentence = re.compile(r"[.!?]\s|\Z").search(line, end).start()
        results = list(_COMES_TO.finditer(line, end, sentence + 1))
        result = _number(line, results[-1].end()) if results else None
        if result is None:
            return "line", line, None
        return "line", line, ([result[0]], False, line[results[-1].end() : result[1]], "")
    if _COMPOUND.match(line, end) or _HEDGES.match(line, end):
        return "line", line, ([], False, line, "")
    if _LISTS.match(line, end):
        return "line", line, None
    return "line", line, (_with_multiple(number[0], line[end:]), bool(percent), line[start:end], "")


def _equal(found, wanted):
    """Whether two readings agree; None where math-verify's rounding to six decimals may matter."""
    (values, percent), (golds, gold_percent) = found[:2], wanted[:2]
    golds = golds[:1]
    if percent and not gold_percent:
        values = [*values, *(Fraction(value, 100) for value in values)]
    elif gold_percent and not percent:
        golds = [*golds, Fraction(golds[0], 100)]
    nearest = min((abs(value - gold) for value in values for gold in golds), default=1)
    if nearest == 0:
        return True
    return None if nearest < 1e-5 else False


# --- workers: the caller's side ---------------------------------------------------------------

_FILE = os.path.abspath(__file__)


class _State:
    """What one process has: threads that drive a worker process each. Pickled, by Ray say, it arrives empty."""

    def __init__(self):
        self.complaints, self.request_ids = itertools.count(1), itertools.count()
        self.reset()
        os.register_at_fork(after_in_child=self.forget)
        # When the process ends, the executor's threads are joined: what is queued for them must not be done first.
        self.ending = False
        self.executor_class = concurrent.futures.ThreadPoolExecutor  # imports what registers its own end
        with contextlib.suppress(AttributeError, RuntimeError):  # no such way; the process is ending
            threading._register_atexit(self.end)  # type: ignore[attr-defined]  # the last one registered comes first

    def __reduce__(self):
        return _State, ()

    def end(self):
        self.ending = True

    def reset(self):
        self.lock, self.executor, self.thread = threading.Lock(), None, threading.local()
        self.workers = set()

    def forget(self):
        """In a forked child: threads and workers are the parent's, whose end a worker must still notice."""
        inherited = list(self.workers)
        self.reset()
        for worker in inherited:
            worker.stdin.close()
            worker.stdout.close()

    def submit(self, request):
        with self.lock:
            if self.executor is None:
                self.executor = self.executor_class(max(1, WORKERS), "math_reward")
            return self.executor.submit(_ask, request)


_state = _State()


def _wait(futures):
    try:
        return [future.result() for future in futures]
    except BaseException:  # an interrupt: what is queued need not be done
        for future in futures:
            future.cancel()
        raise


def _ask(request):
    """Status and answer, from this thread's worker."""
    for attempt in (1, 2):
        if _state.ending:
            return "error", ""
        worker = None
        try:
            worker = _running_worker()
            reply = _exchange(worker, request)
            break
        except Exception as error:
            # A worker that died before it answered may have been killed from outside: ask another, once.
            _stop(worker)
            if attempt == 2:
                _complain(f"the verifier process failed twice ({error!r}); is math-verify installed?")
                return "error", ""
    if reply is None:
        _stop(worker)
        return "timeout", ""
    if reply["last"]:
        _stop(worker)
    if reply["status"] == "error":
        _complain(f"math-verify failed: {reply.get('reason')}")
    return reply["status"], reply["pred"]


def _complain(message):
    """Say it the 1st, 2nd, 4th, 8th ... time."""
    count = next(_state.complaints)
    if count & (count - 1) == 0:
        print(f"math_reward: {message} (error {count} of this process)", file=sys.stderr)


def _exchange(worker, request):
    """Send one request; the reply as a dict, or None when the time limit passed."""
    number, limit = next(_state.request_ids), TIME_LIMIT_S
    deadline = time.monotonic() + limit
    if not _write(worker, json.dumps({"id": number, "limit": limit, **request}).encode() + b"\n", deadline):
        return None
    line = _read_line(worker, deadline)
    if line is None:
        return None
    reply = json.loads(line)
    if reply["id"] != number:
        raise EOFError(f"the verifier answered request {reply['id']} instead of {number}")
    return reply


def _running_worker():
    worker = getattr(_state.thread, "worker", None)
    if worker is None or worker.poll() is not None:
        if worker is not None:
            _stop(worker)
        _state.thread.worker = worker = subprocess.Popen(
            [sys.executable, _FILE, "--worker", str(MEMORY_LIMIT_MB)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            bufsize=0,
            env={**os.environ, "PYTHONSAFEPATH": "1"},  # files beside this one must not shadow modules
        )
        _state.workers.add(worker)
        os.set_blocking(worker.stdin.fileno(), False)
        # It says when it is ready, so that start-up is not timed.
        if _read_line(worker, time.monotonic() + START_LIMIT_S) is None:
            raise EOFError(f"the verifier did not start within {START_LIMIT_S} s")
    return worker


def _ready(pipe, event, deadline):
    """Whether the pipe can be used before the deadline. Not select(), which fails on descriptors above 1023."""
    poll = select.poll()
    poll.register(pipe, event)
    return bool(poll.poll(max(deadline - time.monotonic(), 0) * 1000))


def _write(worker, data, deadline):
    """Write all of it; False if the worker did not take it before the deadline."""
    while data:
        if not _ready(worker.stdin, select.POLLOUT, deadline):
            return False
        data = data[os.write(worker.stdin.fileno(), data[: select.PIPE_BUF]) :]
    return True


def _read_line(worker, deadline):
    """One line of the worker's output, or None if it did not come before the deadline."""
    line = b""
    while not line.endswith(b"\n"):
        if not _ready(worker.stdout, select.POLLIN, deadline):
            return None
        chunk = os.read(worker.stdout.fileno(), 65536)
        if not chunk:
            raise EOFError(f"the verifier ended with status {worker.wait()}")
        line += chunk
    if line.count(b"\n") > 1:
        raise EOFError("the verifier gave a reply that nobody waits for")
    return line


def _stop(worker):
    worker = worker or getattr(_state.thread, "worker", None)
    if worker is None:
        return
    if getattr(_state.thread, "worker", None) is worker:
        _state.thread.worker = None
    _state.workers.discard(worker)
    worker.kill()
    worker.wait()
    worker.stdin.close()
    worker.stdout.close()


# --- workers: the worker's side ---------------------------------------------------------------


def import_math_verify():
    """math-verify, mended where it needs it.

    With antlr 4.9.3, to which Hydra holds an environment, its grammar lacks a name that its
    reader asks for before it comes to percent, so that every ``28\\%`` fails.
    """
    import math_verify
    from latex2sympy2_extended.antlr_parser import PSParser

    if not hasattr(PSParser.AtomContext, "FUNC_GAMMA"):
        PSParser.AtomContext.FUNC_GAMMA = lambda _: None
    return math_verify


def _judge(kind, answer, text, gold):
    """math-verify's judgement of the answer that was read, and that answer."""
    math_verify = import_math_verify()
    latex = [math_verify.LatexExtractionConfig()]
    everything = [*latex, math_verify.ExprExtractionConfig()]
    boxed = gold if "\\boxed" in gold else f"\\boxed{{{_undelimited(gold)}}}"
    gold_parsed = math_verify.parse(boxed, latex, parsing_timeout=None)
    if not gold_parsed:
        raise ValueError(f"cannot read the ground truth {gold!r}")
    box = (f"\\boxed{{{answer}}}", latex)
    tries = {
        "box": [box],
        "bare": [box, (text, everything)],
        "line": [(f"answer: {answer}", everything), (text, everything)],
        "none": [(text, everything)],
    }
    for source, targets in tries[kind]:
        parsed = math_verify.parse(source, targets, parsing_timeout=None)
        if any(not isinstance(part, str) for part in parsed) or (parsed and (source, targets) == tries[kind][-1]):
            break
        # It swallows its own failures, and goes on as if there were no answer: asked again to raise them.
        math_verify.parse(source, targets, parsing_timeout=None, raise_on_error=True)
    else:
        return "no_answer", ""
    # The text it read stands behind the expressions it made of it.
    pred = next((part for part in reversed(parsed) if isinstance(part, str)), "")[:MAX_PRED_CHARS]
    try:
        equal = math_verify.verify(gold_parsed, parsed, timeout_seconds=None, raise_on_error=True)
    except Exception:  # it would go on as if these two parts differed: that counts only if others agree
        if not math_verify.verify(gold_parsed, parsed, timeout_seconds=None):
            raise
        equal = True
    if equal:
        return "correct", pred
    if all(isinstance(part, str) for part in gold_parsed) and gold.count("{") != gold.count("}"):  # words are compared
        raise ValueError(f"cannot read the ground truth {gold!r}")
    return "wrong", pred


def _resident_mb():
    """Not getrusage's maximum: across exec, Linux keeps that of the parent, which may be a trainer."""
    try:
        with open("/proc/self/statm") as file:
            return int(file.read().split()[1]) * resource.getpagesize() >> 20
    except OSError:
        return 0


def _serve(memory_limit_mb):
    import logging

    sys.setrecursionlimit(20_000)  # a sum of a thousand terms is a deep tree
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent, with whom this ends
    replies = os.fdopen(os.dup(sys.stdout.fileno()), "w", buffering=1)
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # whatever prints must not garble the replies
    getattr(sys, "set_int_max_str_digits", int)(0)  # the time limit bounds it
    with contextlib.suppress(ValueError, OSError):  # macOS has no such limit
        resource.setrlimit(resource.RLIMIT_AS, (memory_limit_mb << 20, memory_limit_mb << 20))
    import_math_verify()  # the slow import, before the first request's clock starts
    logging.getLogger("math_verify").setLevel(logging.CRITICAL)
    replies.write("ready\n")
    for line in sys.stdin:
        request = json.loads(line)
        # CPU seconds, default action: ends a hanging worker whose parent is gone.
        signal.setitimer(signal.ITIMER_PROF, request["limit"] + 5)
        reply = {"id": request["id"], "status": "error", "pred": ""}
        try:
            found = _judge(request["kind"], request["answer"], request["text"], request["gold"])
            reply["status"], reply["pred"] = found
        except Exception as error:
            reply["reason"] = repr(error)[:500]
        # antlr and sympy remember what they have seen: above half the limit, let another go on.
        reply["last"] = _resident_mb() > memory_limit_mb / 2
        replies.write(json.dumps(reply) + "\n")


if __name__ == "__main__" and sys.argv[1:2] == ["--worker"]:
    _serve(int(sys.argv[2]))
