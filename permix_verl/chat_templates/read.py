"""Templates read from files: a model's folder, the hub's cache, or a folder of templates. No tokenizer is loaded."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from permix_verl.chat_templates.template import STAND_IN_TOKENS, ChatTemplate
from permix_verl.errors import UserError

JINJA, CONFIG, SPECIAL, PROCESSOR = (
    "chat_template.jinja",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "chat_template.json",
)
_FILES = (JINJA, CONFIG, SPECIAL, PROCESSOR)


def local_template(model: str) -> ChatTemplate | None:
    """Return a model's template from its folder or the hub's cache; ``None`` if it is not there.

    Raises:
        UserError: a file that is not JSON.
    """
    folder = Path(model)
    files = {name: folder / name for name in _FILES} if folder.is_dir() else _cached(model)
    return _of_files({name: file for name, file in files.items() if file.is_file()}, model)


def _cached(model: str) -> dict[str, Path]:
    import huggingface_hub

    try:
        found = {name: huggingface_hub.try_to_load_from_cache(model, name) for name in _FILES}
    except ValueError:  # not a name of the hub
        return {}
    return {name: Path(file) for name, file in found.items() if isinstance(file, str)}


def _of_files(files: Mapping[str, Path], name: str) -> ChatTemplate | None:
    config = _json(files[CONFIG]) if CONFIG in files else {}
    tokens = _tokens(_json(files[SPECIAL]) if SPECIAL in files else {}) | _tokens(config)
    if JINJA in files:
        return ChatTemplate(files[JINJA].read_text(encoding="utf-8"), tokens, name)
    text = _default(config.get("chat_template"))
    if not text and PROCESSOR in files:
        text = _default(_json(files[PROCESSOR]).get("chat_template"))
    return ChatTemplate(text, tokens, name) if text else None


def _default(value: Any) -> str | None:
    """Return the template for plain chats, of one or of several by name."""
    if isinstance(value, list):
        value = {entry.get("name"): entry.get("template") for entry in value if isinstance(entry, Mapping)}
    if isinstance(value, Mapping):
        value = value.get("default")
    return value if isinstance(value, str) and value else None


def _tokens(config: Mapping[str, Any]) -> dict[str, str]:
    found = {}
    for name, value in config.items():
        text = value.get("content") if isinstance(value, Mapping) else value
        if name.endswith("_token") and isinstance(text, str):
            found[name] = text
    return found


def _json(file: Path) -> dict[str, Any]:
    try:
        value = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise UserError(f"cannot read {file} ({error})", "download the model again") from error
    return value if isinstance(value, dict) else {}


def templates_in(path: Path) -> list[ChatTemplate]:
    """Return the templates at a path, sorted by name: of a file, a model's folder, or a folder of these.

    Files are Jinja (``.jinja``, ``.j2``) or JSON with a ``chat_template``, such as a ``tokenizer_config.json``.

    Raises:
        UserError: no such path, no template there, or a file that is not JSON.
    """
    if not path.exists():
        raise UserError(f"no file or folder {path}", "give a folder of templates, or of models")
    found = sorted(_found(path), key=lambda template: template.name)
    if not found:
        raise UserError(f"{path} has no chat template", "give .jinja files, tokenizer_config.json files, or models")
    return found


def _found(path: Path) -> Iterator[ChatTemplate]:
    if path.is_file():
        template = _of_file(path)
        if template:
            yield template
        return
    if own := local_template(str(path)):
        yield ChatTemplate(own.text, own.tokens, path.resolve().name)
        return
    for entry in sorted(path.iterdir()):
        if entry.is_dir() or entry.suffix in (".jinja", ".j2", ".json"):
            yield from _found(entry)


def _of_file(file: Path) -> ChatTemplate | None:
    if file.suffix in (".jinja", ".j2"):
        return ChatTemplate(file.read_text(encoding="utf-8"), STAND_IN_TOKENS, file.stem)
    config = _json(file)
    text = _default(config.get("chat_template"))
    name = file.parent.name if file.name in _FILES else file.stem
    return ChatTemplate(text, _tokens(config), name) if text else None
