"""The cut explorer: move a threshold on one observable and see what it keeps of signal and background."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

import numpy as np
import numpy.typing as npt

from hepml_nb import stats
from hepml_nb.core import InputError, NotFound, suggest
from hepml_nb.widgets.palette import COLOURS, GREY, INK

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from hepml_nb.widgets.explorer import Panel

__all__ = ["CutData", "CutState", "CutView", "compute_cut", "cut_explorer", "describe_cut", "draw_cut", "draw_cut_roc"]

Floats = npt.NDArray[np.float64]
Keep = Literal["above", "below"]


@dataclass(frozen=True)
class CutState:
    """What the controls say: which observable, which side is kept, and the threshold in the observable's unit."""

    observable: str
    keep: Keep
    threshold: float


@dataclass(frozen=True)
class CutData:
    """Observables by name, each (n,), and labels (n,) of 0 and 1 (signal); `names` of (background, signal)."""

    observables: Mapping[str, npt.ArrayLike]
    labels: npt.ArrayLike
    names: tuple[str, str] = ("background", "signal")
    curves: dict[tuple[str, Keep], stats.Roc] = field(default_factory=dict, repr=False, compare=False)

    def values(self, observable: str) -> Floats:
        """Return one observable; raises NotFound, and InputError for a wrong length or a value that is no number."""
        if observable not in self.observables:
            raise NotFound(f"there is no observable {observable!r}{suggest(observable, self.observables)}")
        values = np.asarray(self.observables[observable], dtype=np.float64)
        if values.shape != np.shape(self.labels) or not np.isfinite(values).all():
            raise InputError(
                f"observable {observable!r} has shape {values.shape}, {(~np.isfinite(values)).sum()} not finite; "
                f"expected one number for each of the {len(np.asarray(self.labels))} labels."
            )
        return values

    def roc(self, observable: str, keep: Keep) -> stats.Roc:
        """Return the ROC curve of cuts on that side; it is computed once."""
        key = (observable, keep)
        if key not in self.curves:
            values = self.values(observable)
            self.curves[key] = stats.roc(self.labels, values if keep == "above" else -values)
        return self.curves[key]


@dataclass(frozen=True)
class CutView:
    """What the cut does and the pictures of it.

    efficiencies: (2, 3), of background and signal, each with the ends of its 68 % interval. rejection: (low, value,
    high) of 1 / background efficiency, high may be inf. edges: (bins + 1,); densities: (2, bins), each of unit area;
    errors: the same shape.
    """

    state: CutState
    names: tuple[str, str]
    efficiencies: Floats
    rejection: tuple[float, float, float]
    edges: Floats
    densities: Floats
    errors: Floats
    roc: stats.Roc


def compute_cut(state: CutState, data: CutData, bins: int = 50) -> CutView:
    """Apply the cut: events at or beyond the threshold are kept. Intervals are Clopper-Pearson's, 68 %."""
    values, signal = data.values(state.observable), np.asarray(data.labels).astype(bool)
    if state.keep not in ("above", "below") or not np.isfinite(state.threshold):
        raise InputError(f"{state}: expected keep 'above' or 'below' and a finite threshold.")
    kept = values >= state.threshold if state.keep == "above" else values <= state.threshold
    curve = data.roc(state.observable, state.keep)
    totals = np.array([(~signal).sum(), signal.sum()])
    passed = np.array([(kept & ~signal).sum(), (kept & signal).sum()])
    low, high = stats.clopper_pearson(passed, totals)
    inverse = [1 / x if x > 0 else np.inf for x in (high[0], passed[0] / totals[0], low[0])]
    edges = np.linspace(*_range(values), bins + 1)
    counts = np.stack([np.histogram(values[side], edges)[0] for side in (~signal, signal)])
    norm = 1 / (totals[:, None] * np.diff(edges))
    return CutView(
        state,
        data.names,
        np.stack([passed / totals, low, high], axis=-1),
        (inverse[0], inverse[1], inverse[2]),
        edges,
        counts * norm,
        np.sqrt(counts) * norm,
        curve,
    )


def _range(values: Floats) -> tuple[float, float]:
    """Return where nearly all values lie: the far tails of both sides are left out of the picture."""
    low, high = (float(x) for x in np.quantile(values, [0.002, 0.998]))
    return (low, high) if low < high else (low - 0.5, high + 0.5)


def _at_efficiency(data: CutData, observable: str, keep: Keep, eff: float) -> float:
    """Return the threshold nearest to the asked signal efficiency, on the slider's grid inside the picture."""
    edge = data.roc(observable, keep).threshold_at(min(max(eff, 1e-3), 1.0))
    low, high, step = _bounds(data, observable)["threshold"]
    return float(np.clip(_on_grid(edge if keep == "above" else -edge, step), low, high))


def _bounds(data: CutData, observable: str) -> dict[str, tuple[float, float, float]]:
    """Return (low, high, step) of the threshold, all of them round numbers: a slider snaps to its grid."""
    low, high = _range(data.values(observable))
    step = float(f"{(high - low) / 1000:.1g}")
    return {"threshold": (_on_grid(low, step), _on_grid(high, step), step)}


def _on_grid(value: float, step: float) -> float:
    return float(f"{round(value / step) * step:.10g}")


