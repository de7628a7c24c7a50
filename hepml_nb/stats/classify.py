"""Signal against background: the ROC curve, and what is read off it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, overload

import numpy as np
import numpy.typing as npt

from hepml_nb.core import InputError, Result, suggest

from .bootstrap import FEW, paired
from .checks import Bools, Floats, binary, labelled
from .checks import probabilities as checked_probabilities
from .intervals import ONE_SIGMA, clopper_pearson, upper_limit
from .samples import effective_size

__all__ = ["Roc", "accuracy", "auc", "rejection", "rejection_band", "roc"]


@dataclass(frozen=True, repr=False)
class Roc:
    """Efficiencies at every cut "score >= threshold", loosest last; all shapes (points,), from (0, 0) to (1, 1).

    n_signal, n_background: effective numbers of events, for the errors.
    """

    eff_signal: Floats
    eff_background: Floats
    thresholds: Floats
    n_signal: float
    n_background: float

    @property
    def auc(self) -> float:
        """Area under the curve by the trapezoidal rule."""
        return float(np.trapezoid(self.eff_signal, self.eff_background))

    @overload
    def background_at(self, eff: float) -> float: ...
    @overload
    def background_at(self, eff: Floats) -> Floats: ...
    def background_at(self, eff: float | Floats) -> float | Floats:
        """Return the background efficiency at signal efficiency `eff` in [0, 1], linear between the points.

        Where many cuts have exactly this signal efficiency the loosest one counts, as in numpy.interp.
        """
        asked = np.asarray(eff, dtype=np.float64)
        if not ((asked >= 0) & (asked <= 1)).all():
            raise InputError(f"eff={eff!r} is no signal efficiency; expected numbers from 0 to 1.")
        got = np.interp(asked, self.eff_signal, self.eff_background)
        return float(got) if np.ndim(eff) == 0 else got

    @overload
    def rejection_at(self, eff: float) -> float: ...
    @overload
    def rejection_at(self, eff: Floats) -> Floats: ...
    def rejection_at(self, eff: float | Floats) -> float | Floats:
        """Return 1 / background_at(eff); inf where no background passes."""
        background = np.asarray(self.background_at(np.asarray(eff, dtype=np.float64)))
        got = np.divide(1.0, background, out=np.full(background.shape, np.inf), where=background > 0)
        return float(got) if np.ndim(eff) == 0 else got

    def interval_at(self, eff: float | Floats, level: float = ONE_SIGMA) -> tuple[Floats, Floats]:
        """Return (low, high) of the rejection at `eff`; high is inf where the data cannot exclude zero background.

        Clopper-Pearson for the background events that pass, in quadrature with the shift of the cut when the
        signal efficiency moves by its binomial error (a cut tuned on few signal events is uncertain as well).
        """
        asked = np.asarray(eff, dtype=np.float64)
        centre = np.asarray(self.background_at(asked))
        low, high = clopper_pearson(centre * self.n_background, self.n_background, level)
        down, up = self._signal_shift(asked)
        top = np.minimum(centre + np.hypot(high - centre, up), 1.0)
        bottom = centre - np.hypot(centre - low, down)
        return 1 / top, np.divide(1.0, bottom, out=np.full(bottom.shape, np.inf), where=bottom > 0)

    def threshold_at(self, eff: float) -> float:
        """Return the tightest cut "score >= threshold" that keeps at least the fraction `eff` of the signal."""
        if not 0 < eff <= 1:
            raise InputError(f"eff={eff!r} is no signal efficiency to cut at; expected a number above 0, at most 1.")
        return float(self.thresholds[np.searchsorted(self.eff_signal, eff * (1 - 1e-12), side="left")])

    def _signal_shift(self, eff: Floats) -> tuple[Floats, Floats]:
        sigma = np.sqrt(eff * (1 - eff) / self.n_signal)
        centre = self.background_at(eff)
        lower = centre - np.asarray(self.background_at(np.maximum(eff - sigma, 0.0)))
        upper = np.asarray(self.background_at(np.minimum(eff + sigma, 1.0))) - centre
        return np.asarray(lower), upper

    def __repr__(self) -> str:
        return (
            f"Roc(AUC {self.auc:.4f}, {len(self.thresholds)} points, {self.n_signal:.0f} signal, "
            f"{self.n_background:.0f} background events)"
        )


def roc(labels: npt.ArrayLike, scores: npt.ArrayLike, weights: npt.ArrayLike | None = None) -> Roc:
    """Return the ROC curve with a point at every distinct score.

    labels: (n,) of 0 and 1 (signal); scores: (n,) finite, higher is more signal-like; weights: (n,) >= 0.
    The points are those of sklearn.metrics.roc_curve(drop_intermediate=False), the first being (0, 0) at threshold inf;
    events of weight 0 make no point. Raises InputError for nan, one class, wrong lengths.
    """
    signal, score, weight = labelled(labels, scores, weights)
    n_signal, n_background = float(signal.sum()), float((~signal).sum())
    if weight is not None:
        n_signal, n_background = effective_size(weight[signal]), effective_size(weight[~signal])
        used = weight > 0
        signal, score, weight = signal[used], score[used], weight[used]
    order = np.argsort(-score, kind="stable")
    signal, score = signal[order], score[order]
    ends = np.append(np.flatnonzero(np.diff(score)), len(score) - 1)
    ones = np.ones(len(score)) if weight is None else weight[order]
    passed_signal = np.cumsum(ones * signal)[ends]
    passed_background = np.cumsum(ones * ~signal)[ends]
    return Roc(
        eff_signal=np.append(0.0, passed_signal / passed_signal[-1]),
        eff_background=np.append(0.0, passed_background / passed_background[-1]),
        thresholds=np.append(np.inf, score[ends]),
        n_signal=n_signal,
        n_background=n_background,
    )


def rejection(
    labels: npt.ArrayLike,
    scores: npt.ArrayLike,
    *,
    eff: float = 0.5,
    weights: npt.ArrayLike | None = None,
    method: Literal["clopper-pearson", "bootstrap"] = "clopper-pearson",
    n_boot: int = 200,
    seed: int = 0,
    floor: float | None = None,
    baseline: float | None = None,
) -> Result:
    """Return the background rejection 1/eB at signal efficiency `eff` in (0, 1), the ROC linear between its points.

    labels, scores, weights: as in `roc`. error and (low, high): binomial error of the background that passes, as
    `Roc.interval_at` (or 68 % of the bootstrap replicas), with the shift of the cut from the finite signal sample.
    When no background passes, value and low are the 68 % lower limit (n / 1.15), high is inf and the error is the
    value itself. n is the smaller class. Raises InputError as `roc` does, and for another method.
    """
    if method == "bootstrap":
        return paired(
            "rejection",
            labels,
            scores,
            eff=eff,
            weights=weights,
            n_boot=n_boot,
            seed=seed,
            floor=floor,
            baseline=baseline,
        )
    if method != "clopper-pearson":
        raise InputError(f"method={method!r} is unknown" + suggest(str(method), ["clopper-pearson", "bootstrap"]))
    if not 0 < eff < 1:
        raise InputError(f"eff={eff!r} is no working point; expected a signal efficiency between 0 and 1, such as 0.5.")
    curve = roc(labels, scores, weights)
    background, n = curve.background_at(eff), curve.n_background
    definition = f"1/eB at eS = {eff:g}, linear ROC"
    if background == 0:
        value = 1 / upper_limit(n)
        error, low, high = value, value, float("inf")
        definition += "; 68 % lower limit: no background passes"
    else:
        value = 1 / background
        down, up = curve._signal_shift(np.asarray(eff))
        error = value**2 * float(np.hypot(np.sqrt(background * (1 - background) / n), (up + down) / 2))
        low, high = (float(edge) for edge in curve.interval_at(eff))
        if background * n < FEW:
            definition += f"; only {background * n:.3g} background events pass"
    return Result(value, error, _smaller(binary(labels)), floor, baseline, "higher", definition, low=low, high=high)


def auc(
    labels: npt.ArrayLike,
    scores: npt.ArrayLike,
    weights: npt.ArrayLike | None = None,
    *,
    method: Literal["delong", "bootstrap"] = "delong",
    n_boot: int = 200,
    seed: int = 0,
    floor: float | None = None,
    baseline: float | None = None,
) -> Result:
    """Return the area under the ROC curve: the chance that a signal event scores above a background event, ties half.

    labels, scores, weights: as in `roc`. Equal to sklearn.metrics.roc_auc_score. error: DeLong's, in O(n log n)
    by midranks (Sun and Xu, IEEE SPL 21 (2014) 1389; weighted structural components where weights are given), or
    the bootstrap's. Where the classes do not overlap both would be 0; then one misplaced event, 1/(2 n), is taken.
    n is the smaller class. Raises InputError as `roc` does, and for another method.
    """
    if method == "bootstrap":
        return paired("auc", labels, scores, weights=weights, n_boot=n_boot, seed=seed, floor=floor, baseline=baseline)
    if method != "delong":
        raise InputError(f"method={method!r} is unknown" + suggest(str(method), ["delong", "bootstrap"]))
    signal, score, weight = labelled(labels, scores, weights)
    weight = np.ones(len(score)) if weight is None else weight
    ws, wb = weight[signal], weight[~signal]
    beaten = _midrank_share(score[signal], score[~signal], wb)
    losses = _midrank_share(score[~signal], score[signal], ws)
    value = float(np.sum(ws * beaten) / ws.sum())
    n = _smaller(signal)
    error = float(np.sqrt(_mean_variance(beaten, ws, value) + _mean_variance(losses, wb, 1 - value)))
    return Result(value, error or 0.5 / n, n, floor, baseline, "higher", "area under the ROC curve, ties half")


def rejection_band(curves: Roc | Sequence[Roc], eff: Floats) -> tuple[Floats, Floats, Floats]:
    """Return (value, low, high) of the rejection at the efficiencies `eff` (points,), for one or several trainings.

    value: mean over trainings; low, high: mean 68 % interval in quadrature with the spread between trainings / sqrt(T).
    inf where no background passes in some training. Raises InputError for no curve.
    """
    curves = [curves] if isinstance(curves, Roc) else list(curves)
    if not curves:
        raise InputError("curves is empty; expected a Roc, or one for each training.")
    values = np.stack([curve.rejection_at(eff) for curve in curves])
    finite = np.isfinite(values).all(axis=0)
    value = np.full(values.shape[1], np.inf)
    value[finite] = values[:, finite].mean(axis=0)
    intervals = np.stack([curve.interval_at(eff) for curve in curves])
    low, high = intervals[:, 0].mean(axis=0), intervals[:, 1].mean(axis=0)
    spread = values[:, finite].std(axis=0, ddof=1) / np.sqrt(len(curves)) if len(curves) > 1 else 0.0
    low[finite] = value[finite] - np.hypot(value[finite] - low[finite], spread)
    high[finite] = value[finite] + np.hypot(high[finite] - value[finite], spread)
    return value, low, high


def accuracy(
    labels: npt.ArrayLike, probabilities: npt.ArrayLike, threshold: float = 0.5, *, floor: float | None = None
) -> Result:
    """Return the fraction of events on the right side of "probability > threshold".

    labels: (n,) of 0 and 1; probabilities: (n,) in [0, 1]. error: binomial, low and high Clopper-Pearson; baseline:
    the larger class, which a constant answer gets right. Raises InputError for anything else.
    """
    signal = binary(labels)
    right = (checked_probabilities(probabilities, len(signal)) > threshold) == signal
    n, value = len(right), float(right.mean())
    low, high = clopper_pearson(float(right.sum()), n)
    error = np.sqrt(value * (1 - value) / n) or (high - low) / 2
    larger = 1 - _smaller(signal) / n
    definition = f"fraction right at probability > {threshold:g}"
    return Result(value, float(error), n, floor, larger, "higher", definition, low=float(low), high=float(high))


def _smaller(signal: Bools) -> int:
    return int(min(signal.sum(), (~signal).sum()))


def _midrank_share(a: Floats, b: Floats, weights_b: Floats) -> Floats:
    """For each of `a` the weighted share of `b` below it, ties half."""
    order = np.argsort(b)
    b, below = b[order], np.append(0.0, np.cumsum(weights_b[order]))
    return np.asarray((below[np.searchsorted(b, a, "left")] + below[np.searchsorted(b, a, "right")]) / (2 * below[-1]))


def _mean_variance(x: Floats, weights: Floats, mean: float) -> float:
    """Variance of the weighted mean of x; for equal weights the sample variance over n."""
    used = int((weights > 0).sum())
    bessel = used / (used - 1) if used > 1 else 1.0
    return float(np.sum(weights**2 * (x - mean) ** 2) / weights.sum() ** 2 * bessel)
