"""The document as one HTML page that needs nothing else: figures and styles are inside, and there are no scripts."""

from importlib import resources

import jinja2
from markupsafe import Markup

from permix_verl.report.document import Block, Document, Picture, Table
from permix_verl.report.figures.palette import THEMES

TEMPLATE = "page.html.jinja"


def to_html(document: Document) -> str:
    source = resources.files(__package__).joinpath(TEMPLATE).read_text(encoding="utf-8")
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    template = environment.from_string(source)
    return template.render(document=document, kind=_kind, svg=_svg, light=THEMES["light"], dark=THEMES["dark"]) + "\n"


def _kind(block: Block) -> str:
    if isinstance(block, Picture):
        return "picture"
    if isinstance(block, Table):
        return "table"
    return "verdict" if block.verdict else "text"


def _svg(picture: Picture) -> Markup:
    """Ours and not to be escaped again: whoever drew it escaped the names in it."""
    return Markup(picture.svg)
