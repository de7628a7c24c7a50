"""Curves that compare methods: ROC as the field draws it, a metric against the size of the training set, losses."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, LogLocator, MaxNLocator, NullFormatter, NullLocator

from hepml_nb.core import InputError, NotFound, Result, suggest
from hepml_nb.stats import Roc, rejection_band

from .figures import axes_or_new, describe, figure_of, new_figure
from .looks import COLOURS, GREY, line, style

__all__ = ["roc_curves", "size_curve", "training"]

Points = Mapping[str, Mapping[int, Result]]


class History(Protocol):
    """What a training tells of itself; `learn.History` is one."""

    best_epoch: int

    @property
    def train_loss(self) -> npt.NDArray[np.float64]: ...
    @property
    def val_loss(self) -> npt.NDArray[np.float64]: ...


def roc_curves(
    curves: Mapping[str, Roc | Sequence[Roc]],
    *,
    reference: str | None = None,
    axes: tuple[Axes, Axes] | None = None,
    xlim: tuple[float, float] = (0.1, 1.0),
) -> Figure:
    """Draw background rejection (log) against signal efficiency with 68 % bands, and the ratio to one method below.

    curves: method to its Roc, or to one Roc per training (mean and band of `stats.rejection_band`); reference: the
    method that the lower panel divides by, by default the first. axes: (main, ratio), else a new figure.
    Returns the figure. Raises InputError for no curves, NotFound for an unknown reference.
    """
    if not curves:
        raise InputError("curves is empty; expected {method: Roc or list of Roc}.")
    reference = next(iter(curves)) if reference is None else reference
    if reference not in curves:
        raise NotFound(f"reference={reference!r} is not among the curves{suggest(reference, curves)}")
    with style():
        if axes is None:
            axes = tuple(new_figure((6.4, 5.6)).subplots(2, 1, sharex=True, height_ratios=(3, 1.25)))
        main, below = axes
        eff = np.linspace(max(xlim[0], 1e-3), 1.0, 400)
        bands = {name: rejection_band(rocs, eff) for name, rocs in curves.items()}
        base = bands[reference][0]
        for number, (name, band) in enumerate(bands.items()):
            area = np.mean([roc.auc for roc in _listed(curves[name])])
            _band(main, eff, band, number, f"{name} (AUC {area:.4f})")
            _band(below, eff, tuple(_ratio(part, base) for part in band), number, "")
        if len(curves) > 6:
            _legend_above(main)
        else:
            main.legend(loc="upper right")
        top = max(band[0][np.isfinite(band[0])].max(initial=10.0) for band in bands.values())
        main.set(yscale="log", xlim=xlim, ylim=(0.9, 2.5 * top), ylabel=r"background rejection $1/\varepsilon_B$")
        below.axhline(1, color=GREY, lw=0.8, zorder=0)
        below.set(xlabel=r"signal efficiency $\varepsilon_S$", ylabel=f"ratio to\n{reference}")
        _ratio_scale(below, [_ratio(band[0], base)[eff > 0.25] for band in bands.values()])
    at = int(np.argmin(np.abs(eff - 0.5)))
    numbers = ", ".join(f"{name} {band[0][at]:.3g}" for name, band in bands.items())
    describe(main, f"ROC curves; background rejection at signal efficiency 0.5: {numbers}; ratio to {reference}.")
    return figure_of(main)


def size_curve(points: Points, *, metric: str = "", ax: Axes | None = None) -> Axes:
    """Draw a metric against the number of training jets (log), one line per method, error bars of one sigma.

    points: {method: {training jets: Result}}, such as the joined rows of a sweep; metric: "auc",
    "rejection.eff30" or any text for the axis. Returns the axes. Raises InputError for no points.
    """
    if not any(points.values()):
        raise InputError("points is empty; expected {method: {training jets: Result}}.")
    with style():
        ax = axes_or_new(ax)
        for number, (name, found) in enumerate(points.items()):
            sizes = sorted(found)
            shift = 1.03 ** (number - (len(points) - 1) / 2)  # bars of equal size stay beside each other
            ax.errorbar(
                [size * shift for size in sizes],
                [found[size].value for size in sizes],
                [found[size].error for size in sizes],
                marker="osD^vPX*<>"[number % 10],
                ms=5,
                label=name,
                **line(number),
            )
        ax.set(xscale="log", xlabel="training jets", ylabel=_axis_text(metric))
        if metric.startswith("rejection"):
            ax.set_yscale("log")
            _plain_ticks(ax.yaxis)
        ax.xaxis.set_major_locator(FixedLocator(sorted({size for found in points.values() for size in found})))
        ax.xaxis.set_major_formatter(
            FuncFormatter(lambda value, _: f"{value / 1000:g}k" if value >= 1000 else f"{value:g}")
        )
        ax.xaxis.set_minor_locator(NullLocator())
        _legend_above(ax)
    largest = {name: max(found) for name, found in points.items() if found}
    text = ", ".join(f"{name} {points[name][size]} with {size} jets" for name, size in largest.items())
    describe(ax, f"{_plain(metric)} against the number of training jets: {text}.")
    return ax


def training(history: History | Sequence[History] | Mapping[str, History], *, ax: Axes | None = None) -> Axes:
    """Draw training (dashed) and validation (solid) loss against epochs, the kept epoch marked; returns the axes.

    history: one, a list, or {name: history}. Raises InputError for a training without epochs.
    """
    if isinstance(history, Mapping):
        named = dict(history)
    elif isinstance(history, Sequence):
        named = {f"seed {number + 1}": one for number, one in enumerate(history)}
    else:
        named = {"": history}
    if not named or not all(len(one.train_loss) for one in named.values()):
        raise InputError("there is a training without epochs; nothing to draw.")
    with style():
        ax = axes_or_new(ax, (6.0, 3.6))
        for number, (name, one) in enumerate(named.items()):
            colour = COLOURS[number % len(COLOURS)]
            epochs = np.arange(1, len(one.train_loss) + 1)
            ax.plot(epochs, one.train_loss, color=colour, linestyle="--")
            ax.plot(epochs, one.val_loss, color=colour, linestyle="-", label=name or None)
            if one.best_epoch:
                best = one.val_loss[one.best_epoch - 1]
                ax.plot(one.best_epoch, best, "o", color=colour, ms=7, mfc="white")
        ink = COLOURS[0] if len(named) == 1 else GREY
        ax.plot([], [], color=ink, linestyle="--", label="training")
        ax.plot([], [], color=ink, linestyle="-", label="validation")
        ax.plot([], [], "o", color=ink, ms=7, mfc="white", label="kept epoch")
        ax.set(xlabel="epoch", ylabel="loss")
        ax.xaxis.set_major_locator(MaxNLocator(integer=True))
        ax.xaxis.set_minor_locator(NullLocator())
        _legend_above(ax)
    words = ", ".join(
        f"{name or 'validation'} {one.val_loss.min():.4g} at best, kept epoch {one.best_epoch} of {len(one.val_loss)}"
        for name, one in named.items()
    )
    describe(ax, f"Training and validation loss against epochs: {words}.")
    return ax


def _listed(curves: Roc | Sequence[Roc]) -> list[Roc]:
    return [curves] if isinstance(curves, Roc) else list(curves)


def _band(ax: Axes, x: npt.NDArray[np.float64], band: Sequence[Any], number: int, label: str) -> None:
    value, low, high = (np.where(np.isfinite(part), part, np.nan) for part in band)
    high = np.where(np.isnan(high) & ~np.isnan(value), 1e9, high)  # no upper limit: the band leaves the picture
    ax.plot(x, value, label=label or None, **line(number))
    ax.fill_between(x, low, high, color=COLOURS[number % len(COLOURS)], alpha=0.2, lw=0)


def _ratio(part: npt.NDArray[np.float64], base: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    good = np.isfinite(part) & np.isfinite(base)
    ratio: npt.NDArray[np.float64] = np.divide(part, base, out=np.full(part.shape, np.nan), where=good)
    return ratio


def _ratio_scale(ax: Axes, ratios: list[npt.NDArray[np.float64]]) -> None:
    """Room for the curves where they are well known; a log scale for methods of different leagues."""
    seen = np.concatenate([ratio[np.isfinite(ratio)] for ratio in ratios] + [np.ones(1)])
    low, high = float(seen.min()), float(seen.max())
    if high > 6 * low:
        ax.set_yscale("log")
        ax.set_ylim(0.8 * low, 1.5 * high)
        _plain_ticks(ax.yaxis)
    else:
        room = 0.15 * max(high - low, 0.3)
        ax.set_ylim(max(low - room, 0), high + room)


def _plain_ticks(axis: Axis) -> None:
    """Write the ticks of a log axis as numbers, also 2 and 5 where there are few decades."""
    low, high = axis.get_view_interval()
    axis.set_major_locator(LogLocator(subs=(1, 2, 5) if high < 300 * low else (1,)))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.set_minor_formatter(NullFormatter())


def _legend_above(ax: Axes) -> None:
    """Put the legend over the axes, where it hides nothing, in as many columns as the names leave room for."""
    longest = max(len(str(label)) for label in ax.get_legend_handles_labels()[1])
    columns = 3 if longest <= 15 else 2
    ax.legend(loc="lower left", bbox_to_anchor=(0, 1.0), ncols=columns, columnspacing=1.4, borderaxespad=0.3)


def _axis_text(metric: str) -> str:
    if metric == "auc":
        return "AUC"
    if metric.startswith("rejection.eff"):
        eff = float(metric.removeprefix("rejection.eff")) / 100
        return rf"rejection $1/\varepsilon_B$ at $\varepsilon_S = {eff:g}$"
    return metric


def _plain(metric: str) -> str:
    if metric.startswith("rejection.eff"):
        return f"Background rejection at {metric.removeprefix('rejection.eff')} % signal efficiency"
    return "AUC" if metric == "auc" else metric or "The metric"
