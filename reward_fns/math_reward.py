r"""Binary answer correctness, blind to the persona. One file, copy it anywhere.

verl:  reward.custom_reward_function.path=/path/to/math_reward.py
       reward.custom_reward_function.name=compute_score         (or compute_score_async)
       +reward.custom_reward_function.reward_kwargs.strict=True (only closed boxes and ####)
       +reward.custom_reward_function.reward_kwargs.thinking=on (the model thinks first; "open": the prompt ends with
                                                                 <think>, so that a solution begins inside a thought)
TRL:   GRPOTrainer(..., reward_funcs=accuracy_reward)           (golds in a column solution, answer or ground_truth)

``compute_score`` returns 1.0 or 0.0 (arXiv 2604.08986, appendix B.4) in a dict that has the
same keys for every sample, on failures too:

    score, acc        1.0 if the answer is correct, else 0.0
    no_answer         1.0 if no answer was found in the solution
    timeout, error    1.0 if no verdict was reached; such a sample scores 0.0 and is counted here
    status            "correct", "wrong", "no_answer", "timeout" or "error"
    pred              the answer that was read in the solution, as text; empty if none was
    mark              what marked it: the name of one of MARKS, "unmarked", or empty
    persona, row_id   copied from extra_info, for curves per persona
    truncated_thought with ``thinking`` alone: 1.0 if the solution ended inside a thought

What counts as the answer
-------------------------
The answer is what the solution marks. ``MARKS`` below lists the marks as patterns, an example
beside each. The first kind that is there counts, and the last mark of its kind:

1. a closed box, a tag (``<answer>18</answer>``) or a JSON field (``"answer": 18``);
2. ``####``, unless it is a heading;
3. words that an answer follows ("The answer is 18", "Answer: 18"), in fifteen languages;
4. for a gold that is a number: the last number in bold, else the number that the text concludes with.

A mark that is not closed where the text ends ("\boxed{18} Once more: \boxed{") means no answer:
the text was cut off before it had its last word. An answer that is taken back ("Wait, that is
wrong.") yields to the next one, of whatever kind. Text up to the last ``</think>``, or in a
``<think>`` that does not end, is not read; with ``thinking="open"`` the solution begins in one.
``thought_marks`` names other marks of thoughts: pairs of texts, which count as ``<think>`` and
``</think>``. With ``strict``, boxes and ``####`` alone count.

If the gold is a number, an answer that is one too is compared as a number, exactly:

* of a calculation it is the result ("9 eggs * $2 = $18"); several are no number ("18 or 20",
  "between 18 and 20"), and nor is "2 hours 30 minutes";
* thousands separators, currency signs, ``18.00``, ``36/2``, bold type, quotes, digits of other
  scripts and words ("eighteen") are formatting; a power or a root is its value;
* a unit is dropped; "million" and the like multiply, or are the unit asked for;
* ``28\%`` matches 28 and 0.28; ``1500\%`` does not match 15;
* ``3:00 PM`` matches 3, and ``3:40 PM`` no number; ``17_8`` matches no 17.

Everything else is math-verify's judgement. Golds are the bare answer, or LaTeX, or a text that
ends in ``#### answer``; LaTeX is wrapped in ``\boxed{}``, because math-verify misreads 108 of
MATH-500's 500 golds without. docs/answers.md has every kind with its cases.

How it stays alive
------------------
Plain numbers are compared right here. Everything else goes to worker processes, this same file
run with ``--worker``: math-verify keeps its time limits with signals, which work in the main
thread only, and verl calls rewards from other threads. A worker that has worked on one answer
for ``TIME_LIMIT_S`` of processor time is ended and replaced; it limits its own memory; one that
died is replaced and asked again, once. Workers start when they are first needed and end with
their parent.

Needs: math-verify, in the Python that runs it. POSIX.
"""

import asyncio
import bisect
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
from typing import NamedTuple

TIME_LIMIT_S = 5.0
"""Seconds of processor time that one verification may take."""
WALL_LIMIT_S = 60.0
"""Seconds that it may take by the clock: of a machine that stands still, or a worker that was stopped."""
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
"""Maximum length of ``pred``."""

STATUSES = ("correct", "wrong", "no_answer", "timeout", "error")


def compute_score(
    data_source, solution_str, ground_truth, extra_info=None, strict=False, thinking=None, thought_marks=(), **_
):
    """Score one solution: the signature of verl's custom reward functions.

    Args:
        data_source: the row's data source; not used.
        solution_str: the model's whole answer.
        ground_truth: the bare final answer, or LaTeX, or a text that ends in ``#### answer``.
        extra_info: the row's extra_info; ``persona`` and ``row_id`` are passed through.
        strict: whether an answer counts in a closed box or behind ``####`` alone; any other is "no_answer".
        thinking: "on" or "open" for a model that thinks first; "open": the prompt ends with ``<think>``.
        thought_marks: other marks of thoughts than ``<think>`` and ``</think>``, in pairs.

    Returns:
        The keys that the file's docstring lists.
    """
    solution_str, cut = split_thoughts(solution_str, thinking, thought_marks)
    verdict, request = _read(solution_str, ground_truth, strict)
    return _result(verdict or _wait([_state.submit(request)])[0], extra_info, cut)


async def compute_score_async(
    data_source, solution_str, ground_truth, extra_info=None, strict=False, thinking=None, thought_marks=(), **_
):
    """``compute_score`` for an event loop: a solution that hangs holds no thread of the loop's executor."""
    solution_str, cut = split_thoughts(solution_str, thinking, thought_marks)
    verdict, request = _read(solution_str, ground_truth, strict)
    return _result(verdict or await asyncio.wrap_future(_state.submit(request)), extra_info, cut)


def compute_score_batch(
    data_sources, solution_strs, ground_truths, extra_infos=None, strict=False, thinking=None, thought_marks=(), **_
):
    """Score many at once, ``WORKERS`` at a time: the signature of verl's batch reward manager.

    Returns:
        A list of ``compute_score``'s dicts, in order.
    """
    read = [split_thoughts(text, thinking, thought_marks) for text in solution_strs]
    verdicts = _verdicts([text for text, _ in read], ground_truths, strict)
    infos = extra_infos if extra_infos is not None else [None] * len(verdicts)
    return [_result(verdict, info, cut) for verdict, info, (_, cut) in zip(verdicts, infos, read, strict=True)]


def accuracy_reward(
    completions, solution=None, answer=None, ground_truth=None, log_metric=None, strict=False, thinking=None, **_
):
    """Score many at once: TRL's signature of a reward function, as its own ``accuracy_reward``.

    Args:
        completions: texts, or lists of messages of which the last one's content is read.
        solution, answer, ground_truth: the golds; whichever column the dataset has.
        log_metric: TRL's; gets the share of timeouts and errors.
        strict, thinking: as for ``compute_score``; ``functools.partial(accuracy_reward, strict=True)`` sets it.

    Returns:
        1.0 or 0.0 each; None, which TRL leaves out, where the verifier failed (``error``).

    Raises:
        ValueError: no column of golds.
    """
    golds = next((column for column in (solution, answer, ground_truth) if column is not None), None)
    if golds is None:
        raise ValueError("no golds: the dataset needs a column named solution, answer or ground_truth")
    texts = [text if isinstance(text, str) else _content(text[-1]["content"]) for text in completions]
    texts = [split_thoughts(text, thinking, ())[0] for text in texts]
    statuses = [status for status, *_ in _verdicts(texts, golds, strict)]
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


def split_thoughts(solution, thinking, marks):
    """The solution with its thoughts between <think> and </think>, and whether it ended inside one; None: not asked."""
    if thinking is None or not isinstance(solution, str):
        return solution, None if thinking is None else False
    if thinking not in ("off", "on", "open", False, True):
        raise ValueError(f"thinking is {thinking!r}; known: off, on, open")
    for opening, closing in marks:
        solution = solution.replace(opening, "<think>").replace(closing, "</think>")
    if thinking == "open":
        solution = f"<think>\n{solution}"
    spoken = solution.rpartition("</think>")[2]
    cut = "<think>" in spoken
    # A thought that began further up than the end that is read must not pass for an answer.
    return ("<think>" if cut and len(solution) > MAX_SOLUTION_CHARS else solution), cut


def _result(verdict, extra_info, cut=None):
    status, pred, mark = verdict
    info = extra_info or {}
    correct = float(status == "correct")
    result = {
        "score": correct,
        "acc": correct,
        "no_answer": float(status == "no_answer"),
        "timeout": float(status == "timeout"),
        "error": float(status == "error"),
        "status": status,
        "pred": pred,
        "mark": mark,
        "persona": str(info.get("persona", "")),
        "row_id": str(info.get("row_id", "")),
    }
    return result if cut is None else result | {"truncated_thought": float(cut)}


def _verdicts(solutions, golds, strict=False):
    """(status, pred, mark) of each, in order; the numeric ones do not wait for the others."""
    if len(solutions) != len(golds):
        raise ValueError(f"{len(solutions)} solutions and {len(golds)} golds")
    read = [_read(solution, gold, strict) for solution, gold in zip(solutions, golds, strict=True)]
    asked = iter(_wait([_state.submit(request) for verdict, request in read if verdict is None]))
    return [verdict or next(asked) for verdict, _ in read]


# --- reading: which part of a solution is the answer ------------------------------------------
#
# All of this runs in the calling process on text that a model chose: every repetition is bounded, or cannot start
# again where it has already been.


class Mark(NamedTuple):
    """A way to mark the final answer.

    Attributes:
        name: as it stands in a result's ``mark``.
        hints: a text that has none of them has no such mark.
        opener: verbose pattern of what stands in front of the answer.
        example, reads: a solution, and the answer that is read in it.
    """

    name: str
    hints: tuple
    opener: str
    example: str
    reads: str


