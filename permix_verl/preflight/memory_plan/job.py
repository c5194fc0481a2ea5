"""What of a run's configuration decides its memory and time."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from permix_verl.errors import UserError
from permix_verl.runs.init_adapter_settings import given_in
from permix_verl.training.qlora.settings import nf4_is_asked_for

BYTES = {"fp32": 4, "float32": 4, "bf16": 2, "bfloat16": 2, "fp16": 2, "float16": 2}
SEVEN_LINEAR = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")


@dataclass(frozen=True)
class Rollout:
    """The rollout engine's part.

    Attributes:
        tensor_parallel: GPUs that share one engine.
        utilization: share of a GPU's memory that vLLM takes, weights and cache together.
        weight_bytes: a weight's, and a cached value's.
        sleeps: whether it gives its memory back while the actor trains.
        batched_tokens: prompt tokens that vLLM computes at once.
        bucket_mb: buffer that weights travel in.
        cpu_cache: bytes of vLLM's cache where there is no GPU (``VLLM_CPU_KVCACHE_SPACE``).
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
    """A training, as the recipes give it to verl.

    Attributes:
        ranks: GPUs of all nodes.
        batch: rows a step; ``samples`` answers are sampled for each.
        prompt_tokens, answer_tokens: the longest.
        micro_batch: rows of an update that a rank computes at once.
        log_prob_micro_batch: rows whose log-probs it computes at once.
        weight_bytes: of a weight as it is kept; ``compute_bytes`` as it is computed with.
        param_offload, optimizer_offload: kept on the host between two of the actor's turns.
        nf4: whether the base is in 4 bits and whole on every rank (``QLORA=1``).
        kept_start: whether the reference is the adapter that training starts from (``INIT_ADAPTER``).
        lora_targets: names of modules, or what PEFT takes in one string, such as "all-linear".
        rows: of one epoch of the data; ``epochs`` of them. ``steps`` if the run is to end before all are used.
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
    kept_start: bool = False
    device: str = "cuda"
    rows: int = 7473
    epochs: int = 1
    steps: int | None = None
    rollout: Rollout | None = None

    @property
    def length(self) -> int:
        """Tokens of the longest row."""
        return self.prompt_tokens + self.answer_tokens

    @property
    def rows_per_rank(self) -> int:
        """Rows of one update on a rank."""
        return max(1, self.batch * self.samples // self.ranks)


def read_job(settings: Mapping[str, str], trainer: str, rows: int) -> Job:
    """The job that a recipe's overrides ask for.

    Args:
        rows: of one epoch; ``trainer.total_training_steps`` says how many of all of them are used.

    Raises:
        UserError: a number or a data type that is none, a layout that cannot be, or a run of another kind than the
            recipes': without LoRA, with padding removed, with batches by tokens, by another engine than FSDP2.
    """
    read = _Reader(settings)
    ranks_per_node = read.whole("trainer.n_gpus_per_node", 8)
    ranks = ranks_per_node * read.whole("trainer.nnodes", 1)
    read.refuse_what_is_not_planned(trainer)
    if trainer == "sft":
        return _possible(
            Job(
                ranks=ranks,
                ranks_per_node=ranks_per_node,
                batch=read.whole("data.train_batch_size", 256),
                samples=1,
                prompt_tokens=0,
                answer_tokens=read.whole("data.max_length", 1024),
                micro_batch=read.whole("data.micro_batch_size_per_gpu", 4),
                log_prob_micro_batch=read.whole("data.micro_batch_size_per_gpu", 4),
                reference=False,
                device=settings.get("trainer.device", "cuda"),
                rows=rows,
                epochs=read.whole("data.epochs", 1),
                steps=read.steps(),
                **read.model("model", "engine"),
            )
        )
    actor = "actor_rollout_ref.actor"
    rollout = "actor_rollout_ref.rollout"
    return _possible(
        Job(
            ranks=ranks,
            ranks_per_node=ranks_per_node,
            batch=read.whole("data.train_batch_size", 1024),
            samples=read.whole(f"{rollout}.n", 1),
            prompt_tokens=read.whole("data.max_prompt_length", 512),
            answer_tokens=read.whole("data.max_response_length", 512),
            micro_batch=read.whole(f"{actor}.ppo_micro_batch_size_per_gpu", 1),
            log_prob_micro_batch=read.whole(f"{rollout}.log_prob_micro_batch_size_per_gpu", 1),
            reference=read.flag(f"{actor}.use_kl_loss", False),
            kept_start=given_in(settings) is not None,
            device=settings.get("trainer.device", "cuda"),
            rows=rows,
            epochs=read.whole("data.epochs", 1),
            steps=read.steps(),
            rollout=Rollout(
                tensor_parallel=read.whole(f"{rollout}.tensor_model_parallel_size", 2),
                utilization=read.real(f"{rollout}.gpu_memory_utilization", 0.5),
                weight_bytes=read.bytes_of(settings.get(f"{rollout}.dtype", "bfloat16")),
                sleeps=read.flag(f"{rollout}.free_cache_engine", True),
                batched_tokens=read.whole(f"{rollout}.max_num_batched_tokens", 8192),
                bucket_mb=read.whole(f"{rollout}.checkpoint_engine.update_weights_bucket_megabytes", 2048),
                cpu_cache=int(float(os.environ.get("VLLM_CPU_KVCACHE_SPACE") or 1) * 2**30),
            ),
            **read.model("actor_rollout_ref.model", f"{actor}.fsdp_config"),
        )
    )


def _possible(job: Job) -> Job:
    rollout = job.rollout
    if rollout is not None and job.ranks % rollout.tensor_parallel:
        raise UserError(
            f"tensor_model_parallel_size={rollout.tensor_parallel} does not divide {job.ranks} GPUs; set "
            "TENSOR_PARALLEL to a divisor of them"
        )
    if job.batch * job.samples % job.ranks:
        raise UserError(
            f"{job.batch} x {job.samples} rows of a step do not divide over {job.ranks} GPUs; set BATCH or ROLLOUTS"
        )
    return job


class _Reader:
    def __init__(self, settings: Mapping[str, str]) -> None:
        self.settings = settings

    def whole(self, key: str, default: int) -> int:
        value = self.settings.get(key, str(default))
        if not value.isdigit() or int(value) < 1:
            raise UserError(f"{key}={value} is no whole number of at least 1, which the plan needs; give one")
        return int(value)

    def steps(self) -> int | None:
        key = "trainer.total_training_steps"
        return None if self.settings.get(key, "null") == "null" else self.whole(key, 1)

    def real(self, key: str, default: float) -> float:
        value = self.settings.get(key, str(default))
        try:
            return float(value)
        except ValueError as error:
            raise UserError(f"{key}={value} is no number; give one") from error

    def flag(self, key: str, default: bool) -> bool:
        return self.settings.get(key, str(default)).lower() == "true"

    def refuse_what_is_not_planned(self, trainer: str) -> None:
        model, strategy = "actor_rollout_ref.model", "actor_rollout_ref.actor.strategy"
        dynamic = "actor_rollout_ref.actor.use_dynamic_bsz"
        if trainer == "sft":
            model, strategy, dynamic = "model", "engine.strategy", "data.use_dynamic_bsz"
        for key, planned, default in (
            (strategy, "fsdp2", "fsdp"),
            (f"{model}.use_remove_padding", "false", "true"),
            (dynamic, "false", "true" if trainer == "sft" else "false"),
        ):
            value = self.settings.get(key, default)
            if value.lower() != planned:
                raise UserError(
                    f"{key}={value}: the plan knows the recipes' {planned}; ask it through a recipe, DRY_RUN=plan"
                )
        if self.settings.get(f"{model}.lora_rank", "0") == "0":
            raise UserError(f"{model}.lora_rank=0: the plan knows training with LoRA; set LORA_RANK")

    def bytes_of(self, name: str) -> int:
        if name not in BYTES:
            raise UserError(f"unknown data type '{name}'; known: {' '.join(BYTES)}")
        return BYTES[name]

    def model(self, model: str, engine: str) -> dict[str, Any]:
        """What both trainers have under other names."""
        targets = self.settings.get(f"{model}.target_modules", "all-linear")
        precision = self.settings.get(f"{engine}.mixed_precision", "")
        compute = precision.partition("param_dtype:")[2].partition(",")[0].strip("{} ") or "bf16"
        compute = self.settings.get(f"{engine}.mixed_precision.param_dtype", compute)
        return {
            "lora_rank": self.whole(f"{model}.lora_rank", 0),
            "lora_targets": tuple(name.strip(" '\"") for name in targets.strip("[]").split(","))
            if "[" in targets
            else targets,
            "lora_dropout": self.real("permix.lora_dropout", 0.0),
            "nf4": nf4_is_asked_for(self.settings),
            "checkpointing": self.flag(f"{model}.enable_gradient_checkpointing", True),
            "weight_bytes": self.bytes_of(self.settings.get(f"{engine}.model_dtype", "fp32")),
            "compute_bytes": self.bytes_of(compute),
            "param_offload": self.flag(f"{engine}.param_offload", False),
            "optimizer_offload": self.flag(f"{engine}.optimizer_offload", False),
        }
