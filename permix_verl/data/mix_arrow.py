"""Personas in Arrow tables of rows in verl's schema: every other column, field and type stays as it is.

Messages behind the system message are moved by position and never converted, so that tool calls, content parts and
large strings survive.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from permix_verl.errors import UserError

if TYPE_CHECKING:
    import pyarrow as pa


def check_columns(schema: "pa.Schema", where: str, key: str = "prompt") -> None:
    """Check the types of the columns that a mix writes to.

    Raises:
        UserError: a missing column, a prompt that is no list of messages, ``extra_info`` that is no struct.
    """
    import pyarrow as pa

    if missing := [name for name in ("data_source", key, "reward_model") if name not in schema.names]:
        raise UserError(
            f"{where} has no column {missing[0]!r}, but {', '.join(schema.names)}: these are no rows of verl's",
            "give problems with question and answer to permix prep",
        )
    chat = schema.field(key).type
    if not (pa.types.is_list(chat) or pa.types.is_large_list(chat)) or not pa.types.is_struct(chat.value_type):
        raise UserError(
            f"{where}: the column {key!r} is {chat}, not a list of chat messages",
            'write each prompt as [{"role": "user", "content": ...}], as verl does',
        )
    if absent := [name for name in ("role", "content") if chat.value_type.get_field_index(name) < 0]:
        raise UserError(f"{where}: the messages of {key!r} have no field {absent[0]!r}", "give role and content")
    content = chat.value_type.field(chat.value_type.get_field_index("content")).type
    parts = (pa.types.is_list(content) or pa.types.is_large_list(content)) and pa.types.is_struct(content.value_type)
    if not parts and not _is_text(content):
        raise UserError(f"{where}: the messages' content is {content}, neither a text nor content parts", "write texts")
    if "extra_info" in schema.names and not pa.types.is_struct(schema.field("extra_info").type):
        raise UserError(
            f"{where}: the column 'extra_info' is {schema.field('extra_info').type}, not a struct",
            "write it as a struct",
        )


def mixed_schema(schema: "pa.Schema", texts: Sequence[str], metadata: Mapping[bytes, bytes]) -> "pa.Schema":
    """Return the schema of a mixed file: ``epoch`` and some text fields of ``extra_info`` are added.

    Args:
        schema: the input's.
        texts: names of the text fields.
        metadata: entries to add to the input's.
    """
    import pyarrow as pa

    at = schema.get_field_index("extra_info")
    known = schema.field(at).type if at >= 0 else pa.struct([])
    fields = {known.field(i).name: known.field(i) for i in range(known.num_fields)}
    for name in texts:
        if name not in fields or not _is_text(fields[name].type):
            fields[name] = pa.field(name, pa.string())
    fields["epoch"] = pa.field("epoch", pa.int64())
    info = pa.struct(list(fields.values()))
    if at >= 0:
        schema = schema.set(at, schema.field(at).with_type(info))
    else:
        schema = schema.append(pa.field("extra_info", info))
    return schema.with_metadata({**(schema.metadata or {}), **metadata})


def _is_text(kind: "pa.DataType") -> bool:
    import pyarrow as pa

    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind))


def with_system_messages(chats: "pa.Array", texts: Sequence[str | None]) -> "pa.Array":
    """Put a system message in front of each chat, in place of a leading one.

    Args:
        chats: (N,) lists of messages, none null or empty.
        texts: (N,) the system messages' texts; ``None``: no system message.

    Returns:
        An array of the same type.
    """
    import numpy as np
    import pyarrow as pa

    values, lengths_N = chats.flatten(), np.asarray(chats.value_lengths())
    ends_N = np.cumsum(lengths_N, dtype=np.int64)
    starts_N = ends_N - lengths_N
    roles = values.field(values.type.get_field_index("role")).take(pa.array(starts_N))
    leading_N = np.array([role == "system" for role in roles.to_pylist()], dtype=np.int64)
    given_N = np.array([text is not None for text in texts], dtype=np.int64)
    system = _messages([text for text in texts if text is not None], values.type)
    sizes_N = lengths_N - leading_N + given_N
    offsets = np.concatenate(([0], np.cumsum(sizes_N, dtype=np.int64)))
    # A message is taken from its old place, behind those of `system`, or from `system`.
    taken = np.arange(offsets[-1]) + np.repeat(len(system) + starts_N + leading_N - given_N - offsets[:-1], sizes_N)
    taken[offsets[:-1][given_N == 1]] = np.arange(len(system))
    messages = pa.concat_arrays([system, values]).take(pa.array(taken))
    kind = pa.LargeListArray if pa.types.is_large_list(chats.type) else pa.ListArray
    width = pa.int64() if kind is pa.LargeListArray else pa.int32()
    return kind.from_arrays(pa.array(offsets, type=width), messages, type=chats.type)


def _messages(texts: Sequence[str], kind: "pa.StructType") -> "pa.StructArray":
    """Return system messages of a struct type; fields other than role and content are null."""
    import pyarrow as pa

    columns = []
    for i in range(kind.num_fields):
        field = kind.field(i)
        if field.name == "role":
            columns.append(pa.array(["system"] * len(texts), type=field.type))
        elif field.name == "content":
            listed = pa.types.is_list(field.type) or pa.types.is_large_list(field.type)
            contents = [[{"type": "text", "text": text}] for text in texts] if listed else list(texts)
            columns.append(pa.array(contents, type=field.type))
        else:
            columns.append(pa.nulls(len(texts), type=field.type))
    return pa.StructArray.from_arrays(columns, fields=[kind.field(i) for i in range(kind.num_fields)])


def with_info(
    info: "pa.StructArray | None", fields: Mapping[str, Sequence[object]], kind: "pa.StructType"
) -> "pa.Array":
    """Set fields of ``extra_info``.

    Args:
        info: (N,) the input's column; ``None`` without one.
        fields: name -> (N,) values, of which the type's own are set.
        kind: the column's type in the output.
    """
    import pyarrow as pa

    old = {} if info is None else dict(zip([field.name for field in info.type], info.flatten(), strict=True))
    columns = []
    for i in range(kind.num_fields):
        field = kind.field(i)
        if field.name in fields:
            columns.append(pa.array(fields[field.name], type=field.type))
        else:
            columns.append(old[field.name])
    return pa.StructArray.from_arrays(columns, fields=[kind.field(i) for i in range(kind.num_fields)])


def replace_column(table: "pa.Table", name: str, column: "pa.Array", schema: "pa.Schema") -> "pa.Table":
    """Set or append a column, with its field in the output's schema."""
    at, field = table.schema.get_field_index(name), schema.field(name)
    return table.append_column(field, column) if at < 0 else table.set_column(at, field, column)


def text_array(texts: Sequence[str], kind: "pa.DataType") -> "pa.Array":
    """Return texts as an array of a type, dictionary types included."""
    import pyarrow as pa

    return pa.array(texts).cast(kind)


def repeat_rows(table: "pa.Table", times: int) -> "pa.Table":
    """Return each row that many times, one after another."""
    import numpy as np
    import pyarrow as pa

    return table.take(pa.array(np.repeat(np.arange(table.num_rows), times)))
