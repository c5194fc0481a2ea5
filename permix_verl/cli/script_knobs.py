"""Knobs of the verbs that run others: upper-case names in the environment, or KNOB=VALUE among the arguments."""

import re
from collections.abc import Collection, Mapping, Sequence

from permix_verl.config.knobs import KNOB_SETTING, by_name, refuse_misspelt
from permix_verl.errors import UserError

_NUMBER = re.compile(r"[1-9][0-9]*")
TRAINING_KNOBS = frozenset({*by_name(), "DOCTOR"})
"""Knobs of the trainings that a verb starts."""


def split_knobs(
    arguments: Sequence[str], known: Collection[str], environment: Mapping[str, str]
) -> tuple[dict[str, str], list[str]]:
    """Split arguments into knobs and the rest.

    Args:
        arguments: of a command.
        known: knobs that may be among them.
        environment: variables, over which the arguments win.

    Returns:
        The variables with the knobs among them, and the other arguments in order.

    Raises:
        UserError: an unknown knob, or a variable that is a misspelt one.
    """
    given, rest = {}, []
    for previous, text in zip(["", *arguments], arguments, strict=False):
        match = KNOB_SETTING.fullmatch(text)
        if match and match[1] in known:
            given[match[1]] = match[2]
        elif match and not previous.startswith("-"):  # a value of an option, such as -T, stays with it
            raise UserError(f"{match[1]} is not a knob of this command", "--help lists them")
        else:
            rest.append(text)
    refuse_misspelt(environment)
    return {**environment, **given}, rest


def whole_number(variables: Mapping[str, str], name: str, default: int) -> int:
    """Read a number of 1 or more; an empty value is none.

    Raises:
        UserError: not such a number.
    """
    text = variables.get(name) or str(default)
    if not _NUMBER.fullmatch(text):
        raise UserError(f"{name}={text} is not a number of 1 or more")
    return int(text)


def optional_number(variables: Mapping[str, str], name: str) -> int | None:
    """Read a number of 1 or more, or return ``None`` if it is not given.

    Raises:
        UserError: not such a number.
    """
    return whole_number(variables, name, 1) if variables.get(name) else None


def is_dry_run(variables: Mapping[str, str]) -> bool:
    return (variables.get("DRY_RUN") or "0") != "0"
