"""Rendering of figures as inline SVG with theme colours and unique ids; the same input gives the same bytes."""

import io
import re
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any
from xml.sax.saxutils import quoteattr

from permix_verl.errors import UserError
from permix_verl.evaluation.analysis_types import TaskAnalysis
from permix_verl.report.document import Picture
from permix_verl.report.figures.palette import STYLE, VARIABLES
from permix_verl.report.formatting import one_line


def check_matplotlib() -> None:
    """Check that matplotlib is installed.

    Raises:
        UserError: matplotlib is not installed.
    """
    try:
        import matplotlib  # noqa: F401
    except ImportError:
        raise UserError(
            "the report's figures need matplotlib, which is not installed", "pip install 'matplotlib>=3.8'"
        ) from None


def render_figures(tasks: Mapping[str, TaskAnalysis]) -> dict[str, list[Picture]]:
    """Render each task's figures in order, omitting those without data; keys are the tasks."""
    from permix_verl.report.figures.plots import PLOTS

    figures: dict[str, list[Picture]] = {}
    for number, (task, analysis) in enumerate(tasks.items(), start=1):
        figures[task] = []
        for plot in PLOTS:
            picture = render_picture(
                f"task{number}-{plot.name}",
                partial(plot.make_figure, analysis.models),
                f"{plot.title}, task {one_line(task)}",
                plot.caption,
                title=plot.title,
            )
            if picture is not None:
                figures[task].append(picture)
    return figures


def render_picture(
    name: str, make_figure: Callable[[], Any], description: str, caption: str, title: str = ""
) -> Picture | None:
    """Render one figure in the page's style; ``None`` if it has no data.

    Args:
        name: id, unique in the page.
        make_figure: returns a matplotlib figure, or ``None`` without data.
        description: alternative text for screen readers.
        title: title in the page; by default the description.
    """
    import matplotlib

    # Start from matplotlib's defaults, not from the user's matplotlibrc.
    settings: Any = _defaults() | STYLE | {"svg.hashsalt": name}
    with matplotlib.rc_context(settings):
        figure = make_figure()
        if figure is None:
            return None
        return Picture(name, to_svg(figure, name, description), f"{title or description}.", caption)


def _defaults() -> dict[str, Any]:
    """Return matplotlib's default settings, except the backend."""
    import matplotlib

    return {key: value for key, value in matplotlib.rcParamsDefault.items() if not key.startswith("backend")}


def to_svg(figure: Any, name: str, description: str) -> str:
    """Return the figure as an inline ``<svg>`` element that scales with the page up to its own width."""
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", metadata=dict.fromkeys(("Creator", "Date", "Format", "Type")))
    text = buffer.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"\s*<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    # Change tags only: the text between them may be any model's name.
    text = re.sub(r"<[^>]+>", lambda tag: _adapt(tag.group(), name), text)
    return text.replace("<svg", f'<svg role="img" aria-label={quoteattr(description)}', 1).strip()


def _adapt(tag: str, name: str) -> str:
    """Make ids unique in the page, replace placeholder colours by CSS variables and drop the fixed size."""
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
