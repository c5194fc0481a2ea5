"""Fixtures of the fast and the integration tests: the server, and engines that talk to it."""

from collections.abc import Iterator
from typing import Any

import pytest

from permix_verl.inference.engines.openai import OpenAIEngine

from .endpoint import MakeEngine, Server


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    """Loopback stays loopback on machines that go through a proxy."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)


@pytest.fixture
def server() -> Iterator[Server]:
    made = Server()
    yield made
    made.close()


@pytest.fixture
def engine_for(server: Server) -> Iterator[MakeEngine]:
    made: list[OpenAIEngine] = []

    def make(base_url: str = server.url, model: str = "served-a", **settings: Any) -> OpenAIEngine:
        made.append(OpenAIEngine(base_url, model, **{"retries": 2, "first_wait_s": 0.01, **settings}))
        return made[-1]

    yield make
    for engine in made:
        engine.close()
