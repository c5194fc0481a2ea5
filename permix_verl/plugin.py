"""Plugin that verl loads in all its processes, through the ``verl.plugins`` entry point.

On every machine it adds the method that verl calls to vLLM's weight mapper. Without an accelerator it also registers
the CPU platform and its patches. verl logs a failing plugin at DEBUG level only, so a failure is also printed.
"""

import sys

import wrapt

from permix_verl import vllm_mapper
from permix_verl.platform_cpu.detect import PLATFORM_NAME, cpu_platform_wanted
from permix_verl.training.key_reads import recorder

active: bool = False
"""True if the CPU platform is set up in this process."""


def _load() -> bool:
    recorder.install()
    wrapt.register_post_import_hook(vllm_mapper.provide, vllm_mapper.MODULE)
    if not cpu_platform_wanted():
        return False
    from verl.plugin.platform import PlatformRegistry

    from permix_verl.platform_cpu.patches import apply_all
    from permix_verl.platform_cpu.platform import PlatformCPU

    apply_all()
    PlatformRegistry.register(platform=PLATFORM_NAME)(PlatformCPU)
    return True


try:
    active = _load()
except Exception as exception:
    print(f"permix_verl: the CPU platform for verl could not be set up: {exception}", file=sys.stderr)
    raise
