"""What ``eval/run.py`` was given, and which of its numbers can be used."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from permix_verl.errors import UserError

DEFAULT_TEMPLATE_KWARGS = {"date_string": "26 Jul 2024", "enable_thinking": False}
"""As in training. Llama 3.2's template would put today's date into every prompt, and Qwen3 would think, which does not
fit into an answer's tokens. Other chat templates look at neither."""


@dataclass(frozen=True)
class Options:
    """What is evaluated, and how answers are drawn.

    The defaults of temperature and top_p are those that Llama-3.1-8B-Instruct, the paper's base
    model, is released with; at temperature 0 several runs would be one.

    Attributes:
        tasks: ``name``, ``name=source`` or the path of a task file.
        task_args: settings of those tasks that have some.
        personas: a pool, or ``pool:key,key`` for some of it.
        control: whether to add the arm without persona.
        template_kwargs: for the chat template; ``None`` is :data:`DEFAULT_TEMPLATE_KWARGS`.
        max_tokens: of an answer; ``None`` takes each task's own.
        base_url: an OpenAI-compatible endpoint instead of vLLM in this process.
        request_args: further fields of every request to it.
        adapt_requests: parameters that are left out, and said, where it refuses them; else that is an error.
    """

    model: str
    out: Path
    tasks: Sequence[str] = ("gsm8k",)
    task_args: Mapping[str, str] = field(default_factory=dict)
    adapter: str | None = None
    personas: str = "eval"
    control: bool = True
    runs: int = 5
    limit: int | None = None
    seed: int = 0
    temperature: float = 0.6
    top_p: float = 0.9
    top_k: int = 0
    max_tokens: int | None = None
    template_kwargs: Mapping[str, Any] | None = None
    base_url: str | None = None
    concurrency: int = 64
    retries: int = 5
    request_args: Mapping[str, Any] = field(default_factory=dict)
    adapt_requests: Sequence[str] = ()
    tensor_parallel_size: int = 1
    data_parallel_size: int = 1
    engine_args: Mapping[str, Any] = field(default_factory=dict)


def check_numbers(options: Options) -> None:
    """Refuse numbers that are out of range, and settings that exclude each other."""
    for name in ("runs", "concurrency", "tensor_parallel_size", "data_parallel_size"):
        if getattr(options, name) < 1:
            raise UserError(f"--{name.replace('_', '-')} is {getattr(options, name)}; it must be 1 or more")
    for name in ("limit", "max_tokens"):
        if getattr(options, name) is not None and getattr(options, name) < 1:
            raise UserError(f"--{name.replace('_', '-')} is {getattr(options, name)}; it must be 1 or more")
    if options.temperature < 0 or not 0 < options.top_p <= 1 or options.top_k < 0:
        raise UserError(
            f"temperature {options.temperature}, top_p {options.top_p}, top_k {options.top_k}: they must be at least "
            "0, in (0, 1] and at least 0"
        )
    if options.temperature == 0 and options.runs > 1:
        raise UserError(
            f"{options.runs} runs at temperature 0 would be one run counted {options.runs} times; set --runs 1, or a "
            "temperature"
        )
    if options.adapter and options.base_url:
        raise UserError(
            "an endpoint serves its adapters under names of their own; give that name as --model, no --adapter"
        )
