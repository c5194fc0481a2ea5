"""An adapter and its base as one plain Hugging Face folder, with a check that it says what the adapter says.

    permix merge --base meta-llama/Llama-3.1-8B-Instruct --adapter runs/NAME/adapter --out merged/

verl's own merging takes a scale of 0 where a checkpoint's metadata lack one, and the merged model is the base (#7285,
#4553, #7341). Here the folder is read back, and must be nearer to the adapter than to the base. The base must be the
one that the adapter was trained on, and every key of the adapter must fit it.
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
from permix_verl.data.tokenizers import load_tokenizer
from permix_verl.errors import UserError, first_line
from permix_verl.personas.pool import load_pool
from permix_verl.personas.prompts import build_messages, render
from permix_verl.runs.adapter_keys import check_keys, read_adapter_weights
from permix_verl.runs.quantized_base import refuse_quantised
from permix_verl.utils.file_modes import give_usual_modes

QUESTIONS = ("A farmer has 12 cows and sells half of them. How many are left?", "What is 7 * 8?")
LEAST = 1e-6
"""Nats: what changes no log-prob by more than this is no adapter."""


@dataclass(frozen=True, slots=True)
class MergeCheck:
    """Mean distances of log-probs in nats over ``tokens``: of the folder from the adapter, and of the base from it."""

    tokens: int
    merged: float
    base: float


def merge(base: str, adapter: Path, out: Path, dtype: str = "auto") -> MergeCheck:
    """Write the merged model, in one move.

    Args:
        base: hub name or folder.
        adapter: PEFT folder.
        dtype: of the weights that are written; "auto" is the base's. The sum is made in float32.

    Raises:
        UserError: something that does not load, an adapter of another base or with keys that do not fit, one that
            changes nothing, a folder that is there already, or weights so coarse that the adapter is lost in them.
    """
    from transformers import AutoModelForCausalLM

    if out.exists():
        raise UserError(f"{out} is there already; give another --out, or remove it")
    refuse_quantised(
        base,
        "an adapter cannot be added to packed weights without rounding it away",
        "give --base the model that it was made of, or serve base and adapter as they are",
    )
    try:
        tokenizer = load_tokenizer(base)
        model = AutoModelForCausalLM.from_pretrained(base, dtype="auto").eval()
        written = model.dtype if dtype == "auto" else getattr(torch, dtype)
        model = model.float()
        texts = _texts(tokenizer)
        of_base = log_probs(model, texts)
        tuned = _put_on(model, base, adapter)
    except (OSError, ValueError, RuntimeError, KeyError) as error:
        if isinstance(error, UserError):
            raise
        raise UserError(f"{base} and {adapter} do not load together ({first_line(error)}); check both") from None
    of_adapter = log_probs(tuned, texts)
    _refuse_none(adapter, (of_adapter - of_base).abs().max().item())
    partial = out.with_name(out.name + ".partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.parent.mkdir(parents=True, exist_ok=True)
    tuned.merge_and_unload().to(written).save_pretrained(partial)
    tokenizer.save_pretrained(partial)
    give_usual_modes(partial)
    of_merged = log_probs(AutoModelForCausalLM.from_pretrained(partial, dtype=torch.float32).eval(), texts)
    check = MergeCheck(
        tokens=of_base.numel(),
        merged=(of_merged - of_adapter).abs().mean().item(),
        base=(of_base - of_adapter).abs().mean().item(),
    )
    if check.merged > 0.5 * check.base:
        shutil.rmtree(partial)
        raise _too_coarse(check, written)
    os.replace(partial, out)
    return check


def _put_on(model: Any, base: str, adapter: Path) -> Any:
    """PEFT's model of base and adapter, after a look at whether they belong together."""
    from peft import PeftConfig, PeftModel

    PeftConfig.from_pretrained(adapter)  # says what is wrong with a folder that is none
    if doubt := check_base(adapter, base):
        print(f"warning: {doubt}", file=sys.stderr)
    weights = read_adapter_weights(adapter)
    # Keys and shapes that do not fit are for check_keys to name, in one line: PEFT says a line for every one.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        tuned = PeftModel.from_pretrained(model, adapter, ignore_mismatched_sizes=True).eval()
    check_keys(tuned, weights, adapter, base)
    return tuned


def _refuse_none(adapter: Path, largest: float) -> None:
    if largest < LEAST:
        raise UserError(
            f"{adapter} changes nothing: no log-prob of the base by more than {LEAST:g} nats; was it trained, and does "
            "its adapter_config.json have the lora_alpha that it was trained with?"
        )


def _too_coarse(check: MergeCheck, written: torch.dtype) -> UserError:
    return UserError(
        f"merged in {str(written).removeprefix('torch.')}, the model is {check.merged:.2e} nats a token away from "
        f"the adapter, and the base {check.base:.2e}: too coarse for it; give --dtype float32, or serve the adapter"
    )


def _texts(tokenizer: Any) -> dict[str, Any]:
    """Questions under a few personas and under none, for ``log_probs``: every token but the first is looked at."""
    arms = (None, *load_pool("train").personas[:3])
    texts = [render(tokenizer, build_messages(question, arm)) for question in QUESTIONS for arm in arms]
    ids = [tokenizer(text, add_special_tokens=False)["input_ids"] for text in texts]
    return {"prompts": [one[:1] for one in ids], "responses": [one[1:] for one in ids], "temperature": 1.0}


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="permix merge", description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--base", required=True, help="hub name or folder of the model that was trained")
    parser.add_argument("--adapter", type=Path, required=True, help="PEFT folder, such as runs/NAME/adapter")
    parser.add_argument("--out", type=Path, required=True, help="folder to write")
    parser.add_argument("--dtype", default="auto", choices=["auto", "float32", "bfloat16", "float16"])
    args = parser.parse_args(argv)
    check = merge(args.base, args.adapter, args.out, args.dtype)
    print(
        f"merged model in {args.out}: its log-probs are {check.merged:.1e} nats a token from the adapter's over "
        f"{check.tokens} tokens, and the base's {check.base:.1e}"
    )
    return 0
