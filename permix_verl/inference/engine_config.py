"""Engine configuration: a model, and where it runs. Evaluation, judges and target generation share it."""

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from permix_verl.chat_templates.adapt import SystemRole, adapt_tokenizer, template_of
from permix_verl.chat_templates.read import local_template
from permix_verl.chat_templates.reading import Reading
from permix_verl.chat_templates.template import ChatTemplate
from permix_verl.chat_templates.use import DEFAULT_ARGUMENTS, TemplateUse, Thinking, use_template
from permix_verl.data.tokenizers import check_round_trip, load_tokenizer
from permix_verl.errors import UserError
from permix_verl.inference.engines import Engine
from permix_verl.inference.model_identity import adapter_identity, check_adapter_fits, model_identity
from permix_verl.personas.pool import Persona, PersonaPool
from permix_verl.personas.prompts import Message, check_template, render

DEFAULT_TEMPLATE_KWARGS = dict(DEFAULT_ARGUMENTS)
"""Chat template variables, as in training. Llama 3.2's template would insert today's date, and Qwen3 would think, which
exceeds the token limit of a completion. Other templates ignore both."""
Render = Callable[[Sequence[Message]], str]
"""Chat -> prompt text; see :func:`permix_verl.personas.prompts.render`."""
_PROBE_QUESTION: Sequence[Message] = ({"role": "user", "content": "1 + 1 = ?"},)


@functools.cache
def _hub_template(model: str) -> ChatTemplate | None:
    """Return the template of a model that is not on this machine yet; ``None`` if it cannot be loaded."""
    if model.count("/") != 1 or model.startswith((".", "/", "~")):
        return None
    try:
        return template_of(load_tokenizer(model))
    except UserError:
        return None


