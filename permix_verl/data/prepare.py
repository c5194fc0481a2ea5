"""Data preparation: from a problem source to ``train.parquet``, ``val.parquet`` and ``manifest.json``.

Two streaming passes over the source, so that memory does not grow with it. The first validates every row, drops prompts
that are too long and picks the validation problems; the second writes. Bad input leaves no files behind.
"""

import bisect
import hashlib
import json
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tqdm import tqdm

from permix_verl.data.dataset_folder import atomic_dataset_dir, file_sha256
from permix_verl.data.problem_order import warn_of_other_order
from permix_verl.data.problems import Problem, iter_problems
from permix_verl.data.prompt_lengths import PromptLengths
from permix_verl.data.row_writer import chunks, write_rows
from permix_verl.data.schema import make_row
from permix_verl.data.tokenizers import ROUND_TRIP_ROWS, check_round_trip, load_tokenizer
from permix_verl.errors import UserError
from permix_verl.personas.mixing import PersonaDraw, development_personas
from permix_verl.personas.pool import NO_PERSONA, Persona, PersonaPool, check_disjoint, load_pool
from permix_verl.personas.prompts import build_messages, check_template, render
from permix_verl.seeding import derive_seed


@dataclass(frozen=True)
class Preparation:
    """Settings of a data set; every field goes into the manifest."""

    source: str
    out: Path
    tokenizer: str
    pool: str = "train"
    seed: int = 0
    epoch: int = 0
    val_problems: int = 32
    max_prompt_length: int = 256
    no_persona_probability: float = 0.0
    dataset: str = "gsm8k"
    task: str = "math"
    dev_personas: str = ""
    template_kwargs: Mapping[str, Any] = field(default_factory=dict)


@dataclass
class SourceStats:
    """Result of the first pass over the source.

    Attributes:
        rows: number of rows read.
        digest: SHA-256 over questions and solutions, in order.
        unordered: sum of one SHA-256 per row, the same in any order.
        dropped: row id -> prompt tokens under its longest persona, of the prompts that are too long.
        longest: tokens of the longest prompt kept.
        val_ids: row ids of the validation problems.
    """

    rows: int = 0
    digest: Any = field(default_factory=hashlib.sha256)
    unordered: int = 0
    dropped: dict[str, int] = field(default_factory=dict)
    longest: int = 0
    val_ids: set[str] = field(default_factory=set)

    def identity(self) -> dict[str, str]:
        """Return the fields of the manifest that identify the source: its problems and their order."""
        return {
            "source_sha256": self.digest.hexdigest(),
            "problems_sha256": f"{self.unordered % 2**256:064x}",
            "row_ids": "place in the source: in another order its problems get other personas, and others are held out",
        }


def prepare(settings: Preparation) -> dict[str, Any]:
    """Write the data set and return its manifest.

    Raises:
        UserError: a bad source, pool, tokenizer or limit. Files of an earlier call stay unchanged.
    """
    pool = load_pool(settings.pool)
    check_disjoint(pool, load_pool("eval"))
    dev_personas = development_personas(pool, settings.dev_personas, settings.seed)
    draw = PersonaDraw(pool, settings.seed, settings.no_persona_probability, settings.epoch, dev_personas)
    tokenizer = load_tokenizer(settings.tokenizer)
    check_template(tokenizer, pool, settings.template_kwargs)
    prompt_lengths = PromptLengths(tokenizer, pool, settings.template_kwargs, settings.task)

    stats = scan_source(settings, prompt_lengths)
    warn_of_other_order(settings.out, stats.identity(), stats.rows)
    with atomic_dataset_dir(settings.out) as partial:
        train_counts = write_rows(partial / "train.parquet", _train_rows(settings, stats, draw), draw)
        val_counts = write_rows(partial / "val.parquet", _val_rows(settings, stats, pool))
        manifest = _manifest(settings, stats, prompt_lengths, draw, train_counts, val_counts, partial)
        (partial / "manifest.json").write_text(json.dumps(manifest, indent=2, ensure_ascii=False) + "\n")
    return manifest


def scan_source(settings: Preparation, prompt_lengths: PromptLengths) -> SourceStats:
    """Read the source once: validate and measure every row, pick the validation problems.

    Raises:
        UserError: a bad row; a tokenizer that loses text; no usable row; no row left to train on.
    """
    stats = SourceStats()
    lowest: list[tuple[int, str]] = []  # (hash, row id) of the validation problems so far, sorted
    for chunk in chunks(tqdm(problems_of(settings), desc="measuring", unit=" rows", disable=None)):
        if stats.rows == 0:
            check_round_trip(
                prompt_lengths.tokenizer,
                prompt_lengths.conditions,
                [problem.question for problem in chunk[:ROUND_TRIP_ROWS]],
            )
        lengths = prompt_lengths.longest([problem.question for problem in chunk], settings.max_prompt_length)
        for problem, length in zip(chunk, lengths, strict=True):
            stats.rows += 1
            content = f"{problem.question}\x1f{problem.solution or problem.final_answer}\x1e".encode()
            stats.digest.update(content)
            stats.unordered += int.from_bytes(hashlib.sha256(content).digest(), "big")
            if length > settings.max_prompt_length:
                stats.dropped[problem.row_id] = length
                continue
            stats.longest = max(stats.longest, length)
            # Independent of the persona seed: runs that differ in it are validated on the same problems.
            bisect.insort(lowest, (derive_seed("permix.val", 0, 0, problem.row_id), problem.row_id))
            del lowest[settings.val_problems :]
    stats.val_ids = {row_id for _, row_id in lowest}
    _check_usable(settings, stats)
    return stats


