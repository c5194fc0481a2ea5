r"""Measure persona fidelity: PersonaGym's five tasks, answered by a model and judged by others.

    python eval/personagym.py --model meta-llama/Llama-3.1-8B-Instruct --adapter runs/NAME/adapter \
        --judge gpt-5-mini@https://api.openai.com/v1 \
        --judge '{"model": "deepseek-chat", "base_url": "https://api.deepseek.com/v1", "key_env": "DEEPSEEK_API_KEY"}' \
        --out results/permix
    python eval/report.py results/base results/permix --out report/

Personas and questions are the packaged ones, unless given; the model plays the pool's own system prompt. --out may be
the folder of eval/run.py's results of the same model: the report then sets fidelity beside accuracy and PSS.
Interrupted or killed, the same command asks what is missing; further judges and scorings are added to what is there.
API keys come from the environment: OPENAI_API_KEY, or what a judge's key_env names. Exit status: 0, or 1 if requests
failed.
"""

import argparse
from pathlib import Path

from permix_verl.errors import UserError, exit_with_message
from permix_verl.evaluation.options import Options
from permix_verl.fidelity.personagym.run import dry_run, run
from permix_verl.fidelity.personagym.session import SCORINGS, Settings
from permix_verl.inference.judges.config import read_judge, read_judges
from permix_verl.utils.cli_types import json_object


def main(argv: list[str] | None = None) -> int:
    args = parse_args(argv)
    settings = _settings(args)
    if args.dry_run:
        dry_run(settings)
        return 0
    outcome = run(settings)
    folder = settings.options.out
    (answers, of_answers), (judgements, of_judgements) = outcome.answers, outcome.judgements
    print(
        f"{answers} of {of_answers} answers, {judgements} of {of_judgements} judgements, {outcome.scored} of them "
        f"scores, in {folder / 'personagym'}"
    )
    if outcome.failed:
        print(
            f"{outcome.failed} requests failed, see {folder / 'personagym' / 'failures.jsonl'}; the same command asks "
            "them again"
        )
        return 1
    if settings.judges:
        print(f"next: python eval/report.py {folder} --out {folder}/report")
    return 0


def parse_args(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    add = parser.add_argument
    add("--model", required=True, help="under test: hub name, folder, or the name that an endpoint serves")
    add("--adapter", help="folder of a PEFT adapter")
    add("--out", type=Path, required=True, help="results folder")
    add(
        "--judge",
        action="append",
        default=[],
        help='MODEL (local vLLM), MODEL@URL, or a JSON object: {"model": ..., "base_url": ..., "key_env": ..., '
        '"price": [IN, OUT], "max_tokens": ..., "request_args": {...}}; may be given again; none asks for answers only',
    )
    add("--scoring", default="fixed", help=f"comma-separated: {', '.join(SCORINGS)}")
    add("--attempts", type=int, default=Settings.attempts, help="replies of a judge until one is of the form")
    add("--personas", default="eval", help="a pool, POOL:KEY,KEY for some of it, or personagym[:DESCRIPTION;...]")
    add("--questions", default=Settings.questions, help="'default', a file, or a folder like PersonaGym's benchmark-v1")
    add("--personagym", type=Path, metavar="CHECKOUT", help="a checkout of PersonaGym, for its scoring and personas")
    add("--official-wording", action="store_true", help="tell the model who it is in PersonaGym's words")
    add("--example-judge", help="who writes the official scoring's score examples, which change no score")
    add("--seed", type=int, default=Options.seed)
    add("--temperature", type=float, default=0.9, help="of the answers (PersonaGym's)")
    add("--top-p", type=float, default=0.9, help="of the answers (PersonaGym's)")
    add("--top-k", type=int, default=0, help="0: no limit")
    add("--max-tokens", type=int, default=1024, help="of an answer")
    add("--chat-template-kwargs", type=json_object, help="default: as in training, a fixed date and no thinking")
    add("--base-url", help="an OpenAI-compatible endpoint that serves the model under test")
    add("--concurrency", type=int, default=Options.concurrency, help="requests at a time to it")
    add("--retries", type=int, default=Options.retries, help="of a request to it")
    add("--tensor-parallel-size", type=int, default=1)
    add("--data-parallel-size", type=int, default=1, help="replicas of the model, under Ray")
    add("--engine-args", type=json_object, default={}, help="vLLM's, as JSON")
    add("--dry-run", action="store_true", help="print a prompt of each kind and the number of calls; ask nobody")
    return parser.parse_args(argv)


def _settings(args: argparse.Namespace) -> Settings:
    options = Options(
        model=args.model,
        out=args.out,
        adapter=args.adapter,
        personas=args.personas,
        control=False,
        runs=1,
        seed=args.seed,
        temperature=args.temperature,
        top_p=args.top_p,
        top_k=args.top_k,
        max_tokens=args.max_tokens,
        template_kwargs=args.chat_template_kwargs,
        base_url=args.base_url,
        concurrency=args.concurrency,
        retries=args.retries,
        tensor_parallel_size=args.tensor_parallel_size,
        data_parallel_size=args.data_parallel_size,
        engine_args=args.engine_args,
    )
    scorings = [name.strip() for name in args.scoring.split(",") if name.strip()]
    if args.example_judge and "official" not in scorings:
        raise UserError("--example-judge is the official scoring's; add --scoring official, or leave it out")
    return Settings(
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
