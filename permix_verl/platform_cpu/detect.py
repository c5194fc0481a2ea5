"""Whether verl should run on the CPU platform in this process."""

import importlib.util
import os

PLATFORM_NAME = "cpu"


def cpu_platform_wanted() -> bool:
    """True where ``VERL_PLATFORM=cpu``, or nothing is asked for and no accelerator can be driven.

    A torch built for an accelerator counts as one even where no device is visible:
    on a GPU cluster, verl's own CPU-only actors look just like that.
    """
    asked_for = os.environ.get("VERL_PLATFORM", "").strip().lower()
    if asked_for:
        return asked_for == PLATFORM_NAME
    import torch

    built_for_accelerator = torch.version.cuda is not None or torch.version.hip is not None
    return not built_for_accelerator and importlib.util.find_spec("torch_npu") is None
