"""Prepare problems with one training persona per row, as parquet for verl: GSM8K, or any data (docs/data.md).

    permix prep --out data/permix --tokenizer meta-llama/Llama-3.1-8B-Instruct
    permix prep --out data/rlvr --tokenizer ... --no-persona   # plain RLVR, same rows
    permix prep --data deepscaler --data mine.csv,name=mine,question-field=task,answer-field=result --out data/two ...
    permix prep --task code --data problems.jsonl --out data/code   # programs (docs/code.md)

Writes train.parquet, val.parquet and manifest.json. Each training row's persona is sampled uniformly as a function of
(seed, epoch, row id). Validation problems are held out of the training problems and appear under the training personas
and without one; --dev-personas also holds personas out of training, for validation only. Test problems and evaluation
personas are never used.
"""

import argparse
from pathlib import Path

from permix_verl.chat_templates.adapt import SYSTEM_ROLES
from permix_verl.cli.source_arguments import add_source_arguments, source_settings
from permix_verl.data.gold_check import DROPPED_FILE
from permix_verl.data.preparation import VAL_PERSONAS, Preparation
from permix_verl.data.prepare import prepare
from permix_verl.data.records import HUB_NAME
from permix_verl.errors import UserError, exit_with_message
from permix_verl.utils.cli_types import json_object

SHOWN_ROWS = 2
"""Training rows that are printed as the model will see them."""


def parse_args(argv: list[str] | None = None) -> Preparation:
    parser = argparse.ArgumentParser(
        description=(__doc__ or "").split("\n", 1)[0], formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    add_source_arguments(parser.add_argument)
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
        "--val-personas",
        type=int,
        help=f"most personas of the validation rows, development personas first (default: {VAL_PERSONAS})",
    )
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
    parser.add_argument(
        "--system-role",
        choices=SYSTEM_ROLES,
        default="auto",
        help="where a persona stands; user: in the user's turn; auto: there, if the chat template has no system role",
    )
    args = parser.parse_args(argv)
    _check(args)
    return _settings(args)


def _check(args: argparse.Namespace) -> None:
    if args.val_problems < 1:
        raise UserError(f"--val-problems is {args.val_problems}", "hold out at least 1 (verl needs a validation set)")
    if args.val_personas is not None and args.val_personas < 1:
        raise UserError(f"--val-personas is {args.val_personas}", "ask for at least 1")
    if args.task == "code" and args.data in (None, [HUB_NAME]):
        raise UserError(f"--task code needs programming problems, and {HUB_NAME} has none", "give a file as --data")


def _settings(args: argparse.Namespace) -> Preparation:
    return Preparation(
        **source_settings(args),
        task=args.task,
        out=args.out,
        tokenizer=args.tokenizer,
        pool=args.personas,
        seed=args.seed,
        epoch=args.epoch,
        val_problems=args.val_problems,
        val_personas=args.val_personas,
        max_prompt_length=args.max_prompt_length,
        dev_personas=args.dev_personas,
        no_persona_probability=1.0 if args.no_persona else args.no_persona_probability,
        template_kwargs=args.chat_template_kwargs,
        system_role=args.system_role,
        show_rows=SHOWN_ROWS,
    )


def main(argv: list[str] | None = None) -> None:
    settings = parse_args(argv)
    manifest = prepare(settings)
    rows = manifest["rows"]
    dev_personas = manifest["dev_personas"]
    asked = len(manifest.get("val_personas", ())) or manifest["pool"]["size"]
    bad = rows.get("dropped_bad_gold", 0)
    print(
        f"{manifest['arm']} data in {settings.out}: {rows['train']} training rows, {rows['val']} validation rows "
        f"({rows['val_problems']} problems x {asked} personas and none); {rows['dropped_too_long']} "
        f"of {rows['read']} problems dropped, longer than {settings.max_prompt_length} tokens under some persona"
        + (f"; {bad} dropped for their golds, listed in {DROPPED_FILE}" if bad else "")
        + (f"; {len(dev_personas)} personas held out of training: {', '.join(dev_personas)}" if dev_personas else "")
    )


if __name__ == "__main__":
    exit_with_message(main)
