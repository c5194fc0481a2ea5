"""vLLM in this process: the same engine that verl rolls out with, driven step by step.

``LLM.generate`` gives nothing back until all of its prompts are finished; here requests go in
and completions come out while others run, so that scoring and storing cost no time of their own.
"""

import contextlib
import json
import os
import threading
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from permix_verl.errors import UserError
from permix_verl.inference.engines import Completion, Request
from permix_verl.inference.engines.orphan_guard import OrphanGuard
from permix_verl.runs.quantized_base import quantisation

WAITING = 2
"""Requests kept waiting for every one that runs, so that the scheduler never runs dry."""

CPU_ENGINE_ARGS: Mapping[str, Any] = {
    # A prompt prefilled in pieces has its generator wound back, which torch cannot do on CPU.
    "enable_chunked_prefill": False,
    "enforce_eager": True,
    # What the recipes train in on CPU; "auto" would be bfloat16, which many CPUs only emulate.
    "dtype": "float32",
    # Prefixes are shared in whole blocks, and the CPU's default of 128 tokens is longer than many prompts.
    "block_size": 32,
}


class VllmEngine:
    """One vLLM engine, tensor-parallel over the GPUs it is given, with or without a PEFT adapter.

    Raises:
        UserError: a request longer than the model's context; an adapter vLLM cannot take.
    """

    def __init__(
        self, model: str, adapter: str | None = None, *, tensor_parallel_size: int = 1, **engine_args: Any
    ) -> None:
        os.environ.setdefault("VLLM_LOGGING_LEVEL", "WARNING")  # a progress bar is being drawn
        # A forked engine does not show its token (engines/orphans.py), and CUDA does not bear forking.
        os.environ.setdefault("VLLM_WORKER_MULTIPROC_METHOD", "spawn")
        from vllm import LLM

        if settle_on_cpu(adapter):
            engine_args = {**CPU_ENGINE_ARGS, **engine_args}
        if adapter:
            engine_args = {"enable_lora": True, "max_loras": 1, "max_lora_rank": _lora_rank(adapter)} | engine_args
        engine_args = {"enable_prefix_caching": True, "disable_log_stats": True} | engine_args
        self._guard = OrphanGuard()
        self._closed = threading.Event()
        try:
            with self._guard.covering(), _accepted(model):
                self._llm = LLM(model=model, tensor_parallel_size=tensor_parallel_size, **engine_args)
            self._engine = self._llm.llm_engine
            _wake_when_dead(self._engine.engine_core, self._closed)
            self._tokenizer = self._llm.get_tokenizer()
            config = self._engine.vllm_config
            self.context = int(config.model_config.max_model_len)
            self._most = int(config.scheduler_config.max_num_seqs) * (1 + WAITING)
            self._lora = _lora_request(adapter)
        except BaseException:
            self._closed.set()
            self._guard.close()
            raise
        self._running: dict[str, str] = {}  # vLLM's request id -> ours
        self._number = 0

    def check_lengths(self, prompts: Sequence[str], max_tokens: int) -> None:
        ids = self._tokenizer(list(prompts), add_special_tokens=False)["input_ids"]
        check_fits(max(map(len, ids)), max_tokens, self.context)

    def room(self) -> int:
        return max(0, self._most - len(self._running))

    def busy(self) -> bool:
        """Whether requests are running or waiting."""
        return bool(self._running)

    def submit(self, requests: Sequence[Request]) -> None:
        from vllm import SamplingParams, TokensPrompt
        from vllm.sampling_params import RequestOutputKind, StructuredOutputsParams

        prompts = [request.prompt or "" for request in requests]
        # The chat template has put the special tokens there already.
        tokens = self._tokenizer(prompts, add_special_tokens=False)["input_ids"]
        for request, ids in zip(requests, tokens, strict=True):
            sampling, schema = request.sampling, request.schema
            check_fits(len(ids), sampling.max_tokens, self.context)
            params = SamplingParams(
                temperature=sampling.temperature,
                top_p=sampling.top_p,
                top_k=sampling.top_k,
                max_tokens=sampling.max_tokens,
                seed=request.seed,
                structured_outputs=StructuredOutputsParams(json=dict(schema)) if schema else None,
                output_kind=RequestOutputKind.FINAL_ONLY,
            )
            self._number += 1
            name = str(self._number)
            self._running[name] = request.key
            with _alive():
                self._engine.add_request(name, TokensPrompt(prompt_token_ids=ids), params, lora_request=self._lora)

    def collect(self) -> list[Completion]:
        if not self._running:
            return []
        with _alive():
            outputs = self._engine.step()
        completions = []
        for output in outputs:
            if not output.finished:
                continue
            answer = output.outputs[0]
            key = self._running.pop(output.request_id)
            if answer.finish_reason not in ("stop", "length"):
                completions.append(Completion(key, error=f"vLLM ended it with {answer.finish_reason!r}"))
                continue
            completions.append(
                Completion(
                    key=key,
                    output=answer.text,
                    finish_reason=answer.finish_reason,
                    prompt_tokens=len(output.prompt_token_ids),
                    completion_tokens=len(answer.token_ids),
                )
            )
        return completions

    def close(self) -> None:
        self._closed.set()
        try:
            self._engine.engine_core.shutdown()
        finally:
            self._guard.close()


