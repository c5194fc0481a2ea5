"""Token counts and API costs as text."""

from collections.abc import Sequence


def cost_text(prompt_tokens: int, completion_tokens: int, price: Sequence[float] | None) -> str:
    """Format token counts, with their cost in dollars if a price is given.

    Args:
        price: dollars per million prompt tokens and per million completion tokens.
    """
    text = f"{prompt_tokens:,} prompt and {completion_tokens:,} completion tokens"
    if price is None:
        return text
    return f"{text}, ${(prompt_tokens * price[0] + completion_tokens * price[1]) / 1e6:,.2f}"
