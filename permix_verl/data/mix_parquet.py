"""Personas into parquet files in verl's schema: what ``permix mix`` does.

Two streaming passes. The first checks and measures every row and finds the rows that repeat; the second writes. Memory
does not grow with the files, but for some 20 bytes a row. Bad input leaves no files behind.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from permix_verl.data import mix_arrow
from permix_verl.data.mix_job import MixJob, MixSummary
from permix_verl.data.mixed_file import mix_metadata, refuse_mixed
from permix_verl.data.parquet_files import batches, compression_of, moved_together, open_parquet, plan_outputs
from permix_verl.data.plain_rows import Row, RowScan, repeats_note
from permix_verl.data.system_message import OWN_SYSTEM, split_system, system_text
from permix_verl.errors import UserError
from permix_verl.personas.mixing import PersonaDraw, validation_personas
from permix_verl.personas.pool import LARGE_POOL, NO_PERSONA, Persona
from permix_verl.personas.pool_arrow import POOL_FILE

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

    from permix_verl.data.mixed_lengths import MixedLengths


def mix_files(job: MixJob) -> MixSummary:
    """Write the mixed files, all of them or none.

    Raises:
        UserError: rows that do not follow verl's schema, have personas already, or have system messages that the
            policy refuses; one row id for two problems; a bad pool, tokenizer or output.
    """
    outputs = plan_outputs(job.inputs, job.out)
    for path in job.inputs:
        mix_arrow.check_columns(open_parquet(path).schema_arrow, str(path), job.key)
    refuse_mixed([str(path) for path in job.inputs])
    draw = job.settings.draw(job.epoch)
    conditions: tuple[Persona | None, ...] = ()
    if job.every_persona:
        conditions = (None, *validation_personas(draw.pool, job.val_personas, draw.seed, draw.dev_personas))
    scan, kept_N = _scan(job, draw)
    ranks_N = scan.ranks(lambda position: _fetch(job, position))
    summary = MixSummary(
        files=outputs,
        personas=len(conditions) - 1 if conditions else len(draw.train_pool) * job.settings.mixes,
        conditions=max(1, len(conditions)),
        rows=scan.rows,
        dropped=int((~kept_N).sum()),
        repeats=repeats_note(ranks_N),
        own_system=scan.own_system,
    )
    pool_file = [] if conditions else _pool_file(draw, outputs)
    with moved_together([*pool_file, *outputs.values()]) as partial:
        stored = draw if conditions else draw.stored(next(iter(partial.values())).parent)
        writer, first = _Writer(job, stored, conditions, scan, summary.written), 0
        for path, target in outputs.items():
            last = first + open_parquet(path).metadata.num_rows
            writer.write(path, partial[target], ranks_N[first:last], kept_N[first:last])
            first = last
    return summary


def _pool_file(draw: PersonaDraw, outputs: Mapping[Path, Path]) -> list[Path]:
    """Return the file for a large pool's personas, beside the outputs; empty for a small pool.

    Raises:
        UserError: the folder has such a file, and data of another mix that may need it.
    """
    if len(draw.pool) <= LARGE_POOL:
        return []
    file = next(iter(outputs.values())).parent / POOL_FILE
    others = sorted(set(file.parent.glob("*.parquet")) - set(outputs.values()))
    if file.is_file() and others:
        raise UserError(f"{file} belongs to {others[0].name} there", "give an --out folder without other data")
    return [file]


class _Writer:
    """The second pass."""

    def __init__(
        self,
        job: MixJob,
        draw: PersonaDraw,
        conditions: Sequence[Persona | None],
        scan: RowScan,
        written: Counter[str],
    ) -> None:
        self.job, self.draw, self.conditions, self.scan, self.written = job, draw, conditions, scan, written
        self.fields = ["persona", "row_id", *([OWN_SYSTEM] if scan.own_system else [])]

    def write(self, path: Path, out: Path, ranks_N: "np.ndarray", kept_N: "np.ndarray") -> None:
        """Write the mixed copy of a file."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        file = open_parquet(path)
        draw = None if self.conditions else self.draw
        metadata = mix_metadata(self.job.settings.system_message, self.job.key, draw)
        schema = mix_arrow.mixed_schema(file.schema_arrow, self.fields, metadata)
        first = 0
        with pq.ParquetWriter(out, schema, compression=compression_of(file)) as writer:
            for batch in batches(file, f"writing {out.name}", len(self.conditions) or 1):
                part = slice(first, first + batch.num_rows)
                first += batch.num_rows
                kept = pa.Table.from_batches([batch]).filter(pa.array(kept_N[part]))
                if kept.num_rows:
                    writer.write_table(self._mixed(kept, ranks_N[part][kept_N[part]], schema))

    def _mixed(self, table: "pa.Table", ranks_N: "np.ndarray", schema: "pa.Schema") -> "pa.Table":
        """Return rows of the input under their personas."""
        key, policy, each = self.job.key, self.job.settings.system_message, self.conditions
        rows = table.select(_read_columns(table.schema, self.job)).to_pylist()
        names = [self.scan.numbered(self.scan.name(row), int(rank)) for row, rank in zip(rows, ranks_N, strict=True)]
        owns = [split_system(row[key])[0] for row in rows]
        personas: Sequence[Persona | None]
        if each:
            table = mix_arrow.repeat_rows(table, len(each))
            sources = [f"{row['data_source'] or 'data'}/{_slug(persona)}" for row in rows for persona in each]
            column = mix_arrow.text_array(sources, schema.field("data_source").type)
            table = mix_arrow.replace_column(table, "data_source", column, schema)
            names = [name for name in names for _ in each]
            owns = [own for own in owns for _ in each]
            personas = [*each] * len(rows)
        else:
            personas = [self.draw.persona(self.job.epoch, name) for name in names]
        keys = [persona.key if persona else NO_PERSONA for persona in personas]
        self.written.update(keys)
        texts = [system_text(persona, own, policy) for persona, own in zip(personas, owns, strict=True)]
        chats = mix_arrow.with_system_messages(table.column(key).combine_chunks(), texts)
        values: dict[str, Sequence[object]] = {
            "persona": keys,
            "row_id": names,
            OWN_SYSTEM: owns,
            "epoch": [self.job.epoch] * len(keys),
        }
        old = table.column("extra_info").combine_chunks() if "extra_info" in table.schema.names else None
        info = mix_arrow.with_info(old, values, schema.field("extra_info").type)
        table = mix_arrow.replace_column(table, key, chats, schema)
        return mix_arrow.replace_column(table, "extra_info", info, schema).replace_schema_metadata(schema.metadata)


