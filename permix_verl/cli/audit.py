"""Compare the reward with its strict reading and with math-verify on your own outputs (``permix audit``)."""

import argparse
import contextlib
import shutil
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from tqdm import tqdm

from permix_verl.audit.cases import AuditCase, select_cases
from permix_verl.audit.checks import check_rows
from permix_verl.audit.counts import count, count_by
from permix_verl.audit.fields import NAMES, check_names
from permix_verl.audit.math_verify_pool import MathVerifyPool
from permix_verl.audit.rows import read_rows
from permix_verl.errors import UserError
from permix_verl.utils.cli_types import KeyValueAction
from permix_verl.utils.commands import INTERRUPTED
from permix_verl.utils.files import check_folder


def main(argv: Sequence[str] | None = None) -> int:
    args = parse_args(argv)
    try:
        run(args)
    except KeyboardInterrupt:
        print("interrupted; no file is partly written, and the same command starts over", file=sys.stderr)
        return INTERRUPTED
    return 0


def run(args: argparse.Namespace) -> None:
    """Check, write and print, in this order: the files are complete even if the terminal output is cut short."""
    from permix_verl.audit.terminal import cases_text, counts_text

    cases = audit(args.paths, args.field)
    overall = count(cases)
    marks, personas = (count_by(cases, group) for group in (lambda case: case.mark, lambda case: case.persona))
    width = max(60, shutil.get_terminal_size((100, 24)).columns)
    texts = [
        counts_text(overall, marks, personas, width),
        cases_text(select_cases(cases, args.show, agreed=False), overall, width),
    ]
    if args.out:
        from permix_verl.audit.html_report import write_audit

        write_audit(args.out, cases, overall, marks, personas)
        texts.append(f"{args.out}: audit.html, audit.csv, audit.json")
    _print("\n\n".join(texts))


def _print(text: str) -> None:
    with contextlib.suppress(AttributeError):  # characters that the terminal cannot show are escaped
        sys.stdout.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
    print(text)


def parse_args(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="permix audit", description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument(
        "paths", nargs="+", type=Path, metavar="OUTPUTS", help="JSON Lines file, or results folder of eval/run.py"
    )
    parser.add_argument("--show", type=int, default=10, metavar="N", help="number of cases to print (default: 10)")
    parser.add_argument("--out", type=Path, metavar="DIR", help="folder for audit.html, audit.csv and audit.json")
    parser.add_argument(
        "--field",
        action=KeyValueAction,
        metavar="NAME=FIELD",
        help=f"field of the {', '.join(NAMES)}, if it has another name",
    )
    args = parser.parse_args(argv)
    if args.show < 0:
        raise UserError(f"--show is {args.show}", "it must be 0 or more")
    check_names(args.field)
    if args.out:
        check_folder(args.out)
    return args


def audit(paths: Sequence[Path], given: Mapping[str, str]) -> list[AuditCase]:
    """Check every output of these files. They are read twice, so that bad rows are reported before any is checked.

    Raises:
        UserError: as in ``rows.read_rows``.
    """
    from permix_verl.evaluation.scoring import load_reward

    total = sum(1 for _ in read_rows(paths, given))
    reward, plain = load_reward(), MathVerifyPool()
    try:
        return list(_with_progress(check_rows(read_rows(paths, given), reward, plain), total))
    finally:
        plain.close()
        reward.close()


def _with_progress(cases: Iterator[AuditCase], total: int) -> Iterator[AuditCase]:
    return iter(
        tqdm(
            cases,
            total=total,
            desc="judging",
            unit="answer",
            delay=1,
            leave=False,
            mininterval=0.5 if sys.stderr.isatty() else 30,
            file=sys.stderr,
        )
    )
