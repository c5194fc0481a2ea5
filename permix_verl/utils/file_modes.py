"""File modes that follow the umask where a library writes 0600."""

import os
from pathlib import Path


def give_usual_modes(folder: Path) -> None:
    """Give the safetensors files in a folder the mode of any other new file of this process.

    safetensors writes a temporary file of mode 0600 and renames it, so the weights stay unreadable for other accounts,
    such as a server's.
    """
    umask = os.umask(0o077)
    os.umask(umask)
    for file in folder.glob("*.safetensors"):
        file.chmod(0o666 & ~umask)
