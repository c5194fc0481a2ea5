"""Tokenizers loaded as verl and vLLM load them, and a round-trip check that refuses one that loses text.

transformers uses the class named in ``tokenizer_config.json``. A byte-level tokenizer under the name of Llama's class
silently loses every space (transformers #45488). So texts are encoded and decoded before they are used. Sound
tokenizers also change a text: case, Unicode form, the number of blanks, blanks around punctuation. Every character must
come back, and a blank wherever there was one.
"""

import itertools
import unicodedata
from collections.abc import Iterable, Sequence
from typing import Any

from permix_verl.errors import UserError, first_line
from permix_verl.personas.pool import Persona

ROUND_TRIP_ROWS = 100
"""Rows of a data set whose texts are checked."""

_EXCERPT_CHARS = 40


def load_tokenizer(name_or_path: str, **kwargs: Any) -> Any:
    """Load a Hugging Face tokenizer by hub name or folder, with the class that verl and vLLM use.

    Raises:
        UserError: it cannot be loaded.
    """
    from transformers import AutoTokenizer

    try:
        return AutoTokenizer.from_pretrained(name_or_path, **kwargs)
    except Exception as error:  # hub, file-format and class errors alike
        raise UserError(
            f"cannot load tokenizer {name_or_path!r} ({first_line(error)})",
            "give a hub name you have access to, or the folder of a downloaded model",
        ) from error


def check_round_trip(tokenizer: Any, personas: Iterable[Persona | None], texts: Sequence[str] = ()) -> None:
    """Refuse a tokenizer that loses part of a text, and a persona whose text contains a special token.

    Args:
        personas: all personas in use; ``None`` is the control condition.
        texts: problem texts to check.

    Raises:
        UserError: gives the first text that does not survive, or the persona's key and the special token.
    """
    unique = {persona: None for persona in personas if persona}
    all_texts = [persona.system_prompt for persona in unique] + list(texts)
    if not all_texts:
        return
    encoded = tokenizer(all_texts, add_special_tokens=False, return_attention_mask=False)["input_ids"]
    for persona, ids in zip(unique, encoded, strict=False):  # the personas' texts come first
        if token := _special_token(tokenizer, persona.system_prompt, ids):
            raise UserError(
                f"the text of persona {persona.key!r} contains {token!r}, which is a special token of "
                f"{_name(tokenizer)}, so the model would read a control token instead of its characters",
                "rephrase the persona's text",
            )
    for text, ids in zip(all_texts, encoded, strict=True):
        decoded = tokenizer.decode(ids, skip_special_tokens=False, clean_up_tokenization_spaces=False)
        if _is_lost(text, decoded):
            before, after = _first_difference(text, decoded)
            raise UserError(
                f"the tokenizer {_name(tokenizer)} loses part of a text: {before!r} comes back as {after!r}",
                "set tokenizer_class to PreTrainedTokenizerFast in its tokenizer_config.json, or repair its files",
            )


def _name(tokenizer: Any) -> str:
    return f"{type(tokenizer).__name__} of {getattr(tokenizer, 'name_or_path', '') or 'no folder'}"


def _special_token(tokenizer: Any, text: str, ids: Sequence[int]) -> str | None:
    """Return the first special token among a text's ids; the token of unknown words does not count."""
    added = getattr(tokenizer, "added_tokens_decoder", {})
    special = {*tokenizer.all_special_ids, *(number for number, token in added.items() if token.special)}
    if tokenizer.unk_token_id is not None and tokenizer.unk_token not in text:
        special.discard(tokenizer.unk_token_id)
    return next((str(tokenizer.convert_ids_to_tokens(number)) for number in ids if number in special), None)


def _is_lost(text: str, decoded: str) -> bool:
    """Return whether a character is missing or words have run together."""
    if decoded == text:
        return False
    (characters, blanks), (other_characters, other_blanks) = _folded(text), _folded(decoded)
    return characters != other_characters or not blanks <= other_blanks


def _folded(text: str) -> tuple[str, set[int]]:
    """Return a text without blanks, case and Unicode form, and the number of characters before each inner blank."""
    # SentencePiece's blank mark (U+2581) comes back as a blank.
    words = unicodedata.normalize("NFKD", text.replace("\u2581", " ")).casefold().split()
    ends = list(itertools.accumulate(map(len, words)))
    return "".join(words), set(ends[:-1])


def _first_difference(text: str, decoded: str) -> tuple[str, str]:
    """Return an excerpt of both texts around their first difference."""
    text, decoded = text.strip(), decoded.strip()
    shorter = min(len(text), len(decoded))
    same = next((i for i in range(shorter) if text[i] != decoded[i]), shorter)
    start = max(0, same - _EXCERPT_CHARS // 2)
    return text[start : start + _EXCERPT_CHARS], decoded[start : start + _EXCERPT_CHARS]
