"""How much a cut improves the significance of a signal: SIC = eS / sqrt(eB), at a fixed background or at its best."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from hepml_nb.core import InputError, Result

from .bootstrap import FEW
from .checks import Floats
from .classify import Roc, roc
from .intervals import ONE_SIGMA
from .resample import Ordered, TestSample

__all__ = ["SicCurve", "max_sic", "paired_ratio", "paired_sic", "sic", "sic_curve"]

LEAST = 25
"""Background events that must pass a cut whose SIC may be called the greatest: an error of 20 % (arXiv:2109.00546)."""


@dataclass(frozen=True, eq=False)
class SicCurve:
    """Cuts, tightest first: efficiencies of signal and background, eS / sqrt(eB) and its error; all (cuts,)."""

    eff_signal: Floats
    eff_background: Floats
    sic: Floats
    errors: Floats


def sic(
    labels: npt.ArrayLike, scores: npt.ArrayLike, *, eff_background: float = 1e-3, floor: float | None = None
) -> Result:
    """Return eS / sqrt(eB) of the cut that a fraction `eff_background` of the background passes, the ROC linear.

    labels, scores: (n,) as in `roc`. S / sqrt(B) after the cut is that of before times this number, so 1 is what no cut
    at all has; baseline: sqrt(eB), of a random score. floor: of a perfect score, where one is known. error: binomial
    error of eS, in quadrature with what the binomial error of eB moves it by along the ROC. n: background events.
    Raises InputError as `roc` does, and for an efficiency outside (0, 1).
    """
    _efficiency(eff_background)
    curve = roc(labels, scores)
    value, error = (float(x[0]) for x in _sic_at(curve, np.array([eff_background])))
    n = round(curve.n_background)
    definition = f"eS / sqrt(eB) at eB = {eff_background:g}, linear ROC{_few(eff_background, n)}"
    return Result(value, error, n, floor, math.sqrt(eff_background), "higher", definition)


def max_sic(
    labels: npt.ArrayLike, scores: npt.ArrayLike, *, min_background: int = LEAST, floor: float | None = None
) -> Result:
    """Return the greatest eS / sqrt(eB) over all cuts that at least `min_background` background events pass.

    The cut is stated in the definition. It was chosen on the events on which it is judged, so that the value is a
    little too high (fluctuations upwards are taken), and the more so the fewer events may pass. baseline: 1, no cut.
    Other parameters and error as in `sic`. Raises InputError as `roc` does, and where so few background events exist.
    """
    curve = roc(labels, scores)
    n = round(curve.n_background)
    if not 1 <= min_background <= n:
        raise InputError(f"min_background={min_background!r}; expected 1 to {n}, the background events there are.")
    cuts = curve.eff_background[curve.eff_background * n > min_background - 0.5]
    values, errors = _sic_at(curve, cuts)
    best = int(np.argmax(values))
    definition = (
        f"greatest eS / sqrt(eB) with at least {min_background} background events: at eB = {cuts[best]:.3g}, "
        f"eS = {values[best] * math.sqrt(cuts[best]):.3g}"
    )
    return Result(float(values[best]), float(errors[best]), n, floor, 1.0, "higher", definition)


def sic_curve(labels: npt.ArrayLike, scores: npt.ArrayLike, *, points: int = 200, min_background: int = 1) -> SicCurve:
    """Return eS / sqrt(eB) at `points` background efficiencies, even in their logarithm, from `min_background` events.

    Raises InputError as `roc` does.
    """
    curve = roc(labels, scores)
    cuts = np.geomspace(min_background / curve.n_background, 1.0, points)
    values, errors = _sic_at(curve, cuts)
    return SicCurve(values * np.sqrt(cuts), cuts, values, errors)


def paired_sic(
    labels: npt.ArrayLike,
    scores: npt.ArrayLike | Sequence[npt.ArrayLike],
    *,
    eff_background: float = 1e-3,
    n_boot: int = 200,
    seed: int = 0,
    deterministic: bool = False,
    floor: float | None = None,
) -> Result:
    """Return the mean SIC of T trainings with replicas that pair it with others on the same test events, for `claim`.

    labels: (n,) of 0 and 1; scores: (n,), or (T, n) of T trainings; the rest as in `paired` and `sic`. From five
    trainings on (low, high) hold 68 % of them, and the definition names their median.
    Raises InputError as `paired` does.
    """
    _efficiency(eff_background)
    rows = np.atleast_2d(np.asarray(scores, np.float64))
    # background is what the cut is placed on: with classes and order turned round, it is the "signal" of a ROC
    turned = 1 - np.asarray(labels, np.float64)
    test = TestSample.read(
        turned, -rows, weights=None, events=None, n_boot=n_boot, seed=seed, deterministic=deterministic
    )
    # a hair looser, so that of all cuts with just this efficiency the loosest counts, as in `sic`
    wanted = [("background", 1 - eff_background * (1 + 1e-9))]
    trainings = [Ordered(test, one) for one in test.scores]
    n_background, n_signal = int(test.signal.sum()), int((~test.signal).sum())
    once = np.ones((1, n_background)), np.ones((1, n_signal))
    values = np.array([1 - ordered.figures(wanted, *once)[0][0] for ordered in trainings])
    replicas = np.empty((len(trainings), n_boot))
    for drawn, background, signal in test.draws():
        for t, ordered in enumerate(trainings):
            replicas[t, drawn] = 1 - ordered.figures(wanted, background, signal)[0]
    values, replicas = values / math.sqrt(eff_background), replicas / math.sqrt(eff_background)
    variance = float(replicas.mean(axis=0).var(ddof=1))
    definition = f"eS / sqrt(eB) at eB = {eff_background:g}, linear ROC{_few(eff_background, n_background)}"
    low: float | None = None
    high: float | None = None
    if len(values) > 1:
        definition += f"; mean of {len(values)} trainings"
        variance += float(values.var(ddof=1)) / len(values)
    if len(values) >= 5:
        low, median, high = (float(q) for q in np.quantile(values, [(1 - ONE_SIGMA) / 2, 0.5, (1 + ONE_SIGMA) / 2]))
        definition += f", median {median:.3g}, 68 % of them from {low:.3g} to {high:.3g}"
    return Result(
        value=float(values.mean()), error=math.sqrt(variance), n=n_background, floor=floor,
        baseline=math.sqrt(eff_background), better="higher", definition=definition, low=low, high=high,
        seeds=test.seeds, replicas=replicas, pairing=f"sic@{eff_background:g}|{test.fingerprint}",
    )  # fmt: skip


def paired_ratio(a: Result, b: Result) -> Result:
    """Return a / b of two results of `paired_sic` (or `paired`) on the same test events, which fluctuate together.

    error: that of the ratio over the replicas, in quadrature with the spread between the trainings of either side over
    the root of their number; a side of one training adds no spread, so give three. floor, baseline: none.
    Raises InputError for results that are not paired, or a b of zero.
    """
    if a.replicas is None or b.replicas is None or a.pairing is None or a.pairing != b.pairing:
        raise InputError(f"the results are not paired ({a.pairing} and {b.pairing}); make both with paired_sic alike.")
    if not b.value:
        raise InputError("b is 0; nothing can be compared with it.")
    value = a.value / b.value
    bottom = b.replicas.mean(axis=0)
    ratios = a.replicas.mean(axis=0)[bottom > 0] / bottom[bottom > 0]
    variance = float(ratios.var(ddof=1)) if len(ratios) > 1 else value**2
    for side, share in ((a, 1 / b.value), (b, value / b.value)):
        rows = np.atleast_2d(side.replicas).mean(axis=1) if side.replicas is not None else np.zeros(1)
        if len(rows) > 1:
            variance += share**2 * float(rows.var(ddof=1)) / len(rows)
    return Result(
        value,
        math.sqrt(variance),
        min(a.n, b.n),
        better=a.better,
        definition=f"ratio of: {a.definition}",
        seeds=a.seeds,
    )


def _sic_at(curve: Roc, cuts: Floats) -> tuple[Floats, Floats]:
    """Return SIC and its error at background efficiencies (cuts,), which are not 0."""

    def signal_at(eff: Floats) -> Floats:
        return np.asarray(np.interp(eff, curve.eff_background, curve.eff_signal))

    eff, sigma = signal_at(cuts), np.sqrt(cuts * (1 - cuts) / curve.n_background)
    shift = (signal_at(np.minimum(cuts + sigma, 1)) - signal_at(np.maximum(cuts - sigma, 0))) / 2
    return eff / np.sqrt(cuts), np.hypot(np.sqrt(eff * (1 - eff) / curve.n_signal), shift) / np.sqrt(cuts)


def _few(eff_background: float, n: int) -> str:
    passing = eff_background * n
    return "" if passing >= FEW else f"; only {passing:.2g} background events pass"


def _efficiency(eff: float) -> None:
    if not 0 < eff < 1:
        raise InputError(f"eff_background={eff!r}; expected a background efficiency between 0 and 1, such as 1e-3.")
