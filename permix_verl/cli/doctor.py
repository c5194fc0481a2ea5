"""Check machine, model, data and settings, or explain a log; the worst finding is the exit status."""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from permix_verl.cli.explain import explain_log
from permix_verl.preflight.doctor import config
from permix_verl.preflight.doctor.checks import examine
from permix_verl.preflight.doctor.types import EXIT_STATUS, Setup


def main(argv: Sequence[str] | None = None) -> int:
    from permix_verl.runs.overrides import overrides_by_key

    parser = argparse.ArgumentParser(prog="permix doctor", description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--model", help="hub name or folder")
    parser.add_argument("--personas", default="train", help="training pool")
    parser.add_argument(
        "--dev-personas", default="", help="personas of that pool held out of training: their number, or keys"
    )
    parser.add_argument("--run-dir", type=Path, help="run folder")
    parser.add_argument("--trainer", default="grpo", choices=list(config.CONFIGS))
    parser.add_argument("--json", action="store_true", help="findings as a JSON list on standard output")
    parser.add_argument(
        "--explain",
        metavar="LOG",
        help="print the root cause in a log of verl, vLLM or Ray (- for standard input), or in a run folder's newest",
    )
    parser.add_argument("--quiet", action="store_true", help="print only warnings and errors")
    parser.add_argument("overrides", nargs="*", help="Hydra overrides for verl, after --")
    args = parser.parse_args(argv)
    if args.explain is not None:
        return explain_log(args.explain, args.json)
    settings = overrides_by_key(args.overrides)
    findings = examine(
        Setup(
            args.model,
            args.personas,
            args.run_dir,
            args.trainer,
            tuple(args.overrides),
            settings,
            args.dev_personas,
        )
    )
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
                remedy = f"; {finding.remedy}" if finding.remedy else ""
                print(f"{finding.severity:<8}{name:<15}{finding.text}{remedy}", file=sys.stderr if args.quiet else None)
    return worst