def _wake_when_dead(client: Any, closed: threading.Event) -> None:
    """Make a step that waits for an engine process that died raise; vLLM's synchronous client would wait for ever.

    Args:
        closed: set once nobody waits for the engine any more; the watch ends then.
    """
    resources, queue = getattr(client, "resources", None), getattr(client, "outputs_queue", None)
    if resources is None or queue is None:
        return  # the engine runs in this process

    def watch() -> None:
        while not closed.wait(1):
            if resources.engine_dead:
                from vllm.v1.engine.exceptions import EngineDeadError

                queue.put_nowait(EngineDeadError())
                return

    threading.Thread(target=watch, name="permix-engine-watch", daemon=True).start()


@contextlib.contextmanager
def _accepted(model: str) -> Iterator[None]:
    """Turn what vLLM says of settings that do not go together into one line; it validates them before it starts."""
    try:
        yield
    except ValueError as error:
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        said = next((line for line in lines if line.startswith("Value error, ")), lines[0] if lines else "no reason")
        reason = said.removeprefix("Value error, ").partition(" [type=")[0][:200]
        how = quantisation(model)
        raise UserError(
            f"vLLM does not take {model}{f' (quantised: {how})' if how else ''}: {reason}; give --engine-args what it "
            'wants, such as {"dtype": "bfloat16"}, or another model'
        ) from error


@contextlib.contextmanager
def _alive() -> Iterator[None]:
    from vllm.v1.engine.exceptions import EngineDeadError

    try:
        yield
    except EngineDeadError as error:
        raise UserError(
            "vLLM's engine process died; its last words, if it had any, stand above. What is stored stays: "
            "mend the cause (memory, as a rule), and the same command goes on"
        ) from error


def check_fits(prompt_tokens: int, max_tokens: int, context: int) -> None:
    """Refuse a request that vLLM would cut short without a word.

    Raises:
        UserError: prompt and answer do not fit into the model's context.
    """
    room = context - prompt_tokens
    if max_tokens > room:
        remedy = f"set --max-tokens to at most {room}" if room > 0 else "use a model with a longer one, or --limit"
        raise UserError(
            f"a prompt of {prompt_tokens} tokens and {max_tokens} for the answer do not fit into the model's context "
            f"of {context}; {remedy}"
        )


def settle_on_cpu(adapter: str | None) -> bool:
    """Whether vLLM runs without an accelerator; if so, with settings that a laptop can bear."""
    from vllm.platforms import current_platform

    if not current_platform.is_cpu():
        return False
    os.environ.setdefault("VLLM_CPU_KVCACHE_SPACE", "1")  # GiB
    os.environ.setdefault("VLLM_CPU_OMP_THREADS_BIND", "nobind")
    if adapter:
        from permix_verl.platform_cpu.patches import on_import, share_one_adapter

        # vLLM's CPU kernels copy an adapter's weights once a token; the remedy is a patch, in this process.
        os.environ["VLLM_ENABLE_V1_MULTIPROCESSING"] = "0"
        on_import("vllm.lora.punica_wrapper.punica_cpu", share_one_adapter)
    return True


def _lora_rank(adapter: str) -> int:
    """The rank to reserve: vLLM takes only some values."""
    config = json.loads((Path(adapter) / "adapter_config.json").read_text())
    rank = max([int(config["r"]), *map(int, (config.get("rank_pattern") or {}).values())])
    taken = (1, 8, 16, 32, 64, 128, 256, 320, 512)
    fitting = [size for size in taken if size >= rank]
    if not fitting:
        raise UserError(
            f"adapter {adapter} has rank {rank}, and vLLM takes at most {taken[-1]}; merge it into the model"
        )
    return fitting[0]


def _lora_request(adapter: str | None) -> Any:
    if not adapter:
        return None
    from vllm.lora.request import LoRARequest

    return LoRARequest(lora_name="adapter", lora_int_id=1, lora_path=str(Path(adapter).resolve()))
