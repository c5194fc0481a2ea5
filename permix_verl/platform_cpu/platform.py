"""A verl platform for machines without an accelerator.

verl expects a device module with the interface of ``torch.cuda``. ``torch.cpu`` has half of it;
:class:`CpuDeviceModule` adds the rest, with the process's resident memory instead of an allocator's counters.
"""

import contextlib
import os
import types
from collections.abc import Iterator
from typing import Any

import psutil
import torch
from verl.plugin.platform import PlatformBase


class CpuDeviceModule(types.ModuleType):
    """``torch.cpu`` plus the calls of ``torch.cuda`` that verl makes on every device module."""

    def __init__(self) -> None:
        super().__init__("permix_verl.platform_cpu.device_module")
        self._peak_bytes = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(torch.cpu, name)

    def is_available(self) -> bool:
        """Return False: verl uses this to detect an accelerator."""
        return False

    def current_device(self) -> torch.device:
        return torch.device("cpu")

    def set_device(self, device: Any) -> None:
        """There is one device."""

    def get_device_name(self, device: Any = None) -> str:
        return "CPU"

    def manual_seed(self, seed: int) -> None:
        torch.manual_seed(seed)

    manual_seed_all = manual_seed

    def get_rng_state(self, device: Any = None) -> torch.Tensor:
        return torch.get_rng_state()

    def set_rng_state(self, state: torch.Tensor, device: Any = None) -> None:
        torch.set_rng_state(state)

    def empty_cache(self) -> None:
        """There is no caching allocator."""

    def ipc_collect(self) -> None:
        """There are no device IPC handles."""

    def memory_allocated(self, device: Any = None) -> int:
        """Return the resident memory of this process in bytes."""
        resident = psutil.Process().memory_info().rss
        self._peak_bytes = max(self._peak_bytes, resident)
        return resident

    memory_reserved = memory_allocated

    def max_memory_allocated(self, device: Any = None) -> int:
        """Return the largest resident memory that these calls have seen, in bytes."""
        self.memory_allocated()
        return self._peak_bytes

    max_memory_reserved = max_memory_allocated

    def reset_peak_memory_stats(self, device: Any = None) -> None:
        self._peak_bytes = 0

    def mem_get_info(self, device: Any = None) -> tuple[int, int]:
        """Return the machine's available and total memory in bytes."""
        memory = psutil.virtual_memory()
        return memory.available, memory.total


class PlatformCPU(PlatformBase):
    """CPU platform: gloo for collectives, shared memory for weights, Ray's GPU resource as a logical slot."""

    _device_module = CpuDeviceModule()

    @property
    def device_name(self) -> str:
        return "cpu"

    @property
    def vendor_name(self) -> str:
        return "cpu"

    @property
    def device_module(self) -> types.ModuleType:
        return self._device_module

    def is_available(self) -> bool:
        return True

    def is_platform_available(self, use_smi_check: bool = False) -> bool:
        from permix_verl.platform_cpu.detect import cpu_platform_wanted

        return cpu_platform_wanted()

    def current_device(self) -> torch.device:
        """Return a device, not an index: ``torch.device(0)`` would be ``cuda:0``."""
        return torch.device("cpu")

    def device_count(self) -> int:
        return 1

    def set_device(self, device_index: int) -> None:
        """There is one device."""

    def synchronize(self, device_index: int | None = None) -> None:
        """CPU kernels return when they are done."""

    def manual_seed(self, seed: int) -> None:
        torch.manual_seed(seed)

    manual_seed_all = manual_seed

    def set_allocator_settings(self, settings: str) -> None:
        """There is no caching allocator."""

    def empty_cache(self) -> None:
        """There is no caching allocator."""

    def get_device_capability(self, device_index: int = 0) -> tuple[int | None, int | None]:
        return None, None

    def communication_backend_name(self) -> str:
        return "gloo"

    def visible_devices_envvar(self) -> str:
        return "CUDA_VISIBLE_DEVICES"

    @contextlib.contextmanager
    def nvtx_range(self, msg: str) -> Iterator[None]:
        yield

    def profiler_start(self) -> None:
        """No device profiler."""

    def profiler_stop(self) -> None:
        """No device profiler."""

    def ray_resource_name(self) -> str:
        """Return "GPU", which Ray schedules as a logical resource on any machine (``ray_init.num_gpus``)."""
        return "GPU"

    def ray_noset_envvars(self) -> list[str]:
        return ["RAY_EXPERIMENTAL_NOSET_CUDA_VISIBLE_DEVICES"]

    def is_ipc_supported(self) -> bool:
        """Return False: there is no device IPC, and weights are sent through shared memory."""
        return False

    def rollout_env_vars(self) -> dict[str, str]:
        return {name: value for name, value in os.environ.items() if name.startswith("VLLM_CPU_")}

    def cudart(self) -> None:
        return None
