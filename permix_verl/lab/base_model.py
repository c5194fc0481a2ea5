"""The lab's base model: a Llama of two million weights, trained from scratch in minutes.

The weights ship in model/ with a manifest; data_prep/lab_base.py rebuilds them. The model is trained
on every persona of both pools and on both levels of problems, as a real base model has seen chefs,
lawyers and competition problems. RL sees only the training pool and the easy level.
"""

import itertools
import math
import random
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from permix_verl.lab import problems
from permix_verl.lab.styles import style_of, styled_completion, styles
from permix_verl.personas.pool import NO_PERSONA, Persona, load_pool
from permix_verl.personas.prompts import build_messages, render

MODEL = Path(__file__).parent / "model"
"""The shipped Hugging Face folder, with a tokenizer and manifest.json."""

MAX_COMPLETION_TOKENS = 64
"""Token limit of a completion in measurements and evaluation; the training examples have at most 35."""

CHAT_TEMPLATE = (
    "{{ bos_token }}{% for message in messages %}"
    "{{ '<|start_header_id|>' + message['role'] + '<|end_header_id|>\n\n' + message['content'] | trim + '<|eot_id|>' }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|start_header_id|>assistant<|end_header_id|>\n\n' }}{% endif %}"
)
"""Llama 3's chat template, simplified."""
SPECIAL_TOKENS = ("<|pad|>", "<|begin_of_text|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>")
_MAX_VOCABULARY = 2048
_TOKENIZER_PROBLEMS = 300
_BATCHES_SORTED_TOGETHER = 16
"""Batches sorted by length together, to reduce padding."""


@dataclass(frozen=True)
class Training:
    """Settings of the base model's training.

    Attributes:
        steps: AdamW steps.
        batch: examples a step.
        peak_lr: peak of a cosine schedule with warm-up over the first 5 % of the steps.
        hard: fraction of hard problems.
        no_persona: fraction of prompts without a persona; the others sample one of both pools.
    """

    seed: int = 0
    steps: int = 5000
    batch: int = 16
    peak_lr: float = 3e-3
    weight_decay: float = 0.05
    hard: float = 0.4
    no_persona: float = 0.5


def build_tokenizer() -> Any:
    """Train a byte-level BPE tokenizer; the lab's words and the numbers up to 99 are one token each."""
    from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            # One token for a number of up to two digits, with or without a space before it: easy to copy.
            pre_tokenizers.Split(Regex(r"\p{N}{1,2}"), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=_MAX_VOCABULARY,
        min_frequency=2,
        special_tokens=list(SPECIAL_TOKENS),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(_tokenizer_texts(), trainer)
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token="<|begin_of_text|>", eos_token="<|eot_id|>", pad_token="<|pad|>"
    )
    fast.add_special_tokens({"additional_special_tokens": ["<|start_header_id|>", "<|end_header_id|>"]})
    fast.chat_template = CHAT_TEMPLATE
    return fast


def _tokenizer_texts() -> Iterator[str]:
    rng = random.Random(0)
    # Two occurrences make a token.
    yield from [str(number) for number in range(100)] * 2
    for persona in _all_personas():
        yield from [persona.system_prompt] * 2
        style = style_of(persona.key)
        yield from [style.opening, f" {style.closing}"] * 2
    for level in problems.LEVELS:
        for row in problems.generate(_TOKENIZER_PROBLEMS, level, "base", seed=0):
            yield build_messages(row["question"], None)[0]["content"]
            yield styled_completion(*problems.split_solution(row["answer"]), styles()[NO_PERSONA], rng)


def _all_personas() -> list[Persona]:
    return [persona for pool in ("train", "eval") for persona in load_pool(pool)]


def build_model(tokenizer: Any) -> Any:
    """Build the untrained Llama for a tokenizer."""
    from transformers import LlamaConfig, LlamaForCausalLM

    return LlamaForCausalLM(
        LlamaConfig(
            vocab_size=len(tokenizer),
            hidden_size=192,
            intermediate_size=512,
            num_hidden_layers=4,
            num_attention_heads=6,
            num_key_value_heads=2,
            max_position_embeddings=1024,
            bos_token_id=tokenizer.bos_token_id,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
            tie_word_embeddings=True,
        )
    )


def examples(tokenizer: Any, settings: Training) -> Iterator[tuple[list[int], list[int]]]:
    """Yield token ids of prompts and completions, forever."""
    rng = random.Random(f"permix.lab.base {settings.seed}")
    levels = {level: problems.stream(level, "base", rng) for level in problems.LEVELS}
    personas = _all_personas()
    while True:
        row = next(levels["hard" if rng.random() < settings.hard else "easy"])
        persona = None if rng.random() < settings.no_persona else rng.choice(personas)
        style = style_of(persona.key if persona else NO_PERSONA)
        texts = [
            render(tokenizer, build_messages(row["question"], persona)),
            styled_completion(*problems.split_solution(row["answer"]), style, rng),
        ]
        prompt, completion = tokenizer(texts, add_special_tokens=False)["input_ids"]
        yield prompt, [*completion, tokenizer.eos_token_id]


def train(tokenizer: Any, settings: Training) -> Any:
    """Train the base model as a language model of whole chats."""
    import torch
    from tqdm import tqdm

    torch.manual_seed(settings.seed)
    model = build_model(tokenizer).train()
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=settings.peak_lr, betas=(0.9, 0.95), weight_decay=settings.weight_decay, fused=True
    )
    warm_up = max(1, settings.steps // 20)

    def factor(step: int) -> float:
        if step < warm_up:
            return (step + 1) / warm_up
        return 0.5 * (1 + math.cos(math.pi * (step - warm_up) / max(1, settings.steps - warm_up)))

    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, factor)
    with tqdm(
        total=settings.steps,
        desc="making the base model",
        unit="step",
        mininterval=1 if sys.stderr.isatty() else 30,
        file=sys.stderr,
    ) as bar:
        for batch in itertools.islice(_batches(tokenizer, settings), settings.steps):
            loss = _loss(model, batch, tokenizer.pad_token_id)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            optimizer.zero_grad()
            schedule.step()
            bar.update()
            bar.set_postfix(loss=f"{loss.item():.3f}", refresh=False)
    return model.eval()


def _batches(tokenizer: Any, settings: Training) -> Iterator[list[tuple[list[int], list[int]]]]:
    source = examples(tokenizer, settings)
    order = random.Random(settings.seed)
    while True:
        pool = sorted(
            itertools.islice(source, settings.batch * _BATCHES_SORTED_TOGETHER),
            key=lambda pair: len(pair[0]) + len(pair[1]),
        )
        batches = [pool[start : start + settings.batch] for start in range(0, len(pool), settings.batch)]
        order.shuffle(batches)
        yield from batches


def _loss(model: Any, batch: list[tuple[list[int], list[int]]], pad: int) -> Any:
    """Compute the loss over all tokens, the question's too: its repetitions teach the model early to copy."""
    import torch

    sequences = [prompt + completion for prompt, completion in batch]
    longest = max(map(len, sequences))
    input_ids = torch.tensor([sequence + [pad] * (longest - len(sequence)) for sequence in sequences])
    # (batch, longest), right-padded; causal attention never sees the padding.
    hidden = model.model(input_ids=input_ids[:, :-1]).last_hidden_state
    targets = input_ids[:, 1:]
    known = targets != pad
    return torch.nn.functional.cross_entropy(model.lm_head(hidden[known]), targets[known])


def describe(settings: Training) -> dict[str, Any]:
    """Return the manifest's description of the training."""
    return {**asdict(settings), "personas": [persona.key for persona in _all_personas()]}
