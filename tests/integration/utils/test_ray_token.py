"""Ray's authentication token: the behaviour of Ray's own functions, and the replies of a guarded head node."""

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from ray.exceptions import AuthenticationError

from permix_verl import UserError
from permix_verl.preflight.doctor import cluster
from permix_verl.preflight.doctor.types import Finding, Setup
from permix_verl.utils import ray_cluster
from permix_verl.utils.ray_token import Reply, TokenAuth, probe_token_auth

VARIABLES = ("RAY_ADDRESS", "RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH")
TOKEN = "of-the-cluster"
BY_PATH = "{home}/elsewhere"

HEAD = """
from ray._private.grpc_utils import create_grpc_server_with_interceptors
from ray.core.generated import gcs_service_pb2, gcs_service_pb2_grpc
class Head(gcs_service_pb2_grpc.ActorInfoGcsServiceServicer):
    def GetAllActorInfo(self, request, context):
        return gcs_service_pb2.GetAllActorInfoReply()
server = create_grpc_server_with_interceptors(max_workers=2)
gcs_service_pb2_grpc.add_ActorInfoGcsServiceServicer_to_server(Head(), server)
print(server.add_insecure_port("127.0.0.1:0"), flush=True)
server.start()
server.wait_for_termination()
"""
"""Server of a head node behind Ray's own interceptors, without a cluster."""

Home = Path


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "elsewhere").write_text(f"{TOKEN}\n")
    return tmp_path


def heads(**variables: str) -> Iterator[str]:
    environment = {name: value for name, value in os.environ.items() if name not in VARIABLES} | variables
    command = [sys.executable, "-c", HEAD]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield f"127.0.0.1:{process.stdout.readline().strip()}"
        finally:
            process.kill()


@pytest.fixture(scope="module")
def guarded() -> Iterator[str]:
    """Address of a head node that requires its token."""
    yield from heads(RAY_AUTH_MODE="token", RAY_AUTH_TOKEN=TOKEN)


@pytest.fixture(scope="module")
def open_to_all() -> Iterator[str]:
    """Address of a head node with RAY_AUTH_MODE=disabled."""
    yield from heads(RAY_AUTH_MODE="disabled")


def set_variables(given: dict[str, str], home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in given.items():
        if name == "file":
            (home / ".ray").mkdir()
            (home / ".ray" / "auth_token").write_text(value)
        else:
            monkeypatch.setenv(name, value.format(home=home))


def finding(address: str, monkeypatch: pytest.MonkeyPatch) -> Finding:
    monkeypatch.setenv("RAY_ADDRESS", address)
    (outcome,) = cluster.ray_cluster(Setup())
    return outcome


@pytest.mark.parametrize(
    ("given", "sends", "has_token", "problem", "remedy"),
    [
        ({}, False, False, "Ray sends none, because RAY_AUTH_MODE is unset", "RAY_AUTH_TOKEN=... as on"),
        (
            {"RAY_AUTH_TOKEN": TOKEN},
            False,
            True,
            "sends none, because RAY_AUTH_MODE is unset",
            "export RAY_AUTH_MODE=token",
        ),
        ({"file": TOKEN}, False, True, "sends none, because RAY_AUTH_MODE is unset", "export RAY_AUTH_MODE=token"),
        (
            {"RAY_AUTH_MODE": "disabled", "RAY_AUTH_TOKEN": TOKEN},
            False,
            True,
            "sends none, because RAY_AUTH_MODE is disabled",
            "export RAY_AUTH_MODE=token",
        ),
        ({"RAY_AUTH_MODE": "token"}, True, False, "Ray has no token to send", "RAY_AUTH_TOKEN=... as on"),
        (
            {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN_PATH": "/nowhere"},
            True,
            False,
            "RAY_AUTH_TOKEN_PATH is set but file cannot be opened or is empty: /nowhere",
            "RAY_AUTH_TOKEN=... as on",
        ),
        ({"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": "x"}, True, True, "Ray sends another one", "head was started"),
        ({"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": TOKEN}, True, True, "", ""),
        ({"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN_PATH": BY_PATH}, True, True, "", ""),
        ({"RAY_AUTH_MODE": "token", "file": TOKEN}, True, True, "", ""),
    ],
)
def test_a_head_node_with_token_authentication(
    given: dict[str, str],
    sends: bool,
    has_token: bool,
    problem: str,
    remedy: str,
    guarded: str,
    home: Home,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    set_variables(given, home, monkeypatch)
    here = probe_token_auth()
    assert (here.sends, here.has_token, here.reply) == (sends, has_token, "")
    outcome = finding(guarded, monkeypatch)
    assert outcome.severity == ("error" if problem else "ok"), outcome
    assert problem in outcome.text
    assert remedy in outcome.remedy


@pytest.mark.parametrize("given", [{}, {"RAY_AUTH_MODE": "disabled"}, {"RAY_AUTH_TOKEN": TOKEN}])
def test_a_head_node_without_authentication_needs_no_token(
    given: dict[str, str], open_to_all: str, home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_variables(given, home, monkeypatch)
    outcome = finding(open_to_all, monkeypatch)
    assert (outcome.severity, outcome.remedy) == ("ok", ""), outcome


def test_a_silent_server_is_an_error_and_no_query_a_warning(guarded: str, monkeypatch: pytest.MonkeyPatch) -> None:
    silent = TokenAuth(sends=False, has_token=False, reply="silent", detail="UNAVAILABLE: x")
    monkeypatch.setattr(cluster, "probe_token_auth", lambda head: silent)
    outcome = finding(guarded, monkeypatch)
    assert outcome.severity == "error"
    assert "does not answer as the head of a Ray cluster (UNAVAILABLE: x)" in outcome.text
    monkeypatch.setattr(cluster, "probe_token_auth", probe_token_auth)
    monkeypatch.setattr(sys, "executable", "/bin/false")
    assert finding(guarded, monkeypatch).severity == "warning"


@pytest.mark.parametrize(
    ("problem", "remedy"),
    [(AuthenticationError("invalid token"), "export RAY_AUTH_MODE=token"), (RuntimeError("x"), "ray start --head")],
)
def test_a_connection_that_fails_names_the_remedy(
    problem: Exception, remedy: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(**given: object) -> None:
        raise problem

    monkeypatch.setattr("ray.init", fails)
    monkeypatch.setattr(ray_cluster, "query_ray", lambda address: TokenAuth(sends=False, has_token=True))
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        monkeypatch.setenv("RAY_ADDRESS", f"127.0.0.1:{listening.getsockname()[1]}")
        with pytest.raises(UserError, match=rf"cannot reach the Ray cluster .*; .*{remedy}.*, or unset RAY_ADDRESS"):
            ray_cluster.connect()


@pytest.mark.parametrize("answer", ["silent", "refused"])
def test_a_hopeless_connection_is_refused_at_once(answer: Reply, monkeypatch: pytest.MonkeyPatch) -> None:
    """``ray.init`` retries for many minutes if the listener is no Ray head node."""
    monkeypatch.setattr("ray.init", lambda **given: pytest.fail("it would wait"))
    asked = TokenAuth(sends=False, has_token=False, reply=answer, detail="DEADLINE_EXCEEDED: x")
    monkeypatch.setattr(ray_cluster, "query_ray", lambda address: asked)
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        monkeypatch.setenv("RAY_ADDRESS", f"127.0.0.1:{listening.getsockname()[1]}")
        told = "does not answer as the head of a Ray cluster" if answer == "silent" else "asks for its token"
        with pytest.raises(UserError, match=told):
            ray_cluster.connect()
