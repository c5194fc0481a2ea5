"""Tokens trained on: for Llama-3-, Qwen- and Gemma-style templates, exactly the response and the end of its turn."""

import copy
from collections.abc import Callable
from typing import Any

import pytest

from permix_verl import UserError, load_pool
from permix_verl.chat_templates.adapt import adapt_tokenizer
from permix_verl.data.sft_tokens import end_of_turn, supervised_tokens
from permix_verl.personas.prompts import build_messages, render

from ...support.template_tokenizers import own_template, tokenizer_of

LLAMA = (
    "{{ bos_token }}"
    "{{ '<|start_header_id|>system<|end_header_id|>\n\nToday Date: ' + date_string + '\n\n' }}"
    "{% if messages[0]['role'] == 'system' %}{{ messages[0]['content'] | trim }}{% set messages = messages[1:] %}"
    "{% endif %}{{ '<|eot_id|>' }}"
    "{% for message in messages %}"
    "{{ '<|start_header_id|>' + message['role'] + '<|end_header_id|>\n\n' + message['content'] | trim + '<|eot_id|>' }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|start_header_id|>assistant<|end_header_id|>\n\n' }}{% endif %}"
)
QWEN = (  # thinking off: an empty thought stands in front of an answer, in the prompt and in the last turn
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' }}"
    "{% if message['role'] == 'assistant' and loop.last %}{{ '<think>\n\n</think>\n\n' }}{% endif %}"
    "{{ message['content'] + '<|im_end|>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}"
    "{% if enable_thinking is defined and enable_thinking is false %}{{ '<think>\n\n</think>\n\n' }}{% endif %}"
    "{% endif %}"
)
GEMMA = (  # no system role: its text moves into the user's turn
    "{{ bos_token }}{% if messages[0]['role'] == 'system' %}{% set first = messages[0]['content'] + '\n\n' %}"
    "{% set messages = messages[1:] %}{% else %}{% set first = '' %}{% endif %}"
    "{% for message in messages %}"
    "{{ '<start_of_turn>' + ('model' if message['role'] == 'assistant' else message['role']) + '\n' }}"
    "{% if loop.first %}{{ first }}{% endif %}{{ message['content'] | trim + '<end_of_turn>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<start_of_turn>model\n' }}{% endif %}"
)
FAMILIES = {
    "llama": (LLAMA, [], "<|eot_id|>"),
    "qwen": (QWEN, ["<|im_start|>", "<|im_end|>"], "<|im_end|>"),
    "gemma": (GEMMA, ["<start_of_turn>", "<end_of_turn>"], "<end_of_turn>"),
}
KWARGS = {"date_string": "26 Jul 2024", "enable_thinking": False}
SAID = "He has 2 + 3 = 5.\nThe answer is \\boxed{5}."


@pytest.fixture
def family(tokenizer: Any) -> Callable[[str], tuple[Any, str]]:
    def make(name: str) -> tuple[Any, str]:
        template, tokens, end = FAMILIES[name]
        made = copy.deepcopy(tokenizer)
        # As Gemma has it: known tokens that its tokenizer does not name as the end of a text.
        made.add_tokens(tokens, special_tokens=True)
        made.chat_template = template
        return made, end

    return make


@pytest.mark.parametrize("persona", ["chef", None])
@pytest.mark.parametrize("name", FAMILIES)
def test_the_response_and_the_end_of_its_turn_are_trained_on_and_nothing_else(
    family: Callable[[str], tuple[Any, str]], name: str, persona: str | None
) -> None:
    tokenizer, end = family(name)
    messages = build_messages("What is 2 + 3?", load_pool("train").get(persona) if persona else None)
    stop = end_of_turn(tokenizer, KWARGS)
    ((prompt, said),) = supervised_tokens(tokenizer, [messages], [f"  {SAID}\n"], stop, KWARGS)
    assert tokenizer.decode(said) == SAID + end
    assert tokenizer.decode(prompt) == render(tokenizer, messages, KWARGS)
    # It is what the template itself makes of the whole chat, less what belongs to the next turn.
    whole = tokenizer.apply_chat_template(
        [*messages, {"role": "assistant", "content": SAID}], tokenize=False, add_generation_prompt=False, **KWARGS
    )
    assert whole.startswith(tokenizer.decode(prompt + said))
    assert whole[len(tokenizer.decode(prompt + said)) :].strip() == ""
    if persona:
        assert load_pool("train").get(persona).system_prompt in tokenizer.decode(prompt)


@pytest.mark.parametrize("name", FAMILIES)
def test_verls_own_dataset_and_ours_agree_where_it_can_read_the_template(
    family: Callable[[str], tuple[Any, str]], name: str, tmp_path: Any
) -> None:
    """verl renders message by message, which falls apart on Llama's and Gemma's templates; on Qwen's it is the same."""
    import pandas as pd
    from omegaconf import OmegaConf
    from verl.utils.dataset.multiturn_sft_dataset import MultiTurnSFTDataset

    tokenizer, _ = family(name)
    messages = build_messages("What is 2 + 3?", load_pool("train").get("chef"))
    file = tmp_path / "rows.parquet"
    pd.DataFrame({"messages": [[*messages, {"role": "assistant", "content": SAID}]]}).to_parquet(file)
    config = OmegaConf.create({"pad_mode": "no_padding", "max_length": 512, "apply_chat_template_kwargs": KWARGS})
    try:
        theirs = MultiTurnSFTDataset(str(file), tokenizer, config)[0]
    except Exception:
        assert name != "qwen"
        return
    assert name == "qwen"
    ((prompt, said),) = supervised_tokens(tokenizer, [messages], [SAID], end_of_turn(tokenizer, KWARGS), KWARGS)
    newline = tokenizer("\n")["input_ids"]
    assert theirs["input_ids"].tolist() == prompt + said + newline, "verl trains on the line break behind, too"


