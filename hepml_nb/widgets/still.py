"""A still is a picture together with what it shows in words; a live figure repaints only what has changed."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from hepml_nb.widgets.palette import LOOK

__all__ = ["LiveFigure", "Still"]

_DPI = 120  # of matplotlib's inches, of which a notebook makes 100 CSS pixels: sharp, and quick enough to follow a hand


@dataclass(frozen=True)
class Still:
    """A PNG with its alternative text; shown at `width` CSS pixels."""

    png: bytes = field(repr=False)
    alt: str
    width: int

    def _repr_mimebundle_(self, **options: Any) -> tuple[dict[str, Any], dict[str, Any]]:
        """Return the picture for a notebook; the words travel in the metadata and as plain text."""
        picture = base64.b64encode(self.png).decode()  # Jupyter would send bytes as a list of numbers
        return {"image/png": picture, "text/plain": self.alt}, {"image/png": {"alt": self.alt, "width": self.width}}


class LiveFigure:
    """One figure that lives as long as its panel, with axes side by side; `paint` gives PNGs of always the same size.

    Ticks and labels cost matplotlib more time than everything else together, so they are painted once and kept
    until a limit or a label changes.
    """

    def __init__(self, size: tuple[float, float], widths: Sequence[float]) -> None:
        with mpl.rc_context(LOOK):
            self.figure = Figure(figsize=size, dpi=_DPI)
            grid = self.figure.add_gridspec(1, len(widths), width_ratios=widths)
            inside = {"left": 0.68 / size[0], "right": 1 - 0.16 / size[0]}  # inches: labels do not shrink with a figure
            grid.update(**inside, bottom=0.57 / size[1], top=1 - 0.37 / size[1], wspace=0.2)
            self.axes: list[Axes] = [self.figure.add_subplot(grid[0, column]) for column in range(len(widths))]
        self._canvas: Any = FigureCanvasAgg(self.figure)  # matplotlib types few of its methods
        self._frames = [set(ax.get_children()) for ax in self.axes]
        self._signature: Any = None
        self._background: Any = None

    def paint(self, draw: Sequence[Callable[[Axes, Any], None]], result: Any) -> bytes:
        """Replace what is in the axes by what `draw`, one function for each, makes of `result`; return the PNG."""
        with mpl.rc_context(LOOK):
            self._repaint(draw, result)
        return self._png()

    def _repaint(self, draw: Sequence[Callable[[Axes, Any], None]], result: Any) -> None:
        moving = []
        for ax, function, frame in zip(self.axes, draw, self._frames, strict=True):
            for artist in set(ax.get_children()) - frame:  # clearing the axes would make all ticks anew
                artist.remove()
            del ax.containers[:]  # error bars leave an empty shell, which legends would list
            ax.set_prop_cycle(None)  # colours begin anew, and so do limits that nobody has set
            ax.relim()
            function(ax, result)
            titles = (ax.title, ax._left_title, ax._right_title)  # type: ignore[attr-defined]
            fresh = [artist for artist in ax.get_children() if artist not in frame]
            fresh.sort(key=lambda artist: artist.get_zorder())
            moving += [(ax, artist) for artist in (*fresh, *titles, *ax.spines.values())]
        signature = [(ax.get_xlim(), ax.get_ylim(), ax.get_xlabel(), ax.get_ylabel()) for ax in self.axes]
        if signature != self._signature:
            for _, artist in moving:
                artist.set_visible(False)
            self._canvas.draw()
            self._background = self._canvas.copy_from_bbox(self.figure.bbox)
            for _, artist in moving:
                artist.set_visible(True)
            self._signature = signature
        self._canvas.restore_region(self._background)
        for ax, artist in moving:
            ax.draw_artist(artist)

    def _png(self) -> bytes:
        from PIL import Image

        picture = Image.frombuffer("RGBA", self._canvas.get_width_height(), self._canvas.buffer_rgba())
        buffer = io.BytesIO()
        picture.convert("RGB").save(buffer, "PNG", compress_level=1)  # it is replaced at once: quick before small
        return buffer.getvalue()