@dataclass(frozen=True)
class EngineConfig:
    """A model, and the engine that runs it: vLLM here, replicas under Ray, or an OpenAI-compatible endpoint.

    Attributes:
        model: hub name, folder, or the name that an endpoint serves.
        adapter: folder of a PEFT adapter; not for an endpoint, which serves adapters under their own names.
        base_url: the endpoint; ``None`` loads the model into vLLM in this process.
        api_key: the endpoint's key; ``None`` reads OPENAI_API_KEY.
        key_env: environment variable that error messages name for the key.
        concurrency: most concurrent requests to the endpoint.
        retries: retries of a failed request to the endpoint.
        request_args: further fields of every request to the endpoint.
        droppable_fields: request fields left out, with a notice, if the endpoint refuses them.
        template_kwargs: chat template variables; ``None`` is :data:`DEFAULT_TEMPLATE_KWARGS`.
        vllm_template_kwargs: chat template variables for vLLM's server only; others refuse unknown fields.
        system_role: where system messages stand: ``user`` moves them into the user's turn, ``auto`` where the chat
            template or the endpoint takes none.
        thinking: whether prompts let the model think.
        tensor_parallel_size: GPUs per replica.
        data_parallel_size: replicas under Ray.
        engine_args: further vLLM engine arguments.
    """

    model: str
    adapter: str | None = None
    base_url: str | None = None
    api_key: str | None = field(default=None, repr=False)
    key_env: str = "OPENAI_API_KEY"
    concurrency: int = 64
    retries: int = 5
    request_args: Mapping[str, Any] = field(default_factory=dict)
    droppable_fields: Sequence[str] = ()
    template_kwargs: Mapping[str, Any] | None = None
    vllm_template_kwargs: Mapping[str, Any] = field(default_factory=lambda: DEFAULT_TEMPLATE_KWARGS)
    system_role: SystemRole = "auto"
    thinking: Thinking = "off"
    tensor_parallel_size: int = 1
    data_parallel_size: int = 1
    engine_args: Mapping[str, Any] = field(default_factory=dict)

    def check(self) -> None:
        """Check the numbers, and settings that exclude each other.

        Raises:
            UserError: a number below 1, or an adapter for an endpoint.
        """
        for name in ("concurrency", "tensor_parallel_size", "data_parallel_size"):
            if getattr(self, name) < 1:
                raise UserError(f"--{name.replace('_', '-')} is {getattr(self, name)}", "it must be 1 or more")
        if self.adapter and self.base_url:
            raise UserError(
                "an endpoint serves its adapters under names of their own", "give that name as --model, no --adapter"
            )

    @property
    def local_template_kwargs(self) -> dict[str, Any]:
        """Chat template variables with the defaults filled in, and those that switch thinking.

        Raises:
            UserError: a model whose chat template cannot be used.
        """
        use = None if self.base_url else self._template_use()
        if use:
            return dict(use.arguments)
        given = dict(DEFAULT_TEMPLATE_KWARGS if self.template_kwargs is None else self.template_kwargs)
        return given | ({"enable_thinking": True} if self.thinking == "on" and not self.template_kwargs else {})

    def _template_use(self) -> TemplateUse | None:
        """Return how a local model's template is used; ``None`` if it has none."""
        template = local_template(self.model) or _hub_template(self.model)
        if template is None:
            return None
        return use_template(template, self.template_kwargs, self.system_role, self.thinking)

    def reading(self) -> Reading:
        """Return how thoughts are told from answers in the model's completions."""
        if self.thinking == "off":
            return Reading()
        use = None if self.base_url else self._template_use()
        return Reading(use.marks if use else (), cut_at_limit=bool(self.base_url))

    def template_settings(self) -> dict[str, Any]:
        """Return the fields of a settings file beside the chat template variables; none with the defaults."""
        settings: dict[str, Any] = {"system_role": self.system_role} if self.system_role != "auto" else {}
        return settings | ({"thinking": self.reading().settings()} if self.thinking == "on" else {})

    @property
    def stored_template_kwargs(self) -> Mapping[str, Any] | None:
        """Chat template variables for settings files and cache keys; ``None`` if an endpoint applies its own."""
        return self.template_kwargs if self.base_url else self.local_template_kwargs

    def identity(self) -> dict[str, Any]:
        """Return name and fingerprint of model and adapter, independent of their folders.

        Raises:
            UserError: an unreadable model or adapter, or an adapter of another model.
        """
        if self.base_url:
            return {"model": {"name": self.model, "fingerprint": f"served:{self.model}"}, "adapter": None}
        identity = {
            "model": model_identity(self.model),
            "adapter": adapter_identity(self.adapter) if self.adapter else None,
        }
        if self.adapter:
            check_adapter_fits(self.adapter, self.model)
        return identity

    def renderer(self, pool: str, conditions: Sequence[Persona | None], texts: Sequence[str] = ()) -> Render | None:
        """Return the prompt renderer: the model's chat template, checked; ``None`` if the endpoint renders.

        Args:
            pool: name of the personas' pool, for error messages.
            conditions: personas, with ``None`` for no persona, whose text must survive the tokenizer and the template.
            texts: further texts that must survive the tokenizer.

        Raises:
            UserError: no tokenizer or chat template, or one of them loses text.
        """
        if self.base_url:
            return None
        tokenizer = load_tokenizer(self.model)
        check_round_trip(tokenizer, conditions, texts)
        template_kwargs = self.local_template_kwargs
        adapt_tokenizer(tokenizer, template_kwargs, self.system_role)
        if use := self._template_use():
            for line in use.notices(self.thinking):
                print(f"chat template of {self.model}: {line}")
        personas = tuple(persona for persona in conditions if persona)
        if personas:
            check_template(tokenizer, PersonaPool(pool, personas), template_kwargs)
        return lambda messages: render(tokenizer, messages, template_kwargs)

    def start(self, system_prompt: str) -> Engine:
        """Start the engine.

        Args:
            system_prompt: an endpoint is asked one question with and without it, to check that it reaches the model.

        Raises:
            UserError: the model does not load; the endpoint cannot be reached, refuses model or key, or drops the
                system message.
        """
        if self.base_url:
            return self._connect(self.base_url, system_prompt)
        engine_args = {"tensor_parallel_size": self.tensor_parallel_size, **self.engine_args}
        if self.data_parallel_size > 1:
            from permix_verl.inference.engines.ray_replicas import RayReplicas

            return RayReplicas(self.data_parallel_size, self.model, self.adapter, **engine_args)
        from permix_verl.inference.engines.vllm import VllmEngine

        return VllmEngine(self.model, self.adapter, **engine_args)

    def _connect(self, base_url: str, system_prompt: str) -> Engine:
        from permix_verl.inference.engines.openai import OpenAIEngine

        endpoint = OpenAIEngine(
            base_url,
            self.model,
            api_key=self.api_key,
            key_env=self.key_env,
            concurrency=self.concurrency,
            retries=self.retries,
            template_kwargs=self.template_kwargs,
            vllm_template_kwargs=self._served_template_kwargs(),
            system_role=self.system_role,
            request_args=self.request_args,
            droppable_fields=self.droppable_fields,
        )
        with_system_prompt: list[Message] = [{"role": "system", "content": system_prompt}, *_PROBE_QUESTION]
        try:
            counted = endpoint.check(with_system_prompt, _PROBE_QUESTION)
        except BaseException:
            endpoint.close()
            raise
        if not counted:
            print(f"{base_url} does not count prompt tokens: that it keeps the system message is not checked")
        return endpoint

    def _served_template_kwargs(self) -> dict[str, Any]:
        """Return the chat template variables for vLLM's server, which drops those that its template does not read."""
        on = {"enable_thinking": True, "thinking": True} if self.thinking == "on" else {}
        return {**self.vllm_template_kwargs, **on}