_LINK = r"[*_ \t]{0,9}"
_COLON = r"[*_]{0,3}[ \t]?[:\uff1a=]"
EXPLICIT = (
    Mark("boxed", ("\\boxed", "\\fbox"), r"\\{1,2}(?:boxed|fbox)\s{0,9}\{", r"So it is \boxed{18}.", "18"),
    Mark(
        "tag",
        ("nswer>", "nswer ", "esult>", "esult ", "NSWER>"),
        r"<(?P<close>/?)(?P<tag>(?i:final[_ -]?answer|answer|final[_ -]?result|result))(?:\s[^<>]{0,100})?>",
        "<answer>18</answer>",
        "18",
    ),
    Mark(
        "json",
        ("nswer", "NSWER"),
        r"\\?[\"'](?i:(?:final|correct)?[_ ]?answer)\\?[\"']\s{0,9}:\s{0,9}",
        '{"steps": 2, "answer": 18}',
        "18",
    ),
)
"""Marks that say where the answer begins and where it ends."""
HASH = Mark("hash", ("####",), r"\#{4}(?!\#)", "9 * 2 = 18\n#### 18", "18")
"""GSM8K's own."""
OBJECT = Mark(
    "json",
    ('"', "'"),
    r"[{,]\s{0,99}[\"'](?i:final[_ ]?result|result|solution|response|output|value)[\"']\s{0,9}:\s{0,9}",
    '{"result": 18}',
    "18",
)
"""Fields that hold the answer where no other mark does."""
PHRASES = (
    Mark(
        "phrase",
        ("nswer", "NSWER"),
        rf"""\b(?i:answer)\b (?:[ ](?i:to|for|here|of)\b[^.:\n]{{1,60}}?|,[^,.:\n0-9]{{1,40}},)? {_LINK}
        (?: (?i:is|equals|(?:would|will|should|must|could|may|might)[ ]be|comes[ ]to)\b [*_]{{0,3}} [:\uff1a]?
          | ['\u2019]s\b
          | {_COLON} | (?=[$]?[0-9][0-9\s,./]{{0,30}}\Z) )""",
        "The answer is 18.",
        "18",
    ),
    Mark(
        "phrase",
        (
            "nswer",
            "NSWER",
            "espuesta",
            "\u00e9ponse",
            "ntwort",
            "isposta",
            "esposta",
            "\u7b54\u6848",
            "\u0442\u0432\u0435\u0442",
        ),
        r"""^[ \t]*(?:\#{1,6}[ \t]*|<h[1-6]>)?[*_ \t]{0,4}(?:\u6700\u7ec8)?
        (?i:(?:the[ ])?(?:final|correct)?[ ]?answer|(?:respuesta|r\u00e9ponse|antwort|risposta|resposta|\u7b54\u6848
          |\u043e\u0442\u0432\u0435\u0442)(?:[ ]final[ea]?)?)
        [*_ \t]{0,5}(?:</h[1-6]>)?[*_ \t]*\n""",
        "3 * 4 = 12\n\n### Final Answer\n18 eggs",
        "18",
    ),
    Mark("phrase", ("A:", "A*", "A_"), r"^[ \t>*_]{0,9}A[*_]{0,3}:", "**A:** 18", "18"),
    Mark(
        "phrase",
        ("espuesta", "ESPUESTA"),
        rf"\b(?i:respuesta)\b(?:[ ](?:final|correcta))?{_LINK}(?:(?i:es|ser\u00eda)\b[ ]?:?|{_COLON})",
        "La respuesta es 18. Faltan 2 pasos.",
        "18",
    ),
    Mark(
        "phrase",
        ("\u00e9ponse", "\u00c9PONSE"),
        rf"\b(?i:r\u00e9ponse)\b(?:[ ](?:finale|correcte))?{_LINK}(?:(?i:est)\b[ ]?:?|{_COLON})",
        "La r\u00e9ponse est 18. Il reste 2 pas.",
        "18",
    ),
    Mark(
        "phrase",
        ("ntwort", "NTWORT"),
        rf"\b(?i:antwort)\b{_LINK}(?:(?i:ist|lautet|betr\u00e4gt)\b[ ]?:?|{_COLON})",
        "Die Antwort ist 18. Noch 2 Schritte.",
        "18",
    ),
    Mark(
        "phrase",
        ("isposta", "ISPOSTA"),
        rf"\b(?i:risposta)\b(?:[ ](?:finale|corretta))?{_LINK}(?:\u00e8(?!\w)[ ]?:?|{_COLON})",
        "La risposta \u00e8 18. Restano 2 passi.",
        "18",
    ),
    Mark(
        "phrase",
        ("esposta", "ESPOSTA"),
        rf"\b(?i:resposta)\b(?:[ ](?:final|correta))?{_LINK}(?:\u00e9(?!\w)[ ]?:?|{_COLON})",
        "A resposta \u00e9 18. Faltam 2 passos.",
        "18",
    ),
    Mark(
        "phrase",
        ("ntwoord", "NTWOORD"),
        rf"\b(?i:antwoord)\b{_LINK}(?:(?i:is|luidt)\b[ ]?:?|{_COLON})",
        "Het antwoord is 18. Nog 2 stappen.",
        "18",
    ),
    Mark(
        "phrase",
        ("dpowied\u017a",),
        rf"\b(?i:odpowied\u017a)(?:[ ]to\b)?{_LINK}(?:(?i:to|brzmi)\b[ ]?:?|{_COLON})",
        "Odpowied\u017a: 18. Jeszcze 2 zadania.",
        "18",
    ),
    Mark(
        "phrase",
        ("evap", "EVAP"),
        rf"\b(?i:cevap|cevab\u0131)(?:[ ](?=[*$]*[0-9])|{_LINK}{_COLON})",
        "Cevap: 18. Geriye 2 soru.",
        "18",
    ),
    Mark(
        "phrase",
        ("\u0442\u0432\u0435\u0442", "\u0422\u0412\u0415\u0422"),
        rf"""\b(?i:\u043e\u0442\u0432\u0435\u0442)
        (?:{_LINK}(?:{_COLON}|[-\u2013\u2014]|\u0440\u0430\u0432\u0435\u043d\b)|[ ](?=[*$]*[0-9]))""",
        "\u041e\u0442\u0432\u0435\u0442: 18. \u0415\u0449\u0451 2 \u0448\u0430\u0433\u0430.",
        "18",
    ),
    Mark(
        "phrase",
        ("\u7b54\u6848", "\u7b54:", "\u7b54\uff1a"),
        rf"\u7b54(?:\u6848)?{_LINK}(?:(?:\u662f|\u4e3a|\u70ba|\u61c9\u70ba|\u5e94\u4e3a|\u7b49\u4e8e)[\s:\uff1a]?"
        rf"|{_COLON})",
        "\u7b54\u6848\u662f18\u3002\u8fd8\u67092\u9898\u3002",
        "18",
    ),
    Mark(
        "phrase",
        ("\u7b54\u3048", "\u89e3\u7b54", "\u6b63\u89e3", "\u56de\u7b54"),
        rf"(?:\u7b54\u3048|\u89e3\u7b54|\u6b63\u89e3|\u56de\u7b54){_LINK}(?:\u306f[\u3001\s:\uff1a]?|{_COLON})",
        "\u7b54\u3048\u306f18\u3067\u3059\u3002\u3042\u30682\u554f\u3002",
        "18",
    ),
    Mark(
        "phrase",
        ("\ub2f5\uc740", "\ub2f5:", "\ub2f5 :"),
        rf"\ub2f5{_LINK}(?:\uc740[\s:]?|{_COLON})",
        "\uc815\ub2f5\uc740 18\uc785\ub2c8\ub2e4. 2\ubb38\uc81c.",
        "18",
    ),
    Mark(
        "phrase",
        ("\u0627\u0644\u0625\u062c\u0627\u0628\u0629", "\u0627\u0644\u062c\u0648\u0627\u0628"),
        rf"""(?:\u0627\u0644\u0625\u062c\u0627\u0628\u0629|\u0627\u0644\u062c\u0648\u0627\u0628)
        [^.:\n0-9]{{0,20}}?{_LINK}(?:(?:\u0647\u064a|\u0647\u0648)\b[ ]?:?|{_COLON})""",
        "\u0627\u0644\u0625\u062c\u0627\u0628\u0629 \u0647\u064a 18. \u0635\u0641\u062d\u0629 2.",
        "18",
    ),
    Mark(
        "phrase",
        ("\u0909\u0924\u094d\u0924\u0930",),
        rf"\u0909\u0924\u094d\u0924\u0930(?:{_LINK}{_COLON}|[ ](?=[*$]*[0-9]))",
        "\u0909\u0924\u094d\u0924\u0930 18 \u0939\u0948\u0964 \u092a\u0943\u0937\u094d\u0920 2.",
        "18",
    ),
)
"""Words that the answer follows, by language; colons of any width."""
BOLD = Mark(
    "bold", ("**", "__", "<b>", "<strong>"), r"\*\*|__|<b>|<strong>", "So she has **18** left, for 3 days.", "18"
)
"""The last number in bold type, where no calculation follows it."""
MARKS = (*EXPLICIT, OBJECT, HASH, *PHRASES, BOLD)
STRICT_MARKS = ("boxed", "hash")
"""Marks that count under ``strict``: closed boxes, and GSM8K's own mark."""


class _Found(NamedTuple):
    """A mark in a solution; without content it is not closed."""

    mark: str
    start: int
    end: int
    content: "str | None"


_OPENERS = {
    mark: re.compile(mark.opener, re.VERBOSE | re.MULTILINE | re.DOTALL)
    for mark in (*EXPLICIT[1:], OBJECT, HASH, *PHRASES)
}
_HINTS = [(hint, mark) for mark in PHRASES for hint in mark.hints]
_ASCII_HINTS = [(hint, mark) for hint, mark in _HINTS if hint.isascii()]


def _hinted(text, mark):
    for hint in mark.hints:  # noqa: SIM110 - any() costs a generator a solution
        if hint in text:
            return True
    return False


# The ground truth.


class _Reading(NamedTuple):
    """A part of a solution, read as a number.

    Attributes:
        values: what it may mean; empty if it is no single number, so that it equals no gold.
        percent: whether it is a percentage.
        text: as it is written.
    """

    values: tuple
    percent: bool
    text: str


class _Gold(NamedTuple):
    """A ground truth.

    Attributes:
        text: the bare answer.
        asked: what math-verify is asked about: without unit and separators if it is a number.
        number: its reading, if it is a number.
        comma: its reading if it is a number or a pair, such as 2,5.
        several: whether it has several parts.
        clock: a time of day, as ``_clock`` gives it.
        numeral: digits and base, if it names its base.
        words: a letter of a choice, or words, such as Yes.
    """

    text: str
    asked: str
    number: "_Reading | None" = None
    comma: "_Reading | None" = None
    several: bool = False
    clock: "tuple | None" = None
    numeral: "tuple | None" = None
    words: str = ""


_GOLDS: dict = {}
_MOST_GOLDS = 4096


def _gold(text):
    """Read a ground truth, once for all the solutions that are judged by it."""
    gold = _GOLDS.get(text)
    if gold is None:
        if len(_GOLDS) >= _MOST_GOLDS:
            _GOLDS.clear()
        gold = _GOLDS[text] = _read_gold(text)
    return gold


def _read_gold(text):
    text = text.rpartition("####")[2].strip()
    if "\\boxed" in text:
        found, _ = _last_box(text, _Gold("", "", several=True))
        text = found.content if found else text
    plain = _ascii_numbers(text)
    number = _number_in(plain, is_gold=True) or _decimal_comma(plain, ambiguous=False)
    if number is not None:
        return _Gold(text, _asked(number), number)
    return _Gold(
        text,
        text,
        None,
        _decimal_comma(plain),
        bool(_SEVERAL.search(text)),
        _clock(plain, alone=True),
        _numeral(plain),
        _words_of(text),
    )


def _words_of(gold):
    """A gold that is words, or a capital letter of a choice, without brackets and LaTeX; or empty."""
    words = _TEXT.sub(r"\1", gold).strip(" ()$.")
    return words if re.fullmatch(r"[A-J]|[A-Za-z][A-Za-z' -]{1,40}", words) else ""


def _asked(number):
    """A number for math-verify: without unit and separators."""
    value, written = number.values[0], number.text
    if "/" in written or "frac" in written or "e" in written.lower():
        text = str(value)
    else:
        text = ("-" if value < 0 else "") + re.sub(r"[^0-9.]", "", written)
    return text + ("\\%" if number.percent else "")


# Choice of the mark that counts.

_MAX_LINE_CHARS = 500
_MAX_TAIL_CHARS = 2_000
_MAX_NUMBER_CHARS = 200
_MAX_JOINT_CHARS = 80
_MAX_MARKS = 50

_BRACES = re.compile(r"\\{1,2}(?:boxed|fbox)\s{0,9}\{|\\.|[{}]", re.DOTALL)
_NAME_BEFORE = re.compile(r"([A-Za-z])\s?=\s?[$\s]{0,3}\Z")
_BETWEEN_BOXES = r"[\s$]|\\q?quad|\\[,;()\[\]]"
_JOINT = re.compile(
    rf"(?:{_BETWEEN_BOXES})*(?:,?\s*(?:and|or)\b|,|\\text\s*\{{[^{{}}]*\b(?:and|or)\b[^{{}}]*\}})"
    rf"(?:{_BETWEEN_BOXES}|[A-Za-z]\s?=|(?:the\s)?(?:second|third|fourth|last|other)(?:\s[a-z]{{1,12}})?\s(?:is|are))*"
)
_ENDS_IN_MARK = re.compile(
    r"(?:\#{4}|\b(?i:answer|respuesta|r\u00e9ponse|antwort|risposta|resposta"
    r"|\u043e\u0442\u0432\u0435\u0442)\b[*_ ]{0,9}"
    r"(?:[:=\uff1a]|(?i:is|es|est|ist|\u00e8|\u00e9)\b[ ]?:?)|\u7b54\u6848[\u662f\u4e3a:\uff1a])[\s*_$:`\"']{0,40}\Z"
)
_OBJECT_BEGINS = re.compile(r"\{\s{0,99}\"\w{1,40}\"\s{0,9}:")
_OBJECT_ENDS = re.compile(r"\"\s{0,99}\}|\}\s{0,99}(?:\Z|\n|,|```)")
_SUPPOSES = re.compile(
    r"\b(?:(?:suppose|if|assuming|assume)(?:\sthat)?\s(?:the\s|your\s|my\s)?(?:final\s|correct\s)?"
    r"|(?:might|may|mistake|tempting|tempted|could)\b[^.!?\n]{0,30}\b(?:say|think|guess"
    r"|conclude)(?:\sthat)?\s(?:the\s)?(?:final\s)?"
    r"|wrong\s)\Z",
    re.IGNORECASE,
)
_ASKS = re.compile(r"[*_$\s]{0,4}[-\u2212]?[0-9][0-9.,]*[*_$]{0,3}\?")
_ENDINGS = ("#", ":", "\uff1a", "=", "is", "es", "est", "ist", "IS", "\u00e8", "\u00e9", "\u662f", "\u4e3a")
_HEADING = re.compile(r"[.):][ \t]+\S[^\n]*\n\s*\S")
_FORMULA = re.compile(
    r"[\s*_:]*(?:\$\$(?P<display>[^$]+)\$\$|\$(?P<inline>(?:\\.|[^$\n\\])+)\$|\\\((?P<round>[^\n]+?)\\\)"
    r"|\\\[(?P<square>.+?)\\\])",
    re.DOTALL,
)
_SEVERAL = re.compile(r",|\b(?:and|or)\b")
_TAKEN_BACK = re.compile(
    r"""
    (?: \A[\s$.,;!*)}\]]{0,9} (?:(?:but|and|which|no|wait|hmm|oops),?\s){0,2}
      | (?: (?<=[.!?;,\u2014])[\s*]{1,9} | \n[\s*]{0,9} )
        (?:(?:but|no|wait|hmm|hm|oh|oops|ah|sorry|hold\son|actually|edit)\b[\s,.!:\u2014-]{1,4}){0,3} )
    (?: (?P<flat> (?:(?:that|this|it|which)(?:['\u2019]s|\sis|\swas)|(?<=[\s)}$])is)\s(?:all\s|actually\s|clearly\s)?
                  (?:wrong|incorrect|not\s(?:right|correct)|a\smistake)
                | (?:that|this|it)\s(?:isn|wasn)['\u2019]t\s(?:right|correct) | (?:moment,\s)?das\sist\sfalsch )
      | (?P<soft> scratch\sthat | strike\sthat | correction\b | my\smistake | on\ssecond\sthought
                | i\s(?:made|have\smade)\san?\s[a-z ]{0,20}(?:mistake|error|slip) | i\s(?:was|am)\swrong
                | i\s(?:forgot|missed)\b | we\sforgot\sto\b | (?:wait|hold\son)[\s,.!\u2014-]{1,4}we\sneed\sto\b
                | i\smis(?:read|counted|calculated|computed|took) | upon\s(?:re-?checking|review|reflection)
                | (?:no,?\swait | wait,?\sno | actually,?\sno)\b | let\sme\s(?:correct|redo|fix)\b
                | (?:that|it)\sshould\s(?:actually\s)?(?:be|have\sbeen)\s(?=(?:exactly\s|about\s)?[$]?[0-9])
                | the\s(?:correct|right|actual|corrected|revised)\s(?:final\s)?(?=answer) ) )
    | [,.\u2014-]\s?(?P<aside>(?:no|sorry|i\smean),?\s)(?=[$]?[0-9])
    | (?<=[.!])\s(?P<instead>actually,?\sit(?:['\u2019]s|\sis)\s)(?=[$]?[0-9])
    | (?P<elsewhere>\u4e0d\u5bf9|\u4e0d\u5c0d|\u9519\u4e86)
    """,
    re.VERBOSE | re.IGNORECASE,
)
_HOLDS = re.compile(
    r"\b(?:is|be|are|makes?|gives?|leaves?|has|have|total|result)\b[^0-9.?!\n]{0,40}[0-9]", re.IGNORECASE
)
_STATES = re.compile(
    r"(?:[^.!?\n]{0,160}[.!?]\s{1,4})?[^.!?\n]{0,60}?(?:=\s?\$?-?[0-9]|\b(?:it(?:['\u2019]s|\sis)|(?:that"
    r"|which)(?:['\u2019]s|\smakes|\sleaves"
    r"|\sgives|\sis)|should\sbe|makes\sit|total\s(?:is|of)|comes\sto|es\ssind)\s[^0-9.?!\n]{0,20}[0-9]"
    r"|\u5e94\u8be5\u662f\s?[0-9])",
    re.IGNORECASE,
)


