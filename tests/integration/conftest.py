"""The fixtures of ``tests/support/endpoint_fixtures.py``."""

from ..support.endpoint_fixtures import engine_for, no_proxy, server

__all__ = ["engine_for", "no_proxy", "server"]
