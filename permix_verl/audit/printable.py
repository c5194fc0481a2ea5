"""Escaping of model text for terminals and pages."""

import unicodedata

_UNSAFE_CATEGORIES = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}
"""Unicode categories to escape: control and format characters, surrogates, private use, unassigned, separators."""


def printable(text: str, *, lines: bool = False) -> str:
    r"""Replace control characters by escapes such as ``\x1b``.

    Args:
        lines: keep line breaks and tabs; otherwise they become spaces.
    """
    if text.isascii() and text.isprintable():
        return text
    text = text.replace("\r\n", "\n")
    return "".join(_escape(letter, lines) for letter in text)


def _escape(letter: str, lines: bool) -> str:
    if letter in "\n\t":
        return letter if lines else " "
    if unicodedata.category(letter) not in _UNSAFE_CATEGORIES:
        return letter
    code = ord(letter)
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