def _read(solution, gold, strict=False):
    """Return ((status, pred, mark), None) if no worker is needed, else (None, the request to a worker)."""
    try:
        return _read_solution(solution, gold, strict)
    except Exception as error:  # one sample that cannot be read must not cost the others
        _complain(f"a solution could not be read: {error!r}")
        return ("error", "", ""), None


def _read_solution(solution, gold, strict):
    if not isinstance(solution, str):
        return ("no_answer", "", ""), None
    gold = _gold(str(gold if gold is not None else "")[: MAX_GOLD_CHARS + 1])
    if not gold.text or len(gold.text) > MAX_GOLD_CHARS:
        return ("error", "", ""), None
    text = solution[-MAX_SOLUTION_CHARS:].rpartition("</think>")[2].partition("<think>")[0]
    if not text.isascii():
        text = _ascii_numbers(text)
    mark, form, content = _marked(text, gold)
    if form == "empty":
        return ("no_answer", "", mark), None
    if strict and mark not in STRICT_MARKS:
        return ("no_answer", "", mark), None
    if gold.text in (content, content.removesuffix("."), text.strip()):
        return ("correct", gold.text[:MAX_PRED_CHARS], mark), None
    equal, pred = None, ""
    if gold.number is None:
        equal, form, content = _other_kind(form, content, gold)
        pred = content
    else:
        mark, form, content, reading = _number_of(mark, form, content, gold)
        if reading is not None:
            equal, pred = _equal(reading, gold), reading.text
    if form == "empty":
        return ("no_answer", "", mark), None
    if equal is not None:
        return ("correct" if equal else "wrong", pred.strip()[:MAX_PRED_CHARS], mark), None
    whole = _tail(content if form == "none" else text)
    if form == "none" and (formula := _last_formula(whole)):
        form, content = "formula", formula
    return None, {"kind": form, "answer": content, "text": whole, "gold": gold.asked, "mark": mark}


def _marked(text, gold):
    """(mark, form, content) of the answer that counts.

    Forms: "box", the answer and nothing else; "line", a text that begins with it; "bare", a solution that is nothing
    but the answer; "none", a text without a mark; "empty", no answer.
    """
    found, cut = _explicit(text, gold)
    if found is None:
        field = _field(text, OBJECT, gold.number is not None) if "{" in text and _hinted(text, OBJECT) else None
        if field is not None and field.content is None:
            cut, field = max(cut, field.start), None
        found = field or _line(text)
    if max(cut, _cut_line(text), _cut_object(text)) > (-1 if found is None else found.start):
        return "", "empty", ""
    if found is None:
        return _unmarked(text)
    if found.mark in ("phrase", "hash") and gold.number is not None and not _says_number(found.content):
        return _unmarked(text)
    after = text[found.end :]
    taken_back = _TAKEN_BACK.search(after)
    if taken_back:
        rest = after[taken_back.end() :]
        again = _marked(rest, gold)
        if again[1] in ("box", "bare") or (again[1] == "line" and (_begins(again[2]) or _formula(again[2]))):
            return again
        states = _STATES.match(rest) or (taken_back["flat"] and _HOLDS.search(rest))
        if again[1] != "empty" and gold.number is not None and states:
            return again
        if taken_back["flat"]:
            return "", "empty", ""
    content = found.content
    if found.mark in ("boxed", "tag", "json"):
        content = content.strip()
        return (
            (found.mark, "empty", "") if content in ("", "null", "None") else (found.mark, "box", _undelimited(content))
        )
    formula = _formula(content)
    if formula is not None and not _JOINT.match(content, formula[1]):
        equals = re.compile(r"\s?=\s?").match(content, formula[1])
        return (found.mark, "line", content[equals.end() :]) if equals else (found.mark, "box", formula[0])
    return found.mark, "line", content


def _unmarked(text):
    if not re.search(r"[\d$\\\[]", text) and not _SPELLED.search(text):
        return "", "empty", ""
    if _OBJECT_BEGINS.match(text.lstrip("` \n\tjson")):
        return "", "empty", ""  # what was to hold the answer holds none
    if len(text) < _MAX_LINE_CHARS and "\n" not in text.strip() and not _WORD.search(_NO_WORD.sub("", text)):
        return "unmarked", "bare", text.strip()
    return "unmarked", "none", text


def _explicit(text, gold):
    """The last mark that says where the answer ends, or None, and where the last one begins that does not, or -1."""
    found, cut = None, -1
    if "\\boxed" in text or "\\fbox" in text:
        found, cut = _last_box(text, gold)
    tags, fields = EXPLICIT[1:]
    if "<" in text and _hinted(text, tags):
        tag, cut_tag = _last_tag(text)
        cut = max(cut, cut_tag)
        if tag is not None and (found is None or tag.start > found.start):
            found = tag
    if ('"' in text or "'" in text) and _hinted(text, fields):
        field = _field(text, fields, gold.number is not None)
        if field is not None and field.content is None:
            cut = max(cut, field.start)
        elif field is not None and (found is None or (field.start > found.start and _says(field.content, gold))):
            found = field
    return found, cut


def _says_number(line):
    """Return whether the paragraph after a mark has a number, a formula or a number in words."""
    paragraph = re.split(r"\n\s*\n", line, maxsplit=1)[0]
    return bool(re.search(r"[0-9\\$\u221a\u03c0\u221e]", paragraph) or _SPELLED.search(paragraph))


def _says(content, gold):
    return gold.number is None or re.search(r"[0-9\\]", content) or _SPELLED.search(content)


def _last_box(text, gold):
    """The box that was opened last among those that close and hold something; boxes that are one answer are joined."""
    opened: list = []
    boxes: list = []
    for token in _BRACES.finditer(text, _first_box(text)):
        piece = token[0]
        if piece == "}":
            if opened:
                start, inside, escaped = opened.pop()
                if inside is not None and text[inside : token.start()].strip():
                    boxes.append((start, inside, token.start(), escaped))
        elif piece.endswith("{") and piece != "\\{":
            opened.append((token.start(), token.end() if len(piece) > 1 else None, piece.startswith("\\\\")))
    cut = max((start for start, inside, _ in opened if inside is not None), default=-1)
    if not boxes:
        return None, cut
    boxes.sort()
    start, inside, end, escaped = boxes.pop()
    last = end + 1
    parts = [_named(text, start, text[inside:end].strip(), gold)]
    while gold.several and boxes:
        after = boxes[-1][2] + 1
        if not 0 < start - after < _MAX_JOINT_CHARS or not _JOINT.fullmatch(text, after, start):
            break
        start, inside, end, escaped = boxes.pop()
        parts.insert(0, _named(text, start, text[inside:end].strip(), gold))
    content = ", ".join(parts)
    if len(parts) > 1 and gold.text.startswith("("):
        content = f"({content})"
    return _Found("boxed", start, last, content.replace("\\\\", "\\") if escaped else content), cut


def _first_box(text):
    """Return where the last ``_MAX_MARKS`` boxes begin; earlier ones are not read."""
    start = len(text)
    for _ in range(_MAX_MARKS):
        before = max(text.rfind("\\boxed", 0, start), text.rfind("\\fbox", 0, start))
        if before < 0:
            break
        start = before
    return start - (text[start - 1 : start] == "\\")


def _named(text, start, content, gold):
    """A box's content, with the name that stands in front of the box where the gold has names."""
    name = _NAME_BEFORE.search(text, max(0, start - 12), start) if gold.several and "=" in gold.text else None
    return f"{name[1]}={content}" if name and "=" not in content else content


def _last_tag(text):
    found, opened = None, None
    for token in list(_OPENERS[EXPLICIT[1]].finditer(text))[-2 * _MAX_MARKS :]:
        name = re.sub("[ _-]", "", token["tag"].lower())
        if not token["close"]:
            opened = (name, token)
        elif opened is not None and opened[0] == name:
            start = opened[1]
            found, opened = _Found("tag", start.start(), token.end(), text[start.end() : token.start()]), None
    return found, -1 if opened is None else opened[1].start()


_VALUE = re.compile(
    r"\\?\"(?P<text>(?:[^\"\\]|\\.)*)(?P<closed>\"?)|'(?P<single>[^'\n]*)(?P<closed1>'?)|(?P<nested>[\[{])"
    r"|(?P<bare>[^\n}\]\"'{\[,]*(?:,[0-9]{3}[^\n}\]\"'{\[,]*)*)(?P<end>[\n}\],]?)",
    re.DOTALL,
)


def _field(text, kind, numeric):
    """The last JSON field of this kind that says something; without content if the text ends in it."""
    last = None
    for key in list(_OPENERS[kind].finditer(text))[: -_MAX_FIELDS - 1 : -1]:
        value = _VALUE.match(text, key.end())
        if value["bare"] and not re.match(r"[-$0-9.]|null|None|true|false", value["bare"]) and value["end"] != "}":
            continue
        closed = value["closed"] or value["closed1"] or value["end"]
        end = value.end()
        if value["nested"]:
            content, end = _nested(text, value.start())
            closed = content is not None
        elif value["text"] is not None:
            content = _unescaped(value["text"])
        else:
            content = value["single"] if value["single"] is not None else value["bare"].strip()
        field = _Found("json", key.start(), end, content if closed else None)
        if field.content is None:
            return last or field
        last = last or field
        if re.search(r"[0-9\\]", content) or not numeric or content in ("", "null", "None") or _SPELLED.search(content):
            return field if last is field or content not in ("", "null", "None") else last
    return last


_MAX_FIELDS = 3
_NAMED_VALUES = ("value", "answer", "final_answer", "result", "amount", "number")


def _nested(text, start):
    """An object's or a list's content as text, and its end; None if it is not closed or not JSON."""
    try:
        value, end = json.JSONDecoder().raw_decode(text[: start + _MAX_LINE_CHARS], start)
    except (ValueError, RecursionError):
        closing = text.find("]" if text[start] == "[" else "}", start, start + _MAX_LINE_CHARS)
        return (None, start) if closing < 0 else (text[start + 1 : closing], closing + 1)
    if isinstance(value, dict):
        named = next((value[name] for name in _NAMED_VALUES if name in value), None)
        if named is not None and not isinstance(named, (dict, list)):
            return str(named), end
        return ", ".join(f"{name}={part}" for name, part in value.items()), end
    return ", ".join(str(part) for part in value), end


def _cut_object(text):
    """Return where the last JSON object begins if it is not closed, else -1."""
    if '"' not in text:
        return -1
    objects = list(_OBJECT_BEGINS.finditer(text))
    return objects[-1].start() if objects and not _OBJECT_ENDS.search(text, objects[-1].end()) else -1


def _cut_line(text):
    """Return where a mark or a GSM8K annotation begins that the text ends in, else -1."""
    annotation = text.rfind("<<")
    if annotation >= 0 and text.find(">>", annotation) < 0 and len(text) - annotation < 80:
        return annotation
    if not text[-_MAX_NUMBER_CHARS:].rstrip(" \n*_$`\"'").endswith(_ENDINGS):
        return -1
    found = _ENDS_IN_MARK.search(text, max(0, len(text) - 80))
    return found.start() if found else -1


def _line(text):
    """Return the text after the last mark: "####" (no heading), else words that an answer follows, else others."""
    if "####" in text:
        for mark in list(_OPENERS[HASH].finditer(text))[: -_MAX_MARKS - 1 : -1]:
            line = _behind(text, mark)
            begins = _begins(line)
            if begins is None and _formula(line) is None and _plain_maths(line) is None:
                if "\n" in line.strip() or not line.strip() or text.find("####", mark.end()) >= 0:
                    continue
                return _Found("hash", mark.start(), mark.end(), line)
            if begins is None or not _HEADING.match(line, begins[1]):
                return _Found("hash", mark.start(), mark.end(), line)
    hinted = {kind for hint, kind in (_ASCII_HINTS if text.isascii() else _HINTS) if hint in text}
    marks = [found for kind in hinted for found in _OPENERS[kind].finditer(text)]
    marks.sort(key=re.Match.start)
    weak = None
    for mark in marks[: -_MAX_MARKS - 1 : -1]:
        line = _behind(text, mark)
        if _SUPPOSES.search(text, max(0, mark.start() - 80), mark.start()) or _ASKS.match(line):
            continue
        found = _Found("phrase", mark.start(), mark.end(), line)
        colon = mark[0].rstrip("*_ ").endswith((":", "\uff1a"))
        if _begins(line) or _formula(line) or (colon and re.search("[0-9]", line.partition("\n")[0])):
            return found
        weak = weak or (found if line.strip() else None)
    return weak


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


