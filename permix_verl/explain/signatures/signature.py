"""Type of a known failure: its pattern, cause and remedy."""

import re
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

Kind = Literal["ours", "error", "death", "wait", "echo", "stop"]
"""Kind of a sign, the most specific first.

- ours: an error of this project, with its remedy.
- error: an error with its reason.
- death: a process ended without a reason in the log.
- wait: something hangs.
- echo: a reaction of other processes to a death.
- stop: ended from outside.
"""

HERE = "provoked"
"""Source of a failure provoked for the tests; the logs are in tests/data/logs/."""

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
"""Name in :attr:`Signature.sources` -> GitHub repository."""


@dataclass(frozen=True)
class Signature:
    """A known failure.

    Attributes:
        id: identifier.
        pattern: regular expression, searched in an exception as Python prints it ("Name: message").
        cause: cause in words.
        remedy: remedy in words.
        sources: threads, such as "vLLM #2248", and :data:`HERE`.
        kind: kind, see :data:`Kind`.
        line: whether every line is searched too, because it may appear without an exception.
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
