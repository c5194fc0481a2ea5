"""Trace of the actor's memory: one step of model, PEFT and FSDP2 on fake tensors.

The model is built from its configuration on PyTorch's meta device and sharded by verl's ``apply_fsdp2`` over a fake
process group with the run's number of ranks. A step runs under ``FakeTensorMode``. Two shallow copies give the
memory of one layer, from which any depth is extrapolated.
"""

import contextlib
import copy
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import torch

from permix_verl.preflight.memory_plan import lm_head
from permix_verl.preflight.memory_plan.job import Job
from permix_verl.preflight.memory_plan.live_storages import LiveStorages
from permix_verl.preflight.memory_plan.peaks import (
    ACTIVATIONS,
    ADAPTER,
    GATHERED,
    LOGITS,
    OPTIMIZER,
    UNPACKED,
    WEIGHTS,
    PeakMemory,
)

LAYERS = (3, 4)
"""Depths traced. From three layers on, the next layer's weights are prefetched during computation. Further layers are
assumed to equal the last one, which does not hold for models with several kinds of layers."""

NF4_BYTES = 0.5 + 1 / 64 + 4 / (64 * 256)
"""Bytes of an NF4 weight: 4 bits, an 8-bit scale for 64 weights, and a 32-bit scale for 256 scales."""


def actor_peaks(job: Job, config: Any, on_progress: Callable[[str], None] = lambda _: None) -> PeakMemory:
    """Trace two shallow copies of the model and extrapolate to its depth.

    Args:
        config: the model's Hugging Face configuration.
        on_progress: called with a message before each trace.
    """
    depth = config.num_hidden_layers
    traced = {}
    for layers in [depth] if depth <= max(LAYERS) else LAYERS:
        on_progress(f"tracing a step of {layers} of {depth} layers")
        traced[layers] = _trace(job, _shallow(config, layers))
    if depth in traced:
        phases = traced[depth]
    else:
        few, more = LAYERS
        phases = {name: _extrapolate(traced[few][name], traced[more][name], depth) for name in traced[few]}
    update = max(
        (phases[name] for name in ("forward", "loss", "backward", "optimizer")), key=lambda kinds: kinds.total()
    )
    return PeakMemory(update, phases["log-probs"], phases["idle"])


def _extrapolate(few: Counter[str], more: Counter[str], depth: int) -> Counter[str]:
    layers, further = LAYERS[0], (depth - LAYERS[0]) // (LAYERS[1] - LAYERS[0])
    assert layers < depth
    return Counter({kind: few[kind] + further * (more[kind] - few[kind]) for kind in few | more})


def _shallow(config: Any, layers: int) -> Any:
    config = copy.deepcopy(config)
    config.num_hidden_layers = layers
    if getattr(config, "layer_types", None):
        config.layer_types = config.layer_types[:layers]
    return config


def _trace(job: Job, config: Any) -> dict[str, Counter[str]]:
    """Trace one step; return the bytes by kind at the peak of each phase."""
    from torch._subclasses.fake_tensor import FakeTensorMode

    vocabulary = config.vocab_size
    live = LiveStorages(
        lambda tensor: LOGITS if tensor.ndim and tensor.shape[-1] == vocabulary else ACTIVATIONS,
        sent=(WEIGHTS, ADAPTER, OPTIMIZER),
        collective=GATHERED,
    )
    compute = {2: torch.bfloat16, 4: torch.float32}[job.compute_bytes]
    with _fake_mesh(job.ranks) as mesh, _no_warnings():
        model = _sharded(job, config, mesh, compute)
        with FakeTensorMode(allow_non_fake_inputs=True), live:
            model.to_empty(device="cpu")
            live.mark((p for p in model.parameters() if not p.requires_grad), WEIGHTS)
            trained = [p for p in model.parameters() if p.requires_grad]
            live.mark(trained, ADAPTER)
            optimizer = torch.optim.AdamW(trained, foreach=True)
            for parameter in trained:
                parameter.grad = torch.zeros_like(parameter)
            optimizer.step()
            live.mark((v for s in optimizer.state.values() for v in s.values() if v.ndim), OPTIMIZER)
            optimizer.zero_grad()
            with live.phase("idle"):
                pass
            model.eval()
            with torch.no_grad():
                _logits(model, 1, 1)  # first use fixes the kinds of FSDP2's buffers
            model.reshard()
            with torch.autocast("cpu", dtype=compute, enabled=compute != torch.float32):
                _log_prob_pass(job, model, live)
                _update(job, model, optimizer, live)
    return {name: _as_nf4(model, job, kinds) for name, kinds in live.peaks.items()} if job.nf4 else live.peaks