def _begins(line):
    """(value, end) of the number that a line begins with, or None."""
    start = _LEAD.match(line).end()
    return _number(line, start) or _spelled(line, start)


def _behind(text, mark):
    """Return the text after a mark; a bullet on its own line is not a minus."""
    line = text[mark.end() : mark.end() + _MAX_LINE_CHARS]
    stripped = line.lstrip()
    if "\n" in line[: len(line) - len(stripped)]:
        stripped = _BULLET.sub("", stripped)
    return _STRUCK.sub("", _RULED.sub("", stripped))


# Numbers, and what may stand around them.


def _words(text):
    return text.split()


_CURRENCY = r"(?:(?:US|A|C|HK|NZ)?\\?\$|USD|[\u20ac\u00a3\u00a5\u20b9])"
_NUMBER = re.compile(
    rf"\s*(?P<sign>[-+\u2212\u2013\u2014]|(?:negative|minus)\s)?\s?(?:{_CURRENCY}\s?)?(?P<sign2>[-+\u2212])?(?:"
    r"(?:(?P<whole>[0-9]{1,9})(?:\s{1,3}|(?=\\)))?(?:(?P<above>[0-9]{1,99})\s?/\s?(?P<below>[0-9]{1,99})(?![0-9]"
    r"|\.[0-9])"
    r"|\\[dt]?frac\s?\{\s?(?P<above2>[0-9]{1,99})\s?\}\s?\{\s?(?P<below2>[0-9]{1,99})\s?\})"
    r"|(?:(?P<grouped>(?:[1-9][0-9]{0,2}(?:(?:,|\{,\}|\\,|\\!|,\\!\s?|[ \u202f\u00a0'_])[0-9]{3})+"
    r"|[1-9][0-9]?(?:,[0-9]{2})+,[0-9]{3})(?![0-9]))"
    r"|(?P<plain>[0-9]+))?"
    r"(?P<decimals>\.[0-9]+)?(?:[eE](?P<power>[-+]?[0-9]{1,3})(?![0-9A-Za-z]))?)",
    re.IGNORECASE,
)
_STARTS = re.compile(
    rf"(?:[-+\u2212\u2013\u2014]\s?)?(?:{_CURRENCY}\s?)?[-\u2212]?(?=\.?[0-9]|\\[dt]?frac\s?\{{\s?[0-9])"
)
_PERCENT = re.compile(r"\s?(?:\\?%|(?:percent|per\scent|pct|percentage)\b)", re.IGNORECASE)
_TEXT = re.compile(r"\\(?:text(?:bf|it|rm|sf|tt)?|math(?:rm|bf|it|sf)|mbox|operatorname)\s?\{([^{}]*)\}")
_LOOK = re.compile(
    r"\\(?:color|textcolor)\s?\{\w*\}|\\[ ;:!,]|\\q?quad|\\(?:approx|sim)\b|[~\u2248]|\*\*|(?:\^\s?\{?\\circ\}?"
    r"|\u00b0)(?:\s?\\?[CF](?![A-Za-z]))?|[`\"\u201c\u201d]"
)
_INLINE = r"</?(?:b|i|u|em|strong|code)>"
_DECORATED = re.compile(
    rf"(?:{_INLINE}|[*_`\"'\u201c\u2018]){{1,6}}\s?([^*_`\"\u201c\u201d<>]*[^*_`\"'\u201c\u201d<>\s])\s?"
    rf"(?:{_INLINE}|[*_`\"'\u201d\u2019]){{1,6}}\.?"
)
_RULED = re.compile(r"\A[-=_*]{3,99}\s{0,9}\n\s{0,9}")
_STRUCK = re.compile(r"~~[^~\n]{1,80}~~")
_TEXT_BETWEEN = re.compile(rf"{_TEXT.pattern}\s?[0-9]")
_NO_WRAP = re.compile(
    r"[\\^=+*<>|{}\[\];0-9\u221a\u03c0\u221e!]|[-/_]\s?$|^\s?[-/]\s?[0-9(]|^\s?_|^\(\s?[A-Za-z]\)|^:\S"
)
_UNIT_POWER = re.compile(r"(?<=[A-Za-z\x00])\s?(?:\^\s?\{?-?[1-4]\}?|[\u00b2\u00b3])(?=[\s/.,)]|$)")
_NO_UNIT = set(_words("and or to not plus minus times over of sqrt pi if when where squared cubed maybe wait between"))
_NO_UNIT.update(
    _words("either neither less more without add subtract multiply divide twice double triple half least most no")
)
_EQUATION = re.compile(r"(?<![A-Za-z])(?:[0-9.]+\s?[a-z](?![A-Za-z])|[a-z]\s?(?:\^|\*\*))")
_UNIT_LETTERS = frozenset("aAIgGhHlLmMsStT")
_MULTIPLES = {"hundred": 100, "thousand": 10**3, "million": 10**6, "billion": 10**9, "trillion": 10**12, "dozen": 12}
_DECIMAL_COMMA = re.compile(
    r"(?<![0-9,.])([0-9]{1,3}(?:\.[0-9]{3})+|[0-9]+)(?:,|\{,\})([0-9]+)(?![0-9,]|\{,\}|\.[0-9])"
)
_CLOCK = re.compile(
    r"(?<![0-9:.])([01]?[0-9]|2[0-3])(?::([0-5][0-9])(?![0-9:]|\s?(?:hours|hrs|minutes"
    r"|mins)\b)(?:\s?([ap])\.?\s?m\b\.?)?|\s?([ap])\.?\s?m\b\.?)",
    re.IGNORECASE,
)
_NUMERAL = re.compile(
    r"\s*\(?([0-9A-Z]{1,99})\)?\s?_\s?\{?\s?(?:\\text\s?\{)?([0-9]{1,2}|[a-z]{3,9})\}{0,2}(?![0-9A-Za-z])"
)
_BASES = {
    name: str(base) for base, name in enumerate(_words("two three four five six seven eight nine ten eleven twelve"), 2)
} | {"sixteen": "16"}

# Numbers in English words.
_UNITS = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen"
)
_SMALL = {word: value for value, word in enumerate(f"{_UNITS} eighteen nineteen".split())}
_TENS = {word: 10 * n for n, word in enumerate(_words("twenty thirty forty fifty sixty seventy eighty ninety"), 2)}
_PARTS = {"half": 2, "third": 3, "quarter": 4, "fourth": 4, "fifth": 5, "sixth": 6, "eighth": 8, "tenth": 10}
_BELOW_100 = (
    rf"(?:(?:{'|'.join(_TENS)})(?:[-\s](?:{'|'.join(list(_SMALL)[1:10])})(?![a-z]))?"
    rf"|(?:{'|'.join(reversed(_SMALL))})(?![a-z]))"
)
_BELOW_1000 = rf"(?:(?:(?:{_BELOW_100}|a)\shundred(?:\s(?:and\s)?{_BELOW_100})?)|{_BELOW_100})"
_PART = rf"(?:{'|'.join(_PARTS)}|halves)s?"
_SPELLED = re.compile(
    rf"(?<![A-Za-z-])(?=[aefhnoqstz])(?:(?:(?P<half>half\s)?a\s|(?P<dozens>{_BELOW_100})\s)dozen"
    rf"|(?P<large>(?:(?:{_BELOW_1000}|a)\s(?:thousand|million|billion),?\s?(?:and\s)?){{1,3}}(?:{_BELOW_1000})?"
    rf"|{_BELOW_1000})"
    rf"(?:\sand\s(?P<more>a|an|one|two|three)[-\s](?P<more_part>{_PART})|[-\s](?P<part>{_PART}))?"
    rf"|(?:a|one)[-\s](?P<alone>half|quarter)|(?P<first>half|quarter)(?=\san?\s))(?![A-Za-z])",
    re.IGNORECASE,
)


_OF_A_MULTIPLE = re.compile(r"\sa\s(hundred|thousand|million|billion|dozen)(?![A-Za-z])", re.IGNORECASE)
_NEGATIVE = re.compile(r"\b(?:negative|minus)\s\Z", re.IGNORECASE)


def _spelled(text, start):
    """(value, end) of the number in words that begins here, or None."""
    found = _SPELLED.match(text, start)
    if found is None:
        return None
    alone = found["alone"] or found["first"]
    if alone:
        part = Fraction(1, _PARTS[alone.lower()])
        of = _OF_A_MULTIPLE.match(text, found.end()) if found["first"] else None
        return (part * _MULTIPLES[of[1].lower()], of.end()) if of else (part, found.end())
    if found["large"] is None:
        dozens = _in_digits(found["dozens"] or "one") * 12
        return (Fraction(dozens, 2) if found["half"] else dozens), found.end()
    value = _in_digits(found["large"])
    if found["part"]:
        return Fraction(value, _part(found["part"])), found.end()
    if found["more_part"]:
        return value + Fraction(_SMALL.get(found["more"].lower(), 1), _part(found["more_part"])), found.end()
    return value, found.end()


def _part(word):
    word = word.lower()
    return 2 if word == "halves" else _PARTS[word.removesuffix("s")]


def _in_digits(words):
    total = current = 0
    for word in re.findall("[a-z]+", words.lower()):
        if word in ("hundred", "thousand", "million", "billion"):
            current = max(current, 1) * _MULTIPLES[word]
            if word != "hundred":
                total, current = total + current, 0
        else:
            current += _SMALL.get(word, _TENS.get(word, 0))
    return total + current


_PARTS_OF_ONE = {
    ord(part): unicodedata.normalize("NFKC", part).replace("\u2044", "/")
    for part in map(chr, [*range(0xBC, 0xBF), *range(0x2150, 0x215F)])
}
_OTHER_DIGITS: dict = {}


def _ascii_numbers(text):
    """Digits of any script as 0 to 9, a half as 1/2, and powers and bases as TeX writes them."""
    if not _OTHER_DIGITS:
        decimals = (code for code in range(0x660, 0x1FC00) if chr(code).isdecimal())
        _OTHER_DIGITS.update({code: str(unicodedata.decimal(chr(code))) for code in decimals})
    text = re.sub("(?<=[0-9])(?=[\u00bc-\u00be\u2150-\u215e])", " ", text.translate(_OTHER_DIGITS))
    text = text.translate(_PARTS_OF_ONE)
    text = re.sub(
        "(?<=[0-9)])[\u2070\u00b9\u00b2\u00b3\u2074-\u2079]+", lambda power: f"^{{{_normal(power[0])}}}", text
    )
    return re.sub("(?<=[0-9A-Z)])[\u2080-\u2089]+", lambda base: f"_{{{_normal(base[0])}}}", text)


def _normal(text):
    return unicodedata.normalize("NFKC", text)


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


def _number_in(content, is_gold=False):
    """The reading of a content that is one number, wrapped, or None.

    A gold may have a unit, and no words or equation in front.
    """
    if len(content) > _MAX_NUMBER_CHARS or not re.search("[0-9]", content):
        return None
    number = _number(content, 0)
    if number is not None and number[1] == len(content):
        return _Reading((number[0],), False, content)
    plain = _LOOK.sub(" ", _TEXT.sub(_unit_or_text, _undelimited(_undecorated(content))))
    if "frac" not in plain:
        plain = re.sub(r"\{([^{}]*)\}", r"\1", plain)
    if "=" in plain and not is_gold and not _SEVERAL.search(re.sub(r"(?<=[0-9]),(?=[0-9]{3})", "", plain)):
        left, _, plain = plain.rpartition("=")
        if not is_gold and _EQUATION.search(left):
            return _Reading((), False, content)
    starts = _STARTS.search(plain)
    number = _number(plain, starts.start()) if starts else None
    if number is None:
        return None
    value, end = number
    percent = _PERCENT.match(plain, end)
    before, after = plain[: starts.start()], plain[percent.end() if percent else end :]
    if not _wraps(before, after) or (is_gold and before.strip()):
        return None
    return _Reading(
        _with_multiple(value, after), bool(percent), plain[starts.start() : end].strip() if is_gold else content
    )


def _wraps(before, after):
    """Return whether there are only words around a number: a unit, a name, a sentence without another meaning."""
    trailing = _UNIT_POWER.sub("", re.sub(r"(?<=[A-Za-z\x00\s])!+\s*$", "", after))
    if _NO_WRAP.search(before) or _NO_WRAP.search(trailing):
        return False
    if re.match(r"[A-Za-z](?![A-Za-z])", after) or re.search(r"[A-Za-z]\(?$", before):
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


def _undecorated(content):
    """A content without the bold type, quotes or brackets that all of it stands in."""
    content = _STRUCK.sub("", content).strip()
    while True:
        found = _DECORATED.fullmatch(content) if len(content) < _MAX_NUMBER_CHARS else None
        inner = found[1] if found else content
        if re.fullmatch(r"\(\s?[-\u2212]?[$]?[0-9.,]+\s?\)", inner):
            inner = inner[1:-1].strip()
        if inner == content:
            return content
        content = inner


def _undelimited(text):
    for opening, closing in (("$$", "$$"), ("$", "$"), ("\\(", "\\)"), ("\\[", "\\]")):
        inner = text[len(opening) : -len(closing)]
        if text.startswith(opening) and text.endswith(closing) and inner.strip() and opening not in inner:
            return inner.strip()
    return text


