"""Templates in a configuration: OmegaConf would read a dollar sign in front of a brace as an interpolation of its own.

An escaped one does not last: verl resolves its configuration twice.
"""

import re

_PARTS = re.compile(
    r"(?P<comment>\{\#.*?\#\})|(?P<raw>\{%-?\s*raw\s*-?%\}.*?\{%-?\s*endraw\s*-?%\})"
    r"|(?P<code>\{[{%](?:'(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\"|[^'\"])*?[%}]\})",
    re.DOTALL,
)


def without_interpolations(text: str) -> str:
    """Return Jinja that renders the same, without a dollar sign in front of a brace."""
    if "${" not in text:
        return text
    pieces, end = [], 0
    for part in _PARTS.finditer(text):
        pieces.append(re.sub(r"\$(?=\{|\Z)", "{{ '$' }}", text[end : part.start()]))
        written = {"comment": "$ {", "raw": "{% endraw %}{{ '$' }}{% raw %}{", "code": "\\x24{"}
        pieces.append(part[0].replace("${", written[str(part.lastgroup)]))
        end = part.end()
    return "".join([*pieces, re.sub(r"\$(?=\{)", "{{ '$' }}", text[end:])])
