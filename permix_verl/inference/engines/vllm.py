"""Engine for vLLM in this process, the engine of verl's rollouts, driven step by step.

Unlike ``LLM.generate``, which returns when all prompts are finished, requests and completions overlap, so that scoring
and storing take no extra time.
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
from permix_verl.runs.quantized_base import quantization_of

QUEUED_PER_RUNNING = 2
"""Requests queued per running one, so that the scheduler never runs dry."""

CPU_ENGINE_ARGS: Mapping[str, Any] = {
    # Chunked prefill rewinds a request's generator, which torch does not support on CPU.
    "enable_chunked_prefill": False,
    "enforce_eager": True,
    # As in training on CPU; "auto" would be bfloat16, which many CPUs only emulate.
    "dtype": "float32",
    # Prefixes are cached in whole blocks; the CPU default of 128 tokens is longer than many prompts.
    "block_size": 32,
}


class VllmEngine:
    """One vLLM engine, tensor-parallel over its GPUs, with or without a PEFT adapter.

    Raises:
        UserError: settings that vLLM refuses; a request longer than the model's context; an unsupported adapter.
    """

    def __init__(
        self, model: str, adapter: str | None = None, *, tensor_parallel_size: int = 1, **engine_args: Any
    ) -> None:
        os.environ.setdefault("VLLM_LOGGING_LEVEL", "WARNING")  # keep the progress bar readable
        # A forked engine hides its token from the orphan guard, and CUDA does not support forking.
        os.environ.setdefault("VLLM_WORKER_MULTIPROC_METHOD", "spawn")
        from vllm import LLM

        if configure_cpu(adapter):
            engine_args = {**CPU_ENGINE_ARGS, **engine_args}
        if adapter:
            engine_args = {"enable_lora": True, "max_loras": 1, "max_lora_rank": _lora_rank(adapter)} | engine_args
        engine_args = {"enable_prefix_caching": True, "disable_log_stats": True} | engine_args
        self._guard = OrphanGuard()
        self._closed = threading.Event()
        try:
            with self._guard.covering(), _vllm_errors(model):
                self._llm = LLM(model=model, tensor_parallel_size=tensor_parallel_size, **engine_args)
            self._engine = self._llm.llm_engine
            _unblock_when_dead(self._engine.engine_core, self._closed)
            self._tokenizer = self._llm.get_tokenizer()
            config = self._engine.vllm_config
            self.context = int(config.model_config.max_model_len)
            self._most = int(config.scheduler_config.max_num_seqs) * (1 + QUEUED_PER_RUNNING)
            self._lora = _lora_request(adapter)
        except BaseException:
            self._closed.set()
            self._guard.close()
            raise
        self._running: dict[str, str] = {}  # vLLM's request id -> key
        self._number = 0

    def check_lengths(self, prompts: Sequence[str], max_tokens: int) -> None:
        ids = self._tokenizer(list(prompts), add_special_tokens=False)["input_ids"]
        check_fits(max(map(len, ids)), max_tokens, self.context)

    def room(self) -> int:
        return max(0, self._most - len(self._running))

    def busy(self) -> bool:
        """Return whether requests are running or queued."""
        return bool(self._running)

    def submit(self, requests: Sequence[Request]) -> None:
        from vllm import SamplingParams, TokensPrompt
        from vllm.sampling_params import RequestOutputKind, StructuredOutputsParams

        prompts = [request.prompt or "" for request in requests]
        # The chat template has added the special tokens already.
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
            with _dead_engine_errors():
                self._engine.add_request(name, TokensPrompt(prompt_token_ids=ids), params, lora_request=self._lora)

    def collect(self) -> list[Completion]:
        if not self._running:
            return []
        with _dead_engine_errors():
            outputs = self._engine.step()
        completions = []
        for output in outputs:
            if not output.finished:
                continue
            sample = output.outputs[0]
            key = self._running.pop(output.request_id)
            if sample.finish_reason not in ("stop", "length"):
                completions.append(Completion(key, error=f"vLLM finished it with {sample.finish_reason!r}"))
                continue
            completions.append(
                Completion(
                    key=key,
                    output=sample.text,
                    finish_reason=sample.finish_reason,
                    prompt_tokens=len(output.prompt_token_ids),
                    completion_tokens=len(sample.token_ids),
                )
            )
        return completions

    def close(self) -> None:
        self._closed.set()
        try:
            self._engine.engine_core.shutdown()
        finally:
            self._guard.close()


def _unblock_when_dead(client: Any, closed: threading.Event) -> None:
    """Make a step that waits for a dead engine process raise; vLLM's synchronous client would wait for ever.

    Args:
        closed: set when the engine is closed, which ends the watching thread.
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
def _vllm_errors(model: str) -> Iterator[None]:
    """Turn vLLM's validation errors, which it raises before it starts, into one line."""
    try:
        yield
    except ValueError as error:
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        message = next((line for line in lines if line.startswith("Value error, ")), lines[0] if lines else "no reason")
        reason = message.removeprefix("Value error, ").partition(" [type=")[0][:200]
        how = quantization_of(model)
        raise UserError(
            f"vLLM does not take {model}{f' (quantised: {how})' if how else ''}: {reason}",
            'give --engine-args what it wants, such as {"dtype": "bfloat16"}, or another model',
        ) from error


