"""Check of prompts that get their personas as the user's own rows load: what verl would truncate is refused early."""

from collections.abc import Iterator

from permix_verl.data.mix_settings import MixSettings
from permix_verl.data.mixed_lengths import MixedLengths
from permix_verl.data.system_message import split_system
from permix_verl.errors import UserError
from permix_verl.preflight.doctor.model import loaded_tokenizer
from permix_verl.preflight.doctor.types import Finding, Setup, error, ok
from permix_verl.runs.own_files import CHECKED_ROWS, KEYS, list_data_files
from permix_verl.runs.own_mix import PROMPT_KEY, first_chats


def mixed_prompts(setup: Setup, mix: MixSettings) -> Iterator[Finding]:
    """Check that the first training rows fit into the prompt length under every persona; the dataset checks all."""
    tokenizer, limit = loaded_tokenizer(setup), setup.number("data.max_prompt_length", 0)
    if tokenizer is None or isinstance(tokenizer, Finding) or not limit:
        return
    files, key = list_data_files(setup.settings, KEYS["train"]), setup.settings.get(PROMPT_KEY) or "prompt"
    chats = first_chats(files, mix, key, CHECKED_ROWS)
    arguments = setup.settings.get("data.apply_chat_template_kwargs") or {}
    try:
        lengths = MixedLengths(tokenizer, mix.draw(), arguments, mix.system_message, limit)
        found = lengths.longest([split_system(chat) for chat in chats])
    except UserError as problem:
        yield error(problem.problem, problem.remedy)
        return
    under = ("under some persona ", " under every persona") if mix.mixes else ("", "")
    too_long = sum(length > limit for length in found)
    if too_long:
        yield error(
            f"{too_long} of the first {len(found)} training rows have more than {limit} tokens {under[0]}"
            f"(up to {max(found)}), and verl would truncate them from the front",
            f"set PROMPT_LENGTH={max(found)}, or drop them with permix mix --tokenizer {setup.model} "
            f"--max-prompt-length {limit}",
        )
    else:
        yield ok(f"the first {len(found)} training rows have up to {max(found)} tokens{under[1]}")
