"""Who judges: a model behind an OpenAI-compatible endpoint, or local vLLM.

gpt-5-mini@https://api.openai.com/v1              its key in OPENAI_API_KEY
Qwen/Qwen3-8B                                     vLLM in this process
{"model": "deepseek-chat", "base_url": "https://api.deepseek.com/v1", "key_env": "DEEPSEEK_API_KEY",
 "price": [0.28, 0.42], "request_args": {...}}    everything
"""

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from functools import cached_property
from pathlib import Path
from typing import Any

from permix_verl.errors import UserError
from permix_verl.evaluation.options import Options
from permix_verl.evaluation.run import identity_of, make_renderer
from permix_verl.evaluation.sampling_plan import Render
from permix_verl.inference.engines import Engine, Sampling
from permix_verl.inference.jsonl_store import content_key
from permix_verl.personas.prompts import Message

LONGEST = 600
"""Letters of a reason: two sentences."""
ADAPTED = ("max_tokens", "temperature", "top_p", "seed", "response_format")
"""Left out, which is said, where a server does not take them: reasoning models have no temperature."""
STRUCTURED: Mapping[str, Any] = {"backend": "xgrammar", "disable_any_whitespace": True}
"""Of local vLLM: small models fill the space that JSON allows between its signs, and write nothing else."""
_PROBE: Sequence[Message] = (
    {"role": "system", "content": "You are a fair judge."},
    {"role": "user", "content": "1 + 1 = ?"},
)
_KINDS: Mapping[str, tuple[type, ...]] = {
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
}


@dataclass(frozen=True)
class Judge:
    """A judge.

    Attributes:
        model: hub name, folder, or the name that an endpoint serves.
        base_url: the endpoint; without one vLLM loads the model here.
        name: in tables and rows; default: the model.
        key_env: environment variable that holds its key.
        price: dollars for a million tokens of prompt and of completion.
        request_args: further fields of every request, such as ``{"reasoning_effort": "minimal"}``.
        max_tokens: of a reply; a model that reasons does so within it.
        structured: whether the server is asked to keep to the reply's JSON schema.
        engine_args: vLLM's.
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

    @property
    def label(self) -> str:
        return self.name or self.model

    @property
    def sampling(self) -> Sampling:
        return Sampling(self.temperature, top_p=1.0, top_k=0, max_tokens=self.max_tokens)

    def identity(self) -> dict[str, Any]:
        """What of it a judgement depends on beside its name; where an endpoint lies is not known to matter."""
        return {
            "model": self._model,
            "temperature": self.temperature,
            "max_tokens": self.max_tokens,
            "structured": self.structured,
            "request_args": dict(self.request_args),
        }

    def schema(self, wanted: Mapping[str, Any] | None) -> Mapping[str, Any] | None:
        """The JSON schema that its server is given; local vLLM also bounds texts, which OpenAI's does not know."""
        if wanted is None or not self.structured:
            return None
        if self.base_url is not None:
            return wanted
        fields = {
            name: {**of, "maxLength": LONGEST} if of.get("type") == "string" and "enum" not in of else of
            for name, of in wanted["properties"].items()
        }
        return {**wanted, "properties": fields}

    @cached_property
    def _model(self) -> Any:
        """Identity of the model; of a local one it is made from its weights, once."""
        return identity_of(self._options())["model"]

    def described(self) -> dict[str, Any]:
        """Its identity with the hash that its rows carry."""
        identity = self.identity()
        return identity | {"version": version_of(identity)}

    def renderer(self) -> Render | None:
        """How its prompts are rendered; ``None`` where its server does that."""
        return make_renderer(self._options(), ())

    def start(self) -> Engine:
        """An engine that asks it.

        Raises:
            UserError: its endpoint cannot be reached, or refuses model or key.
        """
        if self.base_url is None:
            from permix_verl.inference.engines.vllm import VllmEngine

            settings = {"structured_outputs_config": STRUCTURED} | dict(self.engine_args)
            return VllmEngine(self.model, tensor_parallel_size=self.tensor_parallel_size, **settings)
        from permix_verl.inference.engines.openai import OpenAIEngine

        engine = OpenAIEngine(
            self.base_url,
            self.model,
            api_key=self._key(),
            key_env=self.key_env,
            concurrency=self.concurrency,
            retries=self.retries,
            request_args=self.request_args,
            adapt=ADAPTED,
        )
        try:
            engine.check(_PROBE, _PROBE[1:])
        except BaseException:
            engine.close()
            raise
        return engine

    def _key(self) -> str | None:
        """Its key. Only the default variable may be empty, for servers without keys: no other judge's key is sent."""
        key = os.environ.get(self.key_env, "")
        if not key and self.key_env != "OPENAI_API_KEY":
            raise UserError(f"judge {self.label!r} has its key in {self.key_env}, which is not set; set it")
        return key or None

    def _options(self) -> Options:
        return Options(self.model, Path(), base_url=self.base_url)


def version_of(identity: Mapping[str, Any]) -> str:
    """Hash of a judge's settings, 8 hex digits."""
    return content_key(identity)[:8]


def read_judge(text: str) -> Judge:
    """A judge from the command line, in one of the forms above.

    Raises:
        UserError: another form, an unknown field, a value of the wrong kind.
    """
    if not text.lstrip().startswith("{"):
        model, _, url = text.partition("@http")
        return _checked(Judge(model, f"http{url}" if url else None), f"judge {model!r}")
    try:
        given = json.loads(text)
    except json.JSONDecodeError as error:
        raise UserError(f"a judge is not JSON ({error}); give MODEL, MODEL@URL or a JSON object") from None
    known = [one.name for one in fields(Judge)]
    # What was given is not repeated: somebody may have put a key there.
    who = f"judge {given.get('name') or given.get('model')!r}"
    for name, value in given.items():
        if name not in known:
            raise UserError(f"{who}: unknown field {name!r}; known: {', '.join(known)}")
        kinds = _KINDS.get(name)
        if kinds and (not isinstance(value, kinds) or (isinstance(value, bool) and bool not in kinds)):
            raise UserError(f"{who}: {name} is {value!r}; it must be of kind {kinds[-1].__name__}")
    if "price" in given:
        given["price"] = _price(given["price"], who)
    return _checked(Judge(**{"model": "", **given}), who)


def _price(value: Any, who: str) -> tuple[float, float]:
    if (
        not isinstance(value, list)
        or len(value) != 2
        or not all(isinstance(one, int | float) and one >= 0 for one in value)
    ):
        raise UserError(f"{who}: price is {value!r}; give dollars for a million tokens: [prompt, completion]")
    return float(value[0]), float(value[1])


def _checked(judge: Judge, who: str) -> Judge:
    if not judge.model.strip():
        raise UserError(f"{who} names no model; give MODEL, MODEL@URL or a JSON object with a model")
    if (
        min(judge.max_tokens, judge.concurrency, judge.tensor_parallel_size) < 1
        or min(judge.retries, judge.temperature) < 0
    ):
        raise UserError(
            f"{who}: max_tokens, concurrency and tensor_parallel_size must be 1 or more, retries and temperature "
            "0 or more"
        )
    return judge


def read_judges(texts: Sequence[str]) -> list[Judge]:
    """Several judges, each with a name of its own.

    Raises:
        UserError: none, or two of one name.
    """
    judges = [read_judge(text) for text in texts]
    names = [judge.label for judge in judges]
    for name in names:
        if names.count(name) > 1:
            raise UserError(f'two judges are named {name!r}; give one of them another: {{"model": ..., "name": ...}}')
    return judges
