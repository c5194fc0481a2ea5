"""Rows with the same id: the same problem again is kept once or numbered, and another problem is an error.

DAPO-Math-17k has every problem about a hundred times. Two rows with one id would get one persona, which is no
independent draw. ``once`` keeps the first of the same rows, ``number`` keeps all, as ``ID``, ``ID#2``, ``ID#3``...
"""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from permix_verl.data.id_table import IdTable
from permix_verl.data.problem_sources import Rows, SourceRow
from permix_verl.errors import UserError


@dataclass
class Repeats:
    """Count of rows whose id an earlier row has, with the same problem.

    Attributes:
        count: number of such rows.
        numbered: number of those that were kept.
        first: their first row's id.
    """

    count: int = 0
    numbered: int = 0
    first: str = ""

    def sentence(self) -> str:
        """Return what was done about them, in a line."""
        left_out, kept = self.count - self.numbered, self.numbered
        done = [f"{left_out:,} left out, so that each problem is there once"] if left_out else []
        done += [f"{kept:,} kept, with numbers behind their ids"] if kept else []
        return f"{self.count:,} rows repeat an earlier row's problem (such as {self.first}): {', '.join(done)}"


@dataclass
class UniqueRows:
    """Rows with unique ids.

    Memory grows by 20 to 60 bytes for each different id.

    Attributes:
        start: starts the stream of rows anew.
        repeats: counts of the stream read last.
    """

    start: Rows
    repeats: Repeats = field(default_factory=Repeats)

    def __iter__(self) -> Iterator[SourceRow]:
        """Stream the rows.

        Raises:
            UserError: one id for two different problems.
        """
        self.repeats = Repeats()
        table = IdTable()
        numbers: dict[str, int] = {}  # repeated id -> rows so far
        for row in self.start():
            problem = row.problem
            row_id = problem.row_id
            same = table.add(row_id, f"{problem.question.strip()}\x1f{problem.final_answer.strip()}")
            if same is None:
                yield row
                continue
            if not same:
                raise self._conflict(row)
            numbers[row_id] = numbers.get(row_id, 1) + 1
            self.repeats.count += 1
            self.repeats.first = self.repeats.first or row_id
            if row.options.duplicates == "number":
                self.repeats.numbered += 1
                yield replace(row, problem=replace(problem, row_id=f"{row_id}#{numbers[row_id]}"))

    def _conflict(self, row: SourceRow) -> UserError:
        first = next(one for one in self.start() if one.problem.row_id == row.problem.row_id)
        return UserError(
            f"one id, {row.problem.row_id}, for two different problems: {_shown(first)}, and {_shown(row)}",
            "name another field of ids (--id-field, or id-field= behind the source; 'content' hashes the problem), or "
            "give each source a name of its own (name=)",
        )


def _shown(row: SourceRow) -> str:
    question = " ".join(row.problem.question.split())
    excerpt = question if len(question) <= 60 else f"{question[:57]}..."
    return f"{row.where} ({excerpt!r}, {row.problem.final_answer[:30]!r})"
