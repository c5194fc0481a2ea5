"""Base model folder: weights in 16 bits, tokenizer, and a manifest of the training."""

import hashlib
import itertools
import json
import os
import shutil
import time
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from permix_verl.errors import UserError, first_line
from permix_verl.lab import problems
from permix_verl.lab.base_model import MAX_COMPLETION_TOKENS, Training, build_tokenizer, describe, examples, train
from permix_verl.lab.styles import reasoning_style, voice_kept
from permix_verl.personas.pool import NO_PERSONA, Persona, load_pool
from permix_verl.personas.prompts import build_messages, render
from permix_verl.utils.file_modes import give_usual_modes
from permix_verl.utils.files import file_lock

MANIFEST = "manifest.json"
TEST_PROBLEMS = 40
"""Test problems of each level for each persona."""
_BATCH_SIZE = 256


def make_base(out: Path, settings: Training) -> dict[str, Any]:
    """Train the model, write its folder atomically, and return the manifest.

    Raises:
        UserError: the folder exists, cannot be written, or is being made by another process.
    """
    partial = out.with_name(out.name + ".partial")
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        with file_lock(out.with_name(out.name + ".lock"), f"another process is making {out}", "wait for it"):
            if out.exists():
                raise UserError(f"{out} already exists", "give another --out, or remove it")
            shutil.rmtree(partial, ignore_errors=True)
            partial.mkdir()  # fail before the training, not after it
            return _make(out, partial, settings)
    except OSError as error:
        raise UserError(f"cannot write {out} ({first_line(error)})", "give another --out") from error


def _make(out: Path, partial: Path, settings: Training) -> dict[str, Any]:
    import torch

    started = time.monotonic()
    tokenizer = build_tokenizer()
    # Half the size without loss: measuring, training and serving all start from these 16 bits.
    model = train(tokenizer, settings).to(torch.float16)
    model.save_pretrained(partial)
    tokenizer.save_pretrained(partial)
    give_usual_modes(partial)
    manifest = {
        "made_by": "data_prep/lab_base.py",
        "training": describe(settings),
        "shown_sha256": examples_sha256(tokenizer, settings),
        "parameters": model.num_parameters(),
        "seconds": round(time.monotonic() - started),
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "sha256": hashlib.sha256((partial / "model.safetensors").read_bytes()).hexdigest(),
        **measure(model.float(), tokenizer),
    }
    (partial / MANIFEST).write_text(json.dumps(manifest, indent=2) + "\n")
    os.replace(partial, out)
    return manifest


def examples_sha256(tokenizer: Any, settings: Training) -> str:
    """Hash the first 500 training examples: covers personas, styles, problems, template and tokens."""
    first = list(itertools.islice(examples(tokenizer, settings), 500))
    return hashlib.sha256(json.dumps(first).encode()).hexdigest()


def measure(model: Any, tokenizer: Any, personas: Sequence[Persona] | None = None) -> dict[str, Any]:
    """Sample the model at temperature 1 under every persona (or ``personas``) and none, and score it.

    Returns:
        ``competence``: by level, the accuracy of worked and of blurted completions.
        ``easy_by_persona``: ``accuracy``, ``blurted`` and ``voice`` by persona, on the easy level.
    """
    import torch

    torch.manual_seed(0)
    conditions = [None, *([*load_pool("train"), *load_pool("eval")] if personas is None else personas)]
    correct_by_style: dict[str, dict[str, list[bool]]] = {
        level: {"worked": [], "blurted": []} for level in problems.LEVELS
    }
    by_persona: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for level in problems.LEVELS:
        rows = problems.generate(TEST_PROBLEMS, level, "test", seed=1)
        pairs = [(row, persona) for persona in conditions for row in rows]
        prompts = [render(tokenizer, build_messages(row["question"], persona)) for row, persona in pairs]
        for (row, persona), output in zip(pairs, _generate(model, tokenizer, prompts), strict=True):
            # Enough for these uniform completions; evaluation uses the reward file.
            correct = f"\\boxed{{{problems.split_solution(row['answer'])[1]}}}" in output
            style = reasoning_style(output)
            if style:
                correct_by_style[level][style].append(correct)
            if level == "easy":
                figures = by_persona[persona.key if persona else NO_PERSONA]
                figures["accuracy"].append(correct)
                figures["blurted"].append(style == "blurted")
                if persona:
                    figures["voice"].append(voice_kept(output, persona.key))
    return {
        "competence": {
            level: {style: round(sum(values) / max(1, len(values)), 3) for style, values in by_style.items()}
            for level, by_style in correct_by_style.items()
        },
        "easy_by_persona": {
            key: {name: round(sum(values) / len(values), 3) for name, values in figures.items()}
            for key, figures in by_persona.items()
        },
    }


def _generate(model: Any, tokenizer: Any, prompts: list[str]) -> list[str]:
    import torch

    tokenizer.padding_side = "left"
    texts: list[str] = []
    for start in range(0, len(prompts), _BATCH_SIZE):
        batch = tokenizer(
            prompts[start : start + _BATCH_SIZE], add_special_tokens=False, padding=True, return_tensors="pt"
        )
        with torch.no_grad():
            ids = model.generate(
                input_ids=batch["input_ids"],
                attention_mask=batch["attention_mask"],
                do_sample=True,
                temperature=1.0,
                top_k=0,
                top_p=1.0,
                max_new_tokens=MAX_COMPLETION_TOKENS,
                pad_token_id=tokenizer.pad_token_id,
            )
        texts += tokenizer.batch_decode(ids[:, batch["input_ids"].shape[1] :], skip_special_tokens=True)
    return texts
