"""Prepare problems with targets, as parquet for verl's SFT trainer: the paper's SFT, PerMix-SFT and SeqKD methods.

    python data_prep/gsm8k_sft.py --out data/sft --tokenizer MODEL --no-persona              # SFT
    python data_prep/gsm8k_sft.py --out data/permix-sft --tokenizer MODEL                    # PerMix-SFT, ground truth
    python data_prep/gsm8k_sft.py --out data/styled --tokenizer MODEL --target styled \
        --engine-model gpt-5-mini --base-url https://api.openai.com/v1 --store targets/gpt-5-mini
    python data_prep/gsm8k_sft.py --out data/seqkd --tokenizer MODEL --target teacher --no-persona \
        --engine-model Qwen/Qwen3-32B --tensor-parallel-size 8 --store targets/qwen3-32b

Rows, validation problems and personas are those of gsm8k_persona.py with the same seed. Texts of a rewriter or teacher
are stored in --store, so the same command continues an interrupted or killed one. --dry-run prints ten prompts and the
expected tokens, and sends no request.
"""

import argparse
from pathlib import Path

from permix_verl.cli.engine_arguments import add_engine_arguments, engine_config
from permix_verl.cli.prep import SHOWN_ROWS
from permix_verl.cli.source_arguments import add_source_arguments, source_settings
from permix_verl.errors import UserError, exit_with_message
from permix_verl.sft_targets.run import TargetOptions, prepare_supervised
from permix_verl.sft_targets.settings import SupervisedPreparation as Settings
from permix_verl.utils.cli_types import json_object


def parse_args(argv: list[str] | None = None) -> tuple[Settings, TargetOptions, bool]:
    parser = argparse.ArgumentParser(
        description=(__doc__ or "").split("\n", 1)[0], formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    add = parser.add_argument
    add_source_arguments(add)
    add("--out", type=Path, required=True, help="folder to write")
    add("--tokenizer", default="meta-llama/Llama-3.1-8B-Instruct", help="hub name or folder of the model to train")
    add(
        "--target",
        default="gt",
        choices=["gt", "styled", "teacher"],
        help="source of the targets: gt the data set, styled a rewriter, teacher a teacher model",
    )
    add("--personas", default="train", help="packaged pool, or path of a .jsonl pool")
    add("--seed", type=int, default=0, help="persona seed")
    add("--no-persona", action="store_true", help="no row has a persona: SFT, or SeqKD without personas")
    add("--no-persona-probability", type=float, default=0.0, help="fraction of rows without a persona")
    add("--val-problems", type=int, default=32, help="training problems held out for the validation loss")
    add("--val-data", help="source of the validation loss's problems, instead of problems held out of --data")
    add("--max-prompt-length", type=int, default=256, help="limit in tokens, under every persona (Table 7)")
    add("--max-length", type=int, default=2048, help="limit of prompt and target in tokens (Tables 5 and 6)")
    add("--answer-format", default="boxed", choices=["boxed", "original"], help="format of the data set's solutions")
    add("--only-right", action="store_true", help="leave out targets with a wrong final answer")
    add("--chat-template-kwargs", type=json_object, default={}, help="JSON object for the chat template")
    _add_target_arguments(parser)
    args = parser.parse_args(argv)
    if args.val_problems < 1:
        raise UserError(f"--val-problems is {args.val_problems}", "hold out at least 1, or give --val-data")
    engine = engine_config(args, args.engine_model, template_kwargs=args.engine_chat_template_kwargs)
    store = args.store or args.out.parent / "targets"
    options = TargetOptions(engine, store, args.attempts, args.temperature, args.max_tokens)
    return _settings(args), options, args.dry_run


def _add_target_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument_group("rewriter or teacher").add_argument
    add(
        "--engine-model",
        default="",
        help="hub name, folder, name that an endpoint serves, or 'lab' for the lab's rewriter",
    )
    add("--store", type=Path, help="folder of the stored texts; default: OUT/../targets")
    add("--attempts", type=int, default=4, help="most texts of a rewriter per row, until one is right")
    add("--temperature", type=float, help="default: 1 for a rewriter, 0 for a teacher (greedy, as in the paper)")
    add("--max-tokens", type=int, default=1024, help="token limit of a target")
    add("--engine-chat-template-kwargs", type=json_object, help="JSON object; default: fixed date, no thinking")
    add(
        "--request-args",
        type=json_object,
        default={},
        help='further fields of every request: {"reasoning_effort": "minimal"}',
    )
    add_engine_arguments(add)
    add("--keep-going", action="store_true", help="leave out rows whose request failed, instead of an error")
    add("--price", type=_price, help="IN,OUT: dollars per million tokens, for the printed cost")
    add(
        "--dry-run",
        action="store_true",
        help="print ten prompts and the expected tokens; send no request, write nothing",
    )


def _settings(args: argparse.Namespace) -> Settings:
    return Settings(
        **source_settings(args),
        out=args.out,
        tokenizer=args.tokenizer,
        pool=args.personas,
        seed=args.seed,
        val_problems=args.val_problems,
        val_source=args.val_data,
        max_prompt_length=args.max_prompt_length,
        max_length=args.max_length,
        no_persona_probability=1.0 if args.no_persona else args.no_persona_probability,
        kind=args.target,
        answer_format=args.answer_format,
        only_right=args.only_right,
        keep_going=args.keep_going,
        price=args.price,
        template_kwargs=args.chat_template_kwargs,
        system_role=args.system_role,
        show_rows=SHOWN_ROWS,
    )


def _price(text: str) -> tuple[float, float]:
    try:
        prompt, completion = (float(part) for part in text.split(","))
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not IN,OUT; such as 0.25,2.00") from None
    return prompt, completion


def main(argv: list[str] | None = None) -> None:
    settings, options, dry_run = parse_args(argv)
    manifest = prepare_supervised(settings, options, dry_run=dry_run)
    if manifest is None:
        return
    train, val = manifest["rows"]["train"], manifest["rows"]["val"]
    print(
        f"{manifest['arm']} data in {settings.out}: {train['rows']} training rows ({train['tokens']:,} tokens, "
        f"{train['target_tokens']:,} of them in targets; longest row {train['longest']}), {val['rows']} held-out rows"
    )
    for name, counts in (("training", train), ("held-out", val)):
        if counts["dropped"]:
            reasons = ", ".join(f"{number} {reason.replace('_', ' ')}" for reason, number in counts["dropped"].items())
            print(f"left out of {counts['problems']} {name} rows: {reasons}")


if __name__ == "__main__":
    exit_with_message(main)
