"""File modes by the umask, where a library writes 0600."""

import os
from pathlib import Path


def give_usual_modes(folder: Path) -> None:
    """Give the safetensors files in a folder the mode that any other new file of this process gets.

    safetensors writes into a temporary file of mode 0600, moves it into place and leaves the mode: nobody else, such
    as a server under another account, could read the weights.
    """
    umask = os.umask(0o077)
    os.umask(umask)
    for file in folder.glob("*.safetensors"):
        file.chmod(0o666 & ~umask)
