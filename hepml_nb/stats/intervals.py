"""How far a counted fraction, or a difference of two numbers, may be from the truth."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy.special import betaincinv, ndtri, stdtr

from hepml_nb.core import InputError

__all__ = ["ONE_SIGMA", "clopper_pearson", "gaussian_sigma", "upper_limit"]

ONE_SIGMA = 0.6826894921370859


def clopper_pearson(
    passed: npt.ArrayLike, total: npt.ArrayLike, level: float = ONE_SIGMA
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Return the central Clopper-Pearson interval (low, high) of the fraction passed / total.

    passed, total: counts that broadcast, 0 <= passed <= total, total > 0; fractional (effective) counts are allowed.
    It covers the true fraction in at least `level` of all experiments. Raises InputError outside that domain.
    Source: Clopper and Pearson, Biometrika 26 (1934) 404.
    """
    k, n = np.broadcast_arrays(np.asarray(passed, dtype=np.float64), np.asarray(total, dtype=np.float64))
    if not (np.isfinite(k).all() and np.isfinite(n).all() and (k >= 0).all() and (k <= n).all() and (n > 0).all()):
        raise InputError(
            f"passed={passed!r} of total={total!r} is no fraction; expected 0 <= passed <= total, total > 0."
        )
    if not 0 < level < 1:
        raise InputError(f"level={level!r} is no confidence level; expected a number between 0 and 1, such as 0.68.")
    tail = (1 - level) / 2
    low = np.where(k > 0, betaincinv(np.where(k > 0, k, 1.0), n - k + 1, tail), 0.0)
    high = np.where(k < n, betaincinv(k + 1, np.where(k < n, n - k, 1.0), 1 - tail), 1.0)
    return low, high


def upper_limit(total: float, level: float = ONE_SIGMA) -> float:
    """Return the one-sided upper limit on a fraction of which none of `total` passed (about 1.15 / total at 68 %)."""
    return float(-np.expm1(np.log1p(-level) / total))


def gaussian_sigma(t: float, degrees: float) -> float:
    """Return the Gaussian significance with the tail probability of Student's `t` at so many degrees of freedom.

    An error estimated from a few trainings is itself uncertain: t = 2 with 4 degrees of freedom is only 1.6 sigma.
    """
    if not np.isfinite(t):
        return float(np.sign(t) * 37.0)  # 37 sigma: the smallest probability that a double holds
    tail = max(float(stdtr(degrees, -abs(t))), 1e-300)
    return float(-np.sign(t) * ndtri(tail))
