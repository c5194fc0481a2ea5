"""Formatting of numbers: accuracies in percent, PSS with three decimals, intervals or the reason for refusal."""

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

MISSING = "\u2013"
"""An en dash, for a missing value."""


def percent(value: float | None) -> str:
    """Format an accuracy or rate in percent; the % sign is in the heading."""
    return MISSING if value is None else f"{100 * value:.1f}"


def points(value: float | None) -> str:
    """Format a difference of accuracies in percentage points, signed."""
    if value is None:
        return MISSING
    text = f"{100 * value:+.1f}"
    return "0.0" if text in ("+0.0", "-0.0") else text


def ratio(value: float | None) -> str:
    """Format a PSS."""
    return MISSING if value is None else f"{value:.3f}"


def change(value: float | None) -> str:
    """Format a difference of PSS, signed."""
    if value is None:
        return MISSING
    text = f"{value:+.3f}"
    return "0.000" if text in ("+0.000", "-0.000") else text


def tokens(value: float | None) -> str:
    """Format a mean number of tokens."""
    return MISSING if value is None else f"{value:.0f}"


def count(value: int | None) -> str:
    """Format a count."""
    return MISSING if value is None else str(value)


def p_value(value: float | None) -> str:
    """Format a p-value."""
    if value is None:
        return MISSING
    return "p < 0.001" if value < 0.001 else f"p = {value:.3f}"


def limits(interval: Mapping[str, Any] | None, unit: Callable[[float | None], str] = percent) -> str:
    """Format an interval as ``[low, high]``, or give the reason for refusal."""
    if interval is None:
        return MISSING
    if interval["refused"] is not None:
        return f"refused: {interval['refused']}"
    return f"[{unit(interval['low'])}, {unit(interval['high'])}]"


def with_limits(interval: Mapping[str, Any] | None, unit: Callable[[float | None], str] = percent) -> str:
    """Format an estimate as ``estimate [low, high]``, or with the reason for refusal."""
    if interval is None:
        return MISSING
    shown = limits(interval, unit)
    if interval["estimate"] is None:
        return shown
    return f"{unit(interval['estimate'])} {shown if shown.startswith('[') else f'({shown})'}"


def with_error(interval: Mapping[str, Any]) -> str:
    """Format an accuracy as ``estimate ± standard error``, or the estimate alone."""
    estimate, error = interval["estimate"], interval["standard_error"]
    return percent(estimate) if error is None else f"{percent(estimate)} ± {percent(error)}"


def or_refused(text: str, model: Mapping[str, Any]) -> str:
    """Return the text, or the reason for refusal if it is missing and the model comes from a CSV file."""
    return f"refused: {model['refused']}" if text == MISSING and model.get("refused") else text


def listed(labels: Sequence[str], of: Collection[str]) -> str:
    """Join the labels, or return "all models" if they are all of several."""
    return "all models" if 1 < len(labels) == len(of) else ", ".join(labels)


def counted(number: int, noun: str) -> str:
    """Format a number with its noun, singular or plural."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def one_line(text: str) -> str:
    """Collapse whitespace: a name may contain line breaks and tabs, a table row may not."""
    return " ".join(text.split())
