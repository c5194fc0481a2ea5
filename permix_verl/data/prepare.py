"""From a problem source to ``train.parquet``, ``val.parquet`` and ``manifest.json``.

Two passes over the source, both streaming, so that memory does not grow with it:
the first validates every row, drops what is too long and picks the held-out
problems; only then does the second write. Bad input leaves nothing behind.
"""

import hashlib
import heapq
import itertools
import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tqdm import tqdm

from permix_verl.data.problem_order import say_other_order
from permix_verl.data.problems import Problem, iter_problems
from permix_verl.data.prompt_lengths import PromptMeter
from permix_verl.data.schema import arrow_schema, make_row
from permix_verl.data.tokenizers import ROWS, check_round_trip, load_tokenizer
from permix_verl.errors import UserError
from permix_verl.personas.mixing import PersonaDraw, development_personas, hash_to_int
from permix_verl.personas.pool import NO_PERSONA, Persona, PersonaPool, check_disjoint, load_pool
from permix_verl.personas.prompts import build_messages, check_template, render
from permix_verl.utils.files import file_sha256, whole_folder

CHUNK = 1024
"""Rows that are rendered, measured and written at a time."""


@dataclass(frozen=True)
class Preparation:
    """What to prepare; every field goes into the manifest."""

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
class Survey:
    """What the first pass found.

    Attributes:
        rows: read.
        digest: over questions and answers.
        unordered: sum of a hash of each, the same in any order.
        dropped: row id -> tokens of its prompt under its longest persona.
        longest: tokens of the longest prompt that was kept.
        held_out: row ids kept for validation.
    """

    rows: int = 0
    digest: Any = field(default_factory=hashlib.sha256)
    unordered: int = 0
    dropped: dict[str, int] = field(default_factory=dict)
    longest: int = 0
    held_out: set[str] = field(default_factory=set)

    def identity(self) -> dict[str, str]:
        """What the manifest says of the source: which problems, in which order, and that a row's draws hang on that."""
        return {
            "source_sha256": self.digest.hexdigest(),
            "problems_sha256": f"{self.unordered % 2**256:064x}",
            "row_ids": "place in the source: in another order its problems get other personas, and others are held out",
        }


def prepare(settings: Preparation) -> dict[str, Any]:
    """Write the data set that the settings describe and return its manifest.

    Raises:
        UserError: a bad source, pool, tokenizer or limit. Files from an earlier call stay as they were.
    """
    pool = load_pool(settings.pool)
    check_disjoint(pool, load_pool("eval"))
    held_out = development_personas(pool, settings.dev_personas, settings.seed)
    draw = PersonaDraw(pool, settings.seed, settings.no_persona_probability, settings.epoch, held_out)
    tokenizer = load_tokenizer(settings.tokenizer)
    check_template(tokenizer, pool, settings.template_kwargs)
    meter = PromptMeter(tokenizer, pool, settings.template_kwargs, settings.task)

    survey = survey_source(settings, meter)
    say_other_order(settings.out, survey.identity(), survey.rows)
    with whole_folder(settings.out) as partial:
        train_counts = _write(partial / "train.parquet", _train_rows(settings, survey, draw), draw)
        val_counts = _write(partial / "val.parquet", _val_rows(settings, survey, pool))
        manifest = _manifest(settings, survey, meter, draw, train_counts, val_counts, partial)
        (partial / "manifest.json").write_text(json.dumps(manifest, indent=2, ensure_ascii=False) + "\n")
    return manifest


def survey_source(settings: Preparation, meter: PromptMeter) -> Survey:
    """Read the source once: check every row, measure it, pick the held-out problems.

    Raises:
        UserError: a bad row; a tokenizer that loses text; nothing usable; nothing left to train on.
    """
    survey = Survey()
    smallest: list[tuple[int, str]] = []  # a heap of negated hashes: the val_problems smallest ones
    for chunk in chunks(tqdm(problems_of(settings), desc="measuring", unit=" rows", disable=None)):
        if survey.rows == 0:
            check_round_trip(meter.tokenizer, meter.arms, [problem.question for problem in chunk[:ROWS]])
        lengths = meter.longest([problem.question for problem in chunk], settings.max_prompt_length)
        for problem, length in zip(chunk, lengths, strict=True):
            survey.rows += 1
            content = f"{problem.question}\x1f{problem.answer or problem.final_answer}\x1e".encode()
            survey.digest.update(content)
            survey.unordered += int.from_bytes(hashlib.sha256(content).digest(), "big")
            if length > settings.max_prompt_length:
                survey.dropped[problem.row_id] = length
                continue
            survey.longest = max(survey.longest, length)
            # Not the persona seed: runs that differ in it are validated on the same problems.
            rank = (-hash_to_int("permix.val", 0, 0, problem.row_id), problem.row_id)
            push = heapq.heappush if len(smallest) < settings.val_problems else heapq.heappushpop
            push(smallest, rank)
    survey.held_out = {row_id for _, row_id in smallest[: settings.val_problems]}
    kept = survey.rows - len(survey.dropped)
    if survey.rows == 0:
        raise UserError(f"{settings.source} holds no problem; give a file with one question and answer per row")
    if kept == 0:
        shortest = min(survey.dropped.values())
        raise UserError(
            f"all {survey.rows} prompts are longer than max_prompt_length={settings.max_prompt_length} tokens under "
            f"some persona (the shortest needs {shortest}); raise --max-prompt-length to at least {shortest}"
        )
    if kept <= settings.val_problems:
        raise UserError(
            f"{kept} usable problems, and --val-problems {settings.val_problems} would leave none to train on; "
            f"hold out fewer than {kept}"
        )
    return survey


