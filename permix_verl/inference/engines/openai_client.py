"""The ``openai`` client of an endpoint, and the check of its settings."""

import os
from typing import Any
from urllib.parse import urlsplit

from permix_verl.errors import UserError
from permix_verl.inference.engines.openai_protocol import CONNECT_TIMEOUT_S


def check_settings(base_url: str, concurrency: int, retries: int, timeout_s: float) -> None:
    """Check the connection's settings.

    Raises:
        UserError: not an http(s) URL, a URL with more than a location, or a number out of range.
    """
    try:
        url = urlsplit(base_url)
        usable = url.scheme in ("http", "https") and bool(url.hostname) and url.port != 0
    except ValueError:  # for example a port that is not a number
        usable = False
    if not usable:
        raise UserError(f"not an http(s) URL: {base_url!r}", "give one such as http://localhost:8000/v1")
    if url.username or url.password or url.query:
        raise UserError(
            f"the URL of {url.hostname} contains credentials or a query",
            "leave them out: API keys are read from the environment",
        )
    if concurrency < 1 or retries < 0 or timeout_s <= 0:
        raise UserError(
            f"concurrency {concurrency}, retries {retries}, timeout {timeout_s} s: out of range",
            "give at least 1, at least 0, above 0",
        )


def new_client(base_url: str, api_key: str | None, timeout_s: float) -> Any:
    """Return an ``openai.AsyncOpenAI`` without its own retries.

    Raises:
        UserError: no ``openai`` package, or a key that no HTTP header can hold.
    """
    try:
        import openai
    except ImportError:
        raise UserError("endpoints need the package openai, which is not installed", "pip install openai") from None
    key = (api_key or os.environ.get("OPENAI_API_KEY") or "EMPTY").strip()
    if not key.isascii() or not key.isprintable() or " " in key:
        raise UserError(
            f"the API key for {base_url} contains characters that no HTTP header can hold",
            "set it again, without line ends",
        )
    return openai.AsyncOpenAI(
        base_url=base_url,
        api_key=key,
        timeout=openai.Timeout(timeout_s, connect=min(timeout_s, CONNECT_TIMEOUT_S)),
        max_retries=0,
    )
