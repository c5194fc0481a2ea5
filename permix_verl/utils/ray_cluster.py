"""The Ray cluster that ``RAY_ADDRESS`` names, or a Ray of this process's own."""

import contextlib
import os
import socket
import time
from collections.abc import Collection, Iterator

from permix_verl.errors import UserError, first_line
from permix_verl.utils.ray_token import ask_ray

ANSWER_S = 2.0
GIVEN_UP_S = 20.0
"""Seconds after which Ray has noticed that a node is gone: it waits for five of its signs of life, 3 s apart."""


def host_and_port(address: str) -> tuple[str, int] | None:
    """Of ``HOST:PORT``; ``None`` of another form of address, which is Ray's to read."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    return (host, int(port)) if host and port.isdigit() else None


def knock(place: tuple[str, int]) -> None:
    """Return if something listens there: Ray itself goes on trying for many minutes where nothing does.

    Raises:
        OSError: nothing does, within two seconds.
    """
    socket.create_connection(place, timeout=ANSWER_S).close()


def connect() -> None:
    """Connect this process; Ray's workers stay silent.

    Raises:
        UserError: the cluster cannot be reached, or Ray cannot be started here.
    """
    import ray

    address = os.environ.get("RAY_ADDRESS")
    try:
        if address:
            place = host_and_port(address)
            if place:
                knock(place)
            if place and not address.startswith("ray://"):
                _ask(f"{place[0]}:{place[1]}")
            ray.init(address=address, log_to_driver=False, logging_level="ERROR")
        else:
            ray.init(address="local", log_to_driver=False, include_dashboard=False)
    except Exception as error:
        if not address:
            raise UserError(
                f"cannot start Ray on this machine ({first_line(error)}); see that /tmp has room"
            ) from error
        raise UserError(
            f"cannot reach the Ray cluster RAY_ADDRESS={address} ({first_line(error)}); {_remedy(error)}, or "
            "unset RAY_ADDRESS"
        ) from error


def _ask(head: str) -> None:
    """Return if a head of Ray lets this process in: where something else listens, Ray itself waits for many minutes.

    Raises:
        RuntimeError: it does not.
    """
    from ray.exceptions import AuthenticationError

    found = ask_ray(head)
    if found.missing or found.answer == "refused":
        raise AuthenticationError(found.missing or "the cluster asks for its token")
    if found.answer == "silent":
        raise ConnectionError(f"what listens there does not answer as the head of a Ray cluster: {found.detail}")


def _remedy(error: Exception) -> str:
    """Against a connection that failed; of the token it depends on what Ray does with it in this environment."""
    from ray.exceptions import AuthenticationError

    if isinstance(error, AuthenticationError) or "authenticat" in str(error).lower():
        return ask_ray(None).remedy()
    return "start it with ray start --head"


@contextlib.contextmanager
def connected() -> Iterator[None]:
    """:func:`connect`, for the time of the block.

    Raises:
        UserError: as there.
    """
    import ray

    connect()
    try:
        yield
    finally:
        ray.shutdown()


def nodes_alive() -> list[str]:
    """Ray's ids of the cluster's nodes that are alive.

    Raises:
        UserError: the cluster cannot be reached.
    """
    import ray

    with connected():
        return [node["NodeID"] for node in ray.nodes() if node["Alive"]]


def nodes_lost(before: Collection[str], wait_s: float = GIVEN_UP_S) -> list[str]:
    """Addresses of those nodes, by Ray's ids, that are gone; waits until one is, or ``wait_s`` are over.

    Raises:
        UserError: the cluster can no longer be reached.
    """
    import ray

    until = time.monotonic() + wait_s
    with connected():
        while True:
            lost = [node for node in ray.nodes() if node["NodeID"] in before and not node["Alive"]]
            if lost or time.monotonic() >= until:
                return [node["NodeManagerAddress"] for node in lost]
            time.sleep(1)
