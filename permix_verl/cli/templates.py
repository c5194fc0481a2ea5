"""Table what chat templates do with the chats of this project, or write a template as a run renders it.

    permix templates Qwen/Qwen3-4B                                # a model's, from its folder or the hub's cache
    permix templates FOLDER --out docs/templates.md               # .jinja files, tokenizer_config.json files, models
    permix templates google/gemma-2-2b-it --adapt --out adapted.jinja   # for vllm serve --chat-template adapted.jinja

For each template: what becomes of a system message and where a persona stands; whether it adds a system text of its
own; whether anything changes with the day; how prompts end with thinking off and on; and what supervised training is
on. A file that has the line "<!-- permix templates -->" keeps what stands above it. Exit status: 0, or 1 if a template
is refused.
"""

import argparse
import json
import sys
from pathlib import Path

from permix_verl.chat_templates.adapt import SYSTEM_ROLES
from permix_verl.chat_templates.behaviour import analyse
from permix_verl.chat_templates.read import local_template, templates_in
from permix_verl.chat_templates.table import markdown
from permix_verl.chat_templates.template import ChatTemplate
from permix_verl.chat_templates.use import THINKING, use_template
from permix_verl.errors import UserError, exit_with_message
from permix_verl.utils.cli_types import json_object
from permix_verl.utils.files import write_atomic

MARK = "<!-- permix templates -->\n"
"""Line behind which the table is written in a file that has it."""


def main(argv: list[str] | None = None) -> int:
    args = parse_args(argv)
    templates = [template for path in args.paths for template in _templates(path)]
    if args.adapt:
        _write(args.out, _adapted(templates, args))
        return 0
    behaviours = [analyse(template, args.system_role) for template in templates]
    table = markdown(behaviours, args.title or f"{len(templates)} templates")
    if args.out and args.out.is_file():
        above, mark, _ = args.out.read_text(encoding="utf-8").partition(MARK)
        table = f"{above}{mark}{table}" if mark else table
    _write(args.out, table)
    return int(any(one.refused for one in behaviours))


def parse_args(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    add = parser.add_argument
    add("paths", nargs="+", metavar="PATH", help="file, folder, model folder, or hub name of a downloaded model")
    add("--out", type=Path, help="file to write; default: stdout")
    add("--title", help="heading of the table")
    add("--system-role", choices=SYSTEM_ROLES, default="auto", help="where a persona stands")
    add("--adapt", action="store_true", help="write the template as a run renders it, in place of the table")
    add("--thinking", choices=THINKING, default="off", help="with --adapt: whether prompts let the model think")
    add("--chat-template-kwargs", type=json_object, help="with --adapt: JSON object; default: fixed date, no thinking")
    return parser.parse_args(argv)


def _templates(path: str) -> list[ChatTemplate]:
    if Path(path).exists():
        return templates_in(Path(path))
    template = local_template(path)
    if template is None:
        raise UserError(f"no file, folder or downloaded model {path!r}", "give a folder, or run hf download first")
    return [template]


def _adapted(templates: list[ChatTemplate], args: argparse.Namespace) -> str:
    if len(templates) != 1:
        raise UserError(f"--adapt with {len(templates)} templates", "give one")
    use = use_template(templates[0], args.chat_template_kwargs, args.system_role, args.thinking)
    for line in use.notices(args.thinking):
        print(line, file=sys.stderr)
    print(f"its arguments: {json.dumps(use.arguments)}", file=sys.stderr)
    return use.adaptation.template.text


def _write(out: Path | None, text: str) -> None:
    if out is None:
        print(text, end="")
    else:
        write_atomic(out, text)
        print(f"written: {out}")


if __name__ == "__main__":
    exit_with_message(main)