def _unescaped(text):
    r"""A JSON string's text; LaTeX in it is often not escaped as it should be, so that \f is no form feed."""
    text = text.removesuffix("\\")
    return re.sub(r"\\n(?![a-z])", " ", re.sub(r'\\([\\"/])', r"\1", text))


def _decimal_comma(content, ambiguous=True):
    """1,5 as 1.5; where it may be a pair as well, only what is written as no pair is: 0,7 or 12,50."""
    found = _DECIMAL_COMMA.search(content) if len(content) < _MAX_NUMBER_CHARS else None
    if found is None or _DECIMAL_COMMA.search(content, found.end()):
        return None
    if not ambiguous and found[1].lstrip("0") and len(found[2]) < 4:
        return None
    dotted = f"{content[: found.start()]}{found[1].replace('.', '')}.{found[2]}{content[found.end() :]}"
    reading = _number_in(dotted)
    return None if reading is None else reading._replace(text=reading.text if ambiguous else dotted)


def _with_multiple(value, rest):
    word = re.match(r"[\s*_-]{0,5}([A-Za-z]+)", rest)
    name = word[1].lower().removesuffix("s") if word else ""
    if rest[:1] in ("k", "K") and not rest[1:2].isalpha():
        return (value * 1000,)
    multiple = _MULTIPLES.get(name)
    if multiple is None:
        return (value,)
    return (value * multiple,) if name == "hundred" else (value, value * multiple)


def _clock(content, alone=False, last=False):
    """(minutes since midnight, whether the half of the day is said) of a time of day, or None."""
    plain = re.sub(r"\s+", " ", _LOOK.sub("", _TEXT.sub(r" \1", content))).strip()
    times = [found for found in _CLOCK.finditer(plain) if found[2] or found[4]]
    if not times or (alone and times[0][0].strip() != plain):
        return None
    found = times[-1 if last else 0]
    half = (found[3] or found[4] or "").lower()
    hour = int(found[1])
    if half:
        hour = hour % 12 + (12 if half == "p" else 0)
    return hour * 60 + int(found[2] or 0), bool(half)


def _numeral(content):
    """(digits, base) of a numeral that names its base, or None."""
    found = _NUMERAL.match(_undelimited(content.strip()))
    return None if found is None else (found[1], _BASES.get(found[2], found[2]))


def _equal(found, gold):
    """Return whether two readings agree; None if math-verify's rounding to six decimals may matter."""
    number = gold.number or gold.comma
    values, golds = found.values, number.values[:1]
    # A percentage is its number, or its hundredth where that is no whole one: nobody writes 15 as 1500 %.
    if found.percent and not number.percent:
        values = (*values, *(part for value in values if (part := Fraction(value, 100)).denominator > 1))
    elif number.percent and not found.percent and (part := Fraction(golds[0], 100)).denominator > 1:
        golds = (*golds, part)
    nearest = min((abs(value - gold) for value in values for gold in golds), default=1)
    if nearest == 0:
        return True
    return None if nearest < 1e-5 else False


# A line that begins with its number; a content; a sentence; a whole text.

_LEAD = re.compile(
    rf"(?:[\s*_:\"'`\u201c\u2018(\[]|{_INLINE})*(?:[A-Za-z]\s?=\s?)?"
    r"(?:(?:approximately|approx\.|about|around|roughly|nearly|almost|exactly|simply|just|equal to|indeed|definitely"
    r"|de|of)\s+[*_(]*){0,2}"
    r"(?:\\approx\s?)?[~\u2248]?(?:\$(?=\s?[-0-9.\\])|\\\()?"
)
_BULLET = re.compile(r"\A[-*\u2022]\s+")
_AFTER = rf"(?:[*_$\"'`\u201d\u2019)\]]|\\[)\]]|{_INLINE}){{0,6}}"
_ATTACHED = re.compile(
    r"\\[A-Za-z]|[A-Za-z](?![A-Za-z])(?<![mgslhLaA])|(?:pi|sqrt)\b|[\u221a\u03c0^(]|!(?=\s?[-+*/=)])|_\s?\{?[0-9A-Za-z]"
    r"|\s?\*{1,2}\s?[A-Za-z(\u221a\u03c0]"
    r"|[A-Z]{1,2}_|/[A-Za-z(]|\s?[-+]\s?[0-9]*\s?[a-z]\b(?!\s[a-z])|\s[xyzn]\b(?!\s?[$0-9])"
)
_OPERATES = re.compile(
    rf"{_AFTER}\s?(?:[-+]\s?[$\\(]{{0,2}}[0-9]|(?<!\*)[/^*\u00d7\u00f7=]\s?[$\\(0-9A-Za-z]|\*\s[0-9]|\\(?:times|cdot"
    rf"|div|pm)|x\s?\$?[0-9]|:[0-9]"
    r"|(?:times(?=\s\$?[0-9])|plus|minus|divided|multiplied|over(?=\s\$?[0-9.]+\s?[.=\n]|\s\$?[0-9.]+\Z)|squared"
    r"|cubed)\b"
    r"|of\s\$?[0-9]"
    r"|[A-Za-z]{1,20}(?:\s[A-Za-z]{1,20}){0,2}\s?(?:[-+*/=\u00d7\u00f7]|x\b|at\b|minus\b|plus\b|times\b)\s?\$?[0-9])",
    re.IGNORECASE,
)
_COMES_TO = re.compile(
    r"(?:=|\b(?:is|are|makes?|gives?|equals?|totals?|leaves?|comes? to)\b)[\s*_]{0,3}(?=[$\\]{0,2}[-\u2212]?[0-9.])"
)
_HEDGES = re.compile(
    rf"{_AFTER}(?:\s[A-Za-z]{{1,20}})?,?\s?(?:\b(?:or|maybe|possibly)\b[^.\n]{{0,20}}?\$?[0-9]|\bto\s\$?[0-9]"
    rf"|;[^.\n]{{0,20}}?\$?[0-9]"
    rf"|[\u2013\u2014]\s?\$?[0-9])|{_AFTER}\s+\$?[0-9]",
    re.IGNORECASE,
)
_COMPOUND = re.compile(
    r"\s?(?:hours?|hrs?|minutes?|mins?|dollars?|feet|foot|ft|pounds?|lbs?|weeks?|days?|years?|months?|meters?"
    r"|yards?),?\s?"
    r"(?:and\s)?[0-9]",
    re.IGNORECASE,
)
_LISTS = re.compile(
    rf"{_AFTER}(?:\s?,\s?(?:and\s|or\s)?|\s(?:and|or)\s)(?:[a-z]\s?=\s?)?[(\[]?-?\$?[0-9][0-9.]*{_AFTER}"
    rf"(?:(?:\s?,\s?(?:and\s|or\s)?|\s(?:and|or)\s)-?\$?[0-9][0-9.]*{_AFTER}){{0,20}}\s?[}}.!]*(?:\s|\Z)"
    rf"|{_AFTER}(?:\s[A-Za-z]{{1,20}}){{1,2}}\sand\s\$?[0-9]",
    re.IGNORECASE,
)
_EITHER = re.compile(rf"{_AFTER}(?:\s[A-Za-z]{{1,20}})?,?\s(?:or|maybe|possibly)\s[^.\n]{{0,20}}?[0-9]", re.IGNORECASE)
_PARTIAL = re.compile(
    r"\s?(?:\u00b1|\\pm)|\s(?:pi|root|sqrt|square\sroot|factorial|thirds?|fourths?|fifths?|point)\b|:[0-9]|'[0-9]"
    r"|\s(?:(?:more|less|fewer)\sthan|out\sof)\s\$?[0-9]|\sin\s[0-9]+[.\s]*\Z|[-\u2013][0-9]",
    re.IGNORECASE,
)
_AND_A_PART = re.compile(
    r"\sand\s(?:(an?|one)\s(half|thirds?|quarters?)|([0-9]{1,2})/([1-9][0-9]?))(?![0-9A-Za-z])", re.IGNORECASE
)
_CONTINUES = re.compile(r"\s?[-+*/\u00d7\u00f7\u2212]\s?\$?[0-9]")
_JOINED_FORMULAS = re.compile(r"[\s*_]{0,4}\$[a-z]\s?=[^$\n]{1,40}\$\s(?:or|and)\s\$")
_STEPS = re.compile(r"[*_]{0,2}1[.)]\s[^\n]*\n\s*[*_]{0,2}2[.)]\s")
_OPEN_LIST = re.compile(r"[\s*_]*\\?[\[({]\s?-?[0-9.]+\s?,")
_REFUSES = re.compile(
    r"(?:either|neither|between|from|not|definitely not|(?:more|less|fewer|greater) than|at (?:least|most)|over|under"
    r"|above|below|half of"
    r"|twice|double|somewhere between|in the range(?: of)?)\s\$?[0-9]",
    re.IGNORECASE,
)
_REPEATING = re.compile(r"\s*([0-9]{0,9})\.([0-9]{0,9})\\(?:over(?:line|bar)|bar)\s?\{([0-9]{1,9})\}\s*")
_RATE = re.compile(r"[0-9]\s[A-Za-z ]{0,40}\b(?:in|per|every|for|over|within|after|at|out of)\s(?:the\s)?[0-9]")
_BUT = re.compile(r"\b(?:but (?:rather |instead )?|it(?:'s| is) )", re.IGNORECASE)
_PROSE = re.compile(r"(?<![A-Za-z])[A-Za-z]{2,40},? [A-Za-z]{2}")
_WORD = re.compile(r"(?<![A-Za-z\\])(?!(?:sqrt|sin|cos|tan|log|ln|exp|pi)\b)[A-Za-z]{2}")
_NO_WORD = re.compile(rf"{_TEXT.pattern}|\\(?:begin|end)\s?\{{\w+\*?\}}")
_MATHS_TOKEN = re.compile(
    r"[ ]?(?:(?:sqrt|pi|sin|cos|tan|log|ln|exp)\b|[A-Za-z](?![A-Za-z'\u2019])|[0-9]+(?:\.[0-9]+)?"
    r"|[-+*/^(){}=<>,!\u00d7\u00f7\u00b7\u221a\u03c0\u221e\u00b0\u2264\u2265])"
)
_UNIT_BEHIND = re.compile(
    r"\s(?:square\s|cubic\s|sq\.?\s)?(?:[kcm]?m|in|ft|feet|foot|inch(?:es)?|units?|meters?|centimeters?|miles?|yards?"
    r"|rad(?:ians)?)"
    r"(?:\^\{?[23]\}?|[\u00b2\u00b3])?[.!]?\s*\Z",
)
_MATHS_SIGN = re.compile(r"[-+*/^=<>\u00d7\u00b7\u221a\u03c0\u221e\u00b0\u2264\u2265]|\b(?:sqrt|pi)\b")
_ROOT = re.compile(r"(?:\u221a|sqrt)\s?(?:\(([^()]*)\)|([0-9]+|[A-Za-z]))")
_IN_LATEX = (
    ("**", "^"),
    ("\u03c0", "\\pi "),
    ("\u00d7", "*"),
    ("\u00b7", "*"),
    (">=", "\\ge "),
    ("<=", "\\le "),
    ("\u2265", "\\ge "),
    ("\u2264", "\\le "),
    ("\u221e", "\\infty "),
    ("\u00b0", "^\\circ "),
)


def _number_of(mark, form, content, gold):
    """(mark, form, content, reading): a solution's answer against a gold that is a number."""
    reading = None
    if form == "none":
        return _unmarked_number(content)
    if form == "line":
        form, content, reading = _leading(content)
    if form in ("box", "bare"):
        reading = _content_number(content, gold.number)
        if reading is None and form == "box":
            prose = re.sub(r"\s+", " ", _TEXT.sub(" \\1 ", content)).strip()
            sentence = _PROSE.search(_TEXT.sub("", content)) and not _doubts(content)
            if len(content) < _MAX_LINE_CHARS and (sentence or _RATE.search(prose)):
                form, content, reading = _leading(prose)
            else:
                content = _TEXT.sub(" \\1 " if _TEXT_BETWEEN.search(content) else _kept_text, _to_latex(content))
    return mark, form, content, reading


def _doubts(content):
    return bool(_NO_UNIT.intersection(re.findall(r"[a-z]+", content.lower())) - {"of", "to", "and", "more", "less"})


def _content_number(content, number):
    """The reading of a box's or a field's content, or None."""
    if ":" in content or "m" in content.lower():
        clock = _CLOCK.search(re.sub(r"\\!", "", _TEXT.sub(" \\1", content)))
        if clock and (clock[2] or clock[4]):
            return _hour(clock)
    reading = _number_in(content)
    if reading is None and number.values[0] != int(number.values[0]):
        reading = _decimal_comma(content)
    repeating = _REPEATING.fullmatch(content) if reading is None and "overline" in content else None
    if repeating:
        return _repeating(repeating, content)
    if reading is None and "_" in content and _numeral(content):
        return _Reading((), False, content)
    if reading is None and not re.search("[0-9]", content):
        reading = _in_words(content)
    return reading


def _repeating(found, content):
    """A decimal fraction without end, as 0.1\\overline{6}."""
    whole, once, again = found[1] or "0", found[2], found[3]
    nines = 10 ** len(again) - 1
    value = Fraction(int(whole + once) * nines + int(again), nines * 10 ** len(once))
    return _Reading((value,), False, content)


