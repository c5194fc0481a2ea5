"""Judge configuration: a model behind an OpenAI-compatible endpoint, or local vLLM.

gpt-5-mini@https://api.openai.com/v1              endpoint; API key in OPENAI_API_KEY
Qwen/Qwen3-8B                                     vLLM in this process
{"model": "deepseek-chat", "base_url": "https://api.deepseek.com/v1", "key_env": "DEEPSEEK_API_KEY",
 "price": [0.28, 0.42], "request_args": {...}}    JSON object with any field of Judge
"""

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from functools import cached_property
from typing import Any

from permix_verl.chat_templates.adapt import SYSTEM_ROLES, SystemRole
from permix_verl.chat_templates.use import THINKING, Thinking
from permix_verl.errors import UserError
from permix_verl.inference.engine_config import EngineConfig, Render
from permix_verl.inference.engines import Engine, Sampling
from permix_verl.inference.jsonl_store import content_key

MAX_REASON_CHARS = 600
"""Most characters of a judge's reason, about two sentences."""
DROPPABLE_FIELDS = ("max_tokens", "temperature", "top_p", "seed", "response_format")
"""Request fields left out, with a notice, if the server refuses them: reasoning models take no temperature."""
STRUCTURED_OUTPUTS: Mapping[str, Any] = {"backend": "xgrammar", "disable_any_whitespace": True}
"""Structured-output settings of local vLLM; small models otherwise emit whitespace until the token limit."""
_PROBE_PROMPT = "You are a fair judge."
_TYPES: Mapping[str, tuple[type, ...]] = {
    "model": (str,),
    "base_url": (str,),
    "name": (str,),
    "key_env": (str,),
    "request_args": (dict,),
    "engine_args": (dict,),
    "max_tokens": (int,),
    "temperature": (int, float),
    "concurrency": (int,),
    "retries": (int,),
    "tensor_parallel_size": (int,),
    "structured": (bool,),
    "system_role": (str,),
    "thinking": (str,),
}


@dataclass(frozen=True)
class Judge:
    """Settings of one judge.

    Attributes:
        model: hub name, folder, or the name that an endpoint serves.
        base_url: the endpoint; ``None`` loads the model into vLLM in this process.
        name: name in tables and rows; default: the model.
        key_env: environment variable that holds the API key.
        price: dollars per million tokens of prompt and of completion.
        request_args: further fields of every request, such as ``{"reasoning_effort": "minimal"}``.
        max_tokens: token limit of a reply, reasoning included.
        structured: request output that follows the reply's JSON schema.
        engine_args: vLLM's engine arguments.
        system_role: where system messages stand: ``system``, ``user``, or ``auto``.
        thinking: whether its prompts let it think: ``on`` or ``off``; raise ``max_tokens`` with ``on``.
    """

    model: str
    base_url: str | None = None
    name: str = ""
    key_env: str = "OPENAI_API_KEY"
    price: tuple[float, float] | None = None
    request_args: Mapping[str, Any] = field(default_factory=dict)
    max_tokens: int = 1024
    temperature: float = 0.0
    structured: bool = True
    concurrency: int = 64
    retries: int = 5
    tensor_parallel_size: int = 1
    engine_args: Mapping[str, Any] = field(default_factory=dict)
    system_role: SystemRole = "auto"
    thinking: Thinking = "off"

    @property
    def label(self) -> str:
        """Name in tables and rows."""
        return self.name or self.model

    @property
    def sampling(self) -> Sampling:
        """Sampling parameters of its replies."""
        return Sampling(self.temperature, top_p=1.0, top_k=0, max_tokens=self.max_tokens)

    def identity(self) -> dict[str, Any]:
        """Return the settings that identify the judge besides its name; the endpoint's URL is deliberately excluded."""
        return {
            "model": self._model,
            "temperature": self.temperature,
            "max_tokens": self.max_tokens,
            "structured": self.structured,
            "request_args": dict(self.request_args),
            **({"system_role": self.system_role} if self.system_role != "auto" else {}),
            **({"thinking": self.thinking} if self.thinking != "off" else {}),
        }

    def schema(self, schema: Mapping[str, Any] | None) -> Mapping[str, Any] | None:
        """Return the JSON schema for the request; for local vLLM with bounded texts, which OpenAI does not support."""
        if schema is None or not self.structured:
            return None
        if self.base_url is not None:
            return schema
        properties = {
            name: {**spec, "maxLength": MAX_REASON_CHARS}
            if spec.get("type") == "string" and "enum" not in spec
            else spec
            for name, spec in schema["properties"].items()
        }
        return {**schema, "properties": properties}

    @cached_property
    def _model(self) -> Any:
        """Identity of the model. A local model's is computed from its weights, once."""
        return self._engine_config().identity()["model"]

    def describe(self) -> dict[str, Any]:
        """Return the identity with the hash that is stored in its judgements."""
        identity = self.identity()
        return identity | {"version": version_of(identity)}

    def renderer(self) -> Render | None:
        """Return the prompt renderer; ``None`` if the server renders."""
        return self._engine_config().renderer(self.label, ())

    def start(self) -> Engine:
        """Start the engine of this judge.

        Raises:
            UserError: the endpoint cannot be reached, or refuses model or key.
        """
        config = self._engine_config()
        return (replace(config, api_key=self._key()) if self.base_url else config).start(_PROBE_PROMPT)

    def _key(self) -> str | None:
        """Return the API key. Only the default variable may be unset, for servers without keys."""
        key = os.environ.get(self.key_env, "")
        if not key and self.key_env != "OPENAI_API_KEY":
            raise UserError(f"the API key of judge {self.label!r} is missing", f"set {self.key_env}")
        return key or None

    def _engine_config(self) -> EngineConfig:
        return EngineConfig(
            self.model,
            base_url=self.base_url,
            key_env=self.key_env,
            concurrency=self.concurrency,
            retries=self.retries,
            request_args=self.request_args,
            droppable_fields=DROPPABLE_FIELDS,
            vllm_template_kwargs={},
            system_role=self.system_role,
            thinking=self.thinking,
            tensor_parallel_size=self.tensor_parallel_size,
            engine_args={"structured_outputs_config": STRUCTURED_OUTPUTS, **self.engine_args},
        )