def _slug(persona: Persona | None) -> str:
    return persona.slug if persona else NO_PERSONA


def _read_columns(schema: "pa.Schema", job: MixJob) -> list[str]:
    """Return the columns that checks and row ids read."""
    read = ["data_source", job.key, "reward_model", "extra_info", (job.settings.id_field or "").partition(".")[0]]
    return [name for name in schema.names if name in read or name == job.settings.id_field]


def _read(job: MixJob) -> Iterator[tuple[str, list[Row]]]:
    """Stream the rows of all inputs in batches, each with its file's name."""
    for path in job.inputs:
        file = open_parquet(path)
        for batch in batches(file, f"reading {path.name}", columns=_read_columns(file.schema_arrow, job)):
            yield str(path), batch.to_pylist()


def _scan(job: MixJob, draw: PersonaDraw) -> tuple[RowScan, "np.ndarray"]:
    """Check and measure all rows; return the scan, and whether each row is short enough."""
    import numpy as np

    settings = job.settings
    refuse = settings.system_message == "refuse" and (settings.mixes or job.every_persona)
    scan, kept = RowScan(settings.id_field, refuse, job.key), bytearray()
    lengths, numbers = _lengths(job, draw), Counter[str]()
    for file, rows in _read(job):
        for row in rows:
            scan.add(row, f"{file}, row {numbers[file]}")
            numbers[file] += 1
        kept += bytes(lengths.fit([row[job.key] for row in rows]) if lengths else [True] * len(rows))
    if not scan.rows:
        raise UserError(f"{', '.join(map(str, job.inputs))}: no rows", "give files with rows")
    if not any(kept):
        raise UserError(
            f"all {scan.rows} prompts are longer than --max-prompt-length {job.max_prompt_length} under some persona",
            "raise it",
        )
    return scan, np.frombuffer(bytes(kept), dtype=np.uint8).astype(bool)


def _lengths(job: MixJob, draw: PersonaDraw) -> "MixedLengths | None":
    if job.tokenizer is None:
        return None
    from permix_verl.data.mixed_lengths import MixedLengths
    from permix_verl.data.tokenizers import check_round_trip, load_prompt_tokenizer

    tokenizer = load_prompt_tokenizer(job.tokenizer, job.template_kwargs)
    check_round_trip(tokenizer, draw.pool)
    return MixedLengths(tokenizer, draw, job.template_kwargs, job.settings.system_message, job.max_prompt_length)


def _fetch(job: MixJob, position: int) -> tuple[str, Row]:
    """Return where a row is, and the row, by its position in all inputs."""
    numbers: Counter[str] = Counter()
    for file, rows in _read(job):
        if position < len(rows):
            return f"{file}, row {numbers[file] + position}", rows[position]
        position -= len(rows)
        numbers[file] += len(rows)
    raise IndexError(position)
