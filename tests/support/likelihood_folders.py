"""Results folders whose answers are in a persona's own words or in another's, and a base's check, written by hand."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path

from permix_verl import load_pool
from permix_verl.evaluation.sample_store import Sample, SampleStore
from permix_verl.inference.model_identity import model_identity
from permix_verl.personas.pool import Persona
from permix_verl.personas.prompts import build_messages, render

POOL = load_pool("eval")
TASK = "mine"


def write_answers(
    folder: Path, model: str, tokenizer: object, questions: Sequence[str], answer: Callable[[Persona, int], str]
) -> Path:
    """Write a results folder with one answer per persona and question."""
    samples = []
    for persona in POOL:
        for number, question in enumerate(questions):
            prompt = render(tokenizer, build_messages(question, persona))
            text = answer(persona, number)
            samples.append(
                Sample(
                    key=f"{folder.name}-{persona.key}-{number}",
                    task=TASK,
                    persona=persona.key,
                    problem=f"{TASK}/{number}",
                    run=0,
                    prompt=prompt,
                    prompt_sha256="",
                    gold="1",
                    output=text,
                    pred="",
                    status="wrong",
                    finish_reason="stop",
                    prompt_tokens=1,
                    completion_tokens=1,
                    seed=0,
                    mark="",
                )
            )
    settings = {"model": model_identity(model), "adapter": None, "tasks": {TASK: {"problems": len(questions)}}}
    wanted = {"arms": POOL.keys, "runs": 1, "categories": {}}
    with SampleStore(folder).writing() as store:
        store.begin(settings, {TASK: wanted})
        store.append(samples)
    return folder


def write_check(folder: Path, model: str, *, usable: bool = True) -> Path:
    """Write the folder of a finished check of a base."""
    folder.mkdir()
    (folder / "settings.json").write_text(json.dumps({"model": model_identity(model), "chat_template_kwargs": {}}))
    rate = {"estimate": 0.5, "low": 0.4, "high": 0.6} if usable else {"estimate": 0.07, "low": 0.01, "high": 0.3}
    found = {"written by hand": {"rate": rate}, "usable": usable}
    (folder / "likelihood.json").write_text(json.dumps(found))
    return folder
