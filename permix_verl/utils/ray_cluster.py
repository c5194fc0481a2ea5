"""Connections to the Ray cluster at ``RAY_ADDRESS``, or to a local Ray instance."""

import contextlib
import os
import socket
import time
from collections.abc import Collection, Iterator

from permix_verl.errors import UserError, first_line
from permix_verl.utils.ray_token import query_ray

CONNECT_TIMEOUT_S = 2.0
NODE_TIMEOUT_S = 20.0
"""Seconds after which Ray has declared a lost node dead: five missed heartbeats, 3 s apart."""


def host_and_port(address: str) -> tuple[str, int] | None:
    """Split ``HOST:PORT``; return ``None`` for other forms of address, which only Ray can read."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    return (host, int(port)) if host and port.isdigit() else None


def check_port_open(address: tuple[str, int]) -> None:
    """Check that something listens at (host, port): Ray itself would retry for many minutes.

    Raises:
        OSError: no connection within :data:`CONNECT_TIMEOUT_S`.
    """
    socket.create_connection(address, timeout=CONNECT_TIMEOUT_S).close()


def connect() -> None:
    """Connect this process to Ray, without its workers' output.

    Raises:
        UserError: the cluster cannot be reached, or Ray cannot be started here.
    """
    import ray

    address = os.environ.get("RAY_ADDRESS")
    try:
        if address:
            host_port = host_and_port(address)
            if host_port:
                check_port_open(host_port)
            if host_port and not address.startswith("ray://"):
                _check_accepted(f"{host_port[0]}:{host_port[1]}")
            ray.init(address=address, log_to_driver=False, logging_level="ERROR")
        else:
            ray.init(address="local", log_to_driver=False, include_dashboard=False)
    except Exception as error:
        if not address:
            raise UserError(
                f"cannot start Ray on this machine ({first_line(error)})", "check that /tmp has free space"
            ) from error
        raise UserError(
            f"cannot reach the Ray cluster RAY_ADDRESS={address} ({first_line(error)})",
            f"{_remedy(error)}, or unset RAY_ADDRESS",
        ) from error


def _check_accepted(head: str) -> None:
    """Check that a Ray head listens at ``HOST:PORT`` and accepts this process: Ray itself would retry for many minutes.

    Raises:
        AuthenticationError: the head refuses the token, or Ray has none to send.
        ConnectionError: no Ray head.
    """
    from ray.exceptions import AuthenticationError

    auth = query_ray(head)
    if auth.missing or auth.reply == "refused":
        raise AuthenticationError(auth.missing or "the cluster asks for its token")
    if auth.reply == "silent":
        raise ConnectionError(f"what listens there does not answer as the head of a Ray cluster: {auth.detail}")


def _remedy(error: Exception) -> str:
    """Return what to do about a failed connection; an authentication error depends on Ray's token settings here."""
    from ray.exceptions import AuthenticationError

    if isinstance(error, AuthenticationError) or "authenticat" in str(error).lower():
        return query_ray(None).remedy()
    return "start it with ray start --head"


@contextlib.contextmanager
def connected() -> Iterator[None]:
    """Connect to Ray (:func:`connect`) while the block runs.

    Raises:
        UserError: as in :func:`connect`.
    """
    import ray

    connect()
    try:
        yield
    finally:
        ray.shutdown()


def nodes_alive() -> list[str]:
    """Return Ray's ids of the nodes that are alive.

    Raises:
        UserError: the cluster cannot be reached.
    """
    import ray

    with connected():
        return [node["NodeID"] for node in ray.nodes() if node["Alive"]]


def nodes_lost(before: Collection[str], wait_s: float = NODE_TIMEOUT_S) -> list[str]:
    """Return the addresses of the nodes in ``before`` (Ray's ids) that have died; wait up to ``wait_s`` for the first.

    Raises:
        UserError: the cluster can no longer be reached.
    """
    import ray

    deadline = time.monotonic() + wait_s
    with connected():
        while True:
            lost = [node for node in ray.nodes() if node["NodeID"] in before and not node["Alive"]]
            if lost or time.monotonic() >= deadline:
                return [node["NodeManagerAddress"] for node in lost]
            time.sleep(1)
