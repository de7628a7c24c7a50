"""Controls that keyboard and screen reader reach: every slider comes with a named number field linked to it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from hepml_nb.core import InputError

__all__ = ["choice", "number"]

_LABEL = "initial"


def number(label: str, value: float, low: float, high: float, step: float = 0.01) -> Any:
    """Return a slider with a linked number field named `label`, as one HBox with `.field`, `.slider` and `.value`.

    ipywidgets' sliders have no accessible name, its number fields do. All integers: an integer control. Setting
    `.field.value` or `.slider.value` moves the other. Raises InputError unless low <= value <= high and step > 0.
    """
    import ipywidgets

    if not (low <= value <= high and low < high and step > 0):
        raise InputError(f"{label}: value={value}, low={low}, high={high}, step={step}; expected low <= value <= high.")
    whole = all(isinstance(x, int) for x in (value, low, high, step))
    make_field = ipywidgets.BoundedIntText if whole else ipywidgets.BoundedFloatText
    make_slider = ipywidgets.IntSlider if whole else ipywidgets.FloatSlider
    bounds = {"value": value, "min": low, "max": high, "step": step}
    field = make_field(
        description=label, style={"description_width": _LABEL}, layout={"width": "auto", "min_width": "11rem"}, **bounds
    )
    slider = make_slider(readout=False, tooltip=label, layout={"width": "12rem"}, **bounds)
    tidy = (lambda given: given) if whole else (lambda given: float(f"{given:.10g}"))  # sliders give 0.7999999999999999
    ipywidgets.link((slider, "value"), (field, "value"), transform=(tidy, lambda given: given))
    box = ipywidgets.HBox([field, slider], layout={"align_items": "center", "margin": "0 1.5rem 0 0"})
    box.field, box.slider = field, slider
    return box


def choice(label: str, options: Mapping[str, Any] | Iterable[str], value: Any) -> Any:
    """Return a drop-down list named `label` with the shown text of every option and the value behind it."""
    import ipywidgets

    pairs = list(options.items()) if isinstance(options, Mapping) else [(text, text) for text in options]
    if value not in [behind for _, behind in pairs]:
        raise InputError(f"{label}: value={value!r} is none of {', '.join(text for text, _ in pairs)}.")
    return ipywidgets.Dropdown(
        options=pairs,
        value=value,
        description=label,
        style={"description_width": _LABEL},
        layout={"width": "auto", "margin": "0 1.5rem 0 0"},
    )
