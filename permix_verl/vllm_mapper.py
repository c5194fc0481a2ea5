"""Alias for a method that verl calls on vLLM's weight mapper and that vLLM has renamed.

From vLLM 0.25 on, verl 0.9.1 calls ``WeightsMapper.get_unstacked_mapper()`` to name the layers of a synced adapter.
vLLM 0.29 renamed it to ``get_rename_mapper()``, so verl's first adapter sync would raise ``AttributeError``.
"""

from typing import Any

from packaging.version import Version

MODULE = "vllm.model_executor.models.utils"
CALLED, PRESENT = "get_unstacked_mapper", "get_rename_mapper"
SINCE = Version("0.25")
"""First vLLM version with which verl calls the method."""
RENAMED = ("0.29", "0.30", "0.31")
"""vLLM releases with the new name that were tested with verl 0.9.1."""


class MapperError(RuntimeError):
    """The installed vLLM has neither method, or was not tested."""


def problem(vllm_version: str, has_called: bool, has_present: bool) -> str | None:
    """Return why an adapter cannot be synced into this vLLM, or ``None``.

    Args:
        vllm_version: such as ``0.31.0`` or ``0.28.0+cpu``.
        has_called: whether its ``WeightsMapper`` has the method that verl calls.
        has_present: whether it has the method under its new name.
    """
    version = Version(vllm_version)
    if has_called or version < SINCE:
        return None
    release = ".".join(str(part) for part in version.release[:2])
    if has_present and release in RENAMED:
        return None
    return (
        f"verl 0.9.1 calls WeightsMapper.{CALLED}, which vLLM {vllm_version} does not have, and vLLM {release} was not "
        f"tested with permix_verl's replacement; install vLLM {RENAMED[-1]} or older (docs/versions.md)"
    )


def provide(module: Any) -> None:
    """Add the method that verl calls to ``WeightsMapper``, if vLLM has it under its new name.

    Args:
        module: vLLM's :data:`MODULE`.

    Raises:
        MapperError: :func:`problem` reports a problem.
    """
    from vllm import __version__

    mapper = module.WeightsMapper
    if text := problem(__version__, hasattr(mapper, CALLED), hasattr(mapper, PRESENT)):
        raise MapperError(text)
    if not hasattr(mapper, CALLED) and hasattr(mapper, PRESENT):
        setattr(mapper, CALLED, getattr(mapper, PRESENT))
