"""Write the base model's folder: weights in 16 bits, tokenizer, and the manifest of how it was made."""

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
from permix_verl.lab.base_model import LONGEST, Training, build_tokenizer, describe, examples, train
from permix_verl.lab.styles import voice_kept, way_of
from permix_verl.personas.pool import NO_PERSONA, Persona, load_pool
from permix_verl.personas.prompts import build_messages, render
from permix_verl.utils.file_modes import give_usual_modes
from permix_verl.utils.files import hold

MANIFEST = "manifest.json"
MEASURED = 40
"""Test problems of each level that are asked under each persona."""
_AT_ONCE = 256


def make_base(out: Path, settings: Training) -> dict[str, Any]:
    """Train the model and write its folder in one move; return the manifest.

    Raises:
        UserError: the folder is there already, cannot be written, or is being made by another process.
    """
    partial = out.with_name(out.name + ".partial")
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        with hold(out.with_name(out.name + ".lock"), f"another process is making {out}; wait for it"):
            if out.exists():
                raise UserError(f"{out} is there already; give another --out, or remove it")
            shutil.rmtree(partial, ignore_errors=True)
            partial.mkdir()  # now, and not after the training
            return _make(out, partial, settings)
    except OSError as error:
        raise UserError(f"cannot write {out} ({first_line(error)}); give another --out") from error


def _make(out: Path, partial: Path, settings: Training) -> dict[str, Any]:
    import torch

    began = time.monotonic()
    tokenizer = build_tokenizer()
    # Half the size, and nothing is lost: what is measured, trained and served later starts from these 16 bits.
    model = train(tokenizer, settings).to(torch.float16)
    model.save_pretrained(partial)
    tokenizer.save_pretrained(partial)
    give_usual_modes(partial)
    manifest = {
        "made_by": "data_prep/lab_base.py",
        "training": describe(settings),
        "shown_sha256": shown(tokenizer, settings),
        "parameters": model.num_parameters(),
        "seconds": round(time.monotonic() - began),
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "sha256": hashlib.sha256((partial / "model.safetensors").read_bytes()).hexdigest(),
        **measure(model.float(), tokenizer),
    }
    (partial / MANIFEST).write_text(json.dumps(manifest, indent=2) + "\n")
    os.replace(partial, out)
    return manifest


def shown(tokenizer: Any, settings: Training) -> str:
    """Hash of the first examples that a base is trained on: personas, styles, problems, template and tokens."""
    first = list(itertools.islice(examples(tokenizer, settings), 500))
    return hashlib.sha256(json.dumps(first).encode()).hexdigest()


def measure(model: Any, tokenizer: Any, personas: Sequence[Persona] | None = None) -> dict[str, Any]:
    """How the model answers under every persona (or these) and none, drawn at temperature 1.

    Returns:
        ``competence`` by level: shares of right answers among worked and blurted ones;
        ``accuracy``, ``blurted`` and ``voice`` by persona, on the easy level.
    """
    import torch

    torch.manual_seed(0)
    arms = [None, *([*load_pool("train"), *load_pool("eval")] if personas is None else personas)]
    right: dict[str, dict[str, list[bool]]] = {level: {"worked": [], "blurted": []} for level in problems.LEVELS}
    by_persona: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for level in problems.LEVELS:
        rows = problems.generate(MEASURED, level, "test", seed=1)
        asked = [(row, persona) for persona in arms for row in rows]
        prompts = [render(tokenizer, build_messages(row["question"], persona)) for row, persona in asked]
        for (row, persona), output in zip(asked, _sampled(model, tokenizer, prompts), strict=True):
            # Enough for answers of this one form; what counts elsewhere is the reward file's verdict.
            correct = f"\\boxed{{{problems.spoken(row['answer'])[1]}}}" in output
            way = way_of(output)
            if way:
                right[level][way].append(correct)
            if level == "easy":
                found = by_persona[persona.key if persona else NO_PERSONA]
                found["accuracy"].append(correct)
                found["blurted"].append(way == "blurted")
                if persona:
                    found["voice"].append(voice_kept(output, persona.key))
    return {
        "competence": {
            level: {way: round(sum(values) / max(1, len(values)), 3) for way, values in ways.items()}
            for level, ways in right.items()
        },
        "easy_by_persona": {
            key: {name: round(sum(values) / len(values), 3) for name, values in found.items()}
            for key, found in by_persona.items()
        },
    }


def _sampled(model: Any, tokenizer: Any, prompts: list[str]) -> list[str]:
    import torch

    tokenizer.padding_side = "left"
    texts: list[str] = []
    for start in range(0, len(prompts), _AT_ONCE):
        batch = tokenizer(
            prompts[start : start + _AT_ONCE], add_special_tokens=False, padding=True, return_tensors="pt"
        )
        with torch.no_grad():
            ids = model.generate(
                input_ids=batch["input_ids"],
                attention_mask=batch["attention_mask"],
                do_sample=True,
                temperature=1.0,
                top_k=0,
                top_p=1.0,
                max_new_tokens=LONGEST,
                pad_token_id=tokenizer.pad_token_id,
            )
        texts += tokenizer.batch_decode(ids[:, batch["input_ids"].shape[1] :], skip_special_tokens=True)
    return texts