def version_of(identity: Mapping[str, Any]) -> str:
    """Return a hash of a judge's settings, 8 hex digits."""
    return content_key(identity)[:8]


def read_judge(text: str) -> Judge:
    """Parse a judge from the command line, in one of the forms of the module docstring.

    Raises:
        UserError: another form, an unknown field, or a value of the wrong type.
    """
    if not text.lstrip().startswith("{"):
        model, _, url = text.partition("@http")
        return _checked(Judge(model, f"http{url}" if url else None), f"judge {model!r}")
    try:
        settings = json.loads(text)
    except json.JSONDecodeError as error:
        raise UserError(f"a judge is not JSON ({error})", "give MODEL, MODEL@URL or a JSON object") from None
    known = [one.name for one in fields(Judge)]
    # Messages do not repeat the argument: it may contain an API key.
    who = f"judge {settings.get('name') or settings.get('model')!r}"
    for name, value in settings.items():
        if name not in known:
            raise UserError(f"{who}: unknown field {name!r}", f"known: {', '.join(known)}")
        types = _TYPES.get(name)
        if types and (not isinstance(value, types) or (isinstance(value, bool) and bool not in types)):
            raise UserError(f"{who}: {name} is {value!r}", f"it must be of type {types[-1].__name__}")
    if "price" in settings:
        settings["price"] = _price(settings["price"], who)
    return _checked(Judge(**{"model": "", **settings}), who)


def _price(value: Any, who: str) -> tuple[float, float]:
    if (
        not isinstance(value, list)
        or len(value) != 2
        or not all(isinstance(one, int | float) and one >= 0 for one in value)
    ):
        raise UserError(f"{who}: price is {value!r}", "give dollars per million tokens: [prompt, completion]")
    return float(value[0]), float(value[1])


def _checked(judge: Judge, who: str) -> Judge:
    if not judge.model.strip():
        raise UserError(f"{who} names no model", "give MODEL, MODEL@URL or a JSON object with a model")
    for name, known in (("system_role", SYSTEM_ROLES), ("thinking", THINKING)):
        if getattr(judge, name) not in known:
            raise UserError(f"{who}: {name} is {getattr(judge, name)!r}", f"known: {', '.join(known)}")
    if (
        min(judge.max_tokens, judge.concurrency, judge.tensor_parallel_size) < 1
        or min(judge.retries, judge.temperature) < 0
    ):
        raise UserError(
            f"{who}: a number is too small",
            "max_tokens, concurrency and tensor_parallel_size must be 1 or more, retries and temperature 0 or more",
        )
    return judge


def read_judges(texts: Sequence[str]) -> list[Judge]:
    """Parse judges with distinct names.

    Raises:
        UserError: a judge does not parse, or two have the same name.
    """
    judges = [read_judge(text) for text in texts]
    names = [judge.label for judge in judges]
    for name in names:
        if names.count(name) > 1:
            raise UserError(f"two judges are named {name!r}", 'give one of them another: {"model": ..., "name": ...}')
    return judges
