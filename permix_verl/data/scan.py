"""The first pass over the sources: check every row, drop prompts that are too long, pick the validation problems."""

import bisect
import hashlib
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from permix_verl.data.gold_check import GoldCheck, close_reward
from permix_verl.data.preparation import Preparation, ProblemStream
from permix_verl.data.problem_sources import SourceRow
from permix_verl.data.problems import Problem
from permix_verl.data.prompt_lengths import PromptLengths
from permix_verl.data.row_ids import ROW_IDS
from permix_verl.data.row_writer import chunks
from permix_verl.data.tokenizers import ROUND_TRIP_ROWS, check_round_trip
from permix_verl.errors import UserError
from permix_verl.seeding import HASH_RANGE, derive_seed

BY_POSITION = "place in the source: in another order its problems get other personas, and others are held out"


@dataclass
class SourceStats:
    """Result of the first pass over the sources.

    Attributes:
        stream: the sources.
        rows: number of rows read, repeated ones left out.
        digest: SHA-256 over questions and solutions, in order.
        unordered: sum of one SHA-256 per row, the same in any order.
        golds: the check of the final answers; its bad ones are dropped.
        dropped: row id -> prompt tokens under its longest persona, of the prompts that are too long.
        found: names of the sources that have rows.
        kept: source name -> number of problems that are left.
        longest: tokens of the longest prompt kept.
        val_problems: the validation problems, in the sources' order.
    """

    stream: ProblemStream
    rows: int = 0
    digest: Any = field(default_factory=hashlib.sha256)
    unordered: int = 0
    golds: GoldCheck = field(default_factory=GoldCheck)
    dropped: dict[str, int] = field(default_factory=dict)
    found: set[str] = field(default_factory=set)
    kept: Counter[str] = field(default_factory=Counter)
    longest: int = 0
    val_problems: list[Problem] = field(default_factory=list)

    @property
    def val_ids(self) -> set[str]:
        """Row ids of the validation problems."""
        return {problem.row_id for problem in self.val_problems}

    @property
    def names(self) -> list[str]:
        """Names of the sources, sorted."""
        return sorted(self.kept)

    def identity(self) -> dict[str, str]:
        """Return the fields of the manifest that identify the source: its problems and their order."""
        return {
            "source_sha256": self.digest.hexdigest(),
            "problems_sha256": f"{self.unordered % 2**256:064x}",
            "row_ids": BY_POSITION if self.stream.unique is None else ROW_IDS,
        }

    def add(self, problem: Problem) -> None:
        """Count a row that was read."""
        self.rows += 1
        self.found.add(problem.source)
        content = f"{problem.question}\x1f{problem.solution or problem.final_answer}\x1e".encode()
        self.digest.update(content)
        self.unordered += int.from_bytes(hashlib.sha256(content).digest(), "big")


class _Lowest:
    """The problems of each source whose hash is lowest: they are held out."""

    def __init__(self, most: int) -> None:
        self.most = most
        self.by_source: dict[str, list[tuple[int, str, int, Problem]]] = {}

    def add(self, problem: Problem, place: int) -> None:
        # Independent of the persona seed: runs that differ in it are validated on the same problems.
        position = derive_seed("permix.val", 0, 0, problem.row_id)
        lowest = self.by_source.setdefault(problem.source, [])
        bisect.insort(lowest, (position, problem.row_id, place, problem))
        del lowest[self.most :]

    def chosen(self, counts: Mapping[str, int]) -> list[Problem]:
        """Return the problems in the order of their places."""
        found = [entry for name, lowest in self.by_source.items() for entry in lowest[: counts.get(name, 0)]]
        return [problem for _, _, _, problem in sorted(found, key=lambda entry: entry[2])]


def scan_source(settings: Preparation, prompt_lengths: PromptLengths) -> SourceStats:
    """Read the sources once: validate and measure every row, pick the validation problems.

    Raises:
        UserError: a bad row; golds that cannot be used; a tokenizer that loses text; no usable row; no row left to
            train on.
    """
    stats = SourceStats(settings.open())
    stats.golds.active = settings.task == "math" and not settings.positional
    lowest = _Lowest(settings.val_problems)
    try:
        for chunk in chunks(stats.stream.rows("measuring")):
            if stats.rows == 0:
                questions = [row.problem.question for row in chunk[:ROUND_TRIP_ROWS]]
                check_round_trip(prompt_lengths.tokenizer, prompt_lengths.conditions, questions)
            _scan_chunk(chunk, settings, stats, lowest, prompt_lengths)
    finally:
        if stats.golds.checked:
            close_reward()
    stats.golds.refuse(stats.rows)
    _check_usable(settings, stats)
    counts = share_out(settings.val_problems, stats.kept)
    _check_shares(counts, stats)
    stats.val_problems = lowest.chosen(counts)
    return stats


