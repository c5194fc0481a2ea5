"""Prepare GSM8K with one training persona per row, as parquet for verl.

    python data_prep/gsm8k_persona.py --out data/permix --tokenizer meta-llama/Llama-3.1-8B-Instruct
    python data_prep/gsm8k_persona.py --out data/rlvr --tokenizer ... --no-persona   # plain RLVR, same rows
    python data_prep/gsm8k_persona.py --task code --data problems.jsonl --out data/code   # programs (docs/code.md)

Writes train.parquet, val.parquet and manifest.json. Each training row's persona is sampled uniformly as a function of
(seed, epoch, row id). Validation problems are held out of the training problems and appear under every training persona
and without one; --dev-personas also holds personas out of training, for validation only. Test problems and evaluation
personas are never used.
"""

import argparse
from pathlib import Path

from permix_verl.data.prepare import Preparation, prepare
from permix_verl.data.problems import HUB_NAME
from permix_verl.errors import UserError, exit_with_message
from permix_verl.utils.cli_types import json_object


def parse_args(argv: list[str] | None = None) -> Preparation:
    parser = argparse.ArgumentParser(
        description=(__doc__ or "").split("\n", 1)[0], formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    parser.add_argument("--data", default=HUB_NAME, help="hub name, folder, .jsonl or .parquet file")
    parser.add_argument("--task", default="math", choices=["math", "code"], help="code: problems solved by programs")
    parser.add_argument("--out", type=Path, required=True, help="folder to write")
    parser.add_argument(
        "--tokenizer", default="meta-llama/Llama-3.1-8B-Instruct", help="hub name or folder of the model to train"
    )
    parser.add_argument("--personas", default="train", help="packaged pool, or path of a .jsonl pool")
    parser.add_argument(
        "--dev-personas",
        default="",
        help="personas of that pool held out of training, for validation: their number (chosen by the seed), or "
        "KEY,KEY (\\, for a comma in a key)",
    )
    parser.add_argument("--seed", type=int, default=0, help="persona seed")
    parser.add_argument("--epoch", type=int, default=0, help="epoch whose personas are written into the prompts")
    parser.add_argument("--val-problems", type=int, default=32, help="training problems held out for validation")
    parser.add_argument(
        "--max-prompt-length", type=int, default=256, help="limit in tokens, under every persona (Table 7)"
    )
    parser.add_argument(
        "--no-persona-probability", type=float, default=0.0, help="fraction of (epoch, row) pairs without a persona"
    )
    parser.add_argument(
        "--no-persona", action="store_true", help="plain RLVR on the same rows; sets that probability to 1"
    )
    parser.add_argument(
        "--chat-template-kwargs", type=json_object, default={}, help="JSON object for the chat template"
    )
    args = parser.parse_args(argv)
    if args.val_problems < 1:
        raise UserError(f"--val-problems is {args.val_problems}", "hold out at least 1 (verl needs a validation set)")
    if args.task == "code" and args.data == HUB_NAME:
        raise UserError(f"--task code needs programming problems, and {HUB_NAME} has none", "give a file as --data")
    return _settings(args)


def _settings(args: argparse.Namespace) -> Preparation:
    return Preparation(
        source=args.data,
        task=args.task,
        dataset="gsm8k" if args.task == "math" else args.task,
        out=args.out,
        tokenizer=args.tokenizer,
        pool=args.personas,
        seed=args.seed,
        epoch=args.epoch,
        val_problems=args.val_problems,
        max_prompt_length=args.max_prompt_length,
        dev_personas=args.dev_personas,
        no_persona_probability=1.0 if args.no_persona else args.no_persona_probability,
        template_kwargs=args.chat_template_kwargs,
    )


def main(argv: list[str] | None = None) -> None:
    settings = parse_args(argv)
    manifest = prepare(settings)
    rows = manifest["rows"]
    dev_personas = manifest["dev_personas"]
    print(
        f"{manifest['arm']} data in {settings.out}: {rows['train']} training rows, {rows['val']} validation rows "
        f"({rows['val_problems']} problems x {manifest['pool']['size']} personas and none); {rows['dropped_too_long']} "
        f"of {rows['read']} problems dropped, longer than {settings.max_prompt_length} tokens under some persona"
        + (f"; {len(dev_personas)} personas held out of training: {', '.join(dev_personas)}" if dev_personas else "")
    )


if __name__ == "__main__":
    exit_with_message(main)
