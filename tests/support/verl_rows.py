"""Rows in verl's schema as public data sets have them, without personas."""

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

SUFFIX = "Let's think step by step and output the final answer within \\boxed{}."
OWN = "You are a careful solver. Put the final answer within \\boxed{}."


def problem(number: int) -> tuple[str, str]:
    """Return a sum and its value."""
    one, other = 10 + number * 7 % 83, 3 + number * 5 % 41
    return f"What is {one} + {other} + {number}?", str(one + other + number)


def deepscaler(number: int) -> dict[str, Any]:
    """A row as DeepScaleR's data are converted for verl."""
    question, answer = problem(number)
    return {
        "data_source": "deepscaler",
        "prompt": [{"role": "user", "content": f"{question} {SUFFIX}"}],
        "ability": "math",
        "reward_model": {"ground_truth": answer, "style": "rule"},
        "extra_info": {"index": number, "split": "train"},
    }


def dapo(number: int) -> dict[str, Any]:
    """A row of DAPO-Math-17k's form: the id is a text, and there is no split."""
    question, answer = problem(number)
    return {
        "data_source": "math_dapo",
        "prompt": [
            {"content": f"Solve this problem step by step.\n\n{question}\n\nEnd with: Answer: N", "role": "user"}
        ],
        "ability": "MATH",
        "reward_model": {"ground_truth": answer, "style": "rule-lighteval/MATH_v2"},
        "extra_info": {"index": f"{number:08x}-0000-4000-8000-{number:012x}"},
    }


def openr1(number: int) -> dict[str, Any]:
    """A row with a system message of its own, and no id."""
    question, answer = problem(number)
    return {
        "data_source": "openr1",
        "prompt": [{"role": "system", "content": OWN}, {"role": "user", "content": question}],
        "ability": "math",
        "reward_model": {"ground_truth": answer, "style": "rule"},
    }


def tool_row(number: int) -> dict[str, Any]:
    """A row of several turns with a tool call, tool settings, content that is null, and columns of one's own."""
    question, answer = problem(number)
    call = {"id": f"call_{number}", "type": "function", "function": {"name": "add", "arguments": json.dumps([number])}}
    return {
        "data_source": "tools",
        "prompt": [
            {"role": "user", "content": "Can you add?", "tool_calls": None, "tool_call_id": None},
            {"role": "assistant", "content": None, "tool_calls": [call], "tool_call_id": None},
            {"role": "tool", "content": "yes", "tool_calls": None, "tool_call_id": f"call_{number}"},
            {"role": "user", "content": question, "tool_calls": None, "tool_call_id": None},
        ],
        "ability": "math",
        "reward_model": {"ground_truth": answer, "style": "rule"},
        "extra_info": {
            "index": number,
            "split": "train",
            "need_tools_kwargs": True,
            "tools_kwargs": {"add": {"create_kwargs": {"ground_truth": answer, "weights": [0.5, float(number)]}}},
        },
        "images": [{"bytes": bytes([number % 256]) * 3, "path": None}],
        "difficulty": number / 7,
        "tags": [["a", "b"], None, []][number % 3],
    }


def parts_row(number: int) -> dict[str, Any]:
    """A row whose contents are lists of parts."""
    question, answer = problem(number)
    return deepscaler(number) | {
        "prompt": [{"role": "user", "content": [{"type": "text", "text": question}, {"type": "text", "text": SUFFIX}]}],
        "reward_model": {"ground_truth": answer, "style": "rule"},
    }


def write_parquet(file: Path, rows: list[dict[str, Any]], schema: pa.Schema | None = None, **settings: Any) -> Path:
    """Write rows to a parquet file."""
    file.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_pylist(rows, schema=schema), file, **settings)
    return file


def write_lines(file: Path, rows: list[dict[str, Any]]) -> Path:
    """Write rows to a JSON Lines file."""
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return file
