r"""Measure persona fidelity: a model answers PersonaGym's five tasks, and judges score its answers.

    python eval/personagym.py --model meta-llama/Llama-3.1-8B-Instruct --adapter runs/NAME/adapter \
        --judge gpt-5-mini@https://api.openai.com/v1 \
        --judge '{"model": "deepseek-chat", "base_url": "https://api.deepseek.com/v1", "key_env": "DEEPSEEK_API_KEY"}' \
        --out results/permix
    python eval/report.py results/base results/permix --out report/

Personas and questions default to the packaged ones; the model gets the pool's system prompts. --out may be the
folder of eval/run.py's results of the same model: the report then shows fidelity beside accuracy and PSS.
The same command continues an interrupted or killed one; further judges and scorings are added to the folder.
API keys come from the environment: OPENAI_API_KEY, or the variable named by a judge's key_env. Exit status: 0, or 1 if
requests failed.
"""

import argparse
from pathlib import Path

from permix_verl.cli.engine_arguments import add_engine_arguments, engine_config
from permix_verl.errors import UserError, exit_with_message
from permix_verl.evaluation.options import EvalOptions
from permix_verl.fidelity.personagym.run import print_dry_run, run_personagym
from permix_verl.fidelity.personagym.session import SCORINGS, PersonagymSettings
from permix_verl.inference.judges.config import read_judge, read_judges
from permix_verl.utils.cli_types import json_object


def main(argv: list[str] | None = None) -> int:
    args = parse_args(argv)
    settings = _settings(args)
    if args.dry_run:
        print_dry_run(settings)
        return 0
    outcome = run_personagym(settings)
    folder = settings.options.out
    (answers, of_answers), (judgements, of_judgements) = outcome.answers, outcome.judgements
    print(
        f"{answers} of {of_answers} answers, {judgements} of {of_judgements} judgements, {outcome.scored} of them "
        f"scores, in {folder / 'personagym'}"
    )
    if outcome.failed:
        print(
            f"{outcome.failed} requests failed, see {folder / 'personagym' / 'failures.jsonl'}; the same command "
            "retries them"
        )
        return 1
    if settings.judges:
        print(f"next: python eval/report.py {folder} --out {folder}/report")
    return 0


def parse_args(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    add = parser.add_argument
    add("--model", required=True, help="model under test: hub name, folder, or the name that an endpoint serves")
    add("--adapter", help="folder of a PEFT adapter")
    add("--out", type=Path, required=True, help="results folder")
    add(
        "--judge",
        action="append",
        default=[],
        help='MODEL (local vLLM), MODEL@URL, or a JSON object: {"model": ..., "base_url": ..., "key_env": ..., '
        '"price": [IN, OUT], "max_tokens": ..., "request_args": {...}}; repeatable; default: answers only',
    )
    add("--scoring", default="fixed", help=f"comma-separated: {', '.join(SCORINGS)}")
    add(
        "--attempts",
        type=int,
        default=PersonagymSettings.attempts,
        help="most replies of a judge about an answer, until one parses",
    )
    add("--personas", default="eval", help="pool, POOL:KEY,KEY for a part of it, or personagym[:DESCRIPTION;...]")
    add(
        "--questions",
        default=PersonagymSettings.questions,
        help="'default', a file, or a folder such as PersonaGym's questions/benchmark-v1",
    )
    add("--personagym", type=Path, metavar="CHECKOUT", help="checkout of PersonaGym, for its scoring and personas")
    add("--official-wording", action="store_true", help="state the persona in PersonaGym's words")
    add("--example-judge", help="judge that writes the official scoring's score examples, which change no score")
    add("--seed", type=int, default=EvalOptions.seed, help="sampling seed")
    add("--temperature", type=float, default=0.9, help="sampling temperature of the answers (PersonaGym: 0.9)")
    add("--top-p", type=float, default=0.9, help="nucleus sampling probability (PersonaGym: 0.9)")
    add("--top-k", type=int, default=0, help="top-k sampling; 0: off")
    add("--max-tokens", type=int, default=1024, help="token limit of an answer")
    add(
        "--chat-template-kwargs",
        type=json_object,
        help="JSON object; default: as in training (fixed date, no thinking)",
    )
    add_engine_arguments(add)
    add("--dry-run", action="store_true", help="print one prompt of each kind and the number of calls; send no request")
    return parser.parse_args(argv)


def _settings(args: argparse.Namespace) -> PersonagymSettings:
    options = EvalOptions(
        engine=engine_config(args, args.model, adapter=args.adapter, template_kwargs=args.chat_template_kwargs),
        out=args.out,
        personas=args.personas,
        control=False,
        runs=1,
        seed=args.seed,
        temperature=args.temperature,
        top_p=args.top_p,
        top_k=args.top_k,
        max_tokens=args.max_tokens,
    )
    scorings = [name.strip() for name in args.scoring.split(",") if name.strip()]
    if args.example_judge and "official" not in scorings:
        raise UserError("--example-judge needs the official scoring", "add --scoring official, or leave it out")
    return PersonagymSettings(
        options=options,
        judges=read_judges(args.judge),
        scorings=scorings,
        questions=args.questions,
        checkout=args.personagym,
        official_wording=args.official_wording,
        example_judge=read_judge(args.example_judge) if args.example_judge else None,
        attempts=args.attempts,
    )


if __name__ == "__main__":
    exit_with_message(main)
