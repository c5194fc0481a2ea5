"""From problems to parquet for verl's SFT trainer: the prompts of PerMix-RLVR's data, and a target behind each.

Which problems are kept, which are held out and which persona a row has is decided by the code that prepares RL's data,
from the same seed: every arm of the paper's comparison is trained on the same rows. A row has one persona, in every
epoch: its target may have been written for it.
"""

import hashlib
import json
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from permix_verl.data.prepare import chunks, kept_problems, survey_source
from permix_verl.data.problem_order import say_other_order
from permix_verl.data.problems import Problem, iter_problems
from permix_verl.data.prompt_lengths import PromptMeter
from permix_verl.data.schema import HELD_OUT, SPLIT_METADATA, arrow_schema, make_row, make_supervised_row
from permix_verl.data.sft_tokens import end_of_turn, supervised_tokens
from permix_verl.data.tokenizers import load_tokenizer
from permix_verl.errors import UserError
from permix_verl.personas.mixing import PersonaDraw
from permix_verl.personas.pool import NO_PERSONA, check_disjoint, load_pool
from permix_verl.personas.prompts import build_messages, check_template
from permix_verl.sft_targets.generate import Asking, Judge, Start, Targets, Want, obtain
from permix_verl.sft_targets.ground_truth import FORMATS
from permix_verl.sft_targets.settings import SupervisedPreparation, arm_name
from permix_verl.sft_targets.store import TextStore
from permix_verl.utils.files import file_sha256, whole_folder


@dataclass
class _Rows:
    """What becomes of the rows of one file."""

    problems: list[Problem]
    dropped: Counter[str] = field(default_factory=Counter)
    personas: Counter[str] = field(default_factory=Counter)
    written: int = 0
    tokens: int = 0
    target_tokens: int = 0
    longest: int = 0


