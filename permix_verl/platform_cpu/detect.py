"""Detection of whether verl should run on the CPU platform in this process."""

import importlib.util
import os

PLATFORM_NAME = "cpu"


def cpu_platform_wanted() -> bool:
    """Return whether ``VERL_PLATFORM=cpu``, or it is unset and torch supports no accelerator.

    A torch built for an accelerator counts as one even if no device is visible: on a GPU cluster, verl's CPU-only
    actors look like that.
    """
    platform = os.environ.get("VERL_PLATFORM", "").strip().lower()
    if platform:
        return platform == PLATFORM_NAME
    import torch

    built_for_accelerator = torch.version.cuda is not None or torch.version.hip is not None
    return not built_for_accelerator and importlib.util.find_spec("torch_npu") is None
