"""The panel: controls above one line of text above one persistent picture, redrawn when a control moves.

Nothing is appended and nothing cleared, so nothing flickers; and the panel carries its own static twin, which pages
without a kernel show in its place.
"""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Callable, Mapping, Sequence
from html import escape
from typing import Any

import ipywidgets
import traitlets
from matplotlib.axes import Axes

from hepml_nb.core import InputError
from hepml_nb.widgets.still import LiveFigure, Still

__all__ = ["Panel", "explore"]

Bounds = Mapping[str, tuple[float, float, float]]

_ONE_AT_A_TIME = threading.RLock()
"""JupyterLab may answer each control in a thread of its own, and matplotlib draws in one at a time only."""


class Picture(ipywidgets.Image):  # type: ignore[misc]  # ipywidgets ships no types
    """An Image with a tooltip, which browsers take as its name; the front end refuses one without a description."""

    description = traitlets.Unicode("").tag(sync=True)


class Panel(ipywidgets.VBox):  # type: ignore[misc]  # ipywidgets ships no types
    """An explorer. `state` and `result` are what is shown now; `controls` the handles by name, also as attributes;
    `picture` an Image named by the summary; `status` the summary as HTML with role status.
    """

    def __init__(
        self,
        state: Any,
        controls: Mapping[str, Any],
        compute: Callable[[Any], Any],
        draw: Sequence[Callable[[Axes, Any], None]],
        describe: Callable[[Any], str],
        figure: LiveFigure,
        adjust: Callable[[Any, Any], tuple[Any, Bounds]] | None = None,
    ) -> None:
        unknown = set(controls) - {field.name for field in dataclasses.fields(state)}
        if unknown:
            raise InputError(f"controls {sorted(unknown)} move nothing: {type(state).__name__} has no such field.")
        self.controls = dict(controls)
        self._compute, self._draw, self._describe, self._figure = compute, draw, describe, figure
        self._adjust, self._busy = adjust, False
        width = round(100 * figure.figure.get_figwidth())  # CSS pixels
        self.picture = Picture(format="png", layout={"width": "100%", "max_width": f"{width}px"})
        self.status = ipywidgets.HTML()
        self.state: Any = state
        self.result: Any = None
        self._show(state)
        self._default = Still(bytes(self.picture.value), describe(self.result), width)
        for name, control in self.controls.items():
            setattr(self, name, control)
            getattr(control, "field", control).observe(self._moved, names="value")
        row = ipywidgets.Box(list(self.controls.values()), layout={"flex_flow": "row wrap", "align_items": "center"})
        super().__init__([row, self.status, self.picture])

    def _moved(self, change: Any) -> None:
        with _ONE_AT_A_TIME:
            if self._busy:  # we move the controls ourselves
                return
            values = {name: getattr(control, "field", control).value for name, control in self.controls.items()}
            state = dataclasses.replace(self.state, **values)
            if self._adjust is not None:
                state, bounds = self._adjust(self.state, state)
                self._set_controls(state, bounds)
            if state != self.state:
                self._show(state)

    def _set_controls(self, state: Any, bounds: Bounds) -> None:
        """Move the controls to `state` after giving some of them new (low, high, step)."""
        self._busy = True
        try:
            for name, (low, high, step) in bounds.items():
                for handle in (self.controls[name].field, self.controls[name].slider):
                    with handle.hold_trait_notifications():  # low may exceed the old high for a moment
                        handle.min, handle.max, handle.step = low, high, step
                        handle.value = getattr(state, name)
            for name, control in self.controls.items():
                getattr(control, "field", control).value = getattr(state, name)
        finally:
            self._busy = False

    def _show(self, state: Any) -> None:
        self.result = self._compute(state)
        self.state = state
        words = self._describe(self.result)
        self.picture.value = self._figure.paint(self._draw, self.result)
        self.picture.tooltip = words  # becomes the picture's accessible name
        self.status.value = f'<div role="status" aria-live="polite">{escape(words)}</div>'

    def static(self) -> Still:
        """Return the picture of the default state with its words, for pages without a kernel."""
        return self._default

    def _repr_mimebundle_(self, **options: Any) -> tuple[dict[str, Any], dict[str, Any]]:
        """Return the live view and, in the same output, the static twin that exported pages fall back to."""
        live = super()._repr_mimebundle_(**options) or {}
        picture, words = self._default._repr_mimebundle_()
        return {**picture, **live}, words


def explore(
    state: Any,
    controls: Mapping[str, Any],
    compute: Callable[[Any], Any],
    draw: Sequence[Callable[[Axes, Any], None]],
    describe: Callable[[Any], str],
    *,
    size: tuple[float, float] = (10.4, 4.6),
    widths: Sequence[float] = (1.0, 1.0),
    adjust: Callable[[Any, Any], tuple[Any, Bounds]] | None = None,
) -> Panel:
    """Return a panel over a frozen dataclass `state`: `controls` maps some of its fields to widgets.

    compute: state -> result, pure. draw: one (axes, result) -> None for each entry of `widths`, side by side; the axes
    come without artists, but with the labels of the last time, and the limits that it set. describe: result -> one line
    of words. size: inches. adjust: (state before, state asked for) -> the state to take and new {control: (low, high,
    step)}, for controls that depend on each other. Raises InputError for a control of an unknown field.
    """
    return Panel(state, controls, compute, draw, describe, LiveFigure(size, widths), adjust)
