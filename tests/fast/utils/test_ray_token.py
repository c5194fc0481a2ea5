"""Ray's token: what Ray does about it here, by its own functions, and what a head with Ray's own guard says to that."""

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
"""What a head answers behind the interceptors that Ray puts before its servers; a cluster is not needed for it."""

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
    """Address of a head that asks for its token."""
    yield from heads(RAY_AUTH_MODE="token", RAY_AUTH_TOKEN=TOKEN)


@pytest.fixture(scope="module")
def open_to_all() -> Iterator[str]:
    """Address of a head that was started with RAY_AUTH_MODE=disabled."""
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
    (found,) = cluster.ray_cluster(Setup())
    return found


@pytest.mark.parametrize(
    ("given", "sends", "has_token", "problem", "remedy"),
    [
        ({}, False, False, "Ray sends none, as RAY_AUTH_MODE is unset", "RAY_AUTH_TOKEN=... as on"),
        ({"RAY_AUTH_TOKEN": TOKEN}, False, True, "sends none, as RAY_AUTH_MODE is unset", "export RAY_AUTH_MODE=token"),
        ({"file": TOKEN}, False, True, "sends none, as RAY_AUTH_MODE is unset", "export RAY_AUTH_MODE=token"),
        (
            {"RAY_AUTH_MODE": "disabled", "RAY_AUTH_TOKEN": TOKEN},
            False,
            True,
            "sends none, as RAY_AUTH_MODE is disabled",
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
def test_a_head_that_asks_for_its_token(
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
    found = finding(guarded, monkeypatch)
    assert found.severity == ("error" if problem else "ok"), found
    assert problem in found.text
    assert remedy in found.remedy


@pytest.mark.parametrize("given", [{}, {"RAY_AUTH_MODE": "disabled"}, {"RAY_AUTH_TOKEN": TOKEN}])
def test_a_head_that_asks_for_none_needs_none(
    given: dict[str, str], open_to_all: str, home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_variables(given, home, monkeypatch)
    found = finding(open_to_all, monkeypatch)
    assert (found.severity, found.remedy) == ("ok", ""), found


def test_what_is_no_head_of_ray_and_a_ray_that_cannot_be_asked(guarded: str, monkeypatch: pytest.MonkeyPatch) -> None:
    silent = TokenAuth(sends=False, has_token=False, reply="silent", detail="UNAVAILABLE: x")
    monkeypatch.setattr(cluster, "probe_token_auth", lambda head: silent)
    found = finding(guarded, monkeypatch)
    assert found.severity == "error"
    assert "does not answer as the head of a Ray cluster (UNAVAILABLE: x)" in found.text
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
def test_what_ray_would_wait_for_in_vain_is_not_waited_for(answer: Reply, monkeypatch: pytest.MonkeyPatch) -> None:
    """``ray.init`` goes on for many minutes where something listens that is no head of Ray."""
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
