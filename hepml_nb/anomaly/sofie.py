"""SOFIE: tag events first, then look where the tagged ones pile up compared with the untagged (arXiv:2111.02647)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from hepml_nb.anomaly.sample import Bools, Floats
from hepml_nb.core import InputError, derive_seed, rng

__all__ = ["Excess", "TagScan", "scan_tagged", "tagged"]

_STEPS, _HALVINGS, _RIDGE = 50, 30, 1e-9
_LEAST = 20  # of tagged events, and of untagged ones: with fewer there is no fraction to fit


class Excess(NamedTuple):
    """A window of a feature: its ends, tagged events in it and those expected, and how many sigma it is locally."""

    low: float
    high: float
    observed: float
    expected: float
    z: float


@dataclass(frozen=True, eq=False)
class TagScan:
    """What the comparison found. edges (b + 1,); events and tagged counts (b,); fraction (b,): fitted share of tagged.

    excess: the window with the largest z. global_p: share of spectra without signal that have one as large, with its
    binomial error; it accounts for all windows of this feature, not for other features that were looked at.
    """

    edges: Floats
    events: Floats
    counts: Floats
    fraction: Floats
    excess: Excess
    global_p: float
    error: float
    toys: Floats = field(repr=False)


def tagged(scores: npt.ArrayLike, efficiency: float) -> Bools:
    """Return which events (n,) have the highest scores, a share `efficiency` of them; equal scores stay together.

    Raises InputError for a share outside of (0, 1), and for scores that are not finite.
    """
    s = np.asarray(scores, np.float64)
    if not 0 < efficiency < 1 or s.ndim != 1 or not len(s) or not np.isfinite(s).all():
        raise InputError(
            f"efficiency={efficiency!r}, scores of shape {s.shape}; expected a share between 0 and 1 and finite "
            "scores, one per event."
        )
    return np.asarray(s > np.quantile(s, 1 - efficiency))


def scan_tagged(
    values: npt.ArrayLike,
    tags: npt.ArrayLike,
    edges: npt.ArrayLike,
    *,
    order: int = 2,
    widest: int = 5,
    toys: int = 500,
    seed: int = 0,
) -> TagScan:
    """Return where tagged events are too many, in windows of up to `widest` bins of a feature.

    values (n,) of any feature that the tagger was not given; tags (n,) bool, as `tagged` gives them; edges (b + 1,).
    The spectrum of all events may have any shape. What must be smooth is the share of tagged ones: its logit is a
    polynomial of the feature, of so high an order (0: the tagger does not care). Then the tagged counts are binomial, a
    signal that is tagged more often than its neighbours stands out, and toys with the fitted share, fitted again, give
    the p-value of the largest z of all windows. The signal is in the fit, too, which hides a part of a wide one.
    The paper compares the two samples and looks at the tagged one by eye or by a bump hunt; fit and toys are ours.
    Raises InputError for unequal lengths, edges that do not rise, fewer than 20 tagged or untagged events in the
    range, and fewer bins with events than the polynomial has coefficients.
    """
    x, t, e = np.asarray(values, np.float64), np.asarray(tags), np.asarray(edges, np.float64)
    if x.ndim != 1 or x.shape != t.shape or t.dtype != np.bool_ or not np.isfinite(x).all():
        raise InputError(f"values {x.shape}, tags {t.shape} of {t.dtype}; expected finite (n,) and bool (n,).")
    if e.ndim != 1 or len(e) < 3 or not (np.diff(e) > 0).all() or not 1 <= widest < len(e) or order < 0 or toys < 1:
        raise InputError(f"{len(e)} edges, widest={widest!r}, order={order!r}, toys={toys!r}; expected rising edges.")
    n, k = (np.histogram(one, e)[0].astype(float) for one in (x, x[t]))
    if min(k.sum(), (n - k).sum()) < _LEAST or (n > 0).sum() <= order + 1:
        raise InputError(
            f"{int(k.sum())} tagged and {int((n - k).sum())} untagged events in {int((n > 0).sum())} bins; expected at "
            f"least {_LEAST} of each, and more bins than the {order + 1} coefficients of order {order}."
        )
    basis = _polynomials(n, order)
    share = _fitted(k[None], n, basis)[0]
    z, first, width = _windows(k[None], n, share[None], widest)
    best = int(np.argmax(z[0]))
    drawn = rng(derive_seed(seed, "toys"), "tags").binomial(n.astype(int), share, (toys, len(n))).astype(float)
    largest = _windows(drawn, n, _fitted(drawn, n, basis), widest)[0].max(axis=1)
    above = int((largest >= z[0, best]).sum())
    p = (above + 1) / (toys + 1)  # the data are one of the spectra that could have been: never zero
    inside = slice(first[best], first[best] + width[best])
    found = Excess(
        float(e[first[best]]), float(e[first[best] + width[best]]), float(k[inside].sum()),
        float((n * share)[inside].sum()), float(z[0, best]),
    )  # fmt: skip
    return TagScan(e, n, k, share, found, p, float(np.sqrt(p * (1 - p) / toys)), largest)


def _polynomials(n: Floats, order: int) -> Floats:
    """Return polynomials (b, order + 1) of the bin's number, orthonormal where the events are."""
    powers = np.linspace(-1, 1, len(n))[:, None] ** np.arange(order + 1)
    weight = np.sqrt(n / n.sum())[:, None]
    return np.asarray(powers @ np.linalg.inv(np.linalg.qr(weight * powers)[1]))


