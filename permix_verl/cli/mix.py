r"""Mix personas into parquet files that already follow verl's schema.

    permix mix --in train.parquet --out mixed/                       # a drawn persona in each prompt
    permix mix --in a.parquet --in b.parquet --pool mine.jsonl --out mixed/ --system-message prepend
    permix mix --in test.parquet --every-persona --out val/          # under every persona and none
    permix mix --in train.parquet --out mixed/ --tokenizer MODEL --max-prompt-length 1024   # drops what is too long

Each row's persona is sampled as a function of (seed, epoch, row id). The draw is stored in the file, so that
PersonaMixDataset samples anew in later epochs. All other columns and messages stay as they are.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

from permix_verl.data.mix_job import MixJob, MixSummary
from permix_verl.data.mix_parquet import mix_files
from permix_verl.data.mix_settings import MixSettings
from permix_verl.data.system_message import POLICIES
from permix_verl.errors import UserError, exit_with_message
from permix_verl.personas.pool import NO_PERSONA
from permix_verl.utils.cli_types import json_object


def parse_args(argv: Sequence[str] | None = None) -> MixJob:
    parser = argparse.ArgumentParser(
        prog="permix mix", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--in", dest="inputs", type=Path, action="append", required=True, metavar="FILE", help="parquet; repeatable"
    )
    parser.add_argument("--out", type=Path, required=True, help="folder, or a .parquet file for one input")
    parser.add_argument(
        "--pool", "--personas", default="train", help="packaged pool, or a .jsonl pool (default: train)"
    )
    parser.add_argument("--seed", type=int, default=0, help="persona seed (default: 0)")
    parser.add_argument("--epoch", type=int, default=0, help="epoch whose personas are written (default: 0)")
    parser.add_argument(
        "--no-persona-probability", type=float, default=0.0, help="fraction of (epoch, row) pairs without a persona"
    )
    parser.add_argument(
        "--dev-personas", default="", help="personas that no row gets: their number, or KEY,KEY (\\, for a comma)"
    )
    parser.add_argument(
        "--system-message",
        choices=POLICIES,
        default="refuse",
        help="policy for a row's own system message: replace: the persona's text alone; prepend: persona, then "
        "own text; append: own text, then persona; refuse: an error (default)",
    )
    parser.add_argument(
        "--id-field", help="field with the row ids, such as extra_info.uuid, or content (a hash of the row)"
    )
    parser.add_argument("--prompt-key", default="prompt", help="column with the chats (default: prompt)")
    parser.add_argument(
        "--every-persona", action="store_true", help="each row under every persona and none, for data.val_files"
    )
    parser.add_argument("--val-personas", type=int, default=25, help="personas of that, at most (default: 25)")
    parser.add_argument("--tokenizer", help="hub name or folder of the model; rows that are too long are dropped")
    parser.add_argument(
        "--max-prompt-length", type=int, help="limit in tokens under every persona, with --tokenizer (default: 256)"
    )
    parser.add_argument(
        "--chat-template-kwargs", type=json_object, default={}, help="JSON object for the chat template"
    )
    args = parser.parse_args(argv)
    if args.max_prompt_length is not None and args.tokenizer is None:
        raise UserError(f"--max-prompt-length {args.max_prompt_length} needs a tokenizer", "give --tokenizer")
    if args.every_persona and args.no_persona_probability:
        raise UserError("--every-persona draws no persona, so it has no --no-persona-probability", "leave it out")
    return _job(args)


def _job(args: argparse.Namespace) -> MixJob:
    settings = MixSettings(
        pool=args.pool,
        seed=args.seed,
        no_persona_probability=args.no_persona_probability,
        dev_personas=args.dev_personas,
        system_message=args.system_message,
        id_field=args.id_field,
    )
    return MixJob(
        settings=settings,
        inputs=tuple(args.inputs),
        out=args.out,
        epoch=args.epoch,
        every_persona=args.every_persona,
        val_personas=args.val_personas,
        tokenizer=args.tokenizer,
        max_prompt_length=args.max_prompt_length or 256,
        template_kwargs=args.chat_template_kwargs,
        key=args.prompt_key,
    )


def main(argv: Sequence[str] | None = None) -> None:
    job = parse_args(argv)
    for line in describe(job, mix_files(job)):
        print(line)


def describe(job: MixJob, summary: MixSummary) -> list[str]:
    """Return what was written, in a few lines."""
    total, named = summary.written.total(), summary.written.total() - summary.written[NO_PERSONA]
    lines = [f"{source} -> {target}" for source, target in summary.files.items()]
    how = (
        f"each under {summary.personas} personas and without one"
        if job.every_persona
        else f"{named} with one of {summary.personas} personas, {total - named} without"
    )
    lines.append(
        f"{total} rows of {summary.rows - summary.dropped}: {how}" if job.every_persona else f"{total} rows: {how}"
    )
    if summary.own_system:
        policy = job.settings.system_message if job.settings.mixes else "kept, as no row gets a persona"
        lines.append(f"{summary.own_system} of {summary.rows} rows had a system message of their own: {policy}")
    if summary.repeats:
        lines.append(f"note: {summary.repeats}")
    if summary.dropped:
        lines.append(
            f"note: {summary.dropped} of {summary.rows} rows dropped, longer than {job.max_prompt_length} tokens under "
            "some persona"
        )
    return lines


if __name__ == "__main__":
    exit_with_message(main)
