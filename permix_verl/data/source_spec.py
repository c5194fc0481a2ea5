"""Problem sources as a user names them: ``NAME_OR_FILE[,key=value...]``, several with ``;`` between them."""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path

from permix_verl.data.golds import GOLD_FORMS
from permix_verl.data.presets import PRESETS, Preset, preset_of_hub_name
from permix_verl.errors import UserError

OPTION_KEYS = ("question-field", "answer-field", "gold", "id-field", "split", "config", "bad-golds", "duplicates")
KEYS = ("name", *OPTION_KEYS, "weight", "preset")
"""Keys of a source."""
BAD_GOLDS, DUPLICATES = ("refuse", "drop"), ("once", "number")
"""Choices for rows whose gold cannot be used, and for repeated rows; the first of each is the default."""
_OPTION = re.compile(r"(?P<rest>.*),\s*(?P<key>[A-Za-z][\w-]*)=(?P<value>[^,;]*)", re.DOTALL)
_NAME = re.compile(r"[A-Za-z0-9][\w.-]*")


@dataclass(frozen=True, slots=True)
class SourceOptions:
    """How a source's rows are read; ``None`` leaves a choice to the preset, or to the fields that are there.

    Attributes:
        question_field, answer_field, id_field: fields of a row, with dots into structs. The id field ``content`` takes
            a hash of the problem.
        gold: form of the answer field: one of :data:`~permix_verl.data.golds.GOLD_FORMS`.
        split: file of a folder, split on the hub, and part of the row ids.
        config: configuration on the hub, or folder inside a folder.
        bad_golds, duplicates: one of :data:`BAD_GOLDS` and of :data:`DUPLICATES`; ``None`` is the first.
    """

    question_field: str | None = None
    answer_field: str | None = None
    gold: str | None = None
    id_field: str | None = None
    split: str | None = None
    config: str | None = None
    bad_golds: str | None = None
    duplicates: str | None = None

    def check(self) -> None:
        """Check the options that have a fixed set of values.

        Raises:
            UserError: an unknown one.
        """
        for what, value, known in (
            ("form of golds", self.gold, GOLD_FORMS),
            ("choice for bad golds", self.bad_golds, BAD_GOLDS),
            ("choice for duplicates", self.duplicates, DUPLICATES),
        ):
            if value is not None and value not in known:
                raise UserError(f"unknown {what} {value!r}", f"known: {', '.join(known)}")

    def over(self, other: "SourceOptions") -> "SourceOptions":
        """Return these options, with those of ``other`` where none is given here."""
        given = {field.name: getattr(self, field.name) for field in fields(self)}
        return replace(other, **{name: value for name, value in given.items() if value is not None})


NO_OPTIONS = SourceOptions()


@dataclass(frozen=True, slots=True)
class SourceSpec:
    """One source.

    Attributes:
        location: a file, a folder, or a data set on the hub.
        name: name in curves and row ids, if the user or a preset gives one.
        options: how its rows are read.
        weight: copies of each training row in one pass over the data.
        preset: name of the preset whose fields apply.
    """

    location: str
    name: str | None = None
    options: SourceOptions = NO_OPTIONS
    weight: float = 1.0
    preset: str | None = None

    @property
    def known(self) -> Preset | None:
        """The preset."""
        return PRESETS[self.preset] if self.preset else None

    @property
    def split(self) -> str:
        """Split that is read."""
        return self.options.split or (self.known.split if self.known else "train")

    @property
    def configs(self) -> tuple[str, ...]:
        """Configurations that are read; empty: the only one."""
        return (self.options.config,) if self.options.config else (self.known.configs if self.known else ())


def parse_sources(texts: str | Sequence[str], defaults: SourceOptions = NO_OPTIONS) -> list[SourceSpec]:
    """Parse the sources that a user names.

    Args:
        texts: one text or several; each holds one source, or several with ``;`` between them.
        defaults: options of sources that give none of their own.

    Raises:
        UserError: an unknown or repeated key, a bad value, no source, or weights that are all 0.
    """
    defaults.check()
    parts = [part for text in ([texts] if isinstance(texts, str) else texts) for part in _split(text)]
    if not parts:
        raise UserError("no data is named", "name a data set or a file")
    specs = [_parse(part, defaults) for part in parts]
    if not any(spec.weight for spec in specs):
        weights = ", ".join(f"{spec.weight:g}" for spec in specs)
        raise UserError(f"the weights of all sources are 0 ({weights})", "give one of them a positive weight")
    return specs


def _split(text: str) -> list[str]:
    if Path(_options(text)[0]).expanduser().exists():  # a path may contain a semicolon
        return [text]
    return [part.strip() for part in text.split(";") if part.strip()]


def _options(text: str) -> tuple[str, list[tuple[str, str]]]:
    """Split a source into its location and its options, in order."""
    options: list[tuple[str, str]] = []
    while (found := _OPTION.fullmatch(text)) and not Path(text).expanduser().exists():
        options.insert(0, (found["key"], found["value"].strip()))
        text = found["rest"]
    return text.strip(), options


def _parse(text: str, defaults: SourceOptions) -> SourceSpec:
    location, pairs = _options(text)
    given: dict[str, str] = {}
    for key, value in pairs:
        if key not in KEYS:
            raise UserError(f"{text!r}: unknown key {key!r}", f"known: {', '.join(KEYS)}")
        if key in given or not value:
            raise UserError(f"{text!r}: {key} {'stands twice' if key in given else 'is empty'}", "give it one value")
        given[key] = value
    if not location:
        raise UserError(f"{text!r} names no data", "put the name of a data set or a file in front")
    own = SourceOptions(*(given.get(key) for key in OPTION_KEYS))
    own.check()
    location, preset = _preset(location, given.get("preset"))
    name = given.get("name") or preset
    if name and not _NAME.fullmatch(name):
        raise UserError(f"{text!r}: the name {name!r} is part of metric names", "use letters, digits, '.', '_' and '-'")
    return SourceSpec(location, name, own.over(defaults), _weight(given.get("weight"), text), preset)


def _preset(location: str, given: str | None) -> tuple[str, str | None]:
    """Return where the data are, and the preset that applies."""
    if given is not None and given not in PRESETS:
        raise UserError(f"unknown preset {given!r}", f"known: {', '.join(PRESETS)}")
    if given is not None or Path(location).expanduser().exists():
        return location, given
    if location.lower() in PRESETS:
        return PRESETS[location.lower()].hub_name, location.lower()
    return location, preset_of_hub_name(location)


def _weight(text: str | None, source: str) -> float:
    try:
        weight = 1.0 if text is None else float(text)
    except ValueError:
        raise UserError(f"{source!r}: the weight {text!r} is not a number", "give one, such as 2 or 0.5") from None
    if not math.isfinite(weight) or weight < 0:
        raise UserError(f"{source!r}: the weight is {text}", "it must be a number of 0 or more")
    return weight
