"""A figure carries words that say what it shows, and is shown once, as a picture with these words, and closed."""

from __future__ import annotations

import base64
import io
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from hepml_nb.core import InputError

from .looks import style

__all__ = ["axes_or_new", "describe", "description", "figure_of", "new_figure", "png", "show"]

_SHARPNESS = 1.6  # pixels per CSS pixel: text stays sharp on dense screens and files small


def new_figure(size: tuple[float, float]) -> Figure:
    """Return a figure of `size` inches that pyplot does not know, so that nothing has to be closed."""
    return Figure(figsize=size, layout="constrained")


def axes_or_new(ax: Axes | None, size: tuple[float, float] = (6.2, 4.2)) -> Axes:
    """Return `ax`, or the axes of a new figure."""
    return new_figure(size).add_subplot() if ax is None else ax


def figure_of(ax: Axes) -> Figure:
    """Return the figure at the root of `ax`, also when the axes lie in a subfigure."""
    figure = ax.get_figure(root=True)
    if figure is None:
        raise InputError("the axes belong to no figure any more; they were removed.")
    return figure


def describe(fig: Figure | Axes, text: str) -> None:
    """Add one sentence on what the figure shows; `show` uses it as alternative text, several are joined."""
    figure = fig if isinstance(fig, Figure) else figure_of(fig)
    setattr(figure, "hepml_alt", f"{description(figure)} {text.strip()}".strip())  # noqa: B010 - Figure has no such field


def description(fig: Figure | Axes) -> str:
    """Return what `describe` has gathered, "" if nothing."""
    return str(getattr(fig if isinstance(fig, Figure) else figure_of(fig), "hepml_alt", ""))


def png(fig: Figure | Axes) -> bytes:
    """Return the figure as PNG in this package's look."""
    figure = fig if isinstance(fig, Figure) else figure_of(fig)
    stream = io.BytesIO()
    with style():  # ticks are made when they are drawn
        figure.savefig(stream, format="png", dpi=100 * _SHARPNESS)
    return stream.getvalue()


def show(fig: Figure | Axes, alt: str | None = None) -> None:
    """Display the figure as a picture with alternative text, and close it.

    alt: one sentence for readers who do not see the picture; None takes what the plot functions have described. It
    travels in the output metadata as {"image/png": {"alt": ...}}, where our reports and nbconvert's "classic" template
    look for it (its "lab" template writes no alt at all), and as plain text. Raises InputError when there are no words.
    """
    figure = fig if isinstance(fig, Figure) else figure_of(fig)
    words = (alt or description(figure)).strip()
    if not words:
        raise InputError('the figure has no words; pass alt="what the figure shows, in one sentence".')
    picture = base64.b64encode(png(figure)).decode()
    import matplotlib.pyplot as plt
    from IPython.display import display

    data: dict[str, Any] = {"image/png": picture, "text/plain": words}
    width = round(100 * figure.get_figwidth())
    plt.close(figure)
    display(data, raw=True, metadata={"image/png": {"alt": words, "width": width}})  # type: ignore[no-untyped-call]
