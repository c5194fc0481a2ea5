"""A folder laid out as a PersonaGym checkout, with texts written for the tests."""

import json
from pathlib import Path

from permix_verl.fidelity.personagym.tasks import TASKS


def write_checkout(folder: Path) -> Path:
    """Write prompts, rubrics, code and two personas' questions."""
    files = {
        "prompts/rubric_grading/sys_prompt.txt": "Be fair.\n",
        "prompts/rubric_grading/prompt.txt": "Grade:\n{rubrics}\n",
        "prompts/score_examples/prompt.txt": "Who: {persona}\nQ: {question}\nRubric: {rubric}\n",
        "prompts/score_examples/parallel_examples.txt": "Examples for:\n{rubrics}\n",
        "code/utils.py": 'def ask(persona):\n    text = f"Become {persona}. Stay that."\n    return text\n',
    }
    for task in TASKS:
        rubric = "of {persona}\nQ: {question}\nA: {response}\nE: {score_example}\n"
        files[f"rubrics/{task}.txt"] = f"{task} {rubric}"
    for persona in ("A baker from Ghent", "An old sailor who sings"):
        questions = {task: [f"{task}, {number}?" for number in range(6)] for task in TASKS}
        files[f"questions/benchmark-v1/{persona}.json"] = json.dumps(questions)
    for name, text in files.items():
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    return folder
