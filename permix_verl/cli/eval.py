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

from permix_verl.errors import UserError, exit_with_message
from permix_verl.evaluation.options import Options
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


def parse_args(argv: list[str] | None) -> Options:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    add = parser.add_argument
    add("--model", required=True, help="hub name, folder, or the name that an endpoint serves")
    add("--adapter", help="folder of a PEFT adapter")
    add("--tasks", default="gsm8k", help="comma-separated: NAME, NAME=FILE_OR_HUB_NAME, or a task file")
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
    add("--runs", type=int, default=Options.runs, help="samples per prompt")
    add("--limit", type=int, help="number of problems per task, from the start; default: all")
    add("--out", type=Path, required=True, help="results folder")
    add("--seed", type=int, default=Options.seed, help="sampling seed")
    add("--temperature", type=float, default=Options.temperature, help="sampling temperature")
    add("--top-p", type=float, default=Options.top_p, help="nucleus sampling probability")
    add("--top-k", type=int, default=Options.top_k, help="top-k sampling; 0: off")
    add("--max-tokens", type=int, help="token limit of a completion; default: the task's own")
    add(
        "--chat-template-kwargs",
        type=json_object,
        help="JSON object; default: as in training (fixed date, no thinking)",
    )
    _add_engine_arguments(parser)
    args = vars(parser.parse_args(argv))
    args["template_kwargs"] = args.pop("chat_template_kwargs")
    args["tasks"] = _split_tasks(args["tasks"])
    return Options(**args)


def _add_engine_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--base-url", help="an OpenAI-compatible endpoint, such as http://localhost:8000/v1")
    add("--concurrency", type=int, default=Options.concurrency, help="concurrent requests to an endpoint")
    add("--retries", type=int, default=Options.retries, help="retries of a failed request to an endpoint")
    add("--tensor-parallel-size", type=int, default=1, help="GPUs per replica of the model")
    add(
        "--data-parallel-size",
        type=int,
        default=1,
        help="replicas of the model, under Ray (RAY_ADDRESS selects a cluster)",
    )
    add(
        "--engine-args",
        type=json_object,
        default={},
        help='vLLM engine arguments as a JSON object: {"gpu_memory_utilization": 0.8}',
    )


def _split_tasks(text: str) -> list[str]:
    names = [name.strip() for name in text.split(",") if name.strip()]
    if not names:
        raise UserError("--tasks is empty; give a task, such as gsm8k")
    return names


if __name__ == "__main__":
    exit_with_message(main)