@contextlib.contextmanager
def _dead_engine_errors() -> Iterator[None]:
    """Turn the death of the engine process into a :class:`UserError`."""
    from vllm.v1.engine.exceptions import EngineDeadError

    try:
        yield
    except EngineDeadError as error:
        raise UserError(
            "vLLM's engine process died (its last messages, if any, are above); stored rows are kept",
            "fix the cause (usually memory), and the same command resumes",
        ) from error


def check_fits(prompt_tokens: int, max_tokens: int, context: int) -> None:
    """Check a request that vLLM would truncate silently.

    Raises:
        UserError: prompt and completion do not fit into the model's context.
    """
    room = context - prompt_tokens
    if max_tokens > room:
        remedy = f"set --max-tokens to at most {room}" if room > 0 else "use a model with a longer one, or --limit"
        raise UserError(
            f"a prompt of {prompt_tokens} tokens and a completion of {max_tokens} do not fit into the model's context "
            f"of {context}",
            remedy,
        )


def configure_cpu(adapter: str | None) -> bool:
    """Set the environment for vLLM without an accelerator; return False if there is one."""
    from vllm.platforms import current_platform

    if not current_platform.is_cpu():
        return False
    os.environ.setdefault("VLLM_CPU_KVCACHE_SPACE", "1")  # GiB
    os.environ.setdefault("VLLM_CPU_OMP_THREADS_BIND", "nobind")
    if adapter:
        from permix_verl.platform_cpu.patches import on_import, share_one_adapter

        # vLLM's CPU kernels copy the adapter's weights for every token; the patch needs the engine in this process.
        os.environ["VLLM_ENABLE_V1_MULTIPROCESSING"] = "0"
        on_import("vllm.lora.punica_wrapper.punica_cpu", share_one_adapter)
    return True


def _lora_rank(adapter: str) -> int:
    """Return the smallest LoRA rank that vLLM supports and that holds the adapter's."""
    config = json.loads((Path(adapter) / "adapter_config.json").read_text())
    rank = max([int(config["r"]), *map(int, (config.get("rank_pattern") or {}).values())])
    supported = (1, 8, 16, 32, 64, 128, 256, 320, 512)
    fitting = [size for size in supported if size >= rank]
    if not fitting:
        raise UserError(
            f"adapter {adapter} has rank {rank}, and vLLM supports at most {supported[-1]}", "merge it into the model"
        )
    return fitting[0]


def _lora_request(adapter: str | None) -> Any:
    if not adapter:
        return None
    from vllm.lora.request import LoRARequest

    return LoRARequest(lora_name="adapter", lora_int_id=1, lora_path=str(Path(adapter).resolve()))
