"""Nine personas, a model that plays them, and judges with known scores, behind one server."""

import json
import re
from pathlib import Path
from typing import Any

from .endpoint import Reply, Server, chat
from .personagym_checkout import write_checkout

CONSISTENCY, TOXICITY = "Persona Consistency", "Toxicity"
NO_SCORE = None
SCORES: dict[str, dict[str, dict[str, list[int | None]]]] = {
    # judge: {persona: {task: [score of each question]}}; None: no usable reply
    "gpt-a": {
        "p1": {CONSISTENCY: [5, 3], TOXICITY: [5]},
        "p2": {CONSISTENCY: [4, 4], TOXICITY: [5]},
        "p3": {CONSISTENCY: [3, 1], TOXICITY: [4]},
        "p4": {CONSISTENCY: [2, 2], TOXICITY: [3]},
        "p5": {CONSISTENCY: [5, 5], TOXICITY: [5]},
        "p6": {CONSISTENCY: [4, 2], TOXICITY: [4]},
        "p7": {CONSISTENCY: [1, 1], TOXICITY: [2]},
        "p8": {CONSISTENCY: [3, NO_SCORE], TOXICITY: [5]},
        "p9": {CONSISTENCY: [4, 4], TOXICITY: [4]},
    },
    "b": {
        "p1": {CONSISTENCY: [4, 2], TOXICITY: [5]},
        "p2": {CONSISTENCY: [4, 2], TOXICITY: [4]},
        "p3": {CONSISTENCY: [2, 2], TOXICITY: [4]},
        "p4": {CONSISTENCY: [1, 3], TOXICITY: [NO_SCORE]},
        "p5": {CONSISTENCY: [5, 4], TOXICITY: [5]},
        "p6": {CONSISTENCY: [3, 3], TOXICITY: [3]},
        "p7": {CONSISTENCY: [2, 2], TOXICITY: [2]},
        "p8": {CONSISTENCY: [1, 3], TOXICITY: [5]},
        "p9": {CONSISTENCY: [4, 4], TOXICITY: [4]},
    },
}
PERSONAS = list(SCORES["b"])
ANSWERS, JUDGEMENTS = 27, 2 * 27
_ITEM_ID = re.compile(r"(p\d)\|([^|]+)\|(\d)\|(?:[^|]*)\|answered")


def asked_by_actor(persona: str, task: str, number: int) -> str:
    return f"{persona}|{task}|{number}"


def play(body: dict[str, Any], attempt: int) -> Reply:
    """Reply as the model under test: the answer repeats the question and the system prompt."""
    texts = {message["role"]: message["content"] for message in body["messages"]}
    return chat(f"{texts['user']}|{texts['system']}|answered")


def score_reply(score: Any, reason: str = "because") -> Reply:
    return chat(json.dumps({"reason": reason, "score": score}))


def judge(body: dict[str, Any], attempt: int) -> Reply:
    """Reply as a judge: find the answer's item id, and give its score from the table."""
    name, prompt = body["model"], body["messages"][-1]["content"]
    ids = [(persona, task, int(number)) for persona, task, number in _ITEM_ID.findall(prompt)]
    scores = [SCORES[name][persona][task][number] for persona, task, number in ids]
    if prompt.startswith("Grade:"):
        return chat("\n".join(_evaluation(name, number, score) for number, score in enumerate(scores, start=1)))
    assert len(ids) == 1, prompt
    if scores[0] is None:
        return chat("Therefore, the final score is 5") if name == "gpt-a" else chat(None, refusal="I will not.")
    return score_reply(scores[0])


def _evaluation(name: str, number: int, score: int | None) -> str:
    if score is not None:
        return f"({number}) Evaluation: fine. Therefore, the final score is {score}"
    # A miss of the regular expression, and a reply without any evaluation.
    return f"({number}) Evaluation: Therefore, the final score is: 3" if name == "gpt-a" else "I will not."


def perform(body: dict[str, Any], attempt: int) -> Reply:
    """Reply as the model under test or as a judge, by the model name."""
    if body["messages"][-1]["content"] == "1 + 1 = ?":  # the engine probes the server first
        return chat(prompt_tokens=10 * len(body["messages"]))
    return play(body, attempt) if body["model"] == "actor" else judge(body, attempt)


def set_up(folder: Path) -> dict[str, Path]:
    """Write a pool, its questions and a PersonaGym checkout."""
    pool = folder / "pool.jsonl"
    rows = [{"key": key, "category": "", "system_prompt": f"You are {key}."} for key in PERSONAS]
    pool.write_text("".join(json.dumps(row) + "\n" for row in rows))
    questions = {
        key: {task: [asked_by_actor(key, task, n) for n in range(len(scores))] for task, scores in by_task.items()}
        for key, by_task in SCORES["b"].items()
    }
    file = folder / "questions.json"
    file.write_text(json.dumps({"permix_questions": 1, "made_by": "the tests", "questions": questions}))
    return {"pool": pool, "questions": file, "checkout": write_checkout(folder / "PersonaGym")}


def arguments(server: Server, folder: Path, *more: str, judges: tuple[str, ...] = ("gpt-a", "b")) -> list[str]:
    """Build the arguments of ``eval/personagym.py``."""
    files = set_up(folder)
    given = ["--model", "actor", "--base-url", server.url, "--personas", str(files["pool"])]
    given += ["--questions", str(files["questions"]), "--out", str(folder / "results" / "model")]
    for name in judges:
        given += ["--judge", f"{name}@{server.url}"]
    return [*given, *more]


def real_calls(server: Server) -> list[dict[str, Any]]:
    """Return the requests without the engine's probes."""
    return [body for body in server.bodies if body["messages"][-1]["content"] != "1 + 1 = ?"]


def stored_rows(folder: Path, name: str) -> list[dict[str, Any]]:
    """Return the rows stored by ``eval/personagym.py``, without a partial last line."""
    file = folder / "results" / "model" / "personagym" / name
    return [json.loads(line) for line in file.read_bytes().split(b"\n")[:-1]] if file.is_file() else []
