"""Binned Poisson fits of many spectra at once: Fisher scoring with step halving, which ends where others stall.

The expectation of a bin is the integral of exp(basis . theta) over it plus a signal template times its strength. In the
logarithm the background is linear in its parameters, so that the likelihood has one maximum, and in a basis that is
orthonormal under the background all parameters have the same error: half a dozen steps suffice for any start.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from scipy.special import xlogy

from hepml_nb.anomaly.spectrum import Floats

__all__ = ["Design", "Maximum", "deviance", "maximise"]

_RIDGE = 1e-3
"""A prior worth a thousandth of an event holds parameters that a handful of events leaves undetermined."""
_STEPS, _HALVINGS, _ENOUGH = 60, 25, 1e-9
_AT_ONCE = 2000


@dataclass(frozen=True)
class Design:
    """basis (b, q, k) at q nodes of each bin, weights (b, q) that integrate over it; parameters begin at `start` (k,).

    used (b,): 1.0 for bins that the likelihood counts, 0.0 for masked ones.
    """

    basis: Floats
    weights: Floats
    used: Floats
    start: Floats

    def expected(self, theta: Floats) -> tuple[Floats, Floats]:
        """Return events (t, b) and their derivatives (t, b, k) for parameters (t, k)."""
        b, q, k = self.basis.shape
        power = np.clip(theta @ self.basis.reshape(b * q, k).T, -300, 300).reshape(len(theta), b, q)
        density = self.weights * np.exp(power)
        return density.sum(axis=2), np.einsum("tbq,bqk->tbk", density, self.basis, optimize=True)


class Maximum(NamedTuple):
    """theta (t, k), strength (t,), expected (t, b), twice -ln L without its constant (t,), information (t, k', k')."""

    theta: Floats
    strength: Floats
    expected: Floats
    twice_nll: Floats
    information: Floats


def deviance(counts: Floats, expected: Floats, used: Floats) -> Floats:
    """Return twice the log ratio of the saturated to the fitted likelihood (t,), chi2-like."""
    terms = expected - counts + xlogy(counts, np.divide(counts, expected, out=np.ones_like(expected), where=counts > 0))
    return np.asarray(2 * (terms * used).sum(axis=-1))


def maximise(
    counts: Floats, design: Design, signal: Floats | None = None, start: tuple[Floats, Floats] | None = None
) -> Maximum:
    """Return the maximum of the likelihood for each row of counts (t, b).

    signal: template (b,) whose strength is fitted too; it may be negative as long as every used bin expects events.
    start: theta (t, k) and strength (t,) to begin with.
    """
    if len(counts) > _AT_ONCE:
        parts = [slice(i, i + _AT_ONCE) for i in range(0, len(counts), _AT_ONCE)]
        found = [maximise(counts[p], design, signal, start and (start[0][p], start[1][p])) for p in parts]
        return Maximum(*(np.concatenate(one) for one in zip(*found, strict=True)))
    t, k = len(counts), design.basis.shape[2]
    theta = np.tile(design.start, (t, 1)) if start is None else start[0].copy()
    if start is None:
        seen, predicted = (counts * design.used).sum(axis=1), (design.expected(theta)[0] * design.used).sum(axis=1)
        theta[:, 0] += np.log((seen + 0.5) / (predicted + 0.5)) / design.basis[0, 0, 0]
    strength = np.zeros(t) if start is None else start[1].copy()
    free = k + (signal is not None)
    info = np.zeros((t, free, free))
    active = np.arange(t)
    for _ in range(_STEPS):
        gradient, info[active] = _derivatives(counts[active], design, signal, theta[active], strength[active])
        step: Floats = np.linalg.solve(info[active], gradient[..., None])[..., 0].astype(float)
        gain = (step * gradient).sum(axis=1)
        going = _walk(counts, design, signal, (theta, strength), active, step) & (gain > _ENOUGH)
        active = active[going]
        if not len(active):
            break
    expected, value = _value(counts, design, signal, theta, strength)
    _, info = _derivatives(counts, design, signal, theta, strength)
    return Maximum(theta, strength, expected, value, info)


def _walk(
    counts: Floats,
    design: Design,
    signal: Floats | None,
    at: tuple[Floats, Floats],
    active: np.ndarray,
    step: Floats,
) -> np.ndarray:
    """Move the active rows of `at` along their steps, halved until the likelihood rises; say which have moved."""
    theta, strength = at
    k = theta.shape[1]
    before = _value(counts[active], design, signal, theta[active], strength[active])[1]
    left, size, moved = np.arange(len(active)), np.ones(len(active)), np.zeros(len(active), bool)
    for _ in range(_HALVINGS):
        rows = active[left]
        new = theta[rows] + size[left, None] * step[left, :k]
        push = strength[rows] + (size[left] * step[left, k] if signal is not None else 0.0)
        better = _value(counts[rows], design, signal, new, push)[1] <= before[left]
        theta[rows[better]], strength[rows[better]] = new[better], push[better]
        moved[left[better]] = True
        left = left[~better]
        size[left] /= 2
        if not len(left):
            break
    return moved


def _value(
    counts: Floats, design: Design, signal: Floats | None, theta: Floats, strength: Floats
) -> tuple[Floats, Floats]:
    """Return expected events (t, b) and twice -ln L (t,), infinite where a used bin expects none."""
    expected = design.expected(theta)[0]
    if signal is not None:
        expected = expected + strength[:, None] * signal
    bad = ((expected <= 0) & (design.used > 0)).any(axis=1)
    safe = np.where(expected > 0, expected, 1.0)
    value = 2 * ((safe - xlogy(counts, safe)) * design.used).sum(axis=1)
    value += _RIDGE * ((theta - design.start)[:, 1:] ** 2).sum(axis=1)
    return expected, np.where(bad, np.inf, value)


def _derivatives(
    counts: Floats, design: Design, signal: Floats | None, theta: Floats, strength: Floats
) -> tuple[Floats, Floats]:
    """Return the gradient of ln L (t, k') and the expected information (t, k', k')."""
    expected, slopes = design.expected(theta)
    if signal is not None:
        expected = expected + strength[:, None] * signal
        slopes = np.concatenate([slopes, np.broadcast_to(signal[:, None], (*expected.shape, 1))], axis=2)
    expected = np.maximum(expected, 1e-300)
    gradient = np.einsum("tb,tbk->tk", design.used * (counts / expected - 1), slopes)
    scaled = slopes * np.sqrt(design.used / expected)[..., None]
    info = np.matmul(scaled.transpose(0, 2, 1), scaled)
    ridge = np.zeros(info.shape[-1])
    ridge[1 : theta.shape[1]] = _RIDGE
    gradient[:, 1 : theta.shape[1]] -= _RIDGE * (theta - design.start)[:, 1:]
    return gradient, info + np.diag(ridge)