def _train_rows(settings: Preparation, survey: Survey, draw: PersonaDraw) -> Iterator[dict[str, Any]]:
    for index, problem in enumerate(kept_problems(settings, survey, held_out=False)):
        persona = draw.persona(settings.epoch, problem.row_id)
        yield make_row(problem, persona, split="train", index=index, epoch=settings.epoch, data_source=settings.dataset)


def _val_rows(settings: Preparation, survey: Survey, pool: PersonaPool) -> Iterator[dict[str, Any]]:
    """Every held-out problem under every persona and without one: one ``data_source``, so one curve, each."""
    index = 0
    for problem in kept_problems(settings, survey, held_out=True):
        arms: tuple[Persona | None, ...] = (None, *pool)
        for persona in arms:
            source = f"{settings.dataset}/{persona.slug if persona else NO_PERSONA}"
            yield make_row(problem, persona, split="val", index=index, epoch=settings.epoch, data_source=source)
            index += 1


def problems_of(settings: Preparation) -> Iterator[Problem]:
    """The source's problems, in order."""
    if settings.task == "code":
        from permix_verl.data.code_problems import iter_code_problems

        return iter_code_problems(settings.source, "train", settings.dataset)
    return iter_problems(settings.source, "train", settings.dataset)


def kept_problems(settings: Preparation, survey: Survey, held_out: bool) -> Iterator[Problem]:
    """The problems that are not dropped: those for training, or those held out."""
    for problem in problems_of(settings):
        if problem.row_id not in survey.dropped and (problem.row_id in survey.held_out) == held_out:
            yield problem


def chunks(items: Iterable[Any]) -> Iterator[list[Any]]:
    """Lists of up to :data:`CHUNK`."""
    iterator = iter(items)
    while chunk := list(itertools.islice(iterator, CHUNK)):
        yield chunk


def _write(path: Path, rows: Iterator[dict[str, Any]], draw: PersonaDraw | None = None) -> Counter[str]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    schema = arrow_schema(draw)
    personas: Counter[str] = Counter()
    with pq.ParquetWriter(path, schema) as writer:
        for chunk in chunks(tqdm(rows, desc=f"writing {path.name}", unit=" rows", disable=None)):
            personas.update(row["extra_info"]["persona"] for row in chunk)
            writer.write_table(pa.Table.from_pylist(chunk, schema=schema))
    return personas


def _manifest(
    settings: Preparation,
    survey: Survey,
    meter: PromptMeter,
    draw: PersonaDraw,
    train_counts: Counter[str],
    val_counts: Counter[str],
    partial: Path,
) -> dict[str, Any]:
    tokenizer, pool = meter.tokenizer, draw.pool
    return {
        "arm": "RLVR" if settings.no_persona_probability == 1 else "PerMix-RLVR",
        "source": settings.source,
        **survey.identity(),
        "dataset": settings.dataset,
        "task": settings.task,
        "pool": {"name": pool.name, "size": len(pool), "sha256": pool.sha256()},
        "seed": settings.seed,
        "epoch": settings.epoch,
        "no_persona_probability": settings.no_persona_probability,
        "dev_personas": list(draw.held_out),
        "tokenizer": settings.tokenizer,
        "chat_template_sha256": hashlib.sha256(str(tokenizer.chat_template).encode()).hexdigest(),
        "chat_template_kwargs": dict(settings.template_kwargs),
        # To be looked at: some templates put a persona of their own where none is given.
        "no_persona_prompt": render(tokenizer, build_messages("1 + 1 = ?", None), settings.template_kwargs),
        "max_prompt_length": settings.max_prompt_length,
        "longest_prompt": survey.longest,
        "longest_persona": meter.longest_arm.key if meter.longest_arm else NO_PERSONA,
        "measured_pairwise": not meter.additive,
        "rows": {
            "read": survey.rows,
            "dropped_too_long": len(survey.dropped),
            "train": train_counts.total(),
            "val_problems": len(survey.held_out),
            "val": val_counts.total(),
        },
        "dropped": survey.dropped,
        "train_rows_per_persona": dict(sorted(train_counts.items())),
        "sha256": {name: file_sha256(partial / name) for name in ("train.parquet", "val.parquet")},
    }