def test_a_template_without_an_end_of_turn_ends_with_the_tokenizers_own(tokenizer: Any) -> None:
    plain = copy.deepcopy(tokenizer)
    plain.chat_template = (
        "{% for message in messages %}{{ message['role'] + ': ' + message['content'] + '\n' }}{% endfor %}"
    )
    assert end_of_turn(plain) == [plain.eos_token_id]
    plain.eos_token = None
    with pytest.raises(UserError, match="ends a response with no special token, and its tokenizer has no eos_token"):
        end_of_turn(plain)


TARGET = "First 7 + 5.\nThe answer is \\boxed{12}."
ENDS = {
    "own_turn": "<|close|>",
    "user_turn": "</turn>",
    "refuses_system": "</s>",
    "today_always": "<|close|>",
    "channel": "<|return|>",
    "no_end": "</s>",
    "end_between_turns": "<|assistant_end|>",
    "always_prompts": "<|close|>",
    "open_thought": "</s>",
    "switched_thought": "<|close|>",
    "parts_only": "<|close|>",
    "tools_unasked": "<|close|>",
}
BRIDGES = {"channel": "<|channel|>final<|message|>", "open_thought": "\n</think>\n\n"}


@pytest.mark.parametrize("persona", ["chef", None])
@pytest.mark.parametrize("name", ENDS)
def test_the_loss_is_on_response_and_end_whatever_the_template_puts_around_them(name: str, persona: str | None) -> None:
    tokenizer = tokenizer_of(own_template(name))
    adapt_tokenizer(tokenizer, KWARGS)
    messages = build_messages("What is 7 + 5?", load_pool("train").get(persona) if persona else None)
    end = end_of_turn(tokenizer, KWARGS)
    ((prompt, said),) = supervised_tokens(tokenizer, [messages], [f"\n{TARGET} "], end, KWARGS)
    assert tokenizer.decode(said) == TARGET + ENDS[name]
    assert tokenizer.decode(prompt) == render(tokenizer, messages, KWARGS) + BRIDGES.get(name, "")


def test_a_response_that_ends_a_thought_itself_goes_without_the_bridge() -> None:
    tokenizer = tokenizer_of(own_template("open_thought"))
    end = end_of_turn(tokenizer, KWARGS)
    messages = build_messages("What is 7 + 5?", None)
    for target in ("<think>\nSeven and five.\n</think>\n\n12.", "Seven and five.\n</think>\n\n12."):
        ((prompt, said),) = supervised_tokens(tokenizer, [messages], [target], end, KWARGS)
        assert tokenizer.decode(said) == "Seven and five.\n</think>\n\n12.</s>"
        assert tokenizer.decode(prompt) == render(tokenizer, messages, KWARGS)


def test_the_end_leads_to_the_end_of_sequence_where_that_follows_directly() -> None:
    text = (
        "{% for m in messages %}{{ '<|' + m.role + '|>' + m.content }}"
        "{{ '<|end_text|></s>' if m.role == 'assistant' else '<|end_text|>' }}{% endfor %}"
        "{% if add_generation_prompt %}<|assistant|>{% endif %}{# <|user|> <|system|> #}"
    )
    tokenizer = tokenizer_of(text)
    assert tokenizer.decode(end_of_turn(tokenizer)) == "<|end_text|></s>"
    apart = tokenizer_of(text.replace("<|end_text|></s>", "<|end_text|>\n</s>"))
    assert apart.decode(end_of_turn(apart)) == "<|end_text|>", "what a line break separates belongs to the next turn"


@pytest.mark.parametrize(
    ("template", "reason"),
    [
        (own_template("refuses_assistant"), "it refuses an assistant's turn .no assistant"),
        ("{% for m in messages %}{% if m.role != 'assistant' %}{{ m.content }}{% endif %}{% endfor %}", "it loses"),
        ("{% for m in messages %}{{ m.content }}{% endfor %}<my_thoughts>", "where it closes is not known"),
    ],
)
def test_a_template_that_cannot_be_trained_on_is_refused_with_the_reason(template: str, reason: str) -> None:
    tokenizer = tokenizer_of(template)
    with pytest.raises(UserError, match=f"cannot be trained on with supervision: .*{reason}"):
        supervised_tokens(tokenizer, [build_messages("x", None)], ["y"], [0], KWARGS)


def test_a_turns_opening_does_not_end_a_response() -> None:
    text = (
        "{% for m in messages %}{{ '<|' + m.role + '|>' + m.content }}{% endfor %}"
        "{% if add_generation_prompt %}<|assistant|>{% endif %}{# <|user|> <|system|> #}"
    )
    tokenizer = tokenizer_of(text)
    assert tokenizer.decode(end_of_turn(tokenizer)) == "</s>"
