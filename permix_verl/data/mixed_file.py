"""Metadata of files that ``permix mix`` wrote, and prompts of their rows in any epoch."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from permix_verl.data.row_ids import ROW_IDS, ROW_IDS_METADATA
from permix_verl.data.schema import DRAW_METADATA, read_draw
from permix_verl.data.system_message import OWN_SYSTEM, split_system
from permix_verl.errors import UserError
from permix_verl.personas.mixing import PersonaDraw

MIX_METADATA = b"permix_verl.mix"
"""Key of the mix in a parquet file's metadata: policy for own system messages, and chat column."""


def mix_metadata(system_message: str, key: str, draw: PersonaDraw | None) -> dict[bytes, bytes]:
    """Return the entries of a file.

    Args:
        draw: the draw of its personas; ``None`` if each row is there under every persona.
    """
    mix = {"system_message": system_message, "prompt_key": key}
    return {MIX_METADATA: json.dumps(mix).encode(), ROW_IDS_METADATA.encode(): ROW_IDS.encode()} | (
        {DRAW_METADATA: draw.to_json().encode()} if draw else {}
    )


def read_mix(file: str) -> dict[str, str] | None:
    """Return a file's entry; ``None`` if ``permix mix`` did not write it."""
    text = _metadata(file).get(MIX_METADATA)
    return dict(json.loads(text)) if text else None


def has_draw(file: str) -> bool:
    """Return whether a file's metadata hold a persona draw."""
    return DRAW_METADATA in _metadata(file)


def refuse_mixed(files: Sequence[str]) -> None:
    """Refuse files that personas were mixed into already.

    Raises:
        UserError: names the first of them.
    """
    for file in files:
        if has_draw(file) or read_mix(file):
            raise UserError(
                f"{file} has personas already: its metadata hold a persona draw",
                "give the file that it was made of, or train on it as it is (without data.permix)",
            )


def shared_draw(files: Sequence[str]) -> tuple[PersonaDraw, str | None] | None:
    """Return the draw that files share, and the policy for own system messages in files of ``permix mix``.

    Returns:
        ``None`` without a draw: files that differ in it, or several of which ``permix mix`` did not write one.
    """
    mixes = [read_mix(file) for file in files]
    if len(files) > 1:
        entries = [(_metadata(file).get(DRAW_METADATA), mix) for file, mix in zip(files, mixes, strict=True)]
        if mixes[0] is None or any(entry != entries[0] for entry in entries):
            return None
    draw = read_draw(files[0])
    return (draw, mixes[0]["system_message"] if mixes[0] else None) if draw else None


def original_chat(chat: Sequence[Mapping[str, Any]], info: Mapping[str, Any]) -> tuple[str | None, list[Any]]:
    """Return the own system text and the other messages of a mixed file's row.

    Args:
        chat: the row's prompt, under the persona of the file's epoch.
        info: its ``extra_info``.
    """
    return info.get(OWN_SYSTEM), split_system(chat)[1]


def _metadata(file: str) -> Mapping[bytes, bytes]:
    if Path(file).suffix != ".parquet":
        return {}
    import pyarrow.parquet as pq

    return pq.read_schema(file).metadata or {}
