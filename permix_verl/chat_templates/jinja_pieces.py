"""Jinja that stands in front of a model's template. It prints nothing, and sets what the template reads.

None of it ends in a line break, and all of it takes the blanks around it.
"""

TO_USER = (
    "{%- if messages and messages[0]['role'] == 'system' -%}"
    "{%- set moved = namespace(text=messages[0]['content'], chat=[], placed=false) -%}"
    "{%- if moved.text is not string -%}{%- set moved.text = moved.text|map(attribute='text')|join -%}{%- endif -%}"
    "{%- for message in messages[1:] -%}"
    "{%- if message['role'] == 'user' and not moved.placed -%}"
    "{%- set moved.placed = true -%}"
    "{%- if message['content'] is string -%}"
    "{%- set moved.chat = moved.chat + [dict(message, content=moved.text ~ '\\n\\n' ~ message['content'])] -%}"
    "{%- else -%}"
    "{%- set moved.chat = moved.chat + [dict(message, content=[{'type': 'text', 'text': moved.text ~ '\\n\\n'}]"
    " + message['content'])] -%}"
    "{%- endif -%}"
    "{%- else -%}{%- set moved.chat = moved.chat + [message] -%}{%- endif -%}"
    "{%- endfor -%}"
    "{%- set messages = moved.chat if moved.placed else [{'role': 'user', 'content': moved.text}] + moved.chat -%}"
    "{%- endif -%}"
)
"""Moves the text of a leading system message into the first user turn: the text, a blank line, the user's text."""
TO_PARTS = (
    "{%- set moved = namespace(chat=[]) -%}"
    "{%- for message in messages -%}"
    "{%- if message['content'] is string -%}"
    "{%- set moved.chat = moved.chat + [dict(message, content=[{'type': 'text', 'text': message['content']}])] -%}"
    "{%- else -%}{%- set moved.chat = moved.chat + [message] -%}{%- endif -%}"
    "{%- endfor -%}"
    "{%- set messages = moved.chat -%}"
)
"""Gives the texts of messages as lists of parts."""


def default_value(name: str, value: str, none: bool = False) -> str:
    """Return what sets a name that the template lacks.

    Args:
        value: as a Jinja expression.
        none: whether the name may be there, without a value.
    """
    missing = f"{name} is not defined" + (f" or {name} is none" if none else "")
    return f"{{%- if {missing} -%}}{{%- set {name} = {value} -%}}{{%- endif -%}}"
