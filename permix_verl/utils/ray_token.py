"""What Ray does about its token in this environment, and what the cluster says to that: both asked of Ray itself.

    python -m permix_verl.utils.ray_token [HOST:PORT]

A program of its own: Ray reads its variables once a process, and its import takes seconds.
"""

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

from permix_verl.errors import first_line

ANSWER_S = 10.0
"""Seconds in which a head answers one question."""
PROCESS_S = 90.0
"""Seconds for the program, the import of Ray on a busy machine among them."""

Answer = Literal["", "accepted", "refused", "silent"]


@dataclass(frozen=True, slots=True)
class Login:
    """How a process here comes to a cluster.

    Attributes:
        sends: whether Ray's mode is to send a token with every request.
        has_token: whether Ray finds one, be it sent or not.
        missing: Ray's own words where it wants to send a token and cannot; else empty.
        answer: of the cluster to one question; empty where none was asked.
        detail: the answer's own words, where it is not "accepted".
        nodes: of a cluster that accepted, (what each node has, what of that is free) by resource, such as "CPU"; empty
            where it cannot be read.
    """

    sends: bool
    has_token: bool
    missing: str = ""
    answer: Answer = ""
    detail: str = ""
    nodes: Sequence[tuple[Mapping[str, float], Mapping[str, float]]] = ()

    def remedy(self) -> str:
        """What to do so that the cluster accepts this process."""
        if self.sends and self.has_token:
            return "give it the token that the cluster's head was started with"
        if self.has_token:
            return "export RAY_AUTH_MODE=token"
        return "export RAY_AUTH_MODE=token RAY_AUTH_TOKEN=... as on the cluster's nodes"


def login(address: str | None = None) -> Login:
    """Of a process that is started in this environment.

    Args:
        address: ``HOST:PORT`` of a head that is to be asked; ``None`` asks no one.

    Raises:
        RuntimeError: Ray cannot be asked here.
    """
    command = [sys.executable, "-m", "permix_verl.utils.ray_token", *([address] if address else [])]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=PROCESS_S)
    except subprocess.TimeoutExpired as error:
        raise RuntimeError(f"no answer from Ray's own functions in {PROCESS_S:.0f} s") from error
    if done.returncode:
        raise RuntimeError((done.stderr.strip().splitlines() or [f"status {done.returncode}"])[-1])
    return Login(**json.loads(done.stdout.splitlines()[-1]))


def ask_ray(address: str | None) -> Login:
    """:func:`login` of this process itself, by the functions that ``ray.init`` calls for an address that is given."""
    from ray._private.authentication.authentication_token_setup import (
        AuthenticationTokenLoader,
        ensure_token_if_auth_enabled,
    )
    from ray._private.authentication.authentication_utils import is_token_auth_enabled
    from ray.exceptions import AuthenticationError

    sends = is_token_auth_enabled()
    try:
        has_token = AuthenticationTokenLoader.instance().has_token(ignore_auth_mode=True)
    except AuthenticationError:  # RAY_AUTH_TOKEN_PATH names a file that is missing or empty
        has_token = False
    try:
        ensure_token_if_auth_enabled(None, create_token_if_missing=False)
    except AuthenticationError as error:
        return Login(sends, has_token, missing=first_line(error).split(". ")[0])
    if address is None:
        return Login(sends, has_token)
    return _ask_head(address, Login(sends, has_token))


def _ask_head(address: str, login: Login) -> Login:
    import grpc
    from ray._private.grpc_utils import init_grpc_channel
    from ray.core.generated.gcs_service_pb2 import GetAllActorInfoRequest
    from ray.core.generated.gcs_service_pb2_grpc import ActorInfoGcsServiceStub

    # A cluster is reached directly, as Ray's own processes do.
    channel = init_grpc_channel(address, options=[("grpc.enable_http_proxy", 0)])
    try:
        # As Ray's own state API asks a head.
        ActorInfoGcsServiceStub(channel).GetAllActorInfo(GetAllActorInfoRequest(limit=1), timeout=ANSWER_S)
    except grpc.RpcError as error:
        refused = error.code() is grpc.StatusCode.UNAUTHENTICATED
        detail = f"{error.code().name}: {error.details()}"
        return replace(login, answer="refused" if refused else "silent", detail=detail)
    else:
        return replace(login, answer="accepted", nodes=_nodes(channel))
    finally:
        channel.close()


def _nodes(channel: Any) -> list[tuple[dict[str, float], dict[str, float]]]:
    """As :attr:`Login.nodes`, of those that are alive."""
    import grpc
    from ray.core.generated import gcs_pb2, gcs_service_pb2, gcs_service_pb2_grpc

    try:
        nodes = gcs_service_pb2_grpc.NodeInfoGcsServiceStub(channel).GetAllNodeInfo(
            gcs_service_pb2.GetAllNodeInfoRequest(), timeout=ANSWER_S
        )
        free = gcs_service_pb2_grpc.NodeResourceInfoGcsServiceStub(channel).GetAllAvailableResources(
            gcs_service_pb2.GetAllAvailableResourcesRequest(), timeout=ANSWER_S
        )
    except (grpc.RpcError, AttributeError):  # of another version of Ray
        return []
    available = {node.node_id: dict(node.resources_available) for node in free.resources_list}
    return [
        (dict(node.resources_total), available.get(node.node_id, {}))
        for node in nodes.node_info_list
        if node.state == gcs_pb2.GcsNodeInfo.ALIVE
    ]


def main() -> None:
    found = ask_ray(sys.argv[1] if len(sys.argv) > 1 else None)
    print(json.dumps(asdict(found)), flush=True)
    os._exit(0)  # Ray's threads need not be waited for


if __name__ == "__main__":
    main()
