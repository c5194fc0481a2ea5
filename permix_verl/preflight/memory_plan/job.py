"""Settings of a run that determine its memory and time."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from permix_verl.errors import UserError
from permix_verl.runs.init_adapter_settings import init_adapter_path
from permix_verl.training.qlora.settings import nf4_requested

BYTES = {"fp32": 4, "float32": 4, "bf16": 2, "bfloat16": 2, "fp16": 2, "float16": 2}
SEVEN_LINEAR = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")


@dataclass(frozen=True)
class RolloutSettings:
    """Settings of the rollout engine.

    Attributes:
        tensor_parallel: GPUs of one engine.
        utilization: fraction of a GPU's memory that vLLM uses for weights and cache.
        weight_bytes: bytes of a weight and of a cached value.
        sleeps: whether it releases its memory while the actor trains.
        batched_tokens: maximum tokens in one prefill batch.
        bucket_mb: size of the weight transfer buffer, MiB.
        cpu_cache: bytes of vLLM's cache without a GPU (``VLLM_CPU_KVCACHE_SPACE``).
    """

    tensor_parallel: int = 1
    utilization: float = 0.5
    weight_bytes: int = 2
    sleeps: bool = True
    batched_tokens: int = 8192
    bucket_mb: int = 2048
    cpu_cache: int = 2**30


@dataclass(frozen=True)
class Job:
    """A training as the recipes configure it in verl.

    Attributes:
        ranks: GPUs of all nodes.
        batch: prompts in a step.
        samples: completions of each prompt.
        prompt_tokens, answer_tokens: maximum tokens of a prompt and of a completion.
        micro_batch: rows in a micro-batch of the update.
        log_prob_micro_batch: rows in a micro-batch of the log-prob pass.
        weight_bytes: bytes of a stored weight.
        compute_bytes: bytes of a weight in computation.
        param_offload, optimizer_offload: kept on the host between the actor's phases.
        nf4: base in 4 bits and replicated on every rank (``QLORA=1``).
        adapter_reference: KL reference is the initial adapter (``INIT_ADAPTER``).
        lora_targets: module names, or a single string for PEFT such as "all-linear".
        rows: rows in one epoch.
        steps: step limit, if any.
        rollout: None in supervised training.
    """

    ranks: int = 1
    ranks_per_node: int = 1
    batch: int = 64
    samples: int = 8
    prompt_tokens: int = 256
    answer_tokens: int = 512
    micro_batch: int = 4
    log_prob_micro_batch: int = 8
    lora_rank: int = 32
    lora_targets: tuple[str, ...] | str = SEVEN_LINEAR
    lora_dropout: float = 0.05
    checkpointing: bool = True
    weight_bytes: int = 4
    compute_bytes: int = 2
    param_offload: bool = False
    optimizer_offload: bool = False
    nf4: bool = False
    reference: bool = True
    adapter_reference: bool = False
    device: str = "cuda"
    rows: int = 7473
    epochs: int = 1
    steps: int | None = None
    rollout: RolloutSettings | None = None

    @property
    def length(self) -> int:
        """Maximum tokens of a row."""
        return self.prompt_tokens + self.answer_tokens

    @property
    def rows_per_rank(self) -> int:
        """Rows of one rank in an update."""
        return max(1, self.batch * self.samples // self.ranks)


def read_job(settings: Mapping[str, Any], trainer: str, rows: int) -> Job:
    """Read the job from a composed configuration.

    Args:
        settings: verl's configuration, key -> value.
        trainer: "grpo" or "sft".
        rows: rows in one epoch.

    Raises:
        UserError: an invalid number or data type, an impossible layout, or an unsupported run: no LoRA, padding
            removed, dynamic batch size, an engine other than FSDP2.
    """
    read = _SettingsReader(settings)
    read.check_supported(trainer)
    return _check_layout(_sft_job(read, rows) if trainer == "sft" else _grpo_job(read, rows))


def _sft_job(read: "_SettingsReader", rows: int) -> Job:
    return Job(
        batch=read.integer("data.train_batch_size"),
        samples=1,
        prompt_tokens=0,
        answer_tokens=read.integer("data.max_length"),
        micro_batch=read.integer("data.micro_batch_size_per_gpu"),
        log_prob_micro_batch=read.integer("data.micro_batch_size_per_gpu"),
        reference=False,
        **read.common(rows),
        **read.model("model", "engine"),
    )


def _grpo_job(read: "_SettingsReader", rows: int) -> Job:
    actor = "actor_rollout_ref.actor"
    rollout = "actor_rollout_ref.rollout"
    return Job(
        batch=read.integer("data.train_batch_size"),
        samples=read.integer(f"{rollout}.n"),
        prompt_tokens=read.integer("data.max_prompt_length"),
        answer_tokens=read.integer("data.max_response_length"),
        micro_batch=read.integer(f"{actor}.ppo_micro_batch_size_per_gpu"),
        log_prob_micro_batch=read.integer(f"{rollout}.log_prob_micro_batch_size_per_gpu"),
        reference=bool(read.settings[f"{actor}.use_kl_loss"]),
        adapter_reference=init_adapter_path(read.settings) is not None,
        rollout=RolloutSettings(
            tensor_parallel=read.integer(f"{rollout}.tensor_model_parallel_size"),
            utilization=read.real(f"{rollout}.gpu_memory_utilization"),
            weight_bytes=read.bytes_of(read.settings[f"{rollout}.dtype"]),
            sleeps=bool(read.settings[f"{rollout}.free_cache_engine"]),
            batched_tokens=read.integer(f"{rollout}.max_num_batched_tokens"),
            bucket_mb=read.integer(f"{rollout}.checkpoint_engine.update_weights_bucket_megabytes"),
            cpu_cache=int(float(os.environ.get("VLLM_CPU_KVCACHE_SPACE") or 1) * 2**30),
        ),
        **read.common(rows),
        **read.model("actor_rollout_ref.model", f"{actor}.fsdp_config"),
    )


def _check_layout(job: Job) -> Job:
    rollout = job.rollout
    if rollout is not None and job.ranks % rollout.tensor_parallel:
        raise UserError(
            f"tensor_model_parallel_size={rollout.tensor_parallel} does not divide {job.ranks} GPUs",
            "set TENSOR_PARALLEL to a divisor",
        )
    if job.batch * job.samples % job.ranks:
        raise UserError(
            f"{job.batch} x {job.samples} rows of a step are not divisible by {job.ranks} GPUs", "set BATCH or ROLLOUTS"
        )
    return job


class _SettingsReader:
    def __init__(self, settings: Mapping[str, Any]) -> None:
        self.settings = settings

    def integer(self, key: str) -> int:
        value = self.settings[key]
        if not isinstance(value, int) or isinstance(value, bool) or value < 1:
            raise UserError(f"{key}={value} is not an integer of 1 or more", "give one")
        return value

    def real(self, key: str) -> float:
        value = self.settings[key]
        if not isinstance(value, int | float) or isinstance(value, bool):
            raise UserError(f"{key}={value} is not a number", "give one")
        return float(value)

    def check_supported(self, trainer: str) -> None:
        model, strategy = "actor_rollout_ref.model", "actor_rollout_ref.actor.strategy"
        dynamic = "actor_rollout_ref.actor.use_dynamic_bsz"
        if trainer == "sft":
            model, strategy, dynamic = "model", "engine.strategy", "data.use_dynamic_bsz"
        for key, planned in ((strategy, "fsdp2"), (f"{model}.use_remove_padding", False), (dynamic, False)):
            if self.settings[key] != planned:
                raise UserError(f"{key}={self.settings[key]} is not supported, only the recipes' {planned}", "set that")
        if not self.settings[f"{model}.lora_rank"]:
            raise UserError(f"{model}.lora_rank=0: the plan supports LoRA only", "set LORA_RANK")

    def bytes_of(self, name: str) -> int:
        if name not in BYTES:
            raise UserError(f"unknown data type '{name}'", f"known: {' '.join(BYTES)}")
        return BYTES[name]

    def common(self, rows: int) -> dict[str, Any]:
        """Read the settings that the two trainers store under the same keys."""
        ranks_per_node = self.integer("trainer.n_gpus_per_node")
        steps = "trainer.total_training_steps"
        return {
            "ranks": ranks_per_node * self.integer("trainer.nnodes"),
            "ranks_per_node": ranks_per_node,
            "device": self.settings["trainer.device"],
            "rows": rows,
            "epochs": self.integer("data.epochs"),
            "steps": None if self.settings[steps] is None else self.integer(steps),
        }

    def model(self, model: str, engine: str) -> dict[str, Any]:
        """Read the settings that the two trainers store under different keys."""
        targets = self.settings[f"{model}.target_modules"]
        precision = self.settings[f"{engine}.mixed_precision"] or {}
        return {
            "lora_rank": self.integer(f"{model}.lora_rank"),
            "lora_targets": tuple(targets) if isinstance(targets, list) else targets,
            "lora_dropout": self.real("permix.lora_dropout"),
            "nf4": nf4_requested(self.settings),
            "checkpointing": bool(self.settings[f"{model}.enable_gradient_checkpointing"]),
            "weight_bytes": self.bytes_of(self.settings[f"{engine}.model_dtype"]),
            "compute_bytes": self.bytes_of(precision.get("param_dtype", "bf16")),
            "param_offload": bool(self.settings[f"{engine}.param_offload"]),
            "optimizer_offload": bool(self.settings[f"{engine}.optimizer_offload"]),
        }
