"""Train with a recipe: PerMix-RLVR, RLVR, or a supervised baseline.

permix train permix_grpo                                  # PerMix-RLVR
permix train rlvr_grpo MODEL=Qwen/Qwen3-4B SEED=1         # upper-case knobs of the recipe
permix train permix_grpo actor_rollout_ref.rollout.n=16   # any key of verl's config
"""

import argparse
import os
import re
import sys
from collections.abc import Sequence

from permix_verl.cli.environment import ROOT
from permix_verl.errors import UserError

RECIPES = ROOT / "recipes"
_KNOB = re.compile(r"[A-Z][A-Z0-9_]*=")


def known_recipes() -> list[str]:
    """Return the names of this checkout's recipes, without ``run_`` and ``.sh``."""
    return sorted(path.stem.removeprefix("run_") for path in RECIPES.glob("run_*.sh"))


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description=(__doc__ or "").split("\n", 1)[0], formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("recipe", help=f"one of: {', '.join(known_recipes()) or 'the recipes of a checkout'}")
    parser.add_argument("settings", nargs="*", help="KNOB=VALUE of the recipe, or key=value of verl's config")
    args = parser.parse_args(argv)
    recipe = RECIPES / f"run_{args.recipe}.sh"
    if not RECIPES.is_dir():
        raise UserError("the wheel does not contain the recipes", "run this in a checkout of the project")
    if not recipe.is_file():
        raise UserError(f"unknown recipe {args.recipe!r}", f"known: {', '.join(known_recipes())}")
    knobs = dict(text.split("=", 1) for text in args.settings if _KNOB.match(text))
    rest = [text for text in args.settings if not _KNOB.match(text)]
    environment = {"PYTHON": sys.executable, "PERMIX_SKIP_SETUP": "1", **os.environ, **knobs}
    os.execvpe("bash", ["bash", str(recipe), *rest], environment)
