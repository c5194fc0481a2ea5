#!/usr/bin/env python
"""Problems with a target each, as parquet for verl's SFT trainer: the paper's SFT, PerMix-SFT and SeqKD arms.

    python data_prep/gsm8k_sft.py --out data/sft --tokenizer MODEL --no-persona              # SFT
    python data_prep/gsm8k_sft.py --out data/permix-sft --tokenizer MODEL                    # PerMix-SFT, ground truth
    python data_prep/gsm8k_sft.py --out data/styled --tokenizer MODEL --target styled \
        --engine-model gpt-5-mini --base-url https://api.openai.com/v1 --store targets/gpt-5-mini
    python data_prep/gsm8k_sft.py --out data/seqkd --tokenizer MODEL --target teacher --no-persona \
        --engine-model Qwen/Qwen3-32B --tensor-parallel-size 8 --store targets/qwen3-32b

Rows, held-out problems and personas are those of gsm8k_persona.py with the same seed. Texts from a rewriter or a
teacher are kept in --store: interrupted or killed, the same command asks for what is missing. --dry-run prints ten
prompts and the tokens that are to be expected, and asks nobody.
"""

import argparse
from dataclasses import replace
from pathlib import Path

from permix_verl.data.problems import HUB_NAME
from permix_verl.errors import UserError, exit_with_message
from permix_verl.sft_targets.run import Engine, prepare_supervised
from permix_verl.sft_targets.settings import SupervisedPreparation as Settings
from permix_verl.utils.cli_types import json_object


def parse_args(argv: list[str] | None = None) -> tuple[Settings, Engine, bool]:
    parser = argparse.ArgumentParser(
        description=(__doc__ or "").split("\n", 1)[0], formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    add = parser.add_argument
    add("--data", default=HUB_NAME, help="hub name, folder, .jsonl or .parquet file")
    add("--out", type=Path, required=True, help="folder to write")
    add("--tokenizer", default="meta-llama/Llama-3.1-8B-Instruct", help="hub name or folder of the model to train")
    add(
        "--target",
        default="gt",
        choices=["gt", "styled", "teacher"],
        help="the data set's, a rewriter's or a teacher's",
    )
    add("--personas", default="train", help="packaged pool or path of a .jsonl pool")
    add("--seed", type=int, default=0, help="persona seed")
    add("--no-persona", action="store_true", help="no row has a persona: SFT, and SeqKD without")
    add("--no-persona-probability", type=float, default=0.0, help="share of rows that get no persona")
    add("--val-problems", type=int, default=32, help="training problems held out for the loss on them")
    add("--val-data", help="problems for that loss, in place of some held out of --data: one file")
    add("--max-prompt-length", type=int, default=256, help="in tokens, under every persona (Table 7)")
    add("--max-length", type=int, default=2048, help="of prompt and target in tokens (Tables 5 and 6)")
    add("--answer-format", default="boxed", choices=["boxed", "original"], help="of the data set's own solutions")
    add("--only-right", action="store_true", help="leave out targets whose answer is wrong")
    add("--chat-template-kwargs", type=json_object, default={}, help="JSON object for the chat template")
    engine = parser.add_argument_group("rewriter or teacher")
    add = engine.add_argument
    add(
        "--engine-model",
        default="",
        help="hub name, folder, the name an endpoint serves, or lab for the lab's rewriter",
    )
    add("--base-url", help="an OpenAI-compatible endpoint; the key is read from OPENAI_API_KEY")
    add("--store", type=Path, help="folder that keeps its texts; default: OUT/../targets")
    add("--attempts", type=int, default=4, help="texts that a rewriter may write for a row until one is right")
    add(
        "--temperature", type=float, help="default: 1 for a rewriter, 0 for a teacher (greedy, the paper's output mode)"
    )
    add("--max-tokens", type=int, default=1024, help="of a target")
    add("--engine-chat-template-kwargs", type=json_object, help="JSON object; default: no thinking, a fixed date")
    add("--concurrency", type=int, default=64, help="requests at a time to an endpoint")
    add("--retries", type=int, default=5, help="of a request to an endpoint")
    add("--request-args", type=json_object, default={}, help='of every request: {"reasoning_effort": "minimal"}')
    add("--tensor-parallel-size", type=int, default=1)
    add("--data-parallel-size", type=int, default=1, help="replicas under Ray")
    add("--engine-args", type=json_object, default={}, help="vLLM's, as JSON")
    add("--keep-going", action="store_true", help="leave rows out whose request failed, in place of an error")
    add("--price", type=_price, help="IN,OUT: dollars a million tokens, for the cost that is printed")
    add("--dry-run", action="store_true", help="print ten prompts and the expected tokens; write nothing")
    args = parser.parse_args(argv)
    if args.val_problems < 1:
        raise UserError(f"--val-problems is {args.val_problems}; hold out at least 1, or give --val-data")
    settings = Settings(
        source=args.data,
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
    )
    named = {name: value for name, value in vars(args).items() if name in Engine.__dataclass_fields__}
    asked = Engine(model=args.engine_model, template_kwargs=args.engine_chat_template_kwargs, **named)
    return settings, replace(asked, store=args.store or args.out.parent / "targets"), args.dry_run


def _price(text: str) -> tuple[float, float]:
    try:
        prompt, completion = (float(part) for part in text.split(","))
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not IN,OUT; such as 0.25,2.00") from None
    return prompt, completion


def main(argv: list[str] | None = None) -> None:
    settings, engine, dry_run = parse_args(argv)
    manifest = prepare_supervised(settings, engine, dry_run=dry_run)
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
