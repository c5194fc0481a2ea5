"""Checks of the model's files, tokenizer and context."""

import functools
import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from permix_verl.checkpoints.fetched import fetch_command, short_name_of
from permix_verl.data.tokenizers import ROUND_TRIP_ROWS, check_round_trip, load_tokenizer
from permix_verl.errors import UserError, first_line
from permix_verl.personas.pool import load_pool
from permix_verl.preflight.doctor.types import Finding, Setup, error, ok, warning
from permix_verl.runs.quantized_base import refuse_to_train_on


def model_files(setup: Setup) -> Iterable[Finding]:
    """Check that all weight files in the index exist, are not Git LFS pointers, and can be trained on."""
    if setup.model is None:
        return []
    try:
        refuse_to_train_on(setup.model)
    except UserError as problem:
        return [error(problem.problem, problem.remedy)]
    folder = Path(setup.model)
    if not folder.is_dir() and (name := short_name_of(setup.model)):
        return [error(f"no model folder {setup.model}", f"run {fetch_command(name)}")]
    if not folder.is_dir():
        if setup.model.startswith((".", "/", "~")) or setup.model.count("/") != 1:
            return [error(f"no model folder {setup.model}", "give a folder, or a hub name such as Qwen/Qwen3-4B")]
        return _cached(setup.model)
    faults = [f"no {name}" for name in ("config.json", "tokenizer_config.json") if not (folder / name).is_file()]
    index = folder / "model.safetensors.index.json"
    if index.is_file():
        shards = sorted(set(json.loads(index.read_text())["weight_map"].values()))
    else:
        shards = [file.name for file in folder.glob("*.safetensors")] or ["model.safetensors"]
    faults += [f"no {name}" for name in shards if not (folder / name).is_file()]
    faults += [
        f"{name} is a Git LFS pointer" for name in shards if (folder / name).is_file() and _is_pointer(folder / name)
    ]
    if faults:
        return [error(f"{folder}: {', '.join(faults[:3])}", "download the model again (hf download)")]
    size = sum((folder / name).stat().st_size for name in shards)
    return [ok(f"{folder}: {size / 1e9:.2f} GB of weights")]


def _is_pointer(file: Path) -> bool:
    with file.open("rb") as stream:
        return stream.read(20).startswith(b"version https://git")


def _cached(name: str) -> list[Finding]:
    import huggingface_hub

    cached = huggingface_hub.try_to_load_from_cache(name, "config.json")
    if isinstance(cached, str):
        return [ok(f"{name} is in the hub's cache")]
    return [warning(f"{name} is not in the hub's cache, and the hub was not contacted", f"run hf download {name}")]


def tokenizer(setup: Setup) -> Iterator[Finding]:
    """Check that the tokenizer that verl and vLLM load preserves the texts of personas and prepared rows."""
    loaded = loaded_tokenizer(setup)
    if loaded is None or isinstance(loaded, Finding):
        return
    pool, texts = load_pool(setup.personas), _prepared_texts(setup)
    try:
        check_round_trip(loaded, pool, texts)
    except UserError as problem:
        yield error(problem.problem, problem.remedy)
        return
    rows = f" and {len(texts)} prepared problems" if texts else ""
    yield ok(f"{type(loaded).__name__} preserves the texts of {len(pool)} personas{rows}")


def _prepared_texts(setup: Setup) -> list[str]:
    file = setup.run_dir / "data" / "train.parquet" if setup.run_dir else None
    if file is None or not file.is_file():
        return []
    import pyarrow.parquet as pq

    batch = next(pq.ParquetFile(file).iter_batches(ROUND_TRIP_ROWS, columns=["extra_info"]), None)
    return [row["extra_info"]["question"] for row in batch.to_pylist()] if batch else []


def context_length(setup: Setup) -> Iterator[Finding]:
    """Check that prompt and completion fit into the model's context."""
    if setup.model is None:
        return
    file = Path(setup.model) / "config.json"
    if not file.is_file():
        return
    config = json.loads(file.read_text())
    context = config.get("max_position_embeddings") or config.get("text_config", {}).get("max_position_embeddings")
    if setup.trainer == "sft":
        needed = setup.number("data.max_length", 0)
    else:
        needed = setup.number("data.max_prompt_length", 0) + setup.number("data.max_response_length", 0)
    if context and needed > context:
        yield error(
            f"prompt and completion take up to {needed} tokens, but the model's context is {context}",
            "lower PROMPT_LENGTH or RESPONSE_LENGTH (MAX_LENGTH)",
        )
    elif context and needed:
        yield ok(f"{needed} of {context} tokens")


def loaded_tokenizer(setup: Setup) -> Any:
    """Return the tokenizer; a finding if a folder has none that loads; ``None`` if it is not cached."""
    return None if setup.model is None else _load_tokenizer(setup.model)


@functools.cache
def _load_tokenizer(model: str) -> Any:
    try:
        return load_tokenizer(model, local_files_only=True)
    except UserError as problem:
        if not Path(model).is_dir():
            return None
        reason = first_line(problem.__cause__ or problem)
        return error(f"the tokenizer of {model} cannot be loaded ({reason[:200]})", "download the model again")
