"""Formatting of numbers: accuracies in percent, PSS with three decimals, intervals or the reason for refusal."""

import math
from collections.abc import Callable, Collection, Sequence
from typing import TypeGuard

from permix_verl.statistics import Interval

MISSING = "\u2013"
"""An en dash, for a missing value."""


def is_number(value: float | None) -> TypeGuard[float]:
    """Return whether a figure is present: neither ``None`` nor NaN."""
    return value is not None and not math.isnan(value)


def percent(value: float | None) -> str:
    """Format an accuracy or rate in percent; the % sign is in the heading."""
    return f"{100 * value:.1f}" if is_number(value) else MISSING


def points(value: float | None) -> str:
    """Format a difference of accuracies in percentage points, signed."""
    return _signed(100 * value, 1) if is_number(value) else MISSING


def ratio(value: float | None) -> str:
    """Format a PSS."""
    return f"{value:.3f}" if is_number(value) else MISSING


def change(value: float | None) -> str:
    """Format a difference of PSS, signed."""
    return _signed(value, 3) if is_number(value) else MISSING


def _signed(value: float, digits: int) -> str:
    """Format with a sign, but a rounded zero without one."""
    text = f"{value:+.{digits}f}"
    return text[1:] if float(text) == 0 else text


def tokens(value: float | None) -> str:
    """Format a mean number of tokens."""
    return f"{value:.0f}" if is_number(value) else MISSING


def count(value: int | None) -> str:
    """Format a count."""
    return MISSING if value is None else str(value)


def p_value(value: float | None) -> str:
    """Format a p-value."""
    if not is_number(value):
        return MISSING
    return "p < 0.001" if value < 0.001 else f"p = {value:.3f}"


def limits(interval: Interval | None, unit: Callable[[float | None], str] = percent) -> str:
    """Format an interval as ``[low, high]``, or give the reason for refusal."""
    if interval is None:
        return MISSING
    if interval.refused is not None:
        return f"refused: {interval.refused}"
    return f"[{unit(interval.low)}, {unit(interval.high)}]"


def with_limits(interval: Interval | None, unit: Callable[[float | None], str] = percent) -> str:
    """Format an estimate as ``estimate [low, high]``, or with the reason for refusal."""
    if interval is None:
        return MISSING
    shown = limits(interval, unit)
    if not is_number(interval.estimate):
        return shown
    return f"{unit(interval.estimate)} {shown if shown.startswith('[') else f'({shown})'}"


def with_error(interval: Interval) -> str:
    """Format an accuracy as ``estimate ± standard error``, or the estimate alone."""
    estimate, error = interval.estimate, interval.standard_error
    return f"{percent(estimate)} ± {percent(error)}" if is_number(error) else percent(estimate)


def or_refused(text: str, refused: str | None) -> str:
    """Return the text, or the reason for refusal if the text is missing and there is a reason."""
    return f"refused: {refused}" if text == MISSING and refused else text


def join_labels(labels: Sequence[str], models: Collection[str]) -> str:
    """Join the labels of some models, or return "all models" if they are all of several."""
    return "all models" if 1 < len(labels) == len(models) else ", ".join(labels)


def pluralize(number: int, noun: str) -> str:
    """Format a number with its noun, singular or plural."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def one_line(text: str) -> str:
    """Collapse whitespace: a name may contain line breaks and tabs, a table row may not."""
    return " ".join(text.split())
