r"""Have a model write a question set for PersonaGym's five tasks, once: a fixed file that all models share.

    python eval/personagym_questions.py --writer gpt-5-mini@https://api.openai.com/v1 --personas eval --number 10 \
        --out questions/eval-10.json
    python eval/personagym.py --questions questions/eval-10.json ...

The same command continues an interrupted or killed one.
"""

import argparse
from pathlib import Path

from permix_verl.errors import exit_with_message
from permix_verl.fidelity.personagym.write_questions import write_questions
from permix_verl.inference.judges.config import read_judge
from permix_verl.personas.pool import load_pool


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    add = parser.add_argument
    add(
        "--writer",
        required=True,
        help="MODEL (local vLLM), MODEL@URL, or a JSON object, as for --judge of eval/personagym.py",
    )
    add("--personas", default="eval", help="pool: eval, train or a JSON Lines file")
    add("--number", type=int, default=10, help="questions per persona and task (PersonaGym: 10)")
    add("--attempts", type=int, default=5, help="most replies per persona and task, until one parses")
    add("--out", type=Path, required=True, help=".json file to write")
    args = parser.parse_args(argv)
    questions = write_questions(
        read_judge(args.writer), list(load_pool(args.personas)), args.number, args.out, attempts=args.attempts
    )
    total = sum(len(texts) for by_task in questions.values() for texts in by_task.values())
    print(f"{total} questions for {len(questions)} personas in {args.out}")


if __name__ == "__main__":
    exit_with_message(main)
