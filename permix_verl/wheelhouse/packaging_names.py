"""Names, versions and tags of wheels: ``packaging``, or pip's copy of it where there is pip alone."""

try:
    from packaging.tags import compatible_tags, cpython_tags
    from packaging.utils import canonicalize_name, parse_wheel_filename
    from packaging.version import Version
except ImportError:
    from pip._vendor.packaging.tags import compatible_tags, cpython_tags  # type: ignore[assignment]
    from pip._vendor.packaging.utils import canonicalize_name, parse_wheel_filename  # type: ignore[assignment]
    from pip._vendor.packaging.version import Version  # type: ignore[assignment]

__all__ = ["Version", "canonicalize_name", "compatible_tags", "cpython_tags", "parse_wheel_filename"]
