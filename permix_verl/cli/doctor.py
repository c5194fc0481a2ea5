"""Check machine, model, data and settings, or explain a log; the worst finding is the exit status."""

import argparse
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from permix_verl.checkpoints.fetched import resolve_model
from permix_verl.cli.explain import explain_log
from permix_verl.config.methods import METHODS
from permix_verl.errors import UserError
from permix_verl.preflight.doctor.types import EXIT_STATUS, Setup


def main(argv: Sequence[str] | None = None) -> int:
    args = parse_args(argv)
    if args.explain is not None:
        return explain_log(args.explain, args.json)
    from permix_verl.preflight.doctor.checks import examine

    findings = examine(_setup(args))
    worst = max((EXIT_STATUS[finding.severity] for _, finding in findings), default=0)
    if args.json:
        rows = [
            {"check": name, "severity": finding.severity, "text": finding.text, "remedy": finding.remedy}
            for name, finding in findings
        ]
        print(json.dumps(rows, indent=1, ensure_ascii=False))
    else:
        for name, finding in findings:
            if finding.severity != "ok" or not args.quiet:
                print(finding.line(name), file=sys.stderr if args.quiet else None)
    return worst


def _setup(args: argparse.Namespace) -> Setup:
    if args.recipe is None:
        model = resolve_model(args.model) if args.model else None
        return Setup(model, args.personas, args.run_dir, dev_personas=args.dev_personas)
    from permix_verl.recipe.resolve import resolve

    if args.model or args.run_dir or args.dev_personas or args.personas != "train":
        raise UserError("--model, --personas, --dev-personas and --run-dir beside a recipe", "set MODEL=... and so on")
    return Setup.of_run(resolve(args.recipe, args.settings, os.environ))


def parse_args(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="permix doctor",
        description=(__doc__ or "").split("\n", 1)[0],
        epilog="without a recipe only this machine is checked, and the model if it is given",
    )
    parser.add_argument("recipe", nargs="?", help=f"check a run of {', '.join(METHODS)}")
    parser.add_argument("settings", nargs="*", help="of that run: KNOB=VALUE, or key=value of the configuration")
    parser.add_argument("--model", help="hub name or folder")
    parser.add_argument("--personas", default="train", help="training pool")
    parser.add_argument(
        "--dev-personas", default="", help="personas of that pool held out of training: their number, or keys"
    )
    parser.add_argument("--run-dir", type=Path, help="run folder")
    parser.add_argument("--json", action="store_true", help="findings as a JSON list on standard output")
    parser.add_argument(
        "--explain",
        metavar="LOG",
        help="print the root cause in a log of verl, vLLM or Ray (- for standard input), or in a run folder's newest",
    )
    parser.add_argument("--quiet", action="store_true", help="print only warnings and errors")
    return parser.parse_intermixed_args(argv)
