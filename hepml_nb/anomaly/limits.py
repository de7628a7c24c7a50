"""Upper limits on a signal by CLs: asymptotic through pyhf where bins are well filled, exact sums where not."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.optimize import brentq
from scipy.special import pdtr
from scipy.stats import nbinom, poisson

from hepml_nb.anomaly.background import BackgroundFit
from hepml_nb.anomaly.bumps import gaussian_template
from hepml_nb.anomaly.spectrum import Floats, MassWindow
from hepml_nb.core import InputError, RunError

__all__ = ["Limit", "background_law", "cls_counts", "count_p", "counting_limit", "pyhf_model", "upper_limit"]

_SIGMAS = (-2, -1, 0, 1, 2)
_EXACT = 1e-6  # relative errors below it are none
_VARIATIONS = 1e-6  # of the largest variance; smaller ones move nothing


class Limit(NamedTuple):
    """Upper limits on the signal events before any loss: observed, and expected at -2, -1, 0, 1, 2 sigma (5,)."""

    observed: float
    expected: Floats
    level: float


def pyhf_model(fit: BackgroundFit, window: MassWindow, shares: npt.ArrayLike) -> tuple[Any, list[float]]:
    """Return the pyhf model of the bins in the window and its data (counts and auxiliary measurements).

    fit: with this window masked. shares (b,): of the signal in all bins; the parameter of interest is its events.
    The background varies along the eigenvectors of the covariance that the fit of the sidebands gives it, each with a
    unit Gaussian constraint (`histosys`). Raises InputError for a window that the fit did not mask, and for no share of
    the signal in it.
    """
    import pyhf

    inside = fit.spectrum.bins_in(window)
    if fit.used[inside].any():
        raise InputError(
            f"the fit has seen {int(fit.used[inside].sum())} bins of the window {window.low:g} to {window.high:g} TeV; "
            "fit_background(..., window=window) predicts it from the sidebands."
        )
    signal = np.asarray(shares, float)[inside]
    if not signal.sum() > 0:
        raise InputError(f"no signal lies between {window.low:g} and {window.high:g} TeV; move the window or the mass.")
    nominal = fit.expected[inside]
    sizes, vectors = np.linalg.eigh(fit.covariance[np.ix_(inside, inside)])
    kept = sizes > _VARIATIONS * sizes.max()
    moved = (vectors[:, kept] * np.sqrt(sizes[kept])).T
    modifiers = [
        {
            "name": f"background{i}",
            "type": "histosys",
            "data": {"hi_data": (nominal + one).tolist(), "lo_data": (nominal - one).tolist()},
        }
        for i, one in enumerate(moved)
    ]
    samples = [
        {
            "name": "signal",
            "data": signal.tolist(),
            "modifiers": [{"name": "events", "type": "normfactor", "data": None}],
        },
        {"name": "background", "data": nominal.tolist(), "modifiers": modifiers},
    ]
    most = 20 * (np.sqrt(nominal.sum() + sizes.sum()) + 5 + fit.spectrum.counts[inside].sum()) / signal.sum()
    start = max(float(fit.spectrum.counts[inside].sum() - nominal.sum()), 1.0) / signal.sum()
    settings = [{"name": "events", "bounds": [[0.0, float(most)]], "inits": [float(start)]}]
    spec = {"channels": [{"name": "window", "samples": samples}], "parameters": settings}
    model = pyhf.Model(spec, poi_name="events", validate=False)
    return model, [*fit.spectrum.counts[inside].tolist(), *model.config.auxdata]


def upper_limit(
    fit: BackgroundFit, window: MassWindow, shares: npt.ArrayLike | tuple[float, float], level: float = 0.95
) -> Limit:
    """Return the limit on the events of a signal that would be in the window, by pyhf's asymptotic CLs.

    shares: of the signal in all bins (b,), or mean and standard deviation (TeV) of a Gaussian. What of the signal lies
    outside of the window (or the spectrum) is corrected for. The fit has to have masked the window. Good down to about
    five expected events in it; below take `counting_limit`. Raises InputError as `pyhf_model`, RunError where the
    limit is beyond what the scan covers.
    """
    import pyhf

    _must_be_level(level)
    edges = fit.spectrum.edges
    shape = gaussian_template(shares[0], shares[1], edges) if isinstance(shares, tuple) else np.asarray(shares, float)
    model, data = pyhf_model(fit, window, shape)
    inside = fit.spectrum.bins_in(window)
    scale = float(np.sqrt(fit.expected[inside].sum() + fit.within(window)[1] ** 2) + 1) / float(shape[inside].sum())
    tested, found = [], []
    top = model.config.suggested_bounds()[model.config.poi_index][1]
    for mu in np.minimum(scale * 0.25 * 1.3 ** np.arange(32), 0.98 * top):
        observed, expected = pyhf.infer.hypotest(float(mu), data, model, test_stat="qtilde", return_expected_set=True)
        tested.append(float(mu))
        found.append([float(observed), *(float(one) for one in expected)])
        if max(found[-1]) < 0.5 * (1 - level):
            break
    curves = np.array(found).T
    if (curves[:, -1] >= 1 - level).any():
        raise RunError(f"CLs stays above {1 - level:.3g} up to {tested[-1]:.4g} signal events; no limit was found.")
    crossings = [_crossing(np.array(tested), one, 1 - level) for one in curves]
    return Limit(crossings[0], np.array(crossings[1:]), level)


def _crossing(tested: Floats, cls: Floats, alpha: float) -> float:
    """Return where CLs falls through alpha for good, interpolated in its logarithm."""
    at = int(np.flatnonzero(cls >= alpha)[-1]) if (cls >= alpha).any() else -1
    if at < 0:
        return float(tested[0] * alpha / max(cls[0], 1e-300)) if cls[0] > 0 else float(tested[0])
    low, high = np.log(np.maximum(cls[at : at + 2], 1e-300))
    part = (low - np.log(alpha)) / (low - high)
    return float(tested[at] + part * (tested[at + 1] - tested[at]))


def cls_counts(counts: npt.ArrayLike, signal: npt.ArrayLike, background: float, error: float) -> Floats:
    """Return CLs (c, s) of each count (c,) for each expected signal (s,): P(<= n | s + b) / P(<= n | b).

    The background's expectation has the mean and standard deviation of a gamma distribution, over which the
    probabilities are averaged, so that a count from background alone is negative binomial: exact, without toys.
    """
    n, s = np.atleast_1d(np.asarray(counts, int)), np.atleast_1d(np.asarray(signal, float))
    below = np.arange(n.max() + 1)
    only = background_law(background, error).pmf(below)
    of_background = np.cumsum(only)[n]
    # P(signal + background <= n) = sum_k P(background = k) P(signal <= n - k)
    both = np.stack([pdtr(one - below[: one + 1, None], s).T @ only[: one + 1] for one in n])
    return np.asarray(both / of_background[:, None])


def counting_limit(observed: int, background: float, error: float, share: float = 1.0, level: float = 0.95) -> Limit:
    """Return the CLs limit on signal events of a counting experiment, exact for any number of counts.

    observed events in the window, expected background and its error; share of the signal that is counted. The expected
    limits are those of the counts at the quantiles of background alone. Raises InputError for negative numbers, no
    background, or a share outside (0, 1].
    """
    _must_be_level(level)
    if observed < 0 or int(observed) != observed or background <= 0 or error < 0 or not 0 < share <= 1:
        raise InputError(
            f"observed={observed!r}, background={background!r}, error={error!r}, share={share!r}; expected a count, a "
            "positive background with its error, and a share above 0, at most 1."
        )
    quantiles = background_law(background, error).ppf([0.0228, 0.1587, 0.5, 0.8413, 0.9772]).astype(int)
    limits = [_solve(int(n), background, error, level) / share for n in (int(observed), *quantiles)]
    return Limit(limits[0], np.array(limits[1:]), level)


def _solve(n: int, background: float, error: float, level: float) -> float:
    def above(signal: float) -> float:
        return float(cls_counts([n], [signal], background, error)[0, 0]) - (1 - level)

    return float(brentq(above, 0.0, 20.0 + 3 * n + 10 * error, xtol=1e-6, rtol=1e-8))


def count_p(observed: npt.ArrayLike, background: npt.ArrayLike, error: npt.ArrayLike) -> Floats:
    """Return the probability to count as many or more from a background known to within an error, all broadcast.

    The expectation is averaged over a gamma distribution with that mean and standard deviation, which for a background
    estimated by counting is the frequentist binomial test (physics/0702156).
    """
    n, b, e = (np.asarray(one, float) for one in (observed, background, error))
    tail = np.where(e <= _EXACT * b, poisson.sf(n - 1, b), nbinom.sf(n - 1, *_shape(b, np.maximum(e, _EXACT * b))))
    return np.asarray(np.where(n > 0, tail, 1.0))


def background_law(background: float, error: float) -> Any:
    """Return the law of a count whose expectation is gamma distributed: negative binomial, or Poisson without error."""
    return poisson(background) if error <= _EXACT * background else nbinom(*_shape(background, error))


def _shape(background: Any, error: Any) -> tuple[Any, Any]:
    """Return the two parameters of the negative binomial law."""
    return background**2 / error**2, background / (background + error**2)


def _must_be_level(level: float) -> None:
    if not 0 < level < 1:
        raise InputError(f"level={level!r} is no confidence level; expected a number between 0 and 1, such as 0.95.")