def _hour(clock):
    """A time of day against a number: the hour, if it is a whole one."""
    return _Reading((int(clock[1]),) if not int(clock[2] or 0) else (), False, clock[0])


def _in_words(content):
    """A content that is a number in words, with its unit."""
    plain = _TEXT.sub(" \\1 ", content)
    found = _SPELLED.search(plain)
    if found is None:
        return None
    value, end = _spelled(plain, found.start())
    start = found.start()
    negative = _NEGATIVE.search(plain, 0, start)
    if negative:
        start, value = negative.start(), -value
    digits = f"{plain[:start]}{value}{plain[end:]}"
    reading = _number_in(digits)
    return None if reading is None else reading._replace(text=content)


def _plain_maths(line):
    """The expression without LaTeX that a line begins with, where the sentence ends with it, or None."""
    start = end = len(line) - len(line.lstrip(" \t*_`:\"'"))
    for _ in range(100):
        token = _MATHS_TOKEN.match(line, end)
        if token is None:
            break
        end = token.end()
    expression = line[start:end].rstrip("*_!,. ")
    unit = _UNIT_BEHIND.match(line, start + len(expression))
    if unit and _MATHS_SIGN.search(expression):
        return expression
    ends = re.match(r"[*_`\"'.!?;,]{0,9}(?:\s|\Z)", line[start + len(expression) :])
    after = line[start + len(expression) :].lstrip("*_`\"'")
    return expression if ends and _MATHS_SIGN.search(expression) and not re.match(r",? [A-Za-z0-9]", after) else None


def _to_latex(content):
    """An expression without LaTeX as LaTeX."""
    if "\\" in content or not re.search(
        r"\*|\^|[0-9]\s?x\s?[0-9]|[\u00d7\u00b7]|sqrt|\bpi\b|[\u221a\u03c0\u221e\u2264\u2265\u00b0<>]", content
    ):
        return content
    for plain, latex in _IN_LATEX:
        content = content.replace(plain, latex)
    content = re.sub(r"(?<=[0-9])\s?x\s?(?=[0-9])", "*", content)
    content = re.sub(r"(?<![A-Za-z\\])pi\b", r"\\pi ", content)
    content = _ROOT.sub(lambda root: f"\\sqrt{{{root[1] if root[1] is not None else root[2]}}}", content)
    content = re.sub(r"\^\s?\(([^()]*)\)", r"^{\1}", content)
    content = re.sub(r"\^\s?(-?[0-9]+(?:\.[0-9]+)?)", r"^{\1}", content)
    content = re.sub(r"(?<=[0-9])\s?\*\s?(?=[a-z](?![a-z]))", "", content)
    return re.sub(r"\s?\*\s?", r" \\cdot ", content)


def _other_kind(form, content, gold):
    """(equal, form, content) against a gold that is a time of day, names its base, is a pair, or is an expression."""
    if gold.clock is not None:
        clock = _clock(content, last=form == "none")
        return (None if clock is None else _same_time(clock, gold.clock)), form, content
    if gold.numeral is not None:
        if form == "none":
            return None, form, content
        numeral = _numeral(content.lstrip(" *_`$\"'"))
        return numeral == gold.numeral, form, content
    if gold.words and form != "none":
        said = _says_words(content, gold.words)
        if said is not None:
            return said, form, content
    if form == "line":
        expression = _list_of(content) if gold.several else _plain_maths(content)
        if expression is not None:
            form, content = "box", expression
    if gold.comma is not None and form in ("box", "line", "bare"):
        reading = _decimal_comma(content.partition("\n")[0].partition(". ")[0].rstrip("."))
        if reading is not None and _equal(reading, gold):
            return True, form, content
    return None, form, _to_latex(content) if form == "box" else content


def _says_words(content, words):
    """Return whether an answer begins with these words or this letter of a choice; None if math-verify must decide."""
    plain = _TEXT.sub(r" \1 ", content).lstrip(" *_`$\"'#:").replace("**", "")
    if len(words) == 1:
        letter = re.match(r"\(?\s?([A-J])\s?\)?(?![A-Za-z0-9^*/+=])", plain)
        return None if letter is None else letter[1] == words
    return True if re.match(rf"{re.escape(words)}(?![A-Za-z])", plain, re.IGNORECASE) else None


def _list_of(line):
    """The numbers or equations that a line lists, as LaTeX has them; or None."""
    first = line.strip().partition("\n")[0].rstrip(".! ").strip("*_` ").replace("$", "")
    if not re.fullmatch(r"(?:\b(?:and|or)\b|[a-z]\s?=|[-0-9./,;()\[\]{}\\\s])+", first) or not re.search(
        r"[,;]|and|or", first
    ):
        return None
    return re.sub(r"\s*,?\s*\b(?:and|or)\b\s*", ", ", first).replace(";", ",")


def _same_time(one, other):
    """Two times of day; where only one says the half of the day, the other's is left open unless it is past noon."""
    if one[1] != other[1]:
        unsaid = other if one[1] else one
        if unsaid[0] < 13 * 60:
            return one[0] % 720 == other[0] % 720
    return one[0] == other[0]


def _leading(line):
    """(form, content, reading) of what follows a mark: the number with which it begins, or what the sentence says.

    Several numbers, or a part of one, are no number: a reading without values, which equals no gold.
    """
    if "\\" in line:
        line = _TEXT.sub(r" \1 ", line)
    nothing = "line", line, _Reading((), False, line.partition("\n")[0])
    if _JOINED_FORMULAS.match(line):
        return nothing
    if _STEPS.match(line):
        return "line", line, _sentence_number(line)
    start = _LEAD.match(line).end()
    refuses = _REFUSES.match(line, start)
    if refuses:
        but = _BUT.search(line, refuses.end())
        if but is None or "not" not in refuses[0].lower():
            return nothing
        start = but.end()
    clock = _CLOCK.match(line, start)
    if clock and (clock[2] or clock[4]):
        return "line", line, _hour(clock)
    number = _number(line, start)
    if number is None:
        return _without_leading_number(line, start)
    value, end = number
    comma = _DECIMAL_COMMA.match(line, start) if line[end : end + 1] == "," else None
    if comma:
        return "line", line, _decimal_comma(comma[0]) or nothing[2]
    more = _AND_A_PART.match(line, end)
    if more:
        part = Fraction(int(more[3]), int(more[4])) if more[3] else Fraction(1, _part(more[2]))
        value, end = value + part, more.end()
    if re.compile(r"[kK](?![A-Za-z])").match(line, end):
        value, end = value * 1000, end + 1
    percent = _PERCENT.match(line, end)
    if not percent and _ATTACHED.match(line, end):
        return _attached(line, start)
    end = percent.end() if percent else end
    if _LISTS.match(line, end) or _EITHER.match(line, end) or _PARTIAL.match(line, end):
        return nothing
    operates = _OPERATES.match(line, end)
    if operates:
        found = _calculation(line, end, value)
        if found or not re.search(r"\bat\b", operates[0]):  # "14 days at 3 hours a day"
            return found or nothing
    if _COMPOUND.match(line, end) or _HEDGES.match(line, end):
        return nothing
    return "line", line, _Reading(_with_multiple(value, line[end:]), bool(percent), line[start:end])


def _without_leading_number(line, start):
    """``_leading`` of a line that does not begin with digits."""
    negative = re.compile(r"(?:negative|minus)\s", re.IGNORECASE).match(line, start)
    spelled = _spelled(line, negative.end() if negative else start)
    if spelled is not None and not re.compile(r"\sof\s(?:the|these|those)\b|\spoint\s").match(line, spelled[1]):
        return _leading(f"{'-' if negative else ''}{spelled[0]}{line[spelled[1] :]}")
    if _OPEN_LIST.match(line):
        return "line", line, _Reading((), False, line.partition("\n")[0])
    expression = _plain_maths(line)
    if expression is not None:
        return "box", _to_latex(expression), None
    return "line", line, _sentence_number(line)


def _attached(line, start):
    """``_leading`` of a number to which something is attached that is no unit."""
    expression = _plain_maths(line)
    if expression is None:
        token = re.compile(r"\s*([^\s;?]+)").match(line, start)
        expression = token[1].rstrip(".,!*_$)`\"'") if token else line[start:]
    reading = _Reading((), False, expression) if _numeral(expression) else None
    return "box", _to_latex(expression), reading


def _calculation(line, end, value):
    """``_leading`` of a line that begins with a calculation: what it comes to, or None."""
    sentence = re.compile(r"[.!?]\s|\Z").search(line, end).start()
    results = [(place, _number(line, place.end())) for place in _COMES_TO.finditer(line, end, sentence + 1)]
    ended = [(place, found) for place, found in results if found and not _CONTINUES.match(line, found[1])]
    if ended:
        place, found = ended[-1]
        return "line", line, _Reading((found[0],), False, line[place.end() : found[1]])
    if results and re.compile(rf"{_AFTER}\s?=").match(line, end):
        return "line", line, _Reading((value,), False, line[:end])
    expression = _plain_maths(line)
    return None if expression is None else ("box", _to_latex(expression), None)


# Reading of sentences, and choice of the sentence that concludes a text.

