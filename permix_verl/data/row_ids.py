"""Row ids: which problem a row is, whatever its place in the file.

A persona is drawn, and a validation problem chosen, by hashing the row id. An id that comes from the row itself gives a
source in another order, or in another folder, the same personas and the same held-out problems.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping
from typing import Any

from permix_verl.errors import UserError

ROW_IDS = "content-1"
"""Version of the rules below, in manifests and file metadata. Data without a version have :data:`POSITION_IDS`."""
ROW_IDS_METADATA = "permix_verl.row_ids"
"""Key of the version in a parquet file's metadata."""
POSITION_IDS = "position"
"""Name of the earlier rule: the row's position in the source."""
ID_FIELDS = ("unique_id", "uuid", "id", "problem_id")
"""Names of columns that are taken as ids where they are found and no field is named."""
CONTENT = "content"
"""In place of an id's field: hash every row's content, whatever ids it has."""


def content_id(*texts: str) -> str:
    """Return 16 hex digits of the SHA-256 of texts; their number, order and every character count."""
    digest = hashlib.sha256()
    for text in texts:
        data = text.encode("utf-8", "surrogatepass")
        digest.update(f"{len(data)}:".encode())
        digest.update(data)
    return digest.hexdigest()[:16]


def row_id_of(row: Mapping[str, Any], *, name: str | None = None, id_field: str | None = None) -> str:
    """Return the id of a row in verl's schema.

    The first of these that the row has: ``id_field``; ``extra_info.row_id``, as it stands; ``extra_info.index``; a hash
    of the messages, but for system messages, and of the ground truth. All but ``row_id`` get the source's name and,
    from ``extra_info``, its split in front: ``math_dapo/train/17``.

    Args:
        name: name of the source, in place of the row's ``data_source``.
        id_field: field of the row, with dots into structs, such as ``extra_info.problem_id``; with or without
            ``extra_info.`` in front. :data:`CONTENT` takes the hash.

    Raises:
        UserError: the row has no such field, or an id that is neither a text nor an integer.
    """
    info = row.get("extra_info")
    info = info if isinstance(info, Mapping) else {}
    source = name or str(row.get("data_source") or "") or "data"
    prefix = "/".join([source, *([str(info["split"])] if info.get("split") else [])])
    if id_field == CONTENT:
        return f"{prefix}/{content_id(*_texts(row))}"
    if id_field:
        found = field_of(row, id_field)
        found = field_of(info, id_field) if found is None else found
        if found is None or found == "":
            raise UserError(f"no id in field {id_field!r}", f"fields of the row: {', '.join(field_names(row))}")
        return f"{prefix}/{id_text(found, id_field)}"
    own = info.get("row_id")
    if own is not None and own != "":
        return id_text(own, "extra_info.row_id")
    index = info.get("index")
    if index is not None and index != "":
        return f"{prefix}/{id_text(index, 'extra_info.index')}"
    return f"{prefix}/{content_id(*_texts(row))}"


def _texts(row: Mapping[str, Any]) -> Iterable[str]:
    """Yield what identifies a problem: its messages, but for system messages, and its ground truth."""
    for message in row.get("prompt") or ():
        if message.get("role") != "system":
            content = message.get("content")
            yield content if isinstance(content, str) else json.dumps(content, sort_keys=True, ensure_ascii=False)
    yield str((row.get("reward_model") or {}).get("ground_truth", ""))


def id_text(value: Any, field: str) -> str:
    """Return an id as text.

    Raises:
        UserError: neither a text nor an integer.
    """
    if isinstance(value, float) and value.is_integer():  # integers with a missing value are floats in some files
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise UserError(f"id {value!r} in field {field!r} is neither a text nor an integer", "name another field")
    return str(value)


def field_of(record: Any, field: str) -> Any:
    """Return a field of a record, with dots into structs; ``None`` if it is missing. A name with a dot comes first."""
    if not isinstance(record, Mapping):
        return None
    if field in record:
        return record[field]
    first, dot, rest = field.partition(".")
    return field_of(record.get(first), rest) if dot else None


def has_content_ids(manifest: Mapping[str, Any]) -> bool:
    """Return whether prepared data have ids of this module's rules, from their manifest."""
    return manifest.get("row_ids") == ROW_IDS


def field_names(record: Mapping[str, Any], prefix: str = "") -> list[str]:
    """Return the names of a record's fields, those in structs with dots."""
    names: list[str] = []
    for name, value in record.items():
        names += field_names(value, f"{prefix}{name}.") if isinstance(value, Mapping) else [f"{prefix}{name}"]
    return names
