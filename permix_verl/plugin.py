"""What verl loads through the ``verl.plugins`` entry point, in every one of its processes.

On every machine it gives vLLM's weight mapper the method that verl calls. Without an
accelerator it also registers the CPU platform and its patches. verl logs a plugin that
fails at DEBUG only, so a failure here is also printed.
"""

import sys

import wrapt

from permix_verl import vllm_mapper
from permix_verl.platform_cpu.detect import PLATFORM_NAME, cpu_platform_wanted

active: bool = False
"""Whether the CPU platform was set up in this process."""


def _load() -> bool:
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
