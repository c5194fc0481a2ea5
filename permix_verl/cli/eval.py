r"""Measure persona robustness: sample every problem under every persona several times, score and store the samples.

    python eval/run.py --model permix_verl/lab/model --tasks lab_easy --temperature 1 --top-p 1 --out results/base
    python eval/run.py --model meta-llama/Llama-3.1-8B-Instruct --tasks gsm8k,math500,aime24 --out results/llama
    python eval/run.py --model meta-llama/Llama-3.1-8B-Instruct --adapter runs/NAME/adapter --out results/permix
    python eval/run.py --model meta-llama/Llama-3.1-8B-Instruct --tasks livecodebench -T release=v1 --out results/code
    python eval/run.py --base-url http://localhost:8000/v1 --model NAME --out results/served
    python eval/report.py results/llama results/permix --out report/

The same command continues an interrupted or killed one. With more --runs, --tasks or --personas it adds samples.
Exit status: 0, or 1 if requests failed (the same command retries them).
"""

import argparse
from pathlib import Path

from permix_verl.cli.engine_arguments import add_engine_arguments, engine_config
from permix_verl.data.source_spec import KEYS
from permix_verl.errors import UserError, exit_with_message
from permix_verl.evaluation.options import EvalOptions
from permix_verl.evaluation.run import evaluate
from permix_verl.utils.cli_types import KeyValueAction, json_object


def main(argv: list[str] | None = None) -> int:
    options = parse_args(argv)
    outcome = evaluate(options)
    print(f"{outcome.stored} samples in {options.out}, {outcome.generated} of them new")
    if outcome.failed:
        print(f"{outcome.failed} requests failed, see {options.out / 'failures.jsonl'}; the same command retries them")
        return 1
    print(f"next: python eval/report.py {options.out} --out {options.out}/report")
    return 0


def parse_args(argv: list[str] | None) -> EvalOptions:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    add = parser.add_argument
    add("--model", required=True, help="hub name, folder, or the name that an endpoint serves")
    add("--adapter", help="folder of a PEFT adapter")
    add("--tasks", default="gsm8k", help="comma-separated: NAME, NAME=FILE_OR_HUB_NAME, own=SOURCE, or a task file")
    add(
        "-T",
        dest="task_args",
        action=KeyValueAction,
        metavar="NAME=VALUE",
        help="setting of a task, such as -T release=v1",
    )
    add(
        "--personas",
        default="eval",
        help=r"pool (eval, train or a JSON Lines file), or POOL:KEY,KEY for a part of it (\, for a comma in a key)",
    )
    add("--no-control", dest="control", action="store_false", help="leave out the control condition without persona")
    add("--runs", type=int, default=EvalOptions.runs, help="samples per prompt")
    add("--limit", type=int, help="number of problems per task, from the start; default: all")
    add("--out", type=Path, required=True, help="results folder")
    add("--seed", type=int, default=EvalOptions.seed, help="sampling seed")
    add("--temperature", type=float, default=EvalOptions.temperature, help="sampling temperature")
    add("--top-p", type=float, default=EvalOptions.top_p, help="nucleus sampling probability")
    add("--top-k", type=int, default=EvalOptions.top_k, help="top-k sampling; 0: off")
    add("--max-tokens", type=int, help="token limit of a completion; default: the task's own")
    add(
        "--chat-template-kwargs",
        type=json_object,
        help="JSON object; default: as in training (fixed date, no thinking)",
    )
    add_engine_arguments(add)
    args = parser.parse_args(argv)
    return EvalOptions(
        engine=engine_config(args, args.model, adapter=args.adapter, template_kwargs=args.chat_template_kwargs),
        out=args.out,
        tasks=_split_tasks(args.tasks),
        task_args=args.task_args or {},
        personas=args.personas,
        control=args.control,
        runs=args.runs,
        limit=args.limit,
        seed=args.seed,
        temperature=args.temperature,
        top_p=args.top_p,
        top_k=args.top_k,
        max_tokens=args.max_tokens,
    )


def _split_tasks(text: str) -> list[str]:
    names: list[str] = []
    for part in text.split(","):
        if names and part.strip().partition("=")[0] in KEYS:  # an option of the source before it
            names[-1] += f",{part.strip()}"
        elif part.strip():
            names.append(part.strip())
    if not names:
        raise UserError("--tasks is empty", "give a task, such as gsm8k")
    return names


if __name__ == "__main__":
    exit_with_message(main)
