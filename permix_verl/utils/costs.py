"""What asking others costs, in words."""

from collections.abc import Sequence


def cost_text(prompt_tokens: int, completion_tokens: int, price: Sequence[float] | None) -> str:
    """Tokens, and dollars where a price is given.

    Args:
        price: dollars for a million tokens of prompt and of completion.
    """
    text = f"{prompt_tokens:,} prompt and {completion_tokens:,} completion tokens"
    if price is None:
        return text
    return f"{text}, ${(prompt_tokens * price[0] + completion_tokens * price[1]) / 1e6:,.2f}"
