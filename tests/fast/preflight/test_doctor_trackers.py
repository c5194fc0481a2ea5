"""Doctor check of the experiment trackers: library, login, server."""

import importlib.util
import os
import socket
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from permix_verl.preflight.doctor import trackers
from permix_verl.preflight.doctor.types import Setup
from permix_verl.training.trackers import mlflow_run

from ...support.doctor import only, problems, setup_with


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Leave a home without logins, and none of the trackers' variables."""
    for name in list(os.environ):
        if name.startswith(("WANDB_", "MLFLOW_", "SWANLAB_", "TRACKIO_")) or name == "NETRC":
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))


@pytest.fixture(autouse=True)
def install(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Return a function that makes the named modules the only trackers' libraries that are there."""

    def only_these(*modules: str) -> None:
        monkeypatch.setattr(importlib.util, "find_spec", lambda module: module if module in modules else None)

    only_these("wandb", "tensorboard", "mlflow", "trackio", "swanlab", "swanboard")
    return only_these


def naming(*names: str) -> Setup:
    return setup_with(f"trainer.logger=[console,file,{','.join(names)}]")


def netrc(file: Path, host: str) -> None:
    file.parent.mkdir(exist_ok=True)
    file.write_text(f"machine {host} login user password 0123456789\n")
    file.chmod(0o600)


def test_a_run_without_trackers_is_not_checked(install: Callable[..., None]) -> None:
    install()
    assert list(trackers.trackers(setup_with("trainer.logger=[console,file]"))) == []
    assert list(trackers.trackers(setup_with("trainer.logger=console"))) == []
    assert list(trackers.trackers(Setup())) == []


def test_a_library_that_is_not_installed(install: Callable[..., None]) -> None:
    assert problems(trackers.trackers, naming("tensorboard", "trackio")) == []
    install("tensorboard")
    said = "trainer.logger names trackio, which is not installed; run pip install trackio"
    assert only(trackers.trackers, naming("tensorboard", "trackio")) == said
    assert "pip install mlflow" in only(trackers.trackers, setup_with("trainer.logger=mlflow"))
    assert "pip install volcengine-ml-platform" in only(trackers.trackers, naming("vemlp_wandb"))


def test_wandb_without_a_key(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    said = "wandb has no key for https://api.wandb.ai; set WANDB_API_KEY, or WANDB_MODE=offline"
    assert only(trackers.trackers, naming("wandb")) == said
    netrc(tmp_path / ".netrc", "api.other.ai")
    assert only(trackers.trackers, naming("wandb")) == said
    netrc(tmp_path / ".netrc", "api.wandb.ai")
    assert problems(trackers.trackers, naming("wandb")) == []
    monkeypatch.setenv("WANDB_BASE_URL", "https://wandb.here")  # the key of another server
    assert "no key for https://wandb.here" in only(trackers.trackers, naming("wandb"))
    monkeypatch.setenv("WANDB_MODE", "online")
    assert "no key" in only(trackers.trackers, naming("wandb"))
    monkeypatch.setenv("WANDB_MODE", "offline")
    assert problems(trackers.trackers, naming("wandb")) == []
    monkeypatch.delenv("WANDB_MODE")
    monkeypatch.setenv("WANDB_API_KEY", "0123456789")
    assert problems(trackers.trackers, naming("wandb")) == []


def test_wandbs_login_is_where_wandb_itself_looks(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    wbauth = pytest.importorskip("wandb.sdk.lib.wbauth")
    monkeypatch.setenv("NETRC", str(tmp_path / "elsewhere"))
    for written in (False, True):
        if written:
            (tmp_path / "elsewhere").write_text(f"machine api.wandb.ai login user password {'0' * 40}\n")
        theirs = wbauth.read_netrc_auth(host=trackers.WANDB_SERVER)
        assert bool(theirs) is written
        assert (problems(trackers.trackers, naming("wandb")) == []) is written


def test_swanlab_without_a_key(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, install: Callable[..., None]) -> None:
    said = "swanlab has no key for its server; set SWANLAB_API_KEY, or SWANLAB_MODE=offline"
    assert only(trackers.trackers, naming("swanlab")) == said
    monkeypatch.setenv("SWANLAB_MODE", "cloud")
    assert only(trackers.trackers, naming("swanlab")) == said
    netrc(tmp_path / ".swanlab" / ".netrc", "api.swanlab.cn")
    assert problems(trackers.trackers, naming("swanlab")) == []
    monkeypatch.setenv("SWANLAB_SAVE_DIR", str(tmp_path / "elsewhere"))
    assert only(trackers.trackers, naming("swanlab")) == said
    monkeypatch.setenv("SWANLAB_MODE", "local")
    assert problems(trackers.trackers, naming("swanlab")) == []
    install("swanlab")
    assert "pip install swanlab[dashboard]" in only(trackers.trackers, naming("swanlab"))
    monkeypatch.setenv("SWANLAB_MODE", "offline")
    assert problems(trackers.trackers, naming("swanlab")) == []
    monkeypatch.delenv("SWANLAB_MODE")
    monkeypatch.setenv("SWANLAB_API_KEY", "0123456789")
    assert problems(trackers.trackers, naming("swanlab")) == []


@pytest.fixture
def tracking_server() -> Iterator[str]:
    class Refuses(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_error(401)

        def log_message(self, *_: Any) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Refuses)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def test_mlflows_server_that_does_not_answer(monkeypatch: pytest.MonkeyPatch, tracking_server: str) -> None:
    assert problems(trackers.trackers, naming("mlflow")) == []
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "sqlite:////tmp/mlflow.db")
    assert problems(trackers.trackers, naming("mlflow")) == []
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://me:hidden-word@{tracking_server}")
    assert problems(trackers.trackers, naming("mlflow")) == []  # an answer, even if it is a refusal
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://me:hidden-word@127.0.0.1:9")
    said = only(trackers.trackers, naming("mlflow"), "warning")
    assert said.startswith("mlflow: http://***@127.0.0.1:9 does not answer within 3 s (")
    assert "hidden-word" not in said


def test_mlflows_server_that_accepts_and_stays_silent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mlflow_run, "ANSWER_S", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{silent.getsockname()[1]}")
        assert "timed out" in only(trackers.trackers, naming("mlflow"), "warning")