def draw_cut(ax: Axes, view: CutView) -> None:
    """Draw both densities with their errors, the cut as a line, what is thrown away shaded."""
    centres = (view.edges[:-1] + view.edges[1:]) / 2
    for number, style in enumerate(("--", "-")):
        colour = COLOURS[number]
        ax.stairs(view.densities[number], view.edges, color=colour, ls=style, lw=1.6, label=view.names[number])
        ax.errorbar(centres, view.densities[number], view.errors[number], fmt="none", ecolor=colour, elinewidth=0.8)
    end = view.edges[0] if view.state.keep == "above" else view.edges[-1]
    ax.axvspan(
        min(end, view.state.threshold), max(end, view.state.threshold), color=GREY, alpha=0.25, lw=0, label="removed"
    )
    ax.axvline(view.state.threshold, color=INK, lw=1.5)
    top = 1.15 * (view.densities + view.errors).max()
    ax.set(xlim=(view.edges[0], view.edges[-1]), ylim=(0, top), xlabel=view.state.observable, ylabel="jets, unit area")
    ax.set_title(f"cut at {view.state.threshold:.4g}")
    ax.legend()


def draw_cut_roc(ax: Axes, view: CutView) -> None:
    """Draw rejection against signal efficiency of all cuts, and the present cut with its errors."""
    curve = view.roc
    some = curve.eff_background > 0
    ax.plot(curve.eff_signal[some], 1 / curve.eff_background[some], color=INK, lw=1.4, label="all cuts")
    eff = np.linspace(0.01, 1, 200)
    ax.plot(eff, 1 / eff, color=GREY, ls=":", lw=1.2, label="coin toss")
    top = 3 * curve.n_background
    low, value, high = view.rejection
    x, x_low, x_high = view.efficiencies[1]
    y = value if np.isfinite(value) else low
    ax.plot([x_low, x_high], [y, y], color=COLOURS[1], lw=1.2)
    ax.plot([x, x], [low, min(high, top)], color=COLOURS[1], lw=1.2)
    ax.plot([x], [y], "o", color=COLOURS[1], ms=7, label="this cut")
    if not ax.get_xlabel():
        ax.set(xlim=(0, 1.02), yscale="log", xlabel="signal efficiency", ylabel="background rejection")
    ax.set_ylim(0.8, top)
    ax.set_title(f"AUC of this observable: {max(curve.auc, 1 - curve.auc):.3f}")
    ax.legend()


def describe_cut(view: CutView) -> str:
    """Return the summary: threshold, both efficiencies with errors, the rejection with its interval."""
    side = {"above": "≥", "below": "≤"}[view.state.keep]
    background, signal = (f"{x:.3f} (+{high - x:.3f} −{x - low:.3f})" for x, low, high in view.efficiencies)
    low, value, high = view.rejection
    wide = f"above {low:.3g} at 68 %" if not np.isfinite(value) else f"{value:.3g} (68 %: {low:.3g} to {high:.3g})"
    return (
        f"{view.state.observable} {side} {view.state.threshold:.4g} keeps {view.names[1]} {signal} and "
        f"{view.names[0]} {background}: rejection {wide}."
    )


def cut_explorer(
    observables: Mapping[str, npt.ArrayLike],
    labels: npt.ArrayLike,
    *,
    names: tuple[str, str] = ("background", "signal"),
    observable: str | None = None,
    keep: Keep | None = None,
    eff: float = 0.5,
    bins: int = 50,
) -> Panel:
    """Return the panel with the controls `observable`, `keep` and `threshold`; it opens at signal efficiency `eff`.

    observables: arrays (n,) by name, a score among them if you like; labels: (n,) of 0 and 1 (signal). By default
    the side is kept where the signal is. Another observable opens at the signal efficiency of the last cut, so that
    rejections compare. Raises InputError and NotFound as CutData does.
    """
    from hepml_nb.widgets.controls import choice, number
    from hepml_nb.widgets.explorer import explore

    if not observables:
        raise InputError("there is no observable to cut on; give at least one array by name.")
    data = CutData({name: np.asarray(values) for name, values in observables.items()}, np.asarray(labels), names)

    def side(name: str) -> Keep:
        return "above" if data.roc(name, "above").auc >= 0.5 else "below"

    def adjust(old: CutState, new: CutState) -> tuple[CutState, dict[str, tuple[float, float, float]]]:
        if new.observable == old.observable and new.keep == old.keep:
            return new, {}
        kept = side(new.observable) if new.observable != old.observable else new.keep
        reached = float(compute_cut(old, data, bins).efficiencies[1, 0])
        threshold = _at_efficiency(data, new.observable, kept, reached)
        return CutState(new.observable, kept, threshold), _bounds(data, new.observable)

    first = observable or next(iter(observables))
    kept = keep or side(first)
    state = CutState(first, kept, _at_efficiency(data, first, kept, eff))
    controls = {
        "observable": choice("observable", list(observables), first),
        "keep": choice("keep", {"above the cut": "above", "below the cut": "below"}, kept),
        "threshold": number("threshold", state.threshold, *_bounds(data, first)["threshold"]),
    }
    return explore(
        state,
        controls,
        lambda now: compute_cut(now, data, bins),
        (draw_cut, draw_cut_roc),
        describe_cut,
        size=(10.4, 4.2),
        widths=(1.25, 1.0),
        adjust=adjust,
    )