_MOST_TOKENS = 40
_MAX_GAP_CHARS = 60
_MOST_SENTENCES = 6
_DIGITS_START = re.compile(
    rf"(?<![A-Za-z0-9_.^\\])(?<![0-9]:)(?:[-\u2212](?=[$]?\.?[0-9]))?(?:{_CURRENCY}\s?)?(?<![0-9],)\.?[0-9]"
)
_SENTENCE_END = re.compile(r"[.!?\u2026]+[\"'\u201d\u2019)\]]*(?=\s|\Z)|[\u3002\uff01\uff1f]|\n+")
_ABBREVIATED = re.compile(r"\b(?:[Nn]o|[Aa]pprox|Mr|Mrs|Ms|Dr|vs|St|Jr|Prof|Capt|Sgt|[ap]\.m)\.\Z")
_NO_QUANTITY = re.compile(
    r"(?:\b(?:step|no\.|number|rule|part|chapter|problem|question|page|lesson|round|phase|level|room|route|highway"
    r"|apartment|act|scene|verse|plan"
    r"|item|point|reason|exhibit|article|section|figure|table|option|episode|season|channel)\s?\#?|\#|'"
    r"|\b(?:of|in|since|from)\s(?=1[89][0-9]{2}|20[0-9]{2})"
    r"|(?:\bnot|n['\u2019]t|\bthan|\bhalf\sof|\broot\sof|\btwice|\bdouble|\btriple|\bnever|\binstead\sof)\s(?:just\s"
    r"|the\s"
    r"|only\s|an?\s)?)\Z",
    re.IGNORECASE,
)
_DAY_LABEL = re.compile(r"\b(?:day|week|month|year|hour|case|box|shift|row|trip|game|batch)\s\Z", re.IGNORECASE)
_ORDINAL = re.compile(
    r"(?:st|nd|rd|th)\b|['\u2019]?s\b(?<!\u2019s)|\s?o['\u2019]clock\b|-year\b|/7\b|[xyzn]\b", re.IGNORECASE
)
_OPERATOR = re.compile(
    r"(?:[-+\u2212*/\u00d7\u00f7\u00b7^]|\b(?:x|times|plus|minus|divided\sby|multiplied\sby|less|over))\s?[(\[]?\s?\Z",
    re.IGNORECASE,
)
_PART_OF = re.compile(r"\s?(?:%|percent)?\s?of\s(?:the\s|those\s|these\s|his\s|her\s|their\s)?\Z", re.IGNORECASE)
_OF_BOTH = re.compile(r"\b(?:(?:sum|product|difference|quotient)\sof|between)\s\Z", re.IGNORECASE)
_RESULT_WORD = re.compile(
    r"\s?(?:[A-Za-z$%/]+,?\s){0,4}?(?:is|are|be|was|makes?|made|gives?|gets?|equals?|is\sequal\sto|leaves?|comes\sto"
    r"|totals?|yields?|that['\u2019]s"
    r"|brings\sus\sto|leaving|giving|making|(?:to|you|we|i)\sget)(?:\s(?:us|you|him|her|them|it|me|a\stotal\sof"
    r"|exactly|just))?\s",
    re.IGNORECASE,
)
_SUMS_UP = re.compile(
    r"\b(?:so|therefore|thus|hence|altogether|in\stotal|in\sall|total|totals?|that\smeans|which\smeans|this\smeans"
    r"|in\sconclusion|overall|finally"
    r"|consequently|all\stold|grand\stotal|ends?\sup|left\swith|final|leaves?|leaving|remain(?:s|ing)?|then"
    r"|that['\u2019]s|there['\u2019]s|makes|adds\sup"
    r"|comes\sto|needs?|must|result|conclusion|bottom\sline|verdict|case\sclosed)\b",
    re.IGNORECASE,
)
_BEGINS_CONCLUDING = re.compile(
    r"[\W_]{0,9}(?:(?:and|arr+|ah|ay|well|now|okay|ok|alright|aye|yes|my\s\w+|dear\s\w+|matey)\b[\W_]{1,4}){0,2}"
    r"(?:so|therefore|thus|hence|altogether|in\stotal|in\sall|that\smeans|this\smeans|which\smeans|in\sconclusion"
    r"|overall|finally|consequently|all\stold"
    r"|result|conclusion|total|final\s\w+|and\sso|ergo|bottom\sline|verdict|case\sclosed|there\syou\shave\sit"
    r"|that\sleaves|that\smakes)\b",
    re.IGNORECASE,
)
_INFERS = re.compile(
    r"[\W_]{0,9}(?:and\s)?(?:so|therefore|thus|hence|altogether|in\stotal|in\sall|in\sconclusion|overall|consequently"
    r"|ergo)\b",
    re.IGNORECASE,
)
_ROUNDS = re.compile(r"\bround|\bnearest\b", re.IGNORECASE)
_CHECKS = re.compile(
    r"[\W_]{0,9}(?:check|to\scheck|double[-\s]check|let['\u2019]s\s(?:check|verify)|let\sme\s(?:check|verify|double)"
    r"|verify|verification|proof|sanity|you\scan\s(?:check|verify)|recall|(?:everything|it\sall"
    r"|the\s\w+)\s(?:balances?|adds?\sup|checks?\sout)\b)",
    re.IGNORECASE,
)
_CHATTERS = re.compile(
    r"[\W_]{0,9}(?:(?:now|and|so|but|oh|ok|okay|remember|psst|hey|p\.?s\.?)\b[\W_]{1,4}){0,2}(?:want|would\syou|shall"
    r"|ready|can\syou|do\syou|go\b|remember|don['\u2019]t|by\scomparison|in\scomparison|for\scomparison|incidentally"
    r"|coincidentally|by\sthe\sway|speaking\sof|imagine|trust\sme|did\syou\sknow|notice|never|always|next\stime"
    r"|see\syou|back\sin|let\sme\sknow|try\b|come\b|fun\sfact|bonus|tip\b|note\b|give\sme|drop\b|take\b|keep\b|eat\b"
    r"|meet\sme|call\b|class\b|homework|if\syou|you\scan|i\s(?:once|remember|have|could|will|did|used|used\sto"
    r"|['\u2019]ve|['\u2019]ll)|reminds\sme|when\si\b|my\s(?:own|first|last))",
    re.IGNORECASE,
)
_ADJUNCT = re.compile(
    r"\b(?:after|for|with|from|in|at|per|by|than|among|between|over|into|within|every|each|during|since|until|before"
    r"|under|across|against|without|on|of|versus|vs\.?|to\sall|all)\s"
    r"(?:(?:the|a|an|his|her|its|their|our|my|your|those|these|all|just|only|about|another|each|every|first|last|next"
    r"|other|same|original|remaining|initial|full|whole|some|only|both|them|one|merry|hungry|lucky)\s){0,3}\Z",
    re.IGNORECASE,
)
_NO_ADJUNCT = re.compile(
    r"(?:\b(?:up|left|leaves?|leaving|ends?|home|away|remains?|back|now|stuck|finish(?:es)?"
    r"|walks?\s\w+)\s(?:\w+\s){0,2}with|(?:total|sum|profit|cost|costs|average|price|number|amount|balance|difference"
    r"|product|area"
    r"|perimeter|remainder|speed|distance|result|value|rate|haul|treasure|score|length|width|height|weight|age|bill"
    r"|tally|change|savings|earnings|volume|final|count|revenue|budget|mean|capacity|time|fare|payment|wage|tip"
    r"|discount)\s(?:\w+\s)?of|(?:arrives?|arrived|stands?|sits?|lands?|up|out|clocks?\sin|comes?\sin|ends?|total(?:s"
    r"|ed|ing)?|remains?|settles?|weighs?\sin)\s(?:\w+\s)?at"
    r"|(?:adds?|comes?|sums?|totals?|amounts?|boils?|works?|down|up|out|equal)\s(?:\w+\s)?to)\s(?:(?:a|an|the|exactly"
    r"|just|only|about|whopping|grand|total|of|cool|full|even|mere|no\sless)\s){0,4}\Z",
    re.IGNORECASE,
)
_SUBORDINATE = re.compile(
    r"\b(?:after|when|if|because|since|once|while|before|though|although|considering|given|assuming|instead|whereas"
    r"|who|out\sof|starting|compared|despite|until|unless|even\swith|with)\b[^,;:]*\Z",
    re.IGNORECASE,
)
_CLAUSE = re.compile(
    r"[,;:()\u2013\u2014\u2026]|\s-\s|\b(?:then|so|that['\u2019]s|leaves|which\s(?:is|makes|leaves|means"
    r"|gives)|there\s(?:are|is|were|be)|(?<!after\s)(?<!by\s)(?<!before\s)(?<!for\s)(?:leaving|giving|making)|thus"
    r"|for\sa\stotal\sof|and\sends\sup|(?:s?he"
    r"|they)['\u2019]s\sgot)\b"
    r"|(?<!after\s)(?<!when\s)(?<!if\s)(?<!because\s)(?<!since\s)(?<!once\s)(?<!while\s)(?<!before\s)\b(?:she|he|they"
    r"|it|we|there)\s(?:still\s|will\s|can\s|must\s)?"
    r"(?:has|have|had|is|are|needs?|gets?|makes?|earns?|pays?|keeps?)\b",
    re.IGNORECASE,
)
_COMPARES = re.compile(
    r"\s(?:[A-Za-z]+\s){0,2}?(?:more|less|fewer|extra|older|younger|taller|shorter|longer|cheaper|heavier|lighter"
    r"|apiece|each|per|a\s(?:day|week|month|piece|year|head|pop)|an\shour)\b",
    re.IGNORECASE,
)


_ASIDE = re.compile(
    r"\b(?:but|and\s(?:i|my|that)|same\sas|just\slike|while|though)\b[^.]*\Z|,\s(?:each|all|minus|plus)\b[^.]*\Z"
    r"|\bmy\b[^.]*\Z|\bi\b[^.,]*\Z",
    re.IGNORECASE,
)
_CLAIMS_NOTHING = re.compile(
    r"[\W_]{0,9}(?:(?:the|this)\s(?:problem|question|exercise)\s(?:says|states|tells|gives|asks)|in\s(?:the"
    r"|this)\s(?:problem|question|exercise)\b|exercise\s"
    r"|(?:we|you|i)\s(?:have|need)\sto\sfind|how\s(?:many|much)\b|let\s(?:x|n|y|us\ssay)\b|given\b|suppose\b"
    r"|i\s(?:can\s?not|can['\u2019]t|could\snot|do\snot|don['\u2019]t)\s(?:solve|know|tell|do)\b"
    r"|(?:please|could\syou|can\syou)\b|(?:multiply|add|subtract|divide)\s[^.:=]*\.?\s*\Z"
    r"|the\s[0-9]+\s[a-z]+\s[^.]{0,40}\bare\sgiven\b|we\sneed\Z)",
    re.IGNORECASE,
)


class _Token:
    """A number in a text: values, place, sentence, and its rank; 0 says most."""

    __slots__ = ("end", "operand", "percent", "rank", "result", "sentence", "start", "values")

    def __init__(self, values, percent, start, end):
        self.values, self.percent, self.start, self.end = values, percent, start, end
        self.sentence = self.rank = 0
        self.operand = self.result = False

    def reading(self, text):
        return _Reading(self.values, self.percent, text[self.start : self.end])


def _plain_prose(text):
    """A text's end without its decoration: emphasis, LaTeX delimiters and the commands that stand for signs."""
    plain = _STRUCK.sub("", text)
    if "```" in plain:  # a program is no conclusion; what it printed is a result
        plain = re.sub(r"```(?:python|py)\b[^`]*(?:```|\Z)", " ", plain)
        plain = re.sub(r"```output\s+([^`\n]*)\n[^`]*(?:```|\Z)", r" = \1\n", plain)
    if "<" in plain:
        plain = re.sub(r"</?[A-Za-z][^<>]{0,40}>|<<[^<>]{0,80}>>", "", plain)
    if "\\" in plain:
        plain = _TEXT.sub(r" \1 ", plain)
        plain = re.sub(r"\\[dt]?frac\s?\{\s?([0-9]{1,9})\s?\}\s?\{\s?([0-9]{1,9})\s?\}", r" \1/\2", plain)
        plain = re.sub(r"\\(?:times|cdot)\b", "*", plain)
        plain = (
            plain.replace("\\div", "/")
            .replace("\\approx", "=")
            .replace("\\$", "$")
            .replace("\\%", "%")
            .replace("{,}", ",")
        )
        plain = re.sub(r"\\[()\[\]]|\\(?:left|right|quad|qquad)\b|\\[,;! ]", " ", plain)
    if "$" in plain:
        plain = re.sub(r"\$(?!\s?\.?[0-9])|\$(?=[0-9][^$\n]{0,80}[-+*/=][^$\n]{0,80}[^\s$]\$)", " ", plain)
    if "*" in plain:
        plain = re.sub(r"(?<=[0-9)])\s?\*\s?(?=[$(]?[0-9])", "\u00d7", plain)
    return re.sub(r"[*`]+|(?<![A-Za-z0-9])_+|_+(?![A-Za-z0-9])", "", plain)


def _sentences(text):
    """Return the end positions of a text's sentences."""
    ends = []
    for end in _SENTENCE_END.finditer(text):
        if text[end.start()] != "." or not _ABBREVIATED.search(text, max(0, end.start() - 8), end.start() + 1):
            ends.append(end.end())
    if not ends or ends[-1] < len(text):
        ends.append(len(text))
    return ends


def _tokens(text):
    """The numbers of a text, with what they are to each other; in words only from the last calculation on."""
    found, end = [], 0
    for start in list(_DIGITS_START.finditer(text))[-_MOST_TOKENS:]:
        number = _number(text, start.start()) if start.start() >= end else None
        if number is not None:
            value, end = number
            comma = _DECIMAL_COMMA.match(text, end - len(str(value))) if text[end : end + 1] == "," else None
            if comma and comma.end() > end and isinstance(value, int) and len(comma[2]) < 3:
                value, end = Fraction(f"{comma[1]}.{comma[2]}"), comma.end()
            written = text[start.start() : end]
            if " " in written and "/" not in written:  # not 12,200 but "12 200-page books"
                value, end = _number(written.partition(" ")[0], 0) or number, start.start() + written.index(" ")
                value = value[0] if isinstance(value, tuple) else value
            percent = _PERCENT.match(text, end)
            values = _with_multiple(value, text[end : end + 20])
            found.append(_Token(values, bool(percent), start.start(), percent.end() if percent else end))
    _relate(text, found)
    computed = [n for n, token in enumerate(found) if token.result]
    region = computed[-1] if computed else 0
    words = _spelled_tokens(text, found[region].end if computed else 0, found[region:])
    if words:
        later = sorted([*found[region:], *words], key=lambda token: token.start)
        _relate(text, later)
        found = [*found[:region], *later]
    return found[-_MOST_TOKENS:]


def _spelled_tokens(text, start, digits):
    """The numbers in words from here on, where no digits stand."""
    taken = {place for token in digits for place in range(token.start, token.end)}
    tokens = []
    for word in list(_SPELLED.finditer(text, start))[-_MOST_TOKENS:]:
        if word.start() not in taken:
            value, end = _spelled(text, word.start())
            value = -value if _NEGATIVE.search(text, max(0, word.start() - 12), word.start()) else value
            percent = _PERCENT.match(text, end)
            tokens.append(_Token((value,), bool(percent), word.start(), percent.end() if percent else end))
    return tokens


def _relate(text, tokens):
    """Mark operands and results among numbers that follow each other."""
    for token in tokens:
        if text[max(0, token.start - 4) : token.start].rstrip(" $").endswith(("=", "\u2248", "\u2192")):
            token.result = True
    for one, other in itertools.pairwise(tokens):
        gap = text[one.end : other.start]
        if len(gap) > _MAX_GAP_CHARS:
            continue
        if ("\n" not in gap and gap.count(" ") < 6 and _OPERATOR.search(gap)) or (
            text[other.start] in "-\u2212" and not gap.strip()
        ):
            one.operand = other.operand = True
            one.result = False
        elif _PART_OF.fullmatch(gap) or (gap == " and " and _OF_BOTH.search(text, max(0, one.start - 30), one.start)):
            one.operand = other.operand = True
        elif other.result or (one.operand and _RESULT_WORD.fullmatch(gap)):
            other.result = one.operand = True


def _rank(text, token, begins, ends):
    """Return the role of a number in its sentence.

    0 stated, 1 compared, 2 a circumstance, 3 a part of a calculation, 4 no quantity.
    """
    left = text[max(begins, token.start - 80) : token.start]
    right = text[token.end : min(ends, token.end + 40)]
    if _NO_QUANTITY.search(left) or _ORDINAL.match(right) or (right[:1] in ":." and _DAY_LABEL.search(left)):
        return 4
    if re.match(r":[0-5][1-9]|:[1-5]0", right) or re.match(r"0[0-9]", text[token.start : token.end]):
        return 4  # a time of day that is no whole hour; a code
    if right[:1] in ".):" and right[1:2].isspace() and not text[begins : token.start].strip(" \t("):
        return 4
    if token.operand:
        return 3
    if token.result:
        return 0
    clauses = list(_CLAUSE.finditer(left))
    if clauses and clauses[-1][0] == "(" and right[:1] == ")":
        return 0
    inside = ")" not in left[left.rfind("(") :] if "(" in left else False
    clause = left[clauses[-1].start() :] if clauses else left
    if inside or _SUBORDINATE.search(clause) or (_ADJUNCT.search(clause) and not _NO_ADJUNCT.search(left)):
        return 2
    return 1 if _COMPARES.match(right) else 0


def _sentence_number(line):
    """Return the number that the sentence after a mark states, or a reading without values."""
    paragraph = re.split(r"\n\s*\n", line.lstrip(), maxsplit=1)[0]
    plain = _plain_prose(paragraph)
    if "\\" in plain:
        return None
    tokens = _tokens(plain)
    token, _ = _concluding(plain, tokens)
    if token is None or token.rank == 3:
        return _Reading((), False, plain) if tokens else None
    return token.reading(plain)


