"""Command line arguments of an engine, shared by the commands that generate."""

import argparse
from collections.abc import Callable
from typing import Any

from permix_verl.chat_templates.adapt import SYSTEM_ROLES
from permix_verl.chat_templates.use import THINKING
from permix_verl.checkpoints.fetched import is_short_name, resolve_model
from permix_verl.checkpoints.fetching import fetch_if_missing
from permix_verl.inference.engine_config import EngineConfig
from permix_verl.utils.cli_types import json_object

_FIELDS = (
    "base_url",
    "concurrency",
    "retries",
    "request_args",
    "tensor_parallel_size",
    "data_parallel_size",
    "engine_args",
    "system_role",
    "thinking",
)


def add_engine_arguments(add: Callable[..., Any]) -> None:
    """Add the arguments of where a model runs.

    Args:
        add: ``add_argument`` of a parser or of a group.
    """
    add(
        "--base-url",
        help="OpenAI-compatible endpoint, such as http://localhost:8000/v1; the API key is read from OPENAI_API_KEY",
    )
    add(
        "--system-role",
        choices=SYSTEM_ROLES,
        default=EngineConfig.system_role,
        help="where a system message stands; user: at the beginning of the user's turn; auto: there, if the chat "
        "template or the endpoint takes none",
    )
    add("--thinking", choices=THINKING, default=EngineConfig.thinking, help="whether prompts let the model think")
    add("--concurrency", type=int, default=EngineConfig.concurrency, help="concurrent requests to an endpoint")
    add("--retries", type=int, default=EngineConfig.retries, help="retries of a failed request to an endpoint")
    add("--tensor-parallel-size", type=int, default=1, help="GPUs per replica of the model")
    add(
        "--data-parallel-size",
        type=int,
        default=1,
        help="replicas of the model, under Ray (RAY_ADDRESS selects a cluster)",
    )
    add(
        "--engine-args",
        type=json_object,
        default={},
        help='vLLM engine arguments as a JSON object: {"gpu_memory_utilization": 0.8}',
    )


def engine_config(args: argparse.Namespace, model: str, **settings: Any) -> EngineConfig:
    """Return the configuration that the arguments select.

    Args:
        model: hub name, folder, short name (fetched where it is missing), or the name that an endpoint serves.
        settings: further fields of :class:`~permix_verl.inference.engine_config.EngineConfig`.
    """
    fields = {name: value for name, value in vars(args).items() if name in _FIELDS}
    if not fields["base_url"] and is_short_name(model):
        model = resolve_model(model)
        fetch_if_missing(model)
    return EngineConfig(model, **fields, **settings)
