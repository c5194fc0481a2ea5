"""The schema of verl's parquet rows: build, write and validate them.

    data_source   name of the row's curve in verl's metrics
    prompt        chat messages: [{"role", "content"}, ...]
    ability       "math" or "code"
    reward_model  {"style": "rule", "ground_truth": the bare final answer, or a program's tests as JSON}
    extra_info    split, index, row_id, persona, epoch, question, answer

``persona`` is the key of the drawn persona, or ``"no_persona"``. The file's metadata hold the settings of the draw
(``permix_verl.personas.mixing.PersonaDraw``), so that a dataset can resample for later epochs.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from permix_verl.data.problems import Problem
from permix_verl.data.system_message import OWN_SYSTEM, message_text
from permix_verl.errors import UserError
from permix_verl.personas.mixing import PersonaDraw
from permix_verl.personas.pool import NO_PERSONA, Persona
from permix_verl.personas.prompts import build_messages

if TYPE_CHECKING:
    import pyarrow as pa

DRAW_METADATA = b"permix_verl.draw"
"""Key of the draw in a parquet file's metadata."""
SPLIT_METADATA = "permix_verl.split"
HELD_OUT = "held_out"
"""Value of :data:`SPLIT_METADATA` in a supervised file of held-out rows."""
EXTRA_INFO_FIELDS = ("split", "index", "row_id", "persona", "epoch", "question", "answer")


def make_row(
    problem: Problem, persona: Persona | None, *, split: str, index: int, epoch: int, data_source: str
) -> dict[str, Any]:
    """Return one row in verl's schema; ``persona=None`` gives no system message."""
    return {
        "data_source": data_source,
        "prompt": build_messages(problem.question, persona, problem.task),
        "ability": problem.task,
        "reward_model": {"style": "rule", "ground_truth": problem.final_answer},
        "extra_info": {
            "split": split,
            "index": index,
            "row_id": problem.row_id,
            "persona": persona.key if persona else NO_PERSONA,
            "epoch": epoch,
            "question": problem.question,
            "answer": problem.solution,
        },
    }


def make_supervised_row(row: Mapping[str, Any], target: str) -> dict[str, Any]:
    """Convert a row of :func:`make_row` for verl's SFT trainer: ``messages`` (prompt and target) replace ``prompt``."""
    others = {name: value for name, value in row.items() if name != "prompt"}
    return {"messages": [*row["prompt"], {"role": "assistant", "content": target}], **others}


def arrow_schema(draw: PersonaDraw | None = None, chat: str = "prompt", **metadata: str) -> "pa.Schema":
    """Return the parquet schema of :func:`make_row`'s rows, with the draw, if any, as metadata.

    Args:
        chat: name of the chat column; ``messages`` for rows of :func:`make_supervised_row`.
        metadata: further entries.
    """
    import pyarrow as pa

    text = pa.string()
    return pa.schema(
        [
            ("data_source", text),
            (chat, pa.list_(pa.struct([("role", text), ("content", text)]))),
            ("ability", text),
            ("reward_model", pa.struct([("style", text), ("ground_truth", text)])),
            (
                "extra_info",
                pa.struct([(name, pa.int64() if name in ("index", "epoch") else text) for name in EXTRA_INFO_FIELDS]),
            ),
        ],
        metadata={name.encode(): value.encode() for name, value in metadata.items()}
        | ({DRAW_METADATA: draw.to_json().encode()} if draw else {}),
    )


def read_draw(file: str) -> PersonaDraw | None:
    """Return the draw in a parquet file's metadata; ``None`` for another kind of file, or one without a draw.

    Raises:
        UserError: the file of a large pool's personas, in the same folder, is missing or another one.
    """
    import pyarrow.parquet as pq

    if not file.endswith(".parquet"):
        return None
    text = (pq.read_schema(file).metadata or {}).get(DRAW_METADATA)
    return PersonaDraw.from_json(text.decode(), Path(file).parent) if text else None


def persona_text(row: Mapping[str, Any], where: str = "row") -> str | None:
    """Return the row's system prompt, or ``None`` without a persona.

    Raises:
        UserError: the row does not follow the schema, or its system message and ``extra_info.persona`` contradict each
            other.
    """
    remedy = "write the data with data_prep/gsm8k_persona.py, or add the field"
    prompt = row.get("prompt")
    if not isinstance(prompt, list | tuple) or not prompt or not isinstance(prompt[0], Mapping):
        raise UserError(f"{where}: 'prompt' is {prompt!r}, not a list of chat messages", remedy)
    persona = (row.get("extra_info") or {}).get("persona")
    if not persona:
        raise UserError(f"{where}: 'extra_info.persona' is missing", remedy)
    if (row.get("reward_model") or {}).get("ground_truth") in (None, ""):
        raise UserError(f"{where}: 'reward_model.ground_truth' is missing", remedy)
    has_system = prompt[0].get("role") == "system"
    # A row that permix mix gave a persona keeps its own system text beside it, or alone without one.
    own = row["extra_info"].get(OWN_SYSTEM)
    if has_system == (persona == NO_PERSONA and own is None):
        state = "has a" if has_system else "has no"
        raise UserError(f"{where}: extra_info.persona is {persona!r} but the prompt {state} system message", remedy)
    return message_text(prompt[0]) if has_system else None
