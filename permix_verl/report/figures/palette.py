"""Colours of the page and its figures in the light and dark theme, and matplotlib's settings.

Figures use placeholder colours, each of which becomes a CSS variable in the page, so one SVG
serves both themes. Blue, vermillion, green and purple follow Okabe and Ito (distinguishable by
colour-blind readers); no information is carried by colour alone.
"""

from typing import Any

INK, MUTED, GRID, PAGE = "#00a001", "#00a002", "#00a003", "#00a004"
BLUE, VERMILLION, GREEN, PURPLE = "#00a005", "#00a006", "#00a007", "#00a008"

VARIABLES = {
    INK: "ink",
    MUTED: "muted",
    GRID: "grid",
    PAGE: "page",
    BLUE: "blue",
    VERMILLION: "vermillion",
    GREEN: "green",
    PURPLE: "purple",
}

THEMES = {
    "light": {
        "ink": "#1b1f24",
        "muted": "#6a727c",
        "grid": "#e1e5ea",
        "page": "#ffffff",
        "shade": "#f3f5f8",
        "blue": "#0072b2",
        "vermillion": "#d55e00",
        "green": "#008f6b",
        "purple": "#b4629a",
    },
    "dark": {
        "ink": "#e6e9ed",
        "muted": "#9aa4af",
        "grid": "#353c45",
        "page": "#15191e",
        "shade": "#1f252c",
        "blue": "#56b4e9",
        "vermillion": "#f08a4b",
        "green": "#2fc79b",
        "purple": "#e39ccb",
    },
}

STYLE: dict[str, Any] = {
    "svg.fonttype": "none",  # keep text as text: small, sharp and searchable
    "text.parse_math": False,  # a name may contain "$"
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],  # ships with matplotlib, so widths are the same everywhere
    "font.size": 9,
    "axes.titlesize": 9,
    "axes.titleweight": "bold",
    "axes.labelsize": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "axes.grid": True,
    "legend.frameon": False,
    "legend.fontsize": 9,
    "lines.linewidth": 1.4,
    "figure.facecolor": "none",
    "axes.facecolor": "none",
    "savefig.facecolor": "none",
    "text.color": INK,
    "axes.edgecolor": MUTED,
    "axes.labelcolor": INK,
    "axes.titlecolor": INK,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "grid.color": GRID,
    "grid.linewidth": 0.7,
}
