"""Figures as inline SVG: colours follow the page's theme, ids are unique in the page, same input gives same bytes."""

import io
import re
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any
from xml.sax.saxutils import quoteattr

from permix_verl.errors import UserError
from permix_verl.report.document import Picture
from permix_verl.report.figures.palette import STYLE, VARIABLES
from permix_verl.report.formatting import one_line


def check_matplotlib() -> None:
    """Raise :class:`UserError` where matplotlib is not installed."""
    try:
        import matplotlib  # noqa: F401
    except ImportError:
        raise UserError(
            "the report's figures need matplotlib, which is not installed; pip install 'matplotlib>=3.8'"
        ) from None


def draw_figures(analysis: Mapping[str, Any]) -> dict[str, list[Picture]]:
    """Each task's figures, in the order they appear; those without anything to show are left out."""
    from permix_verl.report.figures.plots import PLOTS

    figures: dict[str, list[Picture]] = {}
    for number, (task, entry) in enumerate(analysis["tasks"].items(), start=1):
        figures[task] = []
        for plot in PLOTS:
            drawn = draw(
                f"task{number}-{plot.name}",
                partial(plot.draw, entry["models"]),
                f"{plot.title}, task {one_line(task)}",
                plot.caption,
                title=plot.title,
            )
            if drawn is not None:
                figures[task].append(drawn)
    return figures


def draw(name: str, figure: Callable[[], Any], description: str, caption: str, title: str = "") -> Picture | None:
    """One figure in the page's style.

    Args:
        name: unique in the page.
        figure: gives a matplotlib figure, or ``None`` for nothing to show.
        description: for those who do not see it.
        title: the description, if not given.
    """
    import matplotlib

    # From matplotlib's defaults, not from whatever the user's matplotlibrc says.
    settings: Any = _defaults() | STYLE | {"svg.hashsalt": name}
    with matplotlib.rc_context(settings):
        drawn = figure()
        return (
            None
            if drawn is None
            else Picture(name, to_svg(drawn, name, description), f"{title or description}.", caption)
        )


def _defaults() -> dict[str, Any]:
    """All but the choice of a window system, which is nobody's business here."""
    import matplotlib

    return {key: value for key, value in matplotlib.rcParamsDefault.items() if not key.startswith("backend")}


def to_svg(figure: Any, name: str, description: str) -> str:
    """An ``<svg>`` element to stand in a page, as wide as there is room for, up to its own width."""
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", metadata=dict.fromkeys(("Creator", "Date", "Format", "Type")))
    text = buffer.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"\s*<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    # Within tags only: the text between them may be anything a model is called.
    text = re.sub(r"<[^>]+>", lambda tag: _adapt(tag.group(), name), text)
    return text.replace("<svg", f'<svg role="img" aria-label={quoteattr(description)}', 1).strip()


def _adapt(tag: str, name: str) -> str:
    """Ids made unique in the page, stand-in colours turned into the theme's, the size left to the page."""
    tag = re.sub(r' id="([^"]*)"', rf' id="{name}-\1"', tag)
    tag = re.sub(r'href="#([^"]*)"', rf'href="#{name}-\1"', tag)
    tag = re.sub(r"url\(#([^)]*)\)", rf"url(#{name}-\1)", tag)
    tag = tag.replace("'DejaVu Sans', ", "")
    for colour, variable in VARIABLES.items():
        tag = tag.replace(colour, f"var(--{variable})")
    if tag.startswith("<svg"):
        width = re.search(r' width="([0-9.]+)pt"', tag)
        assert width is not None, "matplotlib states the width in points"
        tag = re.sub(r' (width|height|version)="[^"]*"', "", tag)
        tag = tag.replace("<svg", f'<svg style="max-width: {float(width[1]) / 72 * 96:.0f}px"', 1)
    return tag
