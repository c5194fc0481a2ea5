"""A model's text as characters that only print."""

import unicodedata

_ACTING = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}
"""Categories of what acts on a terminal or a page, or is no character: controls, directions, halves of characters."""


def printable(text: str, *, lines: bool = False) -> str:
    r"""The text with escapes such as ``\x1b`` for control characters.

    Args:
        lines: whether line breaks and tabs stay; else they become spaces.
    """
    if text.isascii() and text.isprintable():
        return text
    text = text.replace("\r\n", "\n")
    return "".join(_shown(letter, lines) for letter in text)


def _shown(letter: str, lines: bool) -> str:
    if letter in "\n\t":
        return letter if lines else " "
    if unicodedata.category(letter) not in _ACTING:
        return letter
    code = ord(letter)
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
