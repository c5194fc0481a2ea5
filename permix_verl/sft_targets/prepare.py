"""Parquet data for verl's SFT trainer: the prompts of PerMix-RLVR's data, each with a target.

Problems, validation problems and personas are those of RL's data with the same seed, so all methods of the paper's
comparison train on the same rows. A row keeps its persona in every epoch: its target may have been written for it.
"""

import hashlib
import json
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from permix_verl.data.dataset_folder import atomic_dataset_dir
from permix_verl.data.gold_check import GoldCheck, close_reward
from permix_verl.data.prepare import report_sources, row_counts, sources_record
from permix_verl.data.preview import print_rows
from permix_verl.data.problems import Problem
from permix_verl.data.prompt_lengths import PromptLengths
from permix_verl.data.row_ids import ROW_IDS, ROW_IDS_METADATA
from permix_verl.data.row_writer import chunks
from permix_verl.data.scan import scan_source, training_problems
from permix_verl.data.schema import HELD_OUT, SPLIT_METADATA, arrow_schema, make_row, make_supervised_row
from permix_verl.data.sft_tokens import end_of_turn, supervised_tokens
from permix_verl.data.tokenizers import load_prompt_tokenizer
from permix_verl.errors import UserError
from permix_verl.personas.mixing import PersonaDraw
from permix_verl.personas.pool import LARGE_POOL, check_disjoint, load_pool
from permix_verl.personas.prompts import build_messages, check_template
from permix_verl.sft_targets.generate import (
    GenerationConfig,
    IsCorrect,
    MakeTargetEngine,
    TargetRequest,
    Targets,
    generate_targets,
)
from permix_verl.sft_targets.ground_truth import FORMATS
from permix_verl.sft_targets.settings import SupervisedPreparation, method_name
from permix_verl.sft_targets.split import Split
from permix_verl.sft_targets.store import TargetStore
from permix_verl.utils.files import file_sha256