def _check_usable(settings: Preparation, stats: SourceStats) -> None:
    kept = stats.rows - len(stats.dropped)
    if stats.rows == 0:
        raise UserError(f"{settings.source} has no problem", "give a file with one question and answer per row")
    if kept == 0:
        shortest = min(stats.dropped.values())
        raise UserError(
            f"all {stats.rows} prompts are longer than max_prompt_length={settings.max_prompt_length} tokens under "
            f"some persona (the shortest needs {shortest})",
            f"raise --max-prompt-length to at least {shortest}",
        )
    if kept <= settings.val_problems:
        raise UserError(
            f"{kept} usable problems, and --val-problems {settings.val_problems} would leave none to train on",
            f"hold out fewer than {kept}",
        )


def _train_rows(settings: Preparation, stats: SourceStats, draw: PersonaDraw) -> Iterator[dict[str, Any]]:
    for index, problem in enumerate(kept_problems(settings, stats, val=False)):
        persona = draw.persona(settings.epoch, problem.row_id)
        yield make_row(problem, persona, split="train", index=index, epoch=settings.epoch, data_source=settings.dataset)


def _val_rows(settings: Preparation, stats: SourceStats, pool: PersonaPool) -> Iterator[dict[str, Any]]:
    """Yield every validation problem under every persona and without one, with one ``data_source`` (curve) each."""
    index = 0
    for problem in kept_problems(settings, stats, val=True):
        conditions: tuple[Persona | None, ...] = (None, *pool)
        for persona in conditions:
            source = f"{settings.dataset}/{persona.slug if persona else NO_PERSONA}"
            yield make_row(problem, persona, split="val", index=index, epoch=settings.epoch, data_source=source)
            index += 1


def problems_of(settings: Preparation) -> Iterator[Problem]:
    """Stream the source's problems, in order."""
    if settings.task == "code":
        from permix_verl.data.code_problems import iter_code_problems

        return iter_code_problems(settings.source, "train", settings.dataset)
    return iter_problems(settings.source, "train", settings.dataset)


def kept_problems(settings: Preparation, stats: SourceStats, val: bool) -> Iterator[Problem]:
    """Stream the problems that are not dropped: those for validation, or those for training."""
    for problem in problems_of(settings):
        if problem.row_id not in stats.dropped and (problem.row_id in stats.val_ids) == val:
            yield problem


def _manifest(
    settings: Preparation,
    stats: SourceStats,
    prompt_lengths: PromptLengths,
    draw: PersonaDraw,
    train_counts: Counter[str],
    val_counts: Counter[str],
    partial: Path,
) -> dict[str, Any]:
    tokenizer, pool = prompt_lengths.tokenizer, draw.pool
    return {
        "arm": "RLVR" if settings.no_persona_probability == 1 else "PerMix-RLVR",
        "source": settings.source,
        **stats.identity(),
        "dataset": settings.dataset,
        "task": settings.task,
        "pool": {"name": pool.name, "size": len(pool), "sha256": pool.sha256()},
        "seed": settings.seed,
        "epoch": settings.epoch,
        "no_persona_probability": settings.no_persona_probability,
        "dev_personas": list(draw.dev_personas),
        "tokenizer": settings.tokenizer,
        "chat_template_sha256": hashlib.sha256(str(tokenizer.chat_template).encode()).hexdigest(),
        "chat_template_kwargs": dict(settings.template_kwargs),
        # For inspection: some templates insert a default system prompt.
        "no_persona_prompt": render(tokenizer, build_messages("1 + 1 = ?", None), settings.template_kwargs),
        "max_prompt_length": settings.max_prompt_length,
        "longest_prompt": stats.longest,
        "longest_persona": prompt_lengths.longest_persona.key if prompt_lengths.longest_persona else NO_PERSONA,
        "measured_pairwise": not prompt_lengths.additive,
        "rows": {
            "read": stats.rows,
            "dropped_too_long": len(stats.dropped),
            "train": train_counts.total(),
            "val_problems": len(stats.val_ids),
            "val": val_counts.total(),
        },
        "dropped": stats.dropped,
        "train_rows_per_persona": dict(sorted(train_counts.items())),
        "sha256": {name: file_sha256(partial / name) for name in ("train.parquet", "val.parquet")},
    }