def _as_nf4(model: Any, job: Job, kinds: Counter[str]) -> Counter[str]:
    """Replace the traced linear weights by 4-bit ones, plus the largest layer unpacked during computation."""
    output = model.get_output_embeddings()
    linear = [
        module.weight.numel()
        for name, module in model.named_modules()
        if isinstance(module, torch.nn.Linear) and "lora_" not in name and module is not output
    ]
    packed = Counter(kinds)
    packed[WEIGHTS] -= round(sum(linear) * (job.compute_bytes - NF4_BYTES))
    if kinds[ACTIVATIONS] + kinds[LOGITS] > kinds[ADAPTER]:  # during computation
        packed[UNPACKED] += max(linear) * job.compute_bytes
    return packed


def with_adapter(job: Job, config: Any, dtype: torch.dtype) -> Any:
    """Build the model as verl does, with PEFT's LoRA adapter; call under the meta device."""
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_config(config, dtype=dtype, attn_implementation="sdpa")
    if job.checkpointing:
        model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
    model.enable_input_require_grads()
    targets = job.lora_targets if isinstance(job.lora_targets, str) else list(job.lora_targets)
    adapter = LoraConfig(r=job.lora_rank, lora_dropout=job.lora_dropout, target_modules=targets, task_type="CAUSAL_LM")
    return get_peft_model(model, adapter, low_cpu_mem_usage=True)


def _sharded(job: Job, config: Any, mesh: Any, compute: torch.dtype) -> Any:
    from torch.distributed.fsdp import MixedPrecisionPolicy
    from verl.utils.fsdp_utils import apply_fsdp2

    kept = {2: torch.bfloat16, 4: torch.float32}[job.weight_bytes]
    with torch.device("meta"):
        model = with_adapter(job, config, compute if job.nf4 else kept)
    policy = MixedPrecisionPolicy(param_dtype=compute, reduce_dtype=torch.float32, cast_forward_inputs=True)
    sharding = {"mesh": mesh, "mp_policy": policy, "offload_policy": None, "reshard_after_forward": True}
    if job.nf4:  # the adapter is sharded, the base is not
        frozen = {parameter for parameter in model.parameters() if not parameter.requires_grad}
        for parameter in set(model.parameters()) - frozen:
            parameter.data = parameter.data.float()
        sharding["ignored_params"] = frozen
    apply_fsdp2(model, sharding, {})
    return model


def _log_prob_pass(job: Job, model: Any, live: LiveStorages) -> None:
    model.eval()
    rows = min(job.log_prob_micro_batch, job.rows_per_rank)
    with live.phase("log-probs"), torch.no_grad():
        logits = _logits(model, rows, job.length)
        spread = lm_head.entropy(logits)
        lm_head.log_probs(lm_head.valid_rows(logits), torch.zeros(rows * job.length, dtype=torch.long))
        del logits, spread
    model.reshard()


def _update(job: Job, model: Any, optimizer: Any, live: LiveStorages) -> None:
    model.train()
    rows = min(job.micro_batch, job.rows_per_rank)
    # Accumulated gradients stay unsharded: verl reduces them with the last micro-batch.
    for last in [False, True] if job.rows_per_rank > rows else [True]:
        model.set_requires_gradient_sync(last)
        with live.phase("forward"):
            logits = _logits(model, rows, job.length)
        with live.phase("loss"):
            flat = lm_head.valid_rows(logits)
            loss = lm_head.log_probs(flat, torch.zeros(rows * job.length, dtype=torch.long)).mean()
            del logits, flat
        with live.phase("backward"):
            loss.backward()
        del loss
    with live.phase("optimizer"):
        optimizer.step()
        optimizer.zero_grad()


def _logits(model: Any, rows: int, length: int) -> torch.Tensor:
    tokens = torch.zeros((rows, length), dtype=torch.long)
    positions = torch.arange(length).expand(rows, length)
    # Padding is kept, so attention gets a mask.
    mask = torch.ones_like(tokens)
    logits: torch.Tensor = model(input_ids=tokens, attention_mask=mask, position_ids=positions, use_cache=False).logits
    return logits


@contextlib.contextmanager
def _fake_mesh(ranks: int) -> Iterator[Any]:
    """Create a mesh on a fake process group, whose collectives return at once."""
    import torch.distributed as dist
    from torch.testing._internal.distributed.fake_pg import FakeStore

    dist.init_process_group("fake", store=FakeStore(), rank=0, world_size=ranks)
    try:
        yield dist.init_device_mesh("cpu", (ranks,), mesh_dim_names=("fsdp",))
    finally:
        dist.destroy_process_group()


@contextlib.contextmanager
def _no_warnings() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
