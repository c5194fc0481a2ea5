"""What a known failure looks like, and what to do about it."""

import re
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

Kind = Literal["ours", "error", "death", "wait", "echo", "stop"]
"""What a sign says, the more telling first.

- ours: this project says what is wrong, and what to do.
- error: what went wrong.
- death: a process is gone, and the log does not say why.
- wait: something stands still.
- echo: what others see when a process is gone.
- stop: it was ended from outside.
"""

HERE = "provoked"
"""Source of a failure that was provoked for the tests; their logs are in tests/data/logs/."""

REPOSITORIES = {
    "Agent-R1": "AgentR1/Agent-R1",
    "EasyR1": "hiyouga/EasyR1",
    "FunASR": "modelscope/FunASR",
    "GLM-4": "zai-org/GLM-4",
    "Hydra": "hydra-ecosystem/hydra",
    "LMFlow": "OptimalScale/LMFlow",
    "LlamaFactory": "hiyouga/LlamaFactory",
    "Logic-RL": "Unakar/Logic-RL",
    "MiniMax-01": "MiniMax-AI/MiniMax-01",
    "NCCL": "NVIDIA/nccl",
    "OpenRLHF": "OpenRLHF/OpenRLHF",
    "PEFT": "huggingface/peft",
    "PyTorch": "pytorch/pytorch",
    "Qwen3-VL": "QwenLM/Qwen3-VL",
    "R1-V": "StarsfieldAI/R1-V",
    "Ray": "ray-project/ray",
    "TRL": "huggingface/trl",
    "TensorFlow": "tensorflow/tensorflow",
    "flash-attention": "Dao-AILab/flash-attention",
    "gpustack": "gpustack/gpustack",
    "ipex-llm": "intel/ipex-llm",
    "llm2vec": "McGill-NLP/llm2vec",
    "lmdeploy": "InternLM/lmdeploy",
    "ms-swift": "modelscope/ms-swift",
    "tensordict": "pytorch/tensordict",
    "tracecat": "TracecatHQ/tracecat",
    "transformers": "huggingface/transformers",
    "tt-inference-server": "tenstorrent/tt-inference-server",
    "unsloth": "unslothai/unsloth",
    "unsloth-zoo": "unslothai/unsloth-zoo",
    "vLLM": "vllm-project/vllm",
    "verl": "verl-project/verl",
    "vllm-ascend": "vllm-project/vllm-ascend",
}
"""Names in :attr:`Signature.sources`, and where they are on GitHub."""


@dataclass(frozen=True)
class Signature:
    """A known failure.

    Attributes:
        id: its name.
        pattern: regular expression, searched in an exception as Python prints it ("Name: message").
        cause: in words.
        remedy: what to do.
        sources: threads, as "vLLM #2248", and :data:`HERE`.
        kind: see :data:`Kind`.
        line: search it in every line too: it may be said without an exception.
    """

    id: str
    pattern: str
    cause: str
    remedy: str
    sources: tuple[str, ...]
    kind: Kind = "error"
    line: bool = False

    @cached_property
    def regex(self) -> re.Pattern[str]:
        return re.compile(self.pattern)