class SupervisedData:
    """A supervised data set: select rows, fill in their targets, write the files.

    Raises:
        UserError: a bad source, pool, tokenizer, template or limit.
    """

    def __init__(self, settings: SupervisedPreparation) -> None:
        self.settings = settings
        self.pool = load_pool(settings.pool)
        check_disjoint(self.pool, load_pool("eval"))
        if settings.kind == "styled" and settings.no_persona_probability == 1:
            raise UserError("styled targets need rows with a persona", "leave out --no-persona, or set --target gt")
        if settings.answer_format not in FORMATS:
            raise UserError(f"unknown answer format {settings.answer_format!r}", f"known: {', '.join(FORMATS)}")
        self.draw = PersonaDraw(self.pool, settings.seed, settings.no_persona_probability, settings.epoch)
        self.tokenizer = load_prompt_tokenizer(settings.tokenizer, settings.template_kwargs, settings.system_role)
        check_template(self.tokenizer, self.pool, settings.template_kwargs)
        self.end = end_of_turn(self.tokenizer, settings.template_kwargs)
        prompt_lengths = PromptLengths(self.tokenizer, self.pool, settings.template_kwargs)
        self.stats = scan_source(settings, prompt_lengths)
        report_sources(settings, self.stats)
        self.train = Split(list(training_problems(self.stats)))
        self.val = Split(self._val_problems(prompt_lengths))
        self.targets = Targets()

    def _val_problems(self, prompt_lengths: PromptLengths) -> list[Problem]:
        settings = self.settings
        if settings.val_source is None:
            return self.stats.val_problems
        known = {problem.question for problem in self.train.problems}
        problems = []
        for problem in self._read_val_source(settings.val_source):
            if problem.question in known:
                raise UserError(
                    f"{settings.val_source}: {problem.row_id} is a training problem too ({problem.question[:60]!r}...)",
                    "give problems that are not trained on",
                )
            if prompt_lengths.longest([problem.question], settings.max_prompt_length)[0] <= settings.max_prompt_length:
                problems.append(problem)
        if not problems:
            raise UserError(
                f"{settings.val_source} has no problem within --max-prompt-length {settings.max_prompt_length}",
                "give another file or a higher limit",
            )
        return problems

    def _read_val_source(self, source: str) -> list[Problem]:
        """Return the problems of another source, checked as the training problems are."""
        settings = self.settings
        golds = GoldCheck(self.stats.golds.active)
        rows = list(settings.open(source, split="val").rows())
        problems = [row.problem for row in golds.usable(rows)]
        if golds.checked:
            close_reward()
        golds.refuse(len(rows))
        return problems

    def rows(self) -> list[TargetRequest]:
        """Return all rows, training and validation, with their personas."""
        return [
            TargetRequest(problem, self.draw.persona(self.settings.epoch, problem.row_id))
            for problem in [*self.train.problems, *self.val.problems]
        ]

    def engine_rows(self) -> list[TargetRequest]:
        """Return the rows whose target an engine generates."""
        if self.settings.kind == "gt":
            return []
        return [row for row in self.rows() if self.settings.kind == "teacher" or row.persona]

    def fill_targets(
        self, config: GenerationConfig, store: TargetStore, start: MakeTargetEngine, is_correct: IsCorrect
    ) -> None:
        """Fill in the targets: from the store, from an engine, and the data set's solutions for the other rows.

        Raises:
            UserError: a request failed, unless ``settings.keep_going``.
        """
        rows = self.engine_rows()
        self.targets = generate_targets(rows, config, store, start, is_correct)
        if self.targets.failed and not self.settings.keep_going:
            reason = next(iter(self.targets.failed.values()))
            raise UserError(
                f"{len(self.targets.failed)} of {len(rows)} requests gave no text (such as: {reason})",
                "rerun the command to retry only these, or leave their rows out with --keep-going",
            )
        self.fill_own_solutions()

    def fill_own_solutions(self) -> None:
        """Use the data set's solutions as targets of the rows that no engine generates."""
        solution = FORMATS[self.settings.answer_format]
        generated = {row.problem.row_id for row in self.engine_rows()}
        self.targets.texts |= {
            problem.row_id: solution(problem)
            for problem in [*self.train.problems, *self.val.problems]
            if problem.row_id not in generated
        }

    def write(self, made_by: Mapping[str, Any]) -> dict[str, Any]:
        """Write the files and return the manifest.

        Args:
            made_by: the manifest's entries about the engine.

        Raises:
            UserError: no training row or no validation row is left. Files of an earlier call stay unchanged.
        """
        import pyarrow as pa
        import pyarrow.parquet as pq

        version = {} if self.settings.positional else {ROW_IDS_METADATA: ROW_IDS}
        with atomic_dataset_dir(self.settings.out) as partial:
            draw = self.draw.stored(partial, len(self.pool) if self.settings.positional else LARGE_POOL)
            for rows, name in ((self.train, "train"), (self.val, "val")):
                schema = (
                    arrow_schema(draw, "messages", **version)
                    if name == "train"
                    else arrow_schema(None, "messages", **{SPLIT_METADATA: HELD_OUT}, **version)
                )
                with pq.ParquetWriter(partial / f"{name}.parquet", schema) as writer:
                    for chunk in chunks(self._rows(rows, name)):
                        writer.write_table(pa.Table.from_pylist(chunk, schema=schema))
                if rows.written == 0:
                    raise UserError(
                        f"none of {len(rows.problems)} {name} rows is left ({dict(rows.dropped)})",
                        f"check the targets, and raise --max-length {self.settings.max_length} if they are too long",
                    )
            self.stats.golds.write(partial)
            manifest = self._manifest(made_by, partial)
            (partial / "manifest.json").write_text(json.dumps(manifest, indent=2, ensure_ascii=False) + "\n")
        shown = self.settings.show_rows
        print_rows(self.settings.out / "train.parquet", self.tokenizer, self.settings.template_kwargs, shown)
        return manifest

    def _rows(self, rows: Split, split: str) -> Iterator[dict[str, Any]]:
        settings = self.settings
        for problems in chunks(rows.problems):
            usable = [problem for problem in problems if self._has_target(problem, rows.dropped)]
            personas = [self.draw.persona(settings.epoch, problem.row_id) for problem in usable]
            targets = [self.targets.texts[problem.row_id] for problem in usable]
            chats = [build_messages(p.question, persona) for p, persona in zip(usable, personas, strict=True)]
            tokens = supervised_tokens(self.tokenizer, chats, targets, self.end, settings.template_kwargs)
            for problem, persona, target, (prompt, response) in zip(usable, personas, targets, tokens, strict=True):
                length = len(prompt) + len(response)
                if length > settings.max_length:
                    rows.dropped["too_long"] += 1
                    continue
                row = make_row(
                    problem,
                    persona,
                    split=split,
                    index=rows.written,
                    epoch=settings.epoch,
                    data_source=problem.source,
                )
                rows.add(persona, length, len(response))
                yield make_supervised_row(row, target)

    def _has_target(self, problem: Problem, dropped: Counter[str]) -> bool:
        if problem.row_id in self.targets.failed:
            dropped["failed"] += 1
            return False
        if problem.row_id not in self.targets.texts:
            dropped[self.targets.statuses.get(problem.row_id, "missing")] += 1
            return False
        if self.settings.only_right and self.targets.statuses.get(problem.row_id) == "wrong":
            dropped["wrong"] += 1
            return False
        return True

    def _manifest(self, made_by: Mapping[str, Any], partial: Path) -> dict[str, Any]:
        settings, stats, statuses = self.settings, self.stats, Counter(self.targets.statuses.values())
        return {
            "arm": method_name(settings),
            **sources_record(settings, stats),
            "val_source": settings.val_source,
            "pool": {"name": self.pool.name, "size": len(self.pool), "sha256": self.pool.sha256()},
            "seed": settings.seed,
            "epoch": settings.epoch,
            "no_persona_probability": settings.no_persona_probability,
            "tokenizer": settings.tokenizer,
            "chat_template_sha256": hashlib.sha256(str(self.tokenizer.chat_template).encode()).hexdigest(),
            "chat_template_kwargs": dict(settings.template_kwargs),
            **settings.template_record(),
            "end_of_turn": self.tokenizer.decode(self.end),
            "max_prompt_length": settings.max_prompt_length,
            "max_length": settings.max_length,
            "targets": {
                "kind": settings.kind,
                "answer_format": settings.answer_format if settings.kind == "gt" else None,
                "only_right": settings.only_right,
                **made_by,
                "texts": dict(statuses),
                "right": round(statuses["right"] / statuses.total(), 4) if statuses else None,
            },
            "rows": row_counts(stats)
            | {name: rows.counts() for name, rows in (("train", self.train), ("val", self.val))},
            "train_rows_per_persona": dict(sorted(self.train.personas.items())),
            "sha256": {name: file_sha256(partial / name) for name in ("train.parquet", "val.parquet")},
        }
