"""Merge an adapter into its base as a plain Hugging Face folder, and check the result against the adapter.

    permix merge --base meta-llama/Llama-3.1-8B-Instruct --adapter runs/NAME/adapter --out merged/

verl's own merging uses a scale of 0 if a checkpoint's metadata lack one, so that the merged model is the base (verl
#7285, #4553, #7341). Here the folder is read back, and must be closer to the adapter than to the base. The base must be
the one that the adapter was trained on, and every key of the adapter must fit it.
"""

import argparse
import os
import shutil
import sys
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from permix_verl.checkpoints.adapter import log_probs
from permix_verl.checkpoints.adapter_base import check_base
from permix_verl.data.tokenizers import load_prompt_tokenizer, load_tokenizer
from permix_verl.errors import UserError, first_line
from permix_verl.personas.pool import load_pool
from permix_verl.personas.prompts import build_messages, render
from permix_verl.runs.adapter_keys import check_keys, read_adapter_weights
from permix_verl.runs.quantized_base import refuse_quantized
from permix_verl.utils.file_modes import give_usual_modes

QUESTIONS = ("A farmer has 12 cows and sells half of them. How many are left?", "What is 7 * 8?")
MIN_ADAPTER_EFFECT = 1e-6
"""Largest change of a log-prob, in nats, up to which an adapter counts as having no effect."""


@dataclass(frozen=True, slots=True)
class MergeCheck:
    """Mean absolute differences of merged model and base from the adapter's log-probs, in nats, over ``tokens``."""

    tokens: int
    merged: float
    base: float


@dataclass(frozen=True, slots=True)
class _Loaded:
    """Base and adapter in float32, the probe texts, and the base's log-probs on them.

    Attributes:
        tuned: PEFT's model of base and adapter.
        dtype: data type of the weights to write.
    """

    tokenizer: Any
    tuned: Any
    probes: dict[str, Any]
    base_log_probs: torch.Tensor
    dtype: torch.dtype


def merge(base: str, adapter: Path, out: Path, dtype: str = "auto") -> MergeCheck:
    """Write the merged model, atomically.

    Args:
        base: hub name or folder.
        adapter: PEFT folder.
        dtype: data type of the written weights; "auto" is the base's. The sum is computed in float32.

    Raises:
        UserError: base or adapter cannot be loaded or do not belong together; an adapter without effect; an existing
            ``out``; a data type too coarse for the adapter.
    """
    if out.exists():
        raise UserError(f"{out} already exists", "give another --out, or remove it")
    refuse_quantized(
        base,
        "an adapter cannot be added to packed weights without rounding it away",
        "give --base the unquantized model, or serve base and adapter separately",
    )
    try:
        loaded = _load(base, adapter, dtype)
    except UserError:
        raise
    except (OSError, ValueError, RuntimeError, KeyError) as error:
        raise UserError(f"{base} and {adapter} cannot be loaded together ({first_line(error)})", "check both") from None
    adapter_log_probs = log_probs(loaded.tuned, loaded.probes)
    base_difference = (loaded.base_log_probs - adapter_log_probs).abs()
    _refuse_without_effect(adapter, base_difference.max().item())
    partial = out.with_name(out.name + ".partial")
    merged_log_probs = _write(loaded, partial)
    check = MergeCheck(
        tokens=adapter_log_probs.numel(),
        merged=(merged_log_probs - adapter_log_probs).abs().mean().item(),
        base=base_difference.mean().item(),
    )
    if check.merged > 0.5 * check.base:
        shutil.rmtree(partial)
        raise _too_coarse(check, loaded.dtype)
    os.replace(partial, out)
    return check


def _load(base: str, adapter: Path, dtype: str) -> _Loaded:
    from transformers import AutoModelForCausalLM

    tokenizer = load_tokenizer(base)
    model = AutoModelForCausalLM.from_pretrained(base, dtype="auto").eval()
    written = model.dtype if dtype == "auto" else getattr(torch, dtype)
    model = model.float()
    probes = _probe_texts(load_prompt_tokenizer(base, quiet=True))
    base_log_probs = log_probs(model, probes)
    return _Loaded(tokenizer, _apply_adapter(model, base, adapter), probes, base_log_probs, written)


def _apply_adapter(model: Any, base: str, adapter: Path) -> Any:
    """Return PEFT's model of base and adapter, after checks that they belong together."""
    from peft import PeftConfig, PeftModel

    PeftConfig.from_pretrained(adapter)  # raises for a folder that is not an adapter
    if doubt := check_base(adapter, base):
        print(f"warning: {doubt}", file=sys.stderr)
    weights = read_adapter_weights(adapter)
    # check_keys reports mismatches in one line; PEFT would warn once per key.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        tuned = PeftModel.from_pretrained(model, adapter, ignore_mismatched_sizes=True).eval()
    check_keys(tuned, weights, adapter, base)
    return tuned


def _write(loaded: _Loaded, folder: Path) -> torch.Tensor:
    """Write the merged model to ``folder``, and return its log-probs as read back in float32."""
    from transformers import AutoModelForCausalLM

    shutil.rmtree(folder, ignore_errors=True)
    folder.parent.mkdir(parents=True, exist_ok=True)
    loaded.tuned.merge_and_unload().to(loaded.dtype).save_pretrained(folder)
    loaded.tokenizer.save_pretrained(folder)
    give_usual_modes(folder)
    return log_probs(AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval(), loaded.probes)


def _refuse_without_effect(adapter: Path, largest: float) -> None:
    if largest < MIN_ADAPTER_EFFECT:
        raise UserError(
            f"{adapter} changes no log-prob of the base by more than {MIN_ADAPTER_EFFECT:g} nats",
            "check that it was trained, and that its adapter_config.json has the lora_alpha it was trained with",
        )


def _too_coarse(check: MergeCheck, dtype: torch.dtype) -> UserError:
    return UserError(
        f"merged in {str(dtype).removeprefix('torch.')}, the model differs from the adapter by {check.merged:.2e} "
        f"nats per token, the base by {check.base:.2e}: too coarse",
        "give --dtype float32, or serve the adapter",
    )


def _probe_texts(tokenizer: Any) -> dict[str, Any]:
    """Return questions under three personas and none, for ``log_probs``: every token but the first is scored."""
    conditions = (None, *load_pool("train").personas[:3])
    texts = [render(tokenizer, build_messages(question, persona)) for question in QUESTIONS for persona in conditions]
    ids = [tokenizer(text, add_special_tokens=False)["input_ids"] for text in texts]
    return {"prompts": [row[:1] for row in ids], "responses": [row[1:] for row in ids], "temperature": 1.0}


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="permix merge", description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--base", required=True, help="hub name or folder of the model that was trained")
    parser.add_argument("--adapter", type=Path, required=True, help="PEFT folder, such as runs/NAME/adapter")
    parser.add_argument("--out", type=Path, required=True, help="folder to write")
    parser.add_argument("--dtype", default="auto", choices=["auto", "float32", "bfloat16", "float16"])
    args = parser.parse_args(argv)
    check = merge(args.base, args.adapter, args.out, args.dtype)
    print(
        f"merged model in {args.out}: over {check.tokens} tokens its log-probs differ from the adapter's by "
        f"{check.merged:.1e} nats per token, the base's by {check.base:.1e}"
    )
    return 0
