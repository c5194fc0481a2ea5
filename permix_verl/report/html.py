"""HTML rendering of the document as one self-contained page, with inline figures and styles and without scripts."""

from importlib import resources

import jinja2
from markupsafe import Markup

from permix_verl.report.document import Block, Document, Picture, Table
from permix_verl.report.figures.palette import THEMES

TEMPLATE = "page.html.jinja"


def to_html(document: Document) -> str:
    """Render the document as one HTML page."""
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
    return "text"


def _svg(picture: Picture) -> Markup:
    """Mark the SVG as trusted: labels were escaped when it was rendered."""
    return Markup(picture.svg)