def _fitted(k: Floats, n: Floats, basis: Floats) -> Floats:
    """Return the most likely shares (t, b) of spectra of tagged counts (t, b) among events (b,), by Newton's steps."""
    theta = np.zeros((len(k), basis.shape[1]))
    start = (k.sum(axis=1) + 0.5) / (n.sum() + 1)
    theta[:, 0] = np.log(start / (1 - start)) / basis[0, 0]
    now = _log_likelihood(theta, k, n, basis)
    for _ in range(_STEPS):
        share = 1 / (1 + np.exp(-np.clip(theta @ basis.T, -30, 30)))
        slope = (k - n * share) @ basis
        curve = np.einsum("tb,bi,bj->tij", n * share * (1 - share), basis, basis) + _RIDGE * np.eye(basis.shape[1])
        step = np.linalg.solve(curve, slope[..., None])[..., 0]
        for _ in range(_HALVINGS):  # where hardly any event is tagged a whole step goes far beyond the maximum
            ahead = _log_likelihood(theta + step, k, n, basis)
            worse = ahead < now - 1e-9 * np.abs(now)
            if not worse.any():
                break
            step[worse] /= 2
        theta, now = theta + step, ahead
        if np.abs(step).max() < 1e-8:
            break
    return np.asarray(1 / (1 + np.exp(-np.clip(theta @ basis.T, -30, 30))))


def _log_likelihood(theta: Floats, k: Floats, n: Floats, basis: Floats) -> Floats:
    """Return the logarithm of the binomial likelihood (t,) of tagged counts (t, b), without its constant."""
    logit = theta @ basis.T
    return np.asarray((k * logit - n * np.logaddexp(0, logit)).sum(axis=1))


def _windows(
    k: Floats, n: Floats, share: Floats, widest: int
) -> tuple[Floats, npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Return z (t, w) of all windows of up to `widest` bins, their first bins (w,) and widths (w,).

    z is the signed root of the likelihood ratio of the window's own share to the fitted one; a deficit is negative.
    """
    found, first, width = [], [], []
    for size in range(1, widest + 1):

        def summed(one: Floats, size: int = size) -> Floats:
            total = np.concatenate([np.zeros((*one.shape[:-1], 1)), np.cumsum(one, axis=-1)], axis=-1)
            return np.asarray(total[..., size:] - total[..., :-size])

        seen, every, mean = summed(k), summed(n), summed(n * share)
        lost, missed = every - seen, every - mean
        with np.errstate(divide="ignore", invalid="ignore"):
            gain = np.where(seen > 0, seen * np.log(seen / mean), 0) + np.where(
                lost > 0, lost * np.log(lost / missed), 0
            )
        found.append(np.sign(seen - mean) * np.sqrt(2 * np.nan_to_num(gain).clip(min=0)))
        first.append(np.arange(len(n) - size + 1))
        width.append(np.full(len(n) - size + 1, size))
    return np.concatenate(found, axis=1), np.concatenate(first), np.concatenate(width)
