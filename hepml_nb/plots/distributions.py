"""Distributions: observables and scores by class, and how often a probability comes true."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes

from hepml_nb.core import InputError
from hepml_nb.stats import Reliability

from .figures import axes_or_new, describe
from .looks import COLOURS, GREY, line, style

__all__ = ["histograms", "reliability_diagram", "score_histograms"]


def histograms(
    samples: Mapping[str, Any],
    *,
    label: str = "",
    bins: int | npt.ArrayLike = 50,
    range: tuple[float, float] | None = None,
    weights: Mapping[str, npt.ArrayLike] | None = None,
    density: bool = True,
    log: bool = False,
    ax: Axes | None = None,
) -> Axes:
    """Draw the distribution of one observable for several classes, with statistical error bands.

    samples: {class: values (n,), or a filled hist.Hist}; label: the observable with its unit, on the x axis; bins:
    edges or a number of equal bins over `range`, by default all but the outermost per mille of the values (mplhep's
    arrows then tell of what lies outside; whole numbers get bins of whole width). density: areas of 1.
    Returns the axes. Raises InputError for empty or non-finite values.
    """
    import mplhep

    if not samples:
        raise InputError("samples is empty; expected {class: values}.")
    filled = _filled(samples, label, bins, range, weights or {})
    with style():
        ax = axes_or_new(ax)
        for number, (name, histogram) in enumerate(filled.items()):
            common = {"density": density, "ax": ax, "lw": 1.7}
            mplhep.histplot(histogram, histtype="step", yerr=False, label=name, flow="hint", **line(number), **common)
            common |= {"facecolor": COLOURS[number % len(COLOURS)], "edgecolor": "none", "hatch": "", "alpha": 0.25}
            mplhep.histplot(histogram, histtype="band", flow="none", **common)
        axis = next(iter(filled.values())).axes[0]
        ax.set_xlabel(label or str(axis.label))
        ax.set_ylabel("normalised to 1" if density else "entries")
        ax.set_xlim(float(axis.edges[0]), float(axis.edges[-1]))
        if log:
            ax.set_yscale("log")
        else:
            ax.set_ylim(0, ax.get_ylim()[1] * 1.12)
        ax.legend()
    medians = ", ".join(f"{name} {_median(histogram):.3g}" for name, histogram in filled.items())
    describe(ax, f"Distribution of {label or axis.label or 'the observable'}; medians: {medians}.")
    return ax


def score_histograms(
    labels: npt.ArrayLike,
    scores: npt.ArrayLike,
    *,
    label: str = "score",
    classes: tuple[str, str] = ("background", "signal"),
    bins: int | npt.ArrayLike = 40,
    log: bool = True,
    ax: Axes | None = None,
) -> Axes:
    """Draw the scores (n,) of background (labels 0) and signal (1), named by `classes`; returns the axes.

    Raises InputError for lengths that differ or a class without events.
    """
    signal, score = np.asarray(labels) == 1, np.asarray(scores, dtype=np.float64)
    if signal.shape != score.shape or signal.ndim != 1:
        raise InputError(f"labels and scores have shapes {signal.shape} and {score.shape}; expected (n,) for both.")
    probability = score.size > 0 and score.min() >= 0 and score.max() <= 1
    return histograms(
        {classes[0]: score[~signal], classes[1]: score[signal]},
        label=label,
        bins=bins,
        range=(0.0, 1.0) if probability else None,
        log=log,
        ax=ax,
    )


def reliability_diagram(curves: Reliability | Mapping[str, Reliability], *, ax: Axes | None = None) -> Axes:
    """Draw observed signal fraction against predicted probability with 68 % intervals; the diagonal is calibrated.

    curves: of `stats.reliability`, one or {method: Reliability}. Returns the axes. Raises InputError for none.
    """
    named = {"": curves} if isinstance(curves, Reliability) else dict(curves)
    if not named:
        raise InputError("curves is empty; expected {method: Reliability}.")
    with style():
        ax = axes_or_new(ax, (5.2, 4.8))
        ax.plot([0, 1], [0, 1], color=GREY, lw=1, ls="-", label="calibrated")
        for number, (name, curve) in enumerate(named.items()):
            bars = np.stack([curve.observed - curve.low, curve.high - curve.observed]).clip(0)
            ax.errorbar(
                curve.predicted,
                curve.observed,
                bars,
                marker="osD^vPX*<>"[number % 10],
                ms=4.5,
                lw=1.2,
                label=name or None,
                **line(number),
            )
        ax.set(xlim=(0, 1), ylim=(0, 1), xlabel="predicted probability", ylabel="observed signal fraction")
        ax.set_aspect("equal")
        ax.legend(loc="upper left")
    worst = ", ".join(
        f"{name or 'largest distance'} {np.abs(curve.observed - curve.predicted).max():.2g}"
        for name, curve in named.items()
    )
    describe(ax, f"Observed signal fraction against predicted probability; farthest from the diagonal: {worst}.")
    return ax


def _filled(
    samples: Mapping[str, Any],
    label: str,
    bins: int | npt.ArrayLike,
    limits: tuple[float, float] | None,
    weights: Mapping[str, npt.ArrayLike],
) -> dict[str, Any]:
    import hist

    if all(isinstance(sample, hist.Hist) for sample in samples.values()):
        return dict(samples)
    values = {name: np.asarray(sample, dtype=np.float64).ravel() for name, sample in samples.items()}
    for name, sample in values.items():
        if not sample.size or not np.isfinite(sample).all():
            bad = int((~np.isfinite(sample)).sum())
            raise InputError(f"{name!r} has {sample.size} values, {bad} of them not finite; expected finite numbers.")
    edges = _edges(np.concatenate(list(values.values())), bins, limits)
    made = {}
    for name, sample in values.items():
        made[name] = hist.Hist(hist.axis.Variable(edges, label=label), storage=hist.storage.Weight())
        made[name].fill(sample, weight=None if name not in weights else np.asarray(weights[name], dtype=np.float64))
    return made


def _edges(
    values: npt.NDArray[np.float64], bins: int | npt.ArrayLike, limits: tuple[float, float] | None
) -> npt.NDArray[np.float64]:
    if not isinstance(bins, int | np.integer):
        return np.asarray(bins, dtype=np.float64)
    low, high = limits if limits is not None else (float(q) for q in np.quantile(values, [0.001, 0.999]))
    if limits is None and low >= 0 and low < 0.1 * high:
        low = 0.0  # a quantity that starts at 0 is shown from there
    if limits is None and (values == np.round(values)).all():
        width = max(1, round((high - low) / int(bins)))
        return np.arange(np.floor(low) - 0.5, high + width + 0.5, width)
    if high <= low:
        low, high = low - 0.5, high + 0.5
    return np.linspace(low, high, int(bins) + 1)


def _median(histogram: Any) -> float:
    """The median as far as the bins tell."""
    contents = np.cumsum(histogram.values())
    if contents[-1] <= 0:
        return float("nan")
    return float(histogram.axes[0].centers[np.searchsorted(contents, 0.5 * contents[-1])])
