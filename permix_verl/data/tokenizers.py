"""The tokenizer as verl and vLLM load it, and a refusal of one that loses text.

transformers takes the class that ``tokenizer_config.json`` names. A byte-level tokenizer under the name of Llama's
class loses every space, without a word (transformers #45488). So texts are encoded and decoded before they are used.
Sound tokenizers change some of a text too: case, Unicode form, the number of blanks, blanks around punctuation. What
must come back is every character, and a blank wherever there was one.
"""

import itertools
import unicodedata
from collections.abc import Iterable, Sequence
from typing import Any

from permix_verl.errors import UserError, first_line
from permix_verl.personas.pool import Persona

ROWS = 100
"""Rows of a data set whose texts are looked at."""

_SHOWN = 40


def load_tokenizer(name_or_path: str, **kwargs: Any) -> Any:
    """A Hugging Face tokenizer by hub name or folder, of the class that verl and vLLM give it.

    Raises:
        UserError: it cannot be loaded.
    """
    from transformers import AutoTokenizer

    try:
        return AutoTokenizer.from_pretrained(name_or_path, **kwargs)
    except Exception as error:  # hub, file-format and class errors alike: it is not to be had
        raise UserError(
            f"cannot load tokenizer {name_or_path!r} ({first_line(error)}); give a hub name you have access to, "
            "or the folder of a downloaded model"
        ) from error


def check_round_trip(tokenizer: Any, personas: Iterable[Persona | None], texts: Sequence[str] = ()) -> None:
    """Refuse a tokenizer that loses part of a text, and a persona whose text holds a special token.

    Args:
        personas: all of them; ``None`` is the control arm.
        texts: of problems, as many as are to be looked at.

    Raises:
        UserError: with the first text whose decoding differs, or the persona's key and the token.
    """
    found = {persona: None for persona in personas if persona}
    every = [persona.system_prompt for persona in found] + list(texts)
    if not every:
        return
    encoded = tokenizer(every, add_special_tokens=False, return_attention_mask=False)["input_ids"]
    for persona, ids in zip(found, encoded, strict=False):  # the first of them are the personas'
        if token := _special_token(tokenizer, persona.system_prompt, ids):
            raise UserError(
                f"the text of persona {persona.key!r} holds {token!r}, which is a special token of {_name(tokenizer)}, "
                "so the model reads a control mark and not its characters; write it otherwise in the persona's text"
            )
    for text, ids in zip(every, encoded, strict=True):
        decoded = tokenizer.decode(ids, skip_special_tokens=False, clean_up_tokenization_spaces=False)
        if _is_lost(text, decoded):
            came_in, came_back = _where_they_part(text, decoded)
            raise UserError(
                f"the tokenizer {_name(tokenizer)} loses part of a text: {came_in!r} comes back as {came_back!r}; set "
                "tokenizer_class to PreTrainedTokenizerFast in its tokenizer_config.json, or repair its files"
            )


def _name(tokenizer: Any) -> str:
    return f"{type(tokenizer).__name__} of {getattr(tokenizer, 'name_or_path', '') or 'no folder'}"


def _special_token(tokenizer: Any, text: str, ids: Sequence[int]) -> str | None:
    """The first special token that a text was taken for; an unknown word is none."""
    added = getattr(tokenizer, "added_tokens_decoder", {})
    special = {*tokenizer.all_special_ids, *(number for number, token in added.items() if token.special)}
    if tokenizer.unk_token_id is not None and tokenizer.unk_token not in text:
        special.discard(tokenizer.unk_token_id)
    return next((str(tokenizer.convert_ids_to_tokens(number)) for number in ids if number in special), None)


def _is_lost(text: str, decoded: str) -> bool:
    """Whether a character is missing, or words have run together."""
    if decoded == text:
        return False
    (characters, blanks), (other_characters, other_blanks) = _folded(text), _folded(decoded)
    return characters != other_characters or not blanks <= other_blanks


def _folded(text: str) -> tuple[str, set[int]]:
    """A text without blanks, case and Unicode form, and how many characters stand before each blank inside it."""
    # SentencePiece's mark of a blank is one: it comes back as one.
    words = unicodedata.normalize("NFKD", text.replace("\u2581", " ")).casefold().split()
    ends = list(itertools.accumulate(map(len, words)))
    return "".join(words), set(ends[:-1])


def _where_they_part(text: str, decoded: str) -> tuple[str, str]:
    """A stretch of both, from shortly before their first difference."""
    text, decoded = text.strip(), decoded.strip()
    shorter = min(len(text), len(decoded))
    same = next((i for i in range(shorter) if text[i] != decoded[i]), shorter)
    start = max(0, same - _SHOWN // 2)
    return text[start : start + _SHOWN], decoded[start : start + _SHOWN]
