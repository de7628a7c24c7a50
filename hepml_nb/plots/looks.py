"""One look for all figures, applied where it is asked for and never on import."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

__all__ = ["COLOURS", "GREY", "INK", "LINES", "line", "style"]

COLOURS = ("#3f90da", "#bd1f01", "#ffa90e", "#832db6", "#1a7a3a", "#e76300", "#b9ac70", "#717581", "#92dadd", "#a96b59")
"""The ten-colour cycle of arXiv:2107.02270, told apart by colour-blind readers; one of its greys is a green here."""

LINES: tuple[Any, ...] = (
    "-",
    "--",
    "-.",
    ":",
    (0, (6, 1.5, 1.5, 1.5, 1.5, 1.5)),
    (0, (8, 2)),
    (0, (2, 1)),
    (0, (5, 3)),
    (0, (1, 2.5)),
    (0, (9, 2, 3, 2)),
)
"""A line style for each colour, so that curves differ in print and for every eye."""

GREY, INK = "#9a9ea4", "#22262b"


def line(number: int) -> dict[str, Any]:
    """Return colour and line style of the curve with this number, counted from 0; after ten they repeat."""
    return {"color": COLOURS[number % len(COLOURS)], "linestyle": LINES[number % len(LINES)]}


@contextmanager
def style() -> Iterator[None]:
    """Draw in the look of this package, sized for a notebook; outside of the block nothing has changed."""
    import matplotlib as mpl
    from cycler import cycler

    with mpl.rc_context(
        {
            "figure.figsize": (6.2, 4.2),
            "figure.dpi": 100,
            "font.family": "sans-serif",
            "font.sans-serif": ["DejaVu Sans"],  # comes with matplotlib: the same picture on every machine
            "font.size": 10.5,
            "axes.labelsize": 11.5,
            "axes.titlesize": 11,
            "axes.titlelocation": "left",
            "axes.linewidth": 0.9,
            "axes.axisbelow": True,
            "axes.formatter.use_mathtext": True,
            "axes.formatter.limits": (-3, 4),
            "axes.prop_cycle": cycler(color=COLOURS) + cycler(linestyle=LINES),
            "lines.linewidth": 1.7,
            "errorbar.capsize": 2,
            "xtick.direction": "in",
            "ytick.direction": "in",
            "xtick.top": True,
            "ytick.right": True,
            "xtick.minor.visible": True,
            "ytick.minor.visible": True,
            "legend.frameon": False,
            "legend.fontsize": 9.5,
            "legend.handlelength": 2.6,
            "image.cmap": "viridis",
            "savefig.facecolor": "white",
        }
    ):
        yield
