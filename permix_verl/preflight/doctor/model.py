"""Checks of the model's files, tokenizer and chat template."""

import datetime
import functools
import json
import re
import unittest.mock
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from permix_verl.data.tokenizers import ROUND_TRIP_ROWS, check_round_trip, load_tokenizer
from permix_verl.errors import UserError, first_line
from permix_verl.personas.pool import load_pool
from permix_verl.personas.prompts import build_messages, check_template, render
from permix_verl.preflight.doctor.types import Finding, Setup, error, ok, warning
from permix_verl.runs.quantized_base import refuse_to_train_on

TEMPLATE_KEYS = "data.apply_chat_template_kwargs"


def model_files(setup: Setup) -> Iterable[Finding]:
    """Check that all weight files in the index exist, are not Git LFS pointers, and can be trained on."""
    if setup.model is None:
        return []
    try:
        refuse_to_train_on(setup.model)
    except UserError as problem:
        return [error(problem.problem, problem.remedy)]
    folder = Path(setup.model)
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
    loaded = _tokenizer(setup)
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


def template(setup: Setup) -> Iterator[Finding]:
    """Check that the rendered prompt contains the persona's text, and no default persona without one."""
    tokenizer = _tokenizer(setup)
    if tokenizer is None:
        return
    if isinstance(tokenizer, Finding):
        yield tokenizer
        return
    pool, kwargs = load_pool(setup.personas), template_kwargs(setup)
    try:
        check_template(tokenizer, pool, kwargs)
        bare = render(tokenizer, build_messages("1 + 1 = ?", None), kwargs)
    except UserError as problem:
        yield error(problem.problem, problem.remedy)
        return
    own = re.search(r"\byou are\b[^<\n]*", bare, re.IGNORECASE)
    if own:
        yield warning(
            f"without a persona the template inserts its own: {own[0][:80]!r}",
            "compare conditions with a persona, or give the no-persona condition an empty system message",
        )
    yield ok(f"the prompts contain the texts of all {len(pool)} personas")


def pinned_date(setup: Setup) -> Iterator[Finding]:
    """Check that prompts do not depend on the day: Llama-3's template inserts today's date unless one is given."""
    tokenizer = _tokenizer(setup)
    if tokenizer is None or isinstance(tokenizer, Finding):
        return
    chat = build_messages("1 + 1 = ?", load_pool(setup.personas).personas[0])
    kwargs = template_kwargs(setup)

    class Later(datetime.datetime):
        @classmethod
        def now(cls, tz: datetime.tzinfo | None = None) -> "Later":
            return cls(2001, 2, 3, tzinfo=tz)

    today = render(tokenizer, chat, kwargs)
    with unittest.mock.patch("transformers.utils.chat_template_utils.datetime", Later):
        other_day = render(tokenizer, chat, kwargs)
    if today != other_day:
        yield error(
            "the chat template writes today's date into every prompt", f"set +{TEMPLATE_KEYS}.date_string='26 Jul 2024'"
        )
    else:
        yield ok("prompts do not depend on the day")


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


def template_kwargs(setup: Setup) -> dict[str, Any]:
    """Return the chat template's keyword arguments from verl's settings."""
    return dict(setup.settings.get(TEMPLATE_KEYS) or {})


def _tokenizer(setup: Setup) -> Any:
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
