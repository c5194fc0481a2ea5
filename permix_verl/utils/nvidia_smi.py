"""GPUs through ``nvidia-smi``, which is there wherever a driver is."""

import os
import shutil
import subprocess

_TIMEOUT_S = 30


def nvidia_smi(*arguments: str) -> str:
    """Return the output of ``nvidia-smi``; empty if it is missing or fails."""
    if shutil.which("nvidia-smi") is None:
        return ""
    try:
        done = subprocess.run(["nvidia-smi", *arguments], capture_output=True, text=True, timeout=_TIMEOUT_S)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout if done.returncode == 0 else ""


def query_gpus(*fields: str) -> list[list[str]]:
    """Return fields of the GPUs that CUDA_VISIBLE_DEVICES selects, as text without units; one list per GPU."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible == "":
        return []
    selection = [f"--id={visible}"] if visible else []
    text = nvidia_smi(f"--query-gpu={','.join(fields)}", "--format=csv,noheader,nounits", *selection)
    rows = ([part.strip() for part in line.rsplit(",", len(fields) - 1)] for line in text.splitlines())
    return [row for row in rows if len(row) == len(fields)]
