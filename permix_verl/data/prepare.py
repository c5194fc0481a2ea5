"""Data preparation: from problem sources to ``train.parquet``, ``val.parquet`` and ``manifest.json``.

Two streaming passes over the sources, so that memory does not grow with them (but for 20 to 60 bytes for each row's
id). The first (``permix_verl.data.scan``) validates every row, drops prompts that are too long and picks the validation
problems; the second writes. Bad input leaves no files behind.
"""

import hashlib
import json
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from permix_verl.data.dataset_folder import atomic_dataset_dir
from permix_verl.data.preparation import Preparation
from permix_verl.data.preview import print_rows
from permix_verl.data.problem_order import warn_of_other_order
from permix_verl.data.prompt_lengths import PromptLengths
from permix_verl.data.row_ids import ROW_IDS, ROW_IDS_METADATA
from permix_verl.data.row_writer import write_rows
from permix_verl.data.scan import SourceStats, scan_source, training_problems
from permix_verl.data.schema import make_row
from permix_verl.data.tokenizers import load_prompt_tokenizer
from permix_verl.errors import UserError
from permix_verl.personas.mixing import PersonaDraw, development_personas, validation_personas
from permix_verl.personas.pool import LARGE_POOL, NO_PERSONA, Persona, check_disjoint, load_pool
from permix_verl.personas.prompts import build_messages, check_template, render
from permix_verl.utils.files import file_sha256


def prepare(settings: Preparation) -> dict[str, Any]:
    """Write the data set and return its manifest.

    Raises:
        UserError: a bad source, pool, tokenizer or limit. Files of an earlier call stay unchanged.
    """
    pool = load_pool(settings.pool)
    check_disjoint(pool, load_pool("eval"))
    dev_personas = development_personas(pool, settings.dev_personas, settings.seed)
    asked = validation_personas(pool, settings.validation_count(len(pool)), settings.seed, dev_personas)
    draw = PersonaDraw(pool, settings.seed, settings.no_persona_probability, settings.epoch, dev_personas)
    tokenizer = load_prompt_tokenizer(settings.tokenizer, settings.template_kwargs, settings.system_role)
    check_template(tokenizer, pool, settings.template_kwargs)
    prompt_lengths = PromptLengths(tokenizer, pool, settings.template_kwargs, settings.task)

    stats = scan_source(settings, prompt_lengths)
    report_sources(settings, stats)
    version: dict[str, str] = {} if settings.positional else {ROW_IDS_METADATA: ROW_IDS}
    with atomic_dataset_dir(settings.out) as partial:
        # Runs that began with positional ids compare the bytes of a draw with all its personas.
        stored = draw.stored(partial, len(pool) if settings.positional else LARGE_POOL)
        train_counts = write_rows(partial / "train.parquet", _train_rows(settings, stats, draw), stored, **version)
        if not train_counts:
            raise UserError("the sources' weights leave no row to train on", "give higher ones")
        val_counts = write_rows(partial / "val.parquet", _val_rows(settings, stats, asked), None, **version)
        stats.golds.write(partial)
        manifest = _manifest(settings, stats, prompt_lengths, draw, train_counts, val_counts, partial)
        if len(asked) < len(pool):
            manifest["val_personas"] = [persona.key for persona in asked]
        (partial / "manifest.json").write_text(json.dumps(manifest, indent=2, ensure_ascii=False) + "\n")
    print_rows(settings.out / "train.parquet", tokenizer, settings.template_kwargs, settings.show_rows)
    return manifest


def report_sources(settings: Preparation, stats: SourceStats) -> None:
    """Print what was read how, and repeated rows; with positional ids, whether an earlier order was another."""
    if stats.stream.unique is None:
        warn_of_other_order(settings.out, stats.identity(), stats.rows)
        return
    for source in stats.stream.sources:
        if line := source.describe():
            print(line)
    if stats.stream.unique.repeats.count:
        print(stats.stream.unique.repeats.sentence())


def _train_rows(settings: Preparation, stats: SourceStats, draw: PersonaDraw) -> Iterator[dict[str, Any]]:
    for index, problem in enumerate(training_problems(stats)):
        persona = draw.persona(settings.epoch, problem.row_id)
        yield make_row(problem, persona, split="train", index=index, epoch=settings.epoch, data_source=problem.source)


def _val_rows(settings: Preparation, stats: SourceStats, personas: Sequence[Persona]) -> Iterator[dict[str, Any]]:
    """Yield every validation problem without a persona and under each of these, each with its curve."""
    index = 0
    conditions: tuple[Persona | None, ...] = (None, *personas)
    for problem in stats.val_problems:
        for persona in conditions:
            source = f"{problem.source}/{persona.slug if persona else NO_PERSONA}"
            yield make_row(problem, persona, split="val", index=index, epoch=settings.epoch, data_source=source)
            index += 1


def sources_record(settings: Preparation, stats: SourceStats) -> dict[str, Any]:
    """Return the manifest's fields about the sources and their problems."""
    record: dict[str, Any] = {"source": settings.source, **stats.identity(), "dataset": ",".join(stats.names)}
    if stats.stream.unique is not None:
        record["sources"] = [
            {"source": source.spec.location, "read_as": source.describe(), "rows": source.read}
            | {"weight": source.spec.weight}
            for source in stats.stream.sources
        ]
    return record


def row_counts(stats: SourceStats) -> dict[str, Any]:
    """Return the manifest's numbers of rows before any is written."""
    counts: dict[str, Any] = {"read": stats.rows, "dropped_too_long": len(stats.dropped)}
    if stats.stream.unique is not None:
        counts |= {"repeated": stats.stream.unique.repeats.count, "dropped_bad_gold": len(stats.golds.bad)}
    return counts


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
        **sources_record(settings, stats),
        "task": settings.task,
        "pool": {"name": pool.name, "size": len(pool), "sha256": pool.sha256()},
        "seed": settings.seed,
        "epoch": settings.epoch,
        "no_persona_probability": settings.no_persona_probability,
        "dev_personas": list(draw.dev_personas),
        "tokenizer": settings.tokenizer,
        "chat_template_sha256": hashlib.sha256(str(tokenizer.chat_template).encode()).hexdigest(),
        "chat_template_kwargs": dict(settings.template_kwargs),
        **settings.template_record(),
        # For inspection: some templates insert a default system prompt.
        "no_persona_prompt": render(tokenizer, build_messages("1 + 1 = ?", None), settings.template_kwargs),
        "max_prompt_length": settings.max_prompt_length,
        "longest_prompt": stats.longest,
        "longest_persona": prompt_lengths.longest_persona.key if prompt_lengths.longest_persona else NO_PERSONA,
        "measured_pairwise": not prompt_lengths.additive,
        "rows": {
            **row_counts(stats),
            "train": train_counts.total(),
            "val_problems": len(stats.val_problems),
            **_val_problems_by_source(stats),
            "val": val_counts.total(),
        },
        "dropped": stats.dropped,
        "train_rows_per_persona": dict(sorted(train_counts.items())),
        "sha256": {name: file_sha256(partial / name) for name in ("train.parquet", "val.parquet")},
    }


def _val_problems_by_source(stats: SourceStats) -> dict[str, Any]:
    counts = Counter(problem.source for problem in stats.val_problems)
    return {"val_problems_by_source": dict(sorted(counts.items()))} if len(counts) > 1 else {}
