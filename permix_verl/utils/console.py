"""Commands in messages, written so that they work in the user's shell."""

import os
import shutil
import sys
from pathlib import Path


def permix_command() -> str:
    """Return how to call ``permix``: by name if it is this environment's on PATH, else by its path."""
    script = Path(sys.executable).with_name("permix")
    if shutil.which("permix") == str(script) or not script.is_file():
        return "permix"
    inside = script.is_relative_to(Path.cwd())
    return os.path.relpath(script) if inside else str(script)
