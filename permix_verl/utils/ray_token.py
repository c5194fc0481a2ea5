"""Ray's token authentication: the settings in force here, and the reply of a cluster's head to them.

    python -m permix_verl.utils.ray_token [HOST:PORT]

Runs as a separate program: Ray reads its variables once per process, and importing it takes seconds.
"""

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

from permix_verl.errors import first_line

REPLY_TIMEOUT_S = 10.0
"""Timeout of one request to a cluster's head."""
PROCESS_TIMEOUT_S = 90.0
"""Timeout of the program, including the import of Ray on a busy machine."""

Reply = Literal["", "accepted", "refused", "silent"]


@dataclass(frozen=True, slots=True)
class TokenAuth:
    """Ray's token settings in this environment, and how a cluster replied to them.

    Attributes:
        sends: whether Ray sends a token with every request (``RAY_AUTH_MODE``).
        has_token: whether Ray finds a token, sent or not.
        missing: Ray's error if it must send a token and has none; else empty.
        reply: the head's reply to one request; empty if none was made.
        detail: the error behind a reply other than "accepted".
        nodes: (total, free) resources of each node that is alive, by resource such as "CPU"; empty unless the head
            accepted and lists them.
    """

    sends: bool
    has_token: bool
    missing: str = ""
    reply: Reply = ""
    detail: str = ""
    nodes: Sequence[tuple[Mapping[str, float], Mapping[str, float]]] = ()

    def remedy(self) -> str:
        """Return what to do so that the cluster accepts this process."""
        if self.sends and self.has_token:
            return "give it the token that the cluster's head was started with"
        if self.has_token:
            return "export RAY_AUTH_MODE=token"
        return "export RAY_AUTH_MODE=token RAY_AUTH_TOKEN=... as on the cluster's nodes"


def probe_token_auth(address: str | None = None) -> TokenAuth:
    """Read the token settings of a new process in this environment.

    Args:
        address: ``HOST:PORT`` of a head to send a request to; ``None`` sends none.

    Raises:
        RuntimeError: the program failed or did not end in time.
    """
    command = [sys.executable, "-m", "permix_verl.utils.ray_token", *([address] if address else [])]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=PROCESS_TIMEOUT_S)
    except subprocess.TimeoutExpired as error:
        raise RuntimeError(f"no reply from Ray's own functions in {PROCESS_TIMEOUT_S:.0f} s") from error
    if done.returncode:
        raise RuntimeError((done.stderr.strip().splitlines() or [f"status {done.returncode}"])[-1])
    return TokenAuth(**json.loads(done.stdout.splitlines()[-1]))


def query_ray(address: str | None) -> TokenAuth:
    """Read the token settings of this process, with the functions that ``ray.init(address=...)`` calls."""
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
        return TokenAuth(sends, has_token, missing=first_line(error).split(". ")[0])
    if address is None:
        return TokenAuth(sends, has_token)
    return _request_head(address, TokenAuth(sends, has_token))


def _request_head(address: str, auth: TokenAuth) -> TokenAuth:
    import grpc
    from ray._private.grpc_utils import init_grpc_channel
    from ray.core.generated.gcs_service_pb2 import GetAllActorInfoRequest
    from ray.core.generated.gcs_service_pb2_grpc import ActorInfoGcsServiceStub

    # No proxy: Ray's own processes connect directly.
    channel = init_grpc_channel(address, options=[("grpc.enable_http_proxy", 0)])
    try:
        # The request that Ray's state API makes.
        ActorInfoGcsServiceStub(channel).GetAllActorInfo(GetAllActorInfoRequest(limit=1), timeout=REPLY_TIMEOUT_S)
    except grpc.RpcError as error:
        refused = error.code() is grpc.StatusCode.UNAUTHENTICATED
        detail = f"{error.code().name}: {error.details()}"
        return replace(auth, reply="refused" if refused else "silent", detail=detail)
    else:
        return replace(auth, reply="accepted", nodes=_nodes(channel))
    finally:
        channel.close()


def _nodes(channel: Any) -> list[tuple[dict[str, float], dict[str, float]]]:
    """Return :attr:`TokenAuth.nodes`."""
    import grpc
    from ray.core.generated import gcs_pb2, gcs_service_pb2, gcs_service_pb2_grpc

    try:
        nodes = gcs_service_pb2_grpc.NodeInfoGcsServiceStub(channel).GetAllNodeInfo(
            gcs_service_pb2.GetAllNodeInfoRequest(), timeout=REPLY_TIMEOUT_S
        )
        free = gcs_service_pb2_grpc.NodeResourceInfoGcsServiceStub(channel).GetAllAvailableResources(
            gcs_service_pb2.GetAllAvailableResourcesRequest(), timeout=REPLY_TIMEOUT_S
        )
    except (grpc.RpcError, AttributeError):  # AttributeError: another version of Ray
        return []
    available = {node.node_id: dict(node.resources_available) for node in free.resources_list}
    return [
        (dict(node.resources_total), available.get(node.node_id, {}))
        for node in nodes.node_info_list
        if node.state == gcs_pb2.GcsNodeInfo.ALIVE
    ]


def main() -> None:
    auth = query_ray(sys.argv[1] if len(sys.argv) > 1 else None)
    print(json.dumps(asdict(auth)), flush=True)
    os._exit(0)  # skip waiting for Ray's threads


if __name__ == "__main__":
    main()