def _scan_chunk(
    chunk: list[SourceRow],
    settings: Preparation,
    stats: SourceStats,
    lowest: _Lowest,
    prompt_lengths: PromptLengths,
) -> None:
    places = {}
    for row in chunk:
        places[row.problem.row_id] = stats.rows
        stats.add(row.problem)
    problems = [row.problem for row in stats.golds.usable(chunk)]
    lengths = prompt_lengths.longest([problem.question for problem in problems], settings.max_prompt_length)
    for problem, length in zip(problems, lengths, strict=True):
        if length > settings.max_prompt_length:
            stats.dropped[problem.row_id] = length
            continue
        stats.kept[problem.source] += 1
        stats.longest = max(stats.longest, length)
        lowest.add(problem, places[problem.row_id])


def _check_usable(settings: Preparation, stats: SourceStats) -> None:
    kept = stats.kept.total()
    if kept == 0 and not stats.dropped:
        bad = stats.golds.bad[0]
        raise UserError(
            f"none of {stats.rows} golds can be used ({bad.where}: {bad.reason})",
            "name another --answer-field or --gold",
        )
    if kept == 0:
        shortest = min(stats.dropped.values())
        raise UserError(
            f"all {len(stats.dropped)} prompts are longer than max_prompt_length={settings.max_prompt_length} tokens "
            f"under some persona (the shortest needs {shortest})",
            f"raise --max-prompt-length to at least {shortest}",
        )
    if unusable := sorted(stats.found - stats.kept.keys()):
        raise UserError(
            f"no problem of {unusable[0]} can be used: their golds are dropped, or their prompts are too long",
            "leave this source out, repair its golds, or raise --max-prompt-length",
        )
    if kept <= settings.val_problems:
        raise UserError(
            f"{kept} usable problems, and --val-problems {settings.val_problems} would leave none to train on",
            f"hold out fewer than {kept}",
        )


def _check_shares(counts: Mapping[str, int], stats: SourceStats) -> None:
    for name, count in counts.items():
        if count >= stats.kept[name]:
            raise UserError(
                f"{name} has {stats.kept[name]} usable problems, and the {count} held out for validation would leave "
                "none to train on",
                "leave this source out, or add problems to it",
            )


def share_out(total: int, sizes: Mapping[str, int]) -> dict[str, int]:
    """Share a number of validation problems out by the sources' sizes (Sainte-Lague), at least 1 each.

    Args:
        total: number of problems; with more sources than that, each gives one.
        sizes: source name -> number of its problems.
    """
    counts = dict.fromkeys(sorted(sizes), 1)
    for _ in range(total - len(counts)):
        open_names = [name for name in counts if counts[name] + 1 < sizes[name]]
        if not open_names:
            break
        counts[max(open_names, key=lambda name: sizes[name] / (2 * counts[name] + 1))] += 1
    return counts


def training_problems(stats: SourceStats) -> Iterator[Problem]:
    """Stream the training problems, in the sources' order, each as often as its source's weight says.

    A weight of 2.5 gives every problem twice, and half of them a third time, chosen by a hash of the row id. Copies
    have ids of their own, and so personas of their own.
    """
    left_out = stats.val_ids | {bad.row_id for bad in stats.golds.bad} | stats.dropped.keys()
    for row in stats.stream.rows():
        problem = row.problem
        if problem.row_id not in left_out:
            for number in range(1, copies(problem.row_id, row.weight) + 1):
                yield problem if number == 1 else replace(problem, row_id=f"{problem.row_id}*{number}")


def copies(row_id: str, weight: float) -> int:
    """Return the number of copies of a row in one pass over the training data."""
    whole = int(weight)
    return whole + (derive_seed("permix.weight", row_id) < (weight - whole) * HASH_RANGE)
