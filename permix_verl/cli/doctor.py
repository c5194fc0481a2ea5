"""Run all checks of ``permix doctor`` in order; the exit status is that of the worst finding."""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from permix_verl.cli.explain import explain_log
from permix_verl.preflight.doctor import adapter, cluster, config, data, gpus, machine, model, packages, requirements
from permix_verl.preflight.doctor.types import EXIT_STATUS, Check, Finding, Setup, warning

CHECKS: Sequence[Check] = (
    Check("python", packages.python_version),
    Check("packages", packages.packages),
    Check("requirements", requirements.requirements),
    Check("interfaces", requirements.interfaces),
    Check("torch-build", packages.torch_build),
    Check("bitsandbytes", packages.bitsandbytes),
    Check("gpus", gpus.gpu_count),
    Check("gpu-memory", gpus.gpu_memory),
    Check("disk", machine.disk),
    Check("shared-memory", machine.shared_memory),
    Check("open-files", machine.open_files),
    Check("ray", cluster.ray_cluster),
    Check("logical-cpus", cluster.logical_cpus),
    Check("model-files", model.model_files),
    Check("tokenizer", model.tokenizer),
    Check("template", model.template),
    Check("date", model.pinned_date),
    Check("context", model.context_length),
    Check("adapter", adapter.initial_adapter),
    Check("personas", data.persona_pools),
    Check("data", data.prepared_rows),
    Check("keys", config.dead_keys),
    Check("config", config.config_composes),
    Check("batches", config.batches),
    Check("resume", config.resumable),
)


def examine(setup: Setup, checks: Sequence[Check] = CHECKS) -> list[tuple[str, Finding]]:
    """Run the checks, and return their findings with the checks' names. A check that raises gives a warning only."""
    findings = []
    for check in checks:
        try:
            findings += [(check.name, finding) for finding in check.run(setup)]
        except Exception as problem:
            text = f"the check itself failed ({type(problem).__name__}: {str(problem)[:200]})"
            findings.append((check.name, warning(text, "check this by hand, and report the bug")))
    return findings


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
