"""A method that verl calls on vLLM's weight mapper, under the name that vLLM has for it now.

verl 0.9.1 names the layers of a synced adapter with ``WeightsMapper.get_unstacked_mapper()``, from vLLM 0.25 on.
vLLM has had that method in 0.25 to 0.28. Since 0.29 it is ``get_rename_mapper()``, and verl's first adapter sync
raises ``AttributeError``. vLLM's own loading of adapters made the same change of name.
"""

from typing import Any

from packaging.version import Version

MODULE = "vllm.model_executor.models.utils"
CALLED, PRESENT = "get_unstacked_mapper", "get_rename_mapper"
SINCE = Version("0.25")
"""The first vLLM with which verl makes the call."""
RENAMED = ("0.29", "0.30", "0.31")
"""vLLM's releases with the new name that have been tried with verl 0.9.1."""


class MapperError(RuntimeError):
    """The installed vLLM has neither method, or is one that has not been tried."""


def problem(vllm_version: str, has_called: bool, has_present: bool) -> str | None:
    """Why an adapter cannot be synced into this vLLM, or ``None``.

    Args:
        vllm_version: such as ``0.31.0`` or ``0.28.0+cpu``.
        has_called: whether its ``WeightsMapper`` has the method that verl calls.
        has_present: whether it has the one with the new name.
    """
    version = Version(vllm_version)
    if has_called or version < SINCE:
        return None
    release = ".".join(str(part) for part in version.release[:2])
    if has_present and release in RENAMED:
        return None
    return (
        f"verl 0.9.1 calls WeightsMapper.{CALLED}, which vLLM {vllm_version} does not have, and vLLM {release} has not "
        f"been tried with permix_verl's replacement for it; install vLLM {RENAMED[-1]} or older (docs/versions.md)"
    )


def provide(module: Any) -> None:
    """Give ``WeightsMapper`` the method that verl calls, where vLLM has it by its new name.

    Args:
        module: vLLM's :data:`MODULE`, just imported.

    Raises:
        MapperError: a vLLM for which :func:`problem` has something to say.
    """
    from vllm import __version__

    mapper = module.WeightsMapper
    if said := problem(__version__, hasattr(mapper, CALLED), hasattr(mapper, PRESENT)):
        raise MapperError(said)
    if not hasattr(mapper, CALLED) and hasattr(mapper, PRESENT):
        setattr(mapper, CALLED, getattr(mapper, PRESENT))
