"""The working-point picker: choose a tagger and a signal efficiency, see what passes and what becomes of the mass."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from hepml_nb import stats
from hepml_nb.core import InputError, NotFound, Result, suggest
from hepml_nb.widgets.palette import COLOURS, GREY, INK

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from hepml_nb.widgets.explorer import Panel

__all__ = ["PointData", "PointState", "PointView", "compute_point", "describe_point", "draw_mass", "draw_point",
           "working_points"]  # fmt: skip

Floats = npt.NDArray[np.float64]
_EFFS = np.linspace(0.01, 1, 200)
_TOYS = 60


@dataclass(frozen=True)
class PointState:
    """What the controls say: which tagger, and how much of the signal it shall keep."""

    tagger: str
    eff: float


@dataclass(frozen=True)
class PointData:
    """Scores by tagger, each (n,), labels (n,) of 0 and 1 (signal) and masses (n,) in GeV; `names` of the classes."""

    scores: Mapping[str, npt.ArrayLike]
    labels: npt.ArrayLike
    mass: npt.ArrayLike
    names: tuple[str, str] = ("background", "signal")
    curves: dict[str, stats.Roc] = field(default_factory=dict, repr=False, compare=False)

    def __post_init__(self) -> None:
        mass = np.asarray(self.mass, dtype=np.float64)
        if mass.shape != np.shape(self.labels) or not np.isfinite(mass).all():
            raise InputError(f"mass has shape {mass.shape}; expected one finite number for each of the labels.")
        for name, scores in self.scores.items():
            self.curves[name] = stats.roc(self.labels, scores)

    def roc(self, tagger: str) -> stats.Roc:
        """Return the ROC curve of a tagger; raises NotFound for an unknown one."""
        if tagger not in self.curves:
            raise NotFound(f"there are no scores of {tagger!r}{suggest(tagger, self.curves)}")
        return self.curves[tagger]


@dataclass(frozen=True)
class PointView:
    """What the working point does and the pictures of it.

    efficiencies: (2, 3), of background and signal, each with the ends of its 68 % interval. rejection: (low, value,
    high), high may be inf. rejections: (points,) of every tagger at `effs`. edges: (bins + 1,); densities, errors:
    (2, bins), the background's mass before and after the cut, each of unit area. sculpting: pass against fail in bits,
    None where one of them is empty.
    """

    state: PointState
    names: tuple[str, str]
    threshold: float
    efficiencies: Floats
    rejection: tuple[float, float, float]
    effs: Floats
    rejections: dict[str, Floats]
    edges: Floats
    densities: Floats
    errors: Floats
    sculpting: Result | None


def compute_point(state: PointState, data: PointData, bins: int = 30) -> PointView:
    """Cut where the tagger keeps at least `eff` of the signal; intervals are Clopper-Pearson's, 68 %."""
    curve = data.roc(state.tagger)
    threshold = curve.threshold_at(state.eff)
    scores, signal = np.asarray(data.scores[state.tagger], dtype=np.float64), np.asarray(data.labels) == 1
    mass, passed = np.asarray(data.mass, dtype=np.float64), scores >= threshold
    totals = np.array([(~signal).sum(), signal.sum()])
    kept = np.array([(passed & ~signal).sum(), (passed & signal).sum()])
    low, high = stats.clopper_pearson(kept, totals)
    inverse = [1 / x if x > 0 else np.inf for x in (high[0], kept[0] / totals[0], low[0])]
    low_mass, high_mass = (float(edge) for edge in np.quantile(mass[~signal], [0.0, 0.995]))
    edges = np.linspace(low_mass, max(high_mass, low_mass + 1.0), bins + 1)
    counts = np.stack([np.histogram(mass[some], edges)[0] for some in (~signal, passed & ~signal)])
    norm = 1 / (np.maximum(counts.sum(1, keepdims=True), 1) * np.diff(edges))
    both = 0 < kept[0] < totals[0]
    sculpting = (
        stats.sculpting(signal, scores, mass, eff=state.eff, bins=np.append(edges[:-1], max(edges[-1], mass.max()) + 1),
                        n_boot=_TOYS) if both else None)  # fmt: skip
    rejections = {name: np.asarray(one.rejection_at(_EFFS)) for name, one in data.curves.items()}
    return PointView(state, data.names, threshold, np.stack([kept / totals, low, high], axis=-1),
                     (inverse[0], inverse[1], inverse[2]), _EFFS, rejections, edges, counts * norm,
                     np.sqrt(counts) * norm, sculpting)  # fmt: skip


