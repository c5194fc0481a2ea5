"""Run a script of the checkout in the environment that has the project's packages.

Standard library only, without syntax newer than Python 3.8: any ``python`` may start a script.
"""

import os
import sys
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
"""Root folder of the checkout."""
DEPENDENCIES = ("datasets", "math_verify", "numpy", "pyarrow", "scipy", "transformers")
"""Modules of the project's requirements. ``permix_verl`` itself is importable from any checkout."""


def is_installed():
    # type: () -> bool
    """Return True if this Python has the project's requirements."""
    return all(find_spec(name) for name in DEPENDENCIES)


def environment_python():
    # type: () -> Path
    """Return the Python of the recipes' environment: ``VENV``, or ``.venv`` in the checkout."""
    return Path(os.environ.get("VENV") or ROOT / ".venv") / "bin" / "python"


def run_script(verb):
    # type: (str) -> None
    """Run a verb of :mod:`permix_verl.cli.main` with the script's arguments, and exit.

    A Python without the requirements is replaced by that of the recipes' environment.
    """
    if not is_installed():
        python = environment_python()
        if python.is_file() and Path(sys.prefix).resolve() != python.parents[1].resolve():
            os.execv(str(python), [str(python), *sys.argv])
        print(
            "error: {} does not have this project's packages, and there is no {}; run bash recipes/setup_env.sh once, "
            "or {} -m pip install -e {}".format(sys.executable, python, sys.executable, ROOT),
            file=sys.stderr,
        )
        sys.exit(2)
    verbs = import_module("permix_verl.cli.main")
    import_module("permix_verl.errors").exit_with_message(lambda: verbs.run([verb, *sys.argv[1:]]))
