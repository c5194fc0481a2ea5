"""Small files with the columns of public math data sets, filled with sums of our own."""

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from permix_verl.data.instructions import WRAPPERS

Record = dict[str, Any]
DAPO_BEFORE, DAPO_BEHIND = WRAPPERS[0]
COUNT = 12


def question(number: int) -> str:
    return f"Ann has {number} pears and finds {number % 7 + 2} more. How many pears has she now?"


def answer(number: int) -> str:
    return str(2 * number + 2 - number + number % 7)


def solution(number: int) -> str:
    return f"We add ${number} + {number % 7 + 2} = \\boxed{{{answer(number)}}}$."


def gsm8k(number: int) -> Record:
    total = f"{number}+{number % 7 + 2}={answer(number)}"
    return {"question": question(number), "answer": f"<<{total}>>{answer(number)} pears\n#### {answer(number)}"}


def math(number: int) -> Record:
    kept = {"problem": question(number), "level": "Level 1", "type": "Algebra"}
    return {**kept, "solution": solution(number)}


def math_500(number: int) -> Record:
    own = {"subject": "Algebra", "level": 1, "unique_id": f"test/algebra/{number}.json"}
    return {"problem": question(number), "solution": solution(number), "answer": answer(number), **own}


def dapo(number: int) -> Record:
    prompt = DAPO_BEFORE + question(number) + DAPO_BEHIND
    return {
        "data_source": "math_dapo",
        "prompt": [{"content": prompt, "role": "user"}],
        "ability": "MATH",
        "reward_model": {"ground_truth": answer(number), "style": "rule-lighteval/MATH_v2"},
        "extra_info": {"index": f"9a9b6eb4-a1cb-49d1-8c1e-62eaf2f7{number:04x}"},
    }


def deepscaler(number: int) -> Record:
    return {"problem": question(number), "answer": f"${answer(number)}$", "solution": solution(number)}


def openr1(number: int) -> Record:
    generations = [f"<think>It is {answer(number)}.</think> \\boxed{{{answer(number)}}}"] * 2
    chat = [{"role": "user", "content": question(number)}, {"role": "assistant", "content": generations[0]}]
    own = {"source": "olympiads", "uuid": f"0f1a{number:04d}", "generations": generations, "messages": chat}
    return {"problem": question(number), "solution": solution(number), "answer": answer(number), **own}


def big_math(number: int) -> Record:
    own = {"source": "orca_math", "domain": ["Mathematics -> Algebra"], "llama8b_solve_rate": 0.5}
    return {"problem": question(number), "answer": answer(number), **own}


def numina(number: int) -> Record:
    chat = [{"role": "user", "content": question(number)}, {"role": "assistant", "content": solution(number)}]
    return {"source": "cn_k12", "problem": question(number), "solution": solution(number), "messages": chat}


def numina_15(number: int) -> Record:
    own = {"problem_type": "Algebra", "question_type": "math-word-problem", "problem_is_valid": "Yes"}
    return {"problem": question(number), "solution": solution(number), "answer": answer(number), **own}


SHAPES: Mapping[str, Callable[[int], Record]] = {
    "gsm8k": gsm8k,
    "math": math,
    "math-500": math_500,
    "dapo-math-17k": dapo,
    "deepscaler": deepscaler,
    "openr1-math": openr1,
    "big-math": big_math,
    "numinamath": numina,
    "numinamath-1.5": numina_15,
}
"""Preset -> function from a number to a row with that data set's columns."""


def records(preset: str, count: int = COUNT, first: int = 0) -> list[Record]:
    """Return rows of a preset's form; DAPO's are there twice each."""
    rows = [SHAPES[preset](number) for number in range(first, first + count)]
    return [row for row in rows for _ in range(2)] if preset == "dapo-math-17k" else rows


def write(file: Path, rows: Sequence[Record]) -> Path:
    """Write records in the format of the file's suffix: .jsonl, .json or .parquet."""
    if file.suffix == ".parquet":
        pq.write_table(pa.Table.from_pylist(list(rows)), file)
    elif file.suffix == ".json":
        file.write_text(json.dumps(list(rows)))
    else:
        file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return file
