"""Settings of a data set, and the stream of its problems."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tqdm import tqdm

from permix_verl.chat_templates.adapt import SystemRole
from permix_verl.data.problem_sources import ProblemSource, SourceRow, read_rows
from permix_verl.data.repeated_rows import UniqueRows
from permix_verl.data.row_ids import POSITION_IDS, ROW_IDS
from permix_verl.data.source_spec import NO_OPTIONS, SourceOptions, parse_sources
from permix_verl.errors import UserError

VAL_PERSONAS = 25
"""Personas of the validation rows, unless another number is asked for."""


@dataclass(frozen=True)
class Preparation:
    """Settings of a data set; every field goes into the manifest.

    Attributes:
        source: one or several sources (``permix_verl.data.source_spec``).
        val_problems: problems held out of training, shared out by the sources' sizes.
        val_personas: personas under which they are asked; ``None``: 25, and the whole pool with positional ids.
        system_role: where a persona stands (``permix_verl.chat_templates.adapt``).
        options: options of sources that give none of their own.
        row_ids: ``content-1``, or ``position``: the rules of data that were prepared before row ids had a version, in
            all that decides about their rows.
        show_rows: training rows that are printed as the model will see them.
    """

    source: str
    out: Path
    tokenizer: str
    pool: str = "train"
    seed: int = 0
    epoch: int = 0
    val_problems: int = 32
    val_personas: int | None = None
    max_prompt_length: int = 256
    no_persona_probability: float = 0.0
    task: str = "math"
    dev_personas: str = ""
    template_kwargs: Mapping[str, Any] = field(default_factory=dict)
    system_role: SystemRole = "auto"
    options: SourceOptions = NO_OPTIONS
    row_ids: str = ROW_IDS
    show_rows: int = 0

    @property
    def positional(self) -> bool:
        """Whether row ids are positions."""
        return self.row_ids == POSITION_IDS

    def template_record(self) -> dict[str, str]:
        """Return the manifest's fields on where a persona stands; none by default."""
        return {} if self.system_role == "auto" else {"system_role": self.system_role}

    def validation_count(self, pool_size: int) -> int:
        """Return the number of personas of the validation rows."""
        return self.val_personas or (pool_size if self.positional else VAL_PERSONAS)

    def open(self, source: str | None = None, split: str | None = None) -> "ProblemStream":
        """Open the sources.

        Args:
            source: other sources than :attr:`source`.
            split: split that is read where none is given.

        Raises:
            UserError: a source that cannot be understood.
        """
        options = self.options.over(SourceOptions(split=split)) if split else self.options
        return ProblemStream.open(source or self.source, options, self)


@dataclass
class ProblemStream:
    """The rows of one or several sources, with unique ids; they can be read as often as needed.

    Attributes:
        sources: the sources, in order.
        unique: the rows without repeated ones; ``None`` for positional ids, which are unique.
    """

    sources: list[ProblemSource]
    unique: UniqueRows | None

    @classmethod
    def open(cls, source: str, options: SourceOptions, settings: Preparation) -> "ProblemStream":
        """Open sources; nothing is read yet.

        Raises:
            UserError: see :meth:`Preparation.open`.
        """
        if settings.row_ids not in (ROW_IDS, POSITION_IDS):
            raise UserError(f"--row-ids is {settings.row_ids!r}", f"known: {ROW_IDS}, {POSITION_IDS}")
        specs = parse_sources(source, options)
        if settings.positional and len(specs) > 1:
            raise UserError(f"positional row ids of {len(specs)} sources", "leave out --row-ids, or give one source")
        kind: type[ProblemSource] = ProblemSource
        if settings.task == "code":
            from permix_verl.data.code_problems import CodeSource

            kind = CodeSource
        name = "code" if settings.task == "code" else "gsm8k"
        stream = cls([kind(spec, settings.row_ids, name) for spec in specs], None)
        if not settings.positional:
            stream.unique = UniqueRows(stream._all)
        return stream

    def rows(self, label: str = "") -> Iterator[SourceRow]:
        """Stream the rows; with a progress bar if it has a label.

        Raises:
            UserError: a malformed row, one id for two problems, or a source without a row.
        """
        rows = self._all() if self.unique is None else self.unique
        yield from tqdm(rows, desc=label, unit=" rows", disable=None if label else True)
        for source in self.sources:
            if source.read == 0:
                raise UserError(
                    f"{source.spec.location} has no problem", "give a file with one question and answer per row"
                )

    def _all(self) -> Iterator[SourceRow]:
        return read_rows(self.sources)
