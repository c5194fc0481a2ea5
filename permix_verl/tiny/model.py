"""A tiny Llama chat model with a tokenizer of its own, made on the spot.

About a million weights, a byte-level BPE trained on the packaged personas and
generated problems, and a chat template in Llama 3's layout. A short supervised
pass teaches it the answer format and a little arithmetic: enough that some
rollouts earn a reward, so that GRPO has something to learn from.
"""

import fcntl
import json
import os
import random
import shutil
from pathlib import Path
from typing import Any

from tqdm import trange

from permix_verl.lab.base import CHAT_TEMPLATE, SPECIAL_TOKENS
from permix_verl.personas import Persona, load_pool
from permix_verl.prompts import build_messages, render
from permix_verl.tiny import problems

VERSION = 1
"""Raise it when anything below changes what is made: a folder of another version is made anew."""

VOCABULARY = 1024
HIDDEN, LAYERS, HEADS, KV_HEADS = 128, 3, 4, 2
STEPS, BATCH, PEAK_LR = 160, 48, 3e-3
PROBLEMS = 128
"""Size of the problem set that is written beside the model."""


def ensure_world(folder: Path, seed: int = 0) -> dict[str, Path]:
    """Make ``folder/model`` and ``folder/train.jsonl`` unless they are there; return their paths.

    Takes about a minute on two cores the first time and nothing afterwards. An
    interrupted call leaves no half-made folder.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    with folder.with_name(folder.name + ".lock").open("a+") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # another recipe may be making it
        stamp = {"version": VERSION, "seed": seed}
        stamp_file = folder / "stamp.json"
        if not (stamp_file.is_file() and json.loads(stamp_file.read_text()) == stamp):
            _make_world(folder, seed, stamp)
    return {"model": folder / "model", "data": folder / "train.jsonl"}


def _make_world(folder: Path, seed: int, stamp: dict[str, int]) -> None:
    print("making a tiny model and its problems, once; about a minute", flush=True)
    partial = folder.with_name(folder.name + ".partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir()
    rows = problems.generate(PROBLEMS, seed=seed)
    (partial / "train.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    tokenizer = build_tokenizer()
    model = train_model(tokenizer, seed=seed)
    tokenizer.save_pretrained(partial / "model")
    model.save_pretrained(partial / "model")
    (partial / "stamp.json").write_text(json.dumps(stamp))
    shutil.rmtree(folder, ignore_errors=True)
    os.replace(partial, folder)


def build_tokenizer() -> Any:
    """A byte-level BPE over the packaged personas and generated problems; digits stay single tokens."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=list(SPECIAL_TOKENS),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    texts = [persona.system_prompt for name in ("train", "eval") for persona in load_pool(name)]
    for row in problems.generate(512, seed=1):
        texts += [build_messages(row["question"], None)[0]["content"], problems.spoken(row["answer"])]
    tokenizer.train_from_iterator(texts, trainer)
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token="<|begin_of_text|>", eos_token="<|eot_id|>", pad_token="<|pad|>"
    )
    fast.add_special_tokens({"additional_special_tokens": ["<|start_header_id|>", "<|end_header_id|>"]})
    fast.chat_template = CHAT_TEMPLATE
    return fast


def build_model(tokenizer: Any) -> Any:
    """The untrained Llama for a tokenizer."""
    from transformers import LlamaConfig, LlamaForCausalLM

    return LlamaForCausalLM(
        LlamaConfig(
            vocab_size=len(tokenizer),
            hidden_size=HIDDEN,
            intermediate_size=3 * HIDDEN,
            num_hidden_layers=LAYERS,
            num_attention_heads=HEADS,
            num_key_value_heads=KV_HEADS,
            max_position_embeddings=512,
            bos_token_id=tokenizer.bos_token_id,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
            tie_word_embeddings=True,
        )
    )


def train_model(tokenizer: Any, seed: int = 0) -> Any:
    """A short supervised pass on fresh problems under random personas; loss on the answer only."""
    import torch

    torch.manual_seed(seed)
    rng = random.Random(seed)
    arms: list[Persona | None] = [None, *load_pool("train"), *load_pool("eval")]
    model = build_model(tokenizer).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=PEAK_LR, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=PEAK_LR, total_steps=STEPS, pct_start=0.1)
    # A seed apart from the problem set's, so that its problems are fresh to the model.
    rows = iter(problems.generate(STEPS * BATCH, seed=seed + 1_000_003))
    for _ in trange(STEPS, desc="making the tiny model", unit=" steps", disable=None):
        batch = [_example(tokenizer, next(rows), rng.choice(arms)) for _ in range(BATCH)]
        longest = max(len(ids) for ids, _ in batch)
        pad = tokenizer.pad_token_id
        input_ids = torch.tensor([ids + [pad] * (longest - len(ids)) for ids, _ in batch])  # (BATCH, longest)
        labels = torch.tensor([labels + [-100] * (longest - len(labels)) for _, labels in batch])
        loss = model(input_ids=input_ids, attention_mask=input_ids.ne(pad).long(), labels=labels).loss
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        schedule.step()
    return model.eval()


def _example(tokenizer: Any, row: dict[str, str], persona: Persona | None) -> tuple[list[int], list[int]]:
    prompt = tokenizer(render(tokenizer, build_messages(row["question"], persona)), add_special_tokens=False)[
        "input_ids"
    ]
    answer = tokenizer(problems.spoken(row["answer"]), add_special_tokens=False)["input_ids"] + [tokenizer.eos_token_id]
    return prompt + answer, [-100] * len(prompt) + answer
