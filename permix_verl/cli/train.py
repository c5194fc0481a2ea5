"""Train with a recipe: PerMix-RLVR, RLVR, or a supervised baseline.

permix train permix_grpo                                       # any machine
permix train permix_grpo profile=8xa5000 permix.seed=1         # keys of permix_verl/config
permix train rlvr_grpo MODEL=Qwen/Qwen3-4B SEED=1              # the same as upper-case knobs
permix train permix_grpo actor_rollout_ref.rollout.n=16        # any key of verl's config
permix train permix_grpo profile=8xa5000 --dry-run             # verl's resolved config; trains nothing
permix train permix_grpo SEEDS=3                               # three seeds, one after another
permix train permix_grpo -m permix.kl=0.001,0.01               # every value listed, as Hydra's multirun
"""

import argparse
import contextlib
import os
import sys
from collections.abc import Sequence

from permix_verl.cli.script_knobs import whole_number
from permix_verl.config.knobs import help_lines
from permix_verl.config.methods import METHODS

DRY_RUNS = ("config", "overrides", "plan")


def main(argv: Sequence[str] | None = None) -> int:
    args = parse_args(argv)
    if args.multirun or args.seeds > 1:
        return _several(args)
    from permix_verl.recipe.resolve import resolve

    config = resolve(args.recipe, args.settings, os.environ)
    if args.dry_run == "overrides":
        from permix_verl.config.overrides import override_lines

        print("\n".join(override_lines(config)))
        return 0
    if args.dry_run == "plan":
        from permix_verl.cli.plan import plan_run

        return plan_run(config, args.plan.split())
    if args.dry_run:
        from omegaconf import OmegaConf

        from permix_verl.training.dry_run import validate

        with contextlib.redirect_stdout(sys.stderr):  # stdout is reserved for the config; verl and vLLM print too
            resolved = validate(config)
        print(OmegaConf.to_yaml(resolved, resolve=True))
        print("dry run: the config resolves and verl accepts it; nothing was trained", file=sys.stderr)
        return 0
    from permix_verl.recipe.run import run

    return run(config, ask_doctor=args.doctor)


def _several(args: argparse.Namespace) -> int:
    from permix_verl.recipe.multirun import jobs, run_all

    runs = jobs(args.recipe, args.settings, os.environ, args.seeds, args.multirun)
    flags = [f"--dry-run={args.dry_run}"] if args.dry_run else []
    return run_all(args.recipe, runs, os.environ, [*flags, *([] if args.doctor else ["--no-doctor"])])


def parse_args(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="permix train",
        description=__doc__,
        epilog="knobs, in the environment or as KNOB=VALUE, and the keys that they set:\n" + "\n".join(help_lines()),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("recipe", help=f"one of: {', '.join(METHODS)}")
    parser.add_argument("settings", nargs="*", help="KNOB=VALUE, or key=value of the configuration (Hydra's grammar)")
    parser.add_argument(
        "--dry-run",
        nargs="?",
        const="config",
        choices=DRY_RUNS,
        help="train nothing, and print verl's resolved config (default), the overrides that lead to it, or the plan of "
        "memory and time; also DRY_RUN=1, overrides or plan",
    )
    parser.add_argument(
        "--no-doctor", dest="doctor", action="store_false", help="start without the checks; also DOCTOR=0"
    )
    parser.add_argument(
        "-m",
        "--multirun",
        action="store_true",
        help="train every combination of the values that settings list, as permix.kl=0.001,0.01",
    )
    args = parser.parse_intermixed_args(argv)
    knobs = dict(
        text.split("=", 1) for text in args.settings if text.split("=")[0] in ("DRY_RUN", "PLAN", "DOCTOR", "SEEDS")
    )
    variables = {**os.environ, **knobs}
    args.settings = [text for text in args.settings if text.split("=")[0] not in knobs]
    args.dry_run = args.dry_run or _dry_run(variables.get("DRY_RUN", "0"))
    args.doctor = args.doctor and variables.get("DOCTOR", "1") != "0"
    args.plan = variables.get("PLAN", "")
    args.seeds = whole_number(variables, "SEEDS", 1)
    return args


def _dry_run(text: str) -> str | None:
    from permix_verl.errors import UserError

    known = {"": None, "0": None, "1": "config", "overrides": "overrides", "plan": "plan"}
    if text not in known:
        raise UserError(f"unknown DRY_RUN {text!r}", "known: 1 overrides plan")
    return known[text]