def draw_point(ax: Axes, view: PointView) -> None:
    """Draw rejection against signal efficiency of all taggers, the chosen one strong, and the point with its errors."""
    for number, (name, rejections) in enumerate(view.rejections.items()):
        chosen, seen = name == view.state.tagger, np.isfinite(rejections)
        ax.plot(view.effs[seen], rejections[seen], color=COLOURS[number % len(COLOURS)], lw=2.2 if chosen else 1.1,
                alpha=1 if chosen else 0.6, label=name)  # fmt: skip
    finite = [r[np.isfinite(r)].max() for r in view.rejections.values() if np.isfinite(r).any()]
    top = 3 * max([*finite, 10.0])
    low, value, high = view.rejection
    x, y = view.efficiencies[1, 0], value if np.isfinite(value) else low
    ax.axvline(x, color=GREY, lw=1)
    ax.plot([x, x], [low, min(high, top)], color=INK, lw=1.4)
    ax.plot([x], [y], "o", color=INK, ms=6, label="this point")
    ax.set(xlim=(0, 1.02), ylim=(0.8, top), yscale="log", xlabel="signal efficiency", ylabel="background rejection")
    ax.set_title(f"{view.state.tagger} at {100 * x:.0f} % {view.names[1]}")
    ax.legend()


def draw_mass(ax: Axes, view: PointView) -> None:
    """Draw the background's mass before and after the cut, each of unit area, with errors."""
    centres = (view.edges[:-1] + view.edges[1:]) / 2
    for number, (label, style) in enumerate((("before", "--"), ("after the cut", "-"))):
        ax.stairs(view.densities[number], view.edges, color=COLOURS[number], ls=style, lw=1.6, label=label)
        ax.errorbar(centres, view.densities[number], view.errors[number], fmt="none", ecolor=COLOURS[number],
                    elinewidth=0.8)  # fmt: skip
    ax.set(xlim=(view.edges[0], view.edges[-1]), ylim=(0, 1.15 * (view.densities + view.errors).max()),
           xlabel="jet mass [GeV]", ylabel="jets, unit area")  # fmt: skip
    ax.set_title(f"mass of {view.names[0]} jets")
    ax.legend()


def describe_point(view: PointView) -> str:
    """Return the summary: threshold, efficiencies and rejection with intervals, and the sculpting beside its floor."""
    background, signal = (f"{x:.4g} (+{high - x:.2g} −{x - low:.2g})" for x, low, high in view.efficiencies)
    low, value, high = view.rejection
    wide = f"above {low:.3g} at 68 %" if not np.isfinite(value) else f"{value:.3g} (68 %: {low:.3g} to {high:.3g})"
    bent = view.sculpting
    mass = ""
    if bent is not None:
        mass = f" Mass of passing against failing {view.names[0]}: {bent} bit, {bent.floor:.2g} by chance."
    return (
        f"{view.state.tagger} score ≥ {view.threshold:.4g} keeps {view.names[1]} {signal} and {view.names[0]} "
        f"{background}: rejection {wide}.{mass}"
    )


def working_points(
    scores: Mapping[str, npt.ArrayLike],
    labels: npt.ArrayLike,
    mass: npt.ArrayLike,
    *,
    names: tuple[str, str] = ("background", "signal"),
    tagger: str | None = None,
    eff: float = 0.5,
    bins: int = 30,
) -> Panel:
    """Return the panel with the controls `tagger` and `eff` (signal efficiency in per cent steps).

    scores: arrays (n,) by tagger, higher for signal; labels: (n,) of 0 and 1; mass: (n,) in GeV. Raises InputError
    for lengths that differ or nan, NotFound for a tagger without scores.
    """
    from hepml_nb.widgets.controls import choice, number
    from hepml_nb.widgets.explorer import explore

    if not scores:
        raise InputError("there are no scores to choose from; give at least one tagger's.")
    data = PointData({name: np.asarray(one) for name, one in scores.items()}, np.asarray(labels), mass, names)
    state = PointState(tagger or next(iter(scores)), eff)
    data.roc(state.tagger)
    controls = {
        "tagger": choice("tagger", list(scores), state.tagger),
        "eff": number("signal efficiency", state.eff, 0.01, 0.99, 0.01),
    }
    return explore(state, controls, lambda now: compute_point(now, data, bins), (draw_point, draw_mass),
                   describe_point, size=(10.4, 4.4))  # fmt: skip
