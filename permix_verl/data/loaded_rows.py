"""Rows without personas in memory, as verl's dataset holds them: scanned and measured before any gets a persona."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from operator import attrgetter
from typing import Any

from tqdm import tqdm

from permix_verl.data.mix_settings import MixSettings
from permix_verl.data.mixed_lengths import MixedLengths, OwnAndOthers
from permix_verl.data.plain_rows import RowScan, numbered_ids, repeats_note
from permix_verl.data.schema import persona_text
from permix_verl.data.system_message import OWN_SYSTEM
from permix_verl.errors import UserError
from permix_verl.personas.pool import Persona
from permix_verl.personas.prompts import count_tokens, persona_survives, render

CHUNK = 1024
"""Rows rendered and measured at a time."""
Rows = Any
"""A ``datasets.Dataset``, or ``RowFiles``."""
TooLong = tuple[int, int, int]
"""Number of prompts that are too long, and row and tokens of the longest."""


def chunks(rows: Rows, columns: Sequence[str], label: str = "") -> Iterator[tuple[int, list[dict[str, Any]]]]:
    """Stream (position of the first row, rows) with some columns, with a progress bar if there is a label."""
    present = [name for name in columns if name in rows.column_names]
    starts = range(0, len(rows), CHUNK)
    with tqdm(desc=label, total=len(rows), unit=" rows", disable=None if label else True) as bar:
        for start in starts:
            part = rows.select(range(start, min(start + CHUNK, len(rows)))).select_columns(present).to_list()
            yield start, part
            bar.update(len(part))


def places(files: Sequence[str], counts: Sequence[int], rows: int) -> Callable[[int], str]:
    """Return a function from a position to its file and row, for messages.

    Args:
        files: the dataset's files.
        counts: rows of each.
        rows: rows of the dataset, fewer if some were selected.
    """
    if sum(counts) != rows:
        return lambda position: f"{', '.join(files)}, row {position} of the {rows} selected"

    def place(position: int) -> str:
        for file, count in zip(files, counts, strict=True):
            if position < count:
                return f"{file}, row {position}"
            position -= count
        raise IndexError(position)

    return place


def scan(rows: Rows, settings: MixSettings, key: str, place: Callable[[int], str]) -> list[str]:
    """Check rows that are to get personas, and return their ids; print a note on rows that repeat others.

    Args:
        key: name of the chat column.
        place: position -> where it is (:func:`places`).

    Raises:
        UserError: as in :class:`permix_verl.data.plain_rows.RowScan`.
    """
    refuse = settings.system_message == "refuse" and settings.mixes
    seen = RowScan(settings.id_field, refuse, key)
    columns = ["data_source", key, "reward_model", "extra_info", *_id_columns(settings)]
    names = [
        seen.add(row, place(start + i))
        for start, part in chunks(rows, columns, "reading")
        for i, row in enumerate(part)
    ]
    if not names:
        raise UserError("the data files have no rows", "give files with rows")
    ranks_N = seen.ranks(lambda position: (place(position), rows[position]))
    if note := repeats_note(ranks_N):
        print(f"note: {note}", flush=True)
    return numbered_ids(seen, names, ranks_N)


def _id_columns(settings: MixSettings) -> list[str]:
    field = settings.id_field or ""
    return [field, field.partition(".")[0]]


Split = Callable[[Any, Any], OwnAndOthers]


def longest_prompt(rows: Rows, key: str, lengths: MixedLengths, split: Split) -> TooLong | None:
    """Measure every row under the condition that makes its prompt longest.

    Args:
        key: name of the chat column.
        split: (chat, ``extra_info``) -> own system text, and the messages without it and without a persona.

    Returns:
        Number of prompts over the limit, row and tokens of the longest; ``None`` if all fit.
    """
    too_long: list[tuple[int, int]] = []  # (tokens, row)
    for start, part in chunks(rows, [key, "extra_info"], "measuring"):
        found = lengths.longest([split(row[key], row.get("extra_info") or {}) for row in part])
        too_long += [(length, start + i) for i, length in enumerate(found) if length > lengths.limit]
    return longest_of(too_long)


def longest_of(too_long: list[tuple[int, int]]) -> TooLong | None:
    """Return the number of (tokens, row) pairs, and row and tokens of the longest; ``None`` without any."""
    if not too_long:
        return None
    tokens, row = max(too_long)
    return len(too_long), row, tokens


def problem_texts(chats: Sequence[Sequence[Mapping[str, Any]]]) -> list[str]:
    """Return the texts of all messages but system messages, those of content parts included."""
    texts: list[str] = []
    for message in (message for chat in chats for message in chat if message["role"] != "system"):
        content = message.get("content")
        if isinstance(content, str):
            texts.append(content)
        elif isinstance(content, list):
            texts += [part["text"] for part in content if isinstance(part, Mapping) and part.get("text")]
    return texts


def persona_of(row: Mapping[str, Any]) -> Any:
    """Return ``extra_info.persona``; ``None`` if it is missing."""
    return (row.get("extra_info") or {}).get("persona")


def check_rows(
    rows: Rows,
    key: str,
    tokenizer: Any,
    template_kwargs: Mapping[str, Any],
    limit: int,
    place: Callable[[int], str],
    as_they_are: bool = False,
) -> tuple[list[str], list[Persona], TooLong | None]:
    """Render and measure every row as it is, with the persona in the file.

    Args:
        key: name of the chat column.
        limit: longest prompt, in tokens.
        place: position -> file and row (:func:`places`).
        as_they_are: rows may be without ``extra_info.persona``.

    Returns:
        (N,) row ids; the personas in the rows, by key; and the prompts over the limit, as in :func:`longest_prompt`.

    Raises:
        UserError: a row that does not follow the schema, a persona that does not survive the chat template.
    """
    too_long: list[tuple[int, int]] = []  # (tokens, row)
    ids: list[str] = []
    personas: set[Persona] = set()
    for start, part in chunks(rows, [key, "reward_model", "extra_info"]):
        rendered = []
        for number, row in enumerate(part, start=start):
            plain = as_they_are and not persona_of(row)
            text = None if plain else persona_text({**row, "prompt": row[key]}, place(number))
            ids.append(str((row.get("extra_info") or {}).get("row_id", number)))
            rendered.append(render(tokenizer, row[key], template_kwargs))
            if text is not None and not persona_survives(rendered[-1], text):
                raise UserError(
                    f"{place(number)}: the text of persona {persona_of(row)!r} is not in the rendered prompt "
                    f"{rendered[-1][:120]!r}",
                    "use a model whose chat template keeps the system message",
                )
            if text is not None and row["extra_info"].get(OWN_SYSTEM) is None:
                personas.add(Persona(persona_of(row), "", text))
        lengths = count_tokens(tokenizer, rendered)
        too_long += [(length, start + i) for i, length in enumerate(lengths) if length > limit]
    return ids, sorted(personas, key=attrgetter("key")), longest_of(too_long)
