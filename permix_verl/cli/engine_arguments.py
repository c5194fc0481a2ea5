"""Command line arguments of an engine, shared by the commands that generate."""

import argparse
from collections.abc import Callable
from typing import Any

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
        model: hub name, folder, or the name that an endpoint serves.
        settings: further fields of :class:`~permix_verl.inference.engine_config.EngineConfig`.
    """
    fields = {name: value for name, value in vars(args).items() if name in _FIELDS}
    return EngineConfig(model, **fields, **settings)
