"""How numbers are written: accuracies in percent, PSS with three decimals, intervals or why there is none."""

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

MISSING = "\u2013"
"""An en dash, where there is no figure."""


def percent(value: float | None) -> str:
    """An accuracy or rate, without the sign: the heading has it."""
    return MISSING if value is None else f"{100 * value:.1f}"


def points(value: float | None) -> str:
    """A difference of accuracies in percentage points, with its sign."""
    if value is None:
        return MISSING
    text = f"{100 * value:+.1f}"
    return "0.0" if text in ("+0.0", "-0.0") else text


def ratio(value: float | None) -> str:
    """A PSS."""
    return MISSING if value is None else f"{value:.3f}"


def change(value: float | None) -> str:
    """A difference of PSS, with its sign."""
    if value is None:
        return MISSING
    text = f"{value:+.3f}"
    return "0.000" if text in ("+0.000", "-0.000") else text


def tokens(value: float | None) -> str:
    return MISSING if value is None else f"{value:.0f}"


def count(value: int | None) -> str:
    return MISSING if value is None else str(value)


def p_value(value: float | None) -> str:
    if value is None:
        return MISSING
    return "p < 0.001" if value < 0.001 else f"p = {value:.3f}"


def limits(interval: Mapping[str, Any] | None, unit: Callable[[float | None], str] = percent) -> str:
    """``[low, high]``, or why it is refused."""
    if interval is None:
        return MISSING
    if interval["refused"] is not None:
        return f"refused: {interval['refused']}"
    return f"[{unit(interval['low'])}, {unit(interval['high'])}]"


def with_limits(interval: Mapping[str, Any] | None, unit: Callable[[float | None], str] = percent) -> str:
    """``estimate [low, high]``, or the estimate, if any, and why there is no interval."""
    if interval is None:
        return MISSING
    shown = limits(interval, unit)
    if interval["estimate"] is None:
        return shown
    return f"{unit(interval['estimate'])} {shown if shown.startswith('[') else f'({shown})'}"


def with_error(interval: Mapping[str, Any]) -> str:
    """``estimate ± standard error``, or the estimate alone."""
    estimate, error = interval["estimate"], interval["standard_error"]
    return percent(estimate) if error is None else f"{percent(estimate)} ± {percent(error)}"


def or_refused(text: str, model: Mapping[str, Any]) -> str:
    """The figure, or why the model, known from a CSV file only, has none."""
    return f"refused: {model['refused']}" if text == MISSING and model.get("refused") else text


def listed(labels: Sequence[str], of: Collection[str]) -> str:
    """The labels, or "all models" where they are all of several."""
    return "all models" if 1 < len(labels) == len(of) else ", ".join(labels)


def counted(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def one_line(text: str) -> str:
    """Without line breaks and tabs: a name may hold them, a row of a table may not."""
    return " ".join(text.split())