def _unmarked_number(text):
    """(mark, form, content, reading) of a text in which no answer is marked."""
    tail = text[-_MAX_TAIL_CHARS:]
    bold = _bold_number(tail)
    if bold is not None:
        return "bold", "line", text, bold
    plain = _plain_prose(tail)
    tokens = _tokens(plain)
    if _ASKS_HOW_MANY.search(plain, max(0, len(plain) - _MAX_LINE_CHARS)) and not any(token.result for token in tokens):
        return "unmarked", "empty", "", None  # the problem, said again
    token, sentence = _concluding(plain, tokens)
    if token is not None and not re.search(r"[\\^\u221a]", sentence):
        return "unmarked", "line", text, token.reading(plain)
    if token is None and not re.search(r"[\\$]", tail):
        return "unmarked", "empty", "", None
    formula = _last_formula(tail)
    if formula is None:
        return "unmarked", "none", text, None
    return "unmarked", "formula", formula, _number_in(formula)


_ASKS_HOW_MANY = re.compile(r"\bhow\s(?:many|much)\b[^.!?\n]{0,200}\?\s{0,9}\Z", re.IGNORECASE)


def _last_formula(tail):
    """The last formula of a text, without what stands in front of its last equality sign; or None."""
    formulas = list(_ANY_FORMULA.finditer(tail))
    if not formulas:
        return None
    content = next(part for part in formulas[-1].groups() if part)
    return content.rstrip(" .,;\n") or None


_ANY_FORMULA = re.compile(
    r"\$\$([^$]{1,400})\$\$|\$((?:\\.|[^$\\\n]){1,400})\$|\\\(((?:(?!\\[()])[^\n]){1,400})\\\)"
    r"|\\\[((?:(?!\\[\[\]]).){1,400})\\\]",
    re.DOTALL,
)
_BOLD = re.compile(
    r"(?:\*\*|__|<b>|<strong>)\s?((?:(?!\*\*|__|</?b>|</?strong>|\n).){1,100}?)\s?(?:\*\*|__|</b>|</strong>)(?!\s?:)"
)
_BOLD_LABEL = re.compile(
    r"[^A-Za-z0-9]*(?:(?:step|day|week|part|case|problem|question|year|month|hour|rule|option)\b|[0-9]{1,2}[.)]\s)"
    r"|.*:\s*\Z",
    re.IGNORECASE,
)


def _bold_number(tail):
    """The last number that is set in bold, where no calculation follows it."""
    if not _hinted(tail, BOLD):
        return None
    spans = [span for span in _BOLD.finditer(tail) if not _BOLD_LABEL.match(span[1])]
    for span in spans[:-4:-1]:
        inner = _plain_prose(span[1])
        if _clock(inner, alone=True):
            return _hour(_CLOCK.match(inner))
        stated = [token for token in _tokens(inner) if _rank(inner, token, 0, len(inner)) < 3]
        if len({token.values for token in stated}) == 1:
            after = _plain_prose(tail[span.end() :])
            follows = any(token.result for token in _tokens(after)) and not _CHECKS.match(after.lstrip(" .!,\n"))
            return None if follows else stated[0].reading(inner)
    return None


_EVIDENCE = {
    "circumstance": -1.5,  # "after 3 weeks", "with 3 friends"
    "operand": -1.5,  # the 13 of "13 + 28 = 41"
    "result": -1.5,  # of a calculation
    "last result": 2.0,  # of the last one, or the same number after it; what stands before it is not looked at
    "later": -1.0,  # for each further sentence with numbers, five at most
    "restated": 2.0,  # the last result, said again, and no later sentence concludes
    "concludes": 1.5,  # "So ..."
    "sums up": 0.5,  # "... in total ..."
    "rounded": 1.5,  # new, and the last result to the next whole number
    "rounds": 1.5,  # "rounded to ..."
    "chatters": -1.5,  # "Remember ..."
    "asks": -1.5,  # "..., matey?"
    "checks": -1.5,  # "Check: ..."
    "new": 0.5,  # not said before
    "derived": 1.5,  # and the sum, difference, product or quotient of two numbers that were
    "unexplained": -0.5,  # and not
    "given": -1.5,  # said before, and after a result in its sentence: the 120 of "= 5 hours to read 120 pages"
    "small": -2.5,  # "one", "two", "three" in words
    "first": 0.5,  # of those that say most in the sentence
    "last": 1.0,
    "alone": 0.5,  # the whole sentence
    "in brackets": -1.0,
    "aside": -0.5,  # "..., but I ..."
}
"""Weights of the features that make a number more or less likely to be a text's conclusion; their sum decides.

Fitted, and rounded to halves, on GSM8K's own rationales, on real outputs with the answer cut off, and on replies of
personas written for it (docs/answers.md); measured on others.
"""


def _concluding(text, tokens):
    """The number that a text concludes with, and its sentence; or None."""
    ends = _sentences(text)
    sentences: dict = {}
    for token in tokens:
        token.sentence = min(bisect.bisect_right(ends, token.start), len(ends) - 1)

    def sentence_of(token):
        number = token.sentence
        if number not in sentences:
            sentences[number] = _Sentence(text, ends[number - 1] if number else 0, ends[number])
        return sentences[number]

    last = next((token for token in reversed(tokens) if token.result and not sentence_of(token).checks), None)
    place = 0 if last is None else tokens.index(last)
    numbered = sorted({token.sentence for token in tokens[place:]})[-_MOST_SENTENCES:]
    for token in tokens[place:]:
        if token.sentence >= numbered[0]:
            sentence = sentence_of(token)
            token.rank = _rank(text, token, sentence.start, sentence.end)
            if token.rank < 4 and not sentence.claims_nothing:
                sentence.tokens.append(token)
    numbered = [number for number in numbered if number in sentences and sentences[number].tokens]
    magnitudes = [_magnitude(token.values[0]) for token in tokens]
    first_places = {value: n for n, value in reversed(list(enumerate(magnitudes)))}
    concluding = max((number for number in numbered if sentences[number].infers), default=0)
    best, most = None, 0.0
    for n, token in enumerate(tokens):
        sentence = sentences.get(token.sentence)
        if sentence is None or token not in sentence.tokens:
            continue
        names = list(_standing(token, sentence))
        if token.result and not sentence.checks:
            names.append("result")
        if last is not None and (token.values == last.values or _as_percent(token, last)):
            names.append("last result")
            if token is not last and not token.operand and token.sentence >= concluding:
                names.append("restated")
        if first_places[magnitudes[n]] == n:
            derived = _derived(magnitudes[n], magnitudes[max(0, n - 14) : n])
            names += ["new", "derived"] if derived else ["new"] if token.result else ["new", "unexplained"]
            if _rounded(magnitudes[n], last):
                names.append("rounded")
        elif not token.result and any(other.result and other.start < token.start for other in sentence.tokens):
            names.append("given")
        later = len(numbered) - 1 - numbered.index(token.sentence)
        weight = sum(_EVIDENCE[name] for name in names) + later * _EVIDENCE["later"]
        if best is None or weight >= most:
            best, most = token, weight
    return (None, "") if best is None else (best, sentences[best.sentence].text)


def _as_percent(token, last):
    return token.percent and not last.percent and token.values[0] == 100 * last.values[0]


def _rounded(value, last):
    """Return whether a number is the last result, a fraction, rounded up or down."""
    return last is not None and 0 < abs(value - float(last.values[0])) < 1 and value == int(value)


def _standing(token, sentence):
    """The names of what a number's place in its sentence, and the sentence, speak for."""
    yield from sentence.kinds
    if token.rank > 1:
        yield "circumstance" if token.rank == 2 else "operand"
    written = sentence.text[token.start - sentence.start : token.end - sentence.start]
    if token.values[0] in (1, 2, 3) and not any(character.isdigit() for character in written):
        yield "small"
    first, final = sentence.leading()
    if token is first:
        yield "first"
    if token is final:
        yield "last"
    if sentence.text.strip(" .!\n") == written.strip():
        yield "alone"
    left = sentence.text[: token.start - sentence.start][-_MAX_LINE_CHARS:]
    if "(" in left and ")" not in left[left.rfind("(") :]:
        yield "in brackets"
    if _ASIDE.search(left[-80:]):
        yield "aside"


class _Sentence:
    """A sentence of a text, what kind it is, and the numbers that it states."""

    def __init__(self, text, start, end):
        self.start, self.end, self.text, self.tokens = start, end, text[start:end], []
        self._leading = None
        words = self.text[:200]
        self.infers = bool(_INFERS.match(words))
        self.checks = bool(_CHECKS.match(words))
        self.claims_nothing = "=" not in self.text and bool(_CLAIMS_NOTHING.match(words))
        self.kinds = [
            name
            for name, found in (
                ("checks", self.checks),
                ("concludes", _BEGINS_CONCLUDING.match(words)),
                ("sums up", _SUMS_UP.search(self.text[:_MAX_LINE_CHARS])),
                ("chatters", _CHATTERS.match(words)),
                ("rounds", _ROUNDS.search(self.text[:_MAX_LINE_CHARS])),
                ("asks", self.text.rstrip(" \n\"'").endswith("?")),
            )
            if found
        ]

    def leading(self):
        """The first and the last of the numbers that say most."""
        if self._leading is None:
            least = min(token.rank for token in self.tokens)
            ranked = [token for token in self.tokens if token.rank == least]
            self._leading = ranked[0], ranked[-1]
        return self._leading


def _magnitude(value):
    return float(value) if abs(value) < 10**15 else 1e15


def _derived(value, earlier):
    """Return whether a value is the sum, difference, product or quotient of two earlier ones."""
    known = set(earlier[-14:])
    for one in known:
        if any(_near(other, known) and other != one for other in (value - one, value + one)):
            return True
        if one and any(_near(other, known) and other != one for other in (value * one, value / one)):
            return True
    return False


def _near(value, known):
    return value in known or round(value, 9) in known


def _tail(text):
    """The end of a text for math-verify, cut between paragraphs where no formula is cut."""
    if len(text) <= _MAX_TAIL_CHARS:
        return text
    cut = text.find("\n", len(text) - _MAX_TAIL_CHARS)
    tail = text[cut + 1 :]
    whole = (
        cut >= 0
        and tail.count("$") % 2 == 0
        and tail.count("\\[") == tail.count("\\]")
        and tail.count("{") == tail.count("}")
    )
    return tail if whole and tail.strip() else text


# --- workers: the caller's side ---------------------------------------------------------------

_FILE = os.path.abspath(__file__)


class _State:
    """State of one process: threads that each drive a worker process. Pickled (by Ray, say), it arrives empty."""

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
                self.executor = self.executor_class(max(1, WORKERS), "math_reward", _leave_interrupts)
            return self.executor.submit(_ask, request)


_state = _State()


def _leave_interrupts():
    """Ctrl-C is for the main thread. A worker inherits that: it is silent from its first moment on."""
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})


def _wait(futures):
    try:
        return [future.result() for future in futures]
    except BaseException:  # an interrupt: what is queued need not be done
        for future in futures:
            future.cancel()
        raise


def _ask(request):
    """Status, answer and mark, from this thread's worker."""
    mark = request.get("mark", "")
    for attempt in (1, 2):
        if _state.ending:
            return "error", "", mark
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
                return "error", "", mark
    if reply is None:
        _stop(worker)
        return "timeout", "", mark
    if reply["last"]:
        _stop(worker)
    if reply["status"] == "error":
        _complain(f"math-verify failed: {reply.get('reason')}")
    return reply["status"], reply["pred"], mark


def _complain(message):
    """Say it the 1st, 2nd, 4th, 8th ... time."""
    count = next(_state.complaints)
    if count & (count - 1) == 0:
        print(f"math_reward: {message} (error {count} of this process)", file=sys.stderr)


def _exchange(worker, request):
    """Send one request; the reply as a dict, or None when a time limit passed."""
    number = next(_state.request_ids)
    deadline = time.monotonic() + WALL_LIMIT_S
    message = {"id": number, "limit": TIME_LIMIT_S, **request}
    if not _write(worker, json.dumps(message).encode() + b"\n", deadline):
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
    """Return whether the pipe is ready before the deadline. Not select(), which fails on descriptors above 1023."""
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
    """One line of the worker's output, or None if it did not come before the deadline or within its processor time."""
    line = b""
    while not line.endswith(b"\n"):
        if not _ready(worker.stdout, select.POLLIN, deadline):
            return None
        chunk = os.read(worker.stdout.fileno(), 65536)
        if not chunk:
            status = worker.wait()
            if status == -signal.SIGPROF:
                return None
            raise EOFError(f"the verifier ended with status {status}")
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
        "formula": [box, (text, everything)],
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
        # Processor time, default action: a worker that hangs is ended wherever it is, its parent being there or not.
        signal.setitimer(signal.ITIMER_PROF, request["limit"])
        reply = {"id": request["id"], "status": "error", "pred": ""}
        try:
            found = _judge(request["kind"], request["answer"], request["text"], request["gold"])
            reply["status"], reply["pred"] = found
        except Exception as error:
            reply["reason"] = repr(error)[:500]
        # antlr and sympy remember what they have seen: above half the limit, let another go on.
        reply["last"] = _resident_mb() > memory_limit_mb / 2
        signal.setitimer(signal.ITIMER_PROF, 0)
        replies.write(json.dumps(reply) + "\n")


if __name__ == "__main__" and sys.argv[1:2] == ["--worker"]:
    _serve(int(sys.argv[2]))