class SupervisedData:
    """The rows of a preparation, then their targets, then the files.

    Raises:
        UserError: a bad source, pool, tokenizer, template or limit.
    """

    def __init__(self, settings: SupervisedPreparation) -> None:
        self.settings = settings
        self.pool = load_pool(settings.pool)
        check_disjoint(self.pool, load_pool("eval"))
        if settings.kind == "styled" and settings.no_persona_probability == 1:
            raise UserError("styled targets are for rows with a persona; leave out --no-persona, or take --target gt")
        if settings.answer_format not in FORMATS:
            raise UserError(f"unknown answer format {settings.answer_format!r}; known: {', '.join(FORMATS)}")
        self.draw = PersonaDraw(self.pool, settings.seed, settings.no_persona_probability, settings.epoch)
        self.tokenizer = load_tokenizer(settings.tokenizer)
        check_template(self.tokenizer, self.pool, settings.template_kwargs)
        self.end = end_of_turn(self.tokenizer, settings.template_kwargs)
        meter = PromptMeter(self.tokenizer, self.pool, settings.template_kwargs)
        self.survey = survey_source(settings, meter)
        say_other_order(settings.out, self.survey.identity(), self.survey.rows)
        self.train = _Rows(list(kept_problems(settings, self.survey, held_out=False)))
        self.val = _Rows(self._held_out(meter))
        self.targets = Targets()

    def _held_out(self, meter: PromptMeter) -> list[Problem]:
        settings = self.settings
        if settings.val_source is None:
            return list(kept_problems(settings, self.survey, held_out=True))
        known = {problem.question for problem in self.train.problems}
        found = []
        for problem in iter_problems(settings.val_source, "val", settings.dataset):
            if problem.question in known:
                raise UserError(
                    f"{settings.val_source}: {problem.row_id} is a training problem too ({problem.question[:60]!r}...)"
                    "; give problems that are not trained on"
                )
            if meter.longest([problem.question], settings.max_prompt_length)[0] <= settings.max_prompt_length:
                found.append(problem)
        if not found:
            raise UserError(f"{settings.val_source} holds no problem of usable length; give a file that does")
        return found

    def wants(self) -> list[Want]:
        """Every row, training and held-out, with its persona."""
        return [
            Want(problem, self.draw.persona(self.settings.epoch, problem.row_id))
            for problem in [*self.train.problems, *self.val.problems]
        ]

    def asked(self) -> list[Want]:
        """The rows whose target an engine has to give."""
        if self.settings.kind == "gt":
            return []
        return [want for want in self.wants() if self.settings.kind == "teacher" or want.persona]

    def take_targets(self, asking: Asking, store: TextStore, start: Start, judge: Judge) -> None:
        """Fill in the targets, from the store and an engine, and the data set's own where none is asked.

        Raises:
            UserError: requests that failed, unless the settings say to keep going.
        """
        asked = self.asked()
        self.targets = obtain(asked, asking, store, start, judge)
        if self.targets.failed and not self.settings.keep_going:
            reason = next(iter(self.targets.failed.values()))
            raise UserError(
                f"{len(self.targets.failed)} of {len(asked)} requests gave no text (such as: {reason}); the rest is "
                "kept, and the same command asks for these again; --keep-going leaves their rows out"
            )
        self.take_own_targets()

    def take_own_targets(self) -> None:
        """The data set's own solutions, for the rows that no engine is asked about."""
        solution = FORMATS[self.settings.answer_format]
        asked = {want.problem.row_id for want in self.asked()}
        self.targets.texts |= {
            problem.row_id: solution(problem)
            for problem in [*self.train.problems, *self.val.problems]
            if problem.row_id not in asked
        }

    def write(self, made_by: Mapping[str, Any]) -> dict[str, Any]:
        """Write the files and return the manifest.

        Args:
            made_by: what the manifest is to say of the engine.

        Raises:
            UserError: no row is left to train on, or none to hold out. Files from an earlier call stay as they were.
        """
        import pyarrow as pa
        import pyarrow.parquet as pq

        with whole_folder(self.settings.out) as partial:
            for rows, name in ((self.train, "train"), (self.val, "val")):
                schema = (
                    arrow_schema(self.draw, "messages")
                    if name == "train"
                    else arrow_schema(None, "messages", **{SPLIT_METADATA: HELD_OUT})
                )
                with pq.ParquetWriter(partial / f"{name}.parquet", schema) as writer:
                    for chunk in chunks(self._rows(rows, name)):
                        writer.write_table(pa.Table.from_pylist(chunk, schema=schema))
                if rows.written == 0:
                    raise UserError(
                        f"none of {len(rows.problems)} {name} rows is left ({dict(rows.dropped)}); see the targets, "
                        f"and raise --max-length {self.settings.max_length} if they are too long"
                    )
            manifest = self._manifest(made_by, partial)
            (partial / "manifest.json").write_text(json.dumps(manifest, indent=2, ensure_ascii=False) + "\n")
        return manifest

    def _rows(self, rows: _Rows, split: str) -> Iterator[dict[str, Any]]:
        settings = self.settings
        for problems in chunks(rows.problems):
            usable = [problem for problem in problems if self._has_target(problem, rows.dropped)]
            personas = [self.draw.persona(settings.epoch, problem.row_id) for problem in usable]
            targets = [self.targets.texts[problem.row_id] for problem in usable]
            chats = [build_messages(p.question, persona) for p, persona in zip(usable, personas, strict=True)]
            tokens = supervised_tokens(self.tokenizer, chats, targets, self.end, settings.template_kwargs)
            for problem, persona, target, (prompt, said) in zip(usable, personas, targets, tokens, strict=True):
                length = len(prompt) + len(said)
                if length > settings.max_length:
                    rows.dropped["too_long"] += 1
                    continue
                row = make_row(
                    problem,
                    persona,
                    split=split,
                    index=rows.written,
                    epoch=settings.epoch,
                    data_source=settings.dataset,
                )
                rows.written += 1
                rows.personas[persona.key if persona else NO_PERSONA] += 1
                rows.tokens += length
                rows.target_tokens += len(said)
                rows.longest = max(rows.longest, length)
                yield make_supervised_row(row, target)

    def _has_target(self, problem: Problem, dropped: Counter[str]) -> bool:
        if problem.row_id in self.targets.failed:
            dropped["failed"] += 1
            return False
        if problem.row_id not in self.targets.texts:
            dropped[self.targets.fates.get(problem.row_id, "missing")] += 1
            return False
        if self.settings.only_right and self.targets.fates.get(problem.row_id) == "wrong":
            dropped["wrong"] += 1
            return False
        return True

    def _manifest(self, made_by: Mapping[str, Any], partial: Path) -> dict[str, Any]:
        settings, survey, fates = self.settings, self.survey, Counter(self.targets.fates.values())
        return {
            "arm": arm_name(settings),
            "source": settings.source,
            **survey.identity(),
            "val_source": settings.val_source,
            "dataset": settings.dataset,
            "pool": {"name": self.pool.name, "size": len(self.pool), "sha256": self.pool.sha256()},
            "seed": settings.seed,
            "epoch": settings.epoch,
            "no_persona_probability": settings.no_persona_probability,
            "tokenizer": settings.tokenizer,
            "chat_template_sha256": hashlib.sha256(str(self.tokenizer.chat_template).encode()).hexdigest(),
            "chat_template_kwargs": dict(settings.template_kwargs),
            "end_of_turn": self.tokenizer.decode(self.end),
            "max_prompt_length": settings.max_prompt_length,
            "max_length": settings.max_length,
            "targets": {
                "kind": settings.kind,
                "answer_format": settings.answer_format if settings.kind == "gt" else None,
                "only_right": settings.only_right,
                **made_by,
                "texts": dict(fates),
                "right": round(fates["right"] / fates.total(), 4) if fates else None,
            },
            "rows": {"read": survey.rows, "dropped_too_long": len(survey.dropped)}
            | {name: self._counts(rows) for name, rows in (("train", self.train), ("val", self.val))},
            "train_rows_per_persona": dict(sorted(self.train.personas.items())),
            "sha256": {name: file_sha256(partial / name) for name in ("train.parquet", "val.parquet")},
        }

    @staticmethod
    def _counts(rows: _Rows) -> dict[str, Any]:
        return {
            "problems": len(rows.problems),
            "rows": rows.written,
            "dropped": dict(rows.dropped),
            "tokens": rows.tokens,
            "target_tokens": rows.target_tokens,
            "longest": rows.longest,
        }
