"""Weights of both signs become the mean weight at each point, which has one sign: neural resampling, with trees."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from hepml_nb.core import InputError, rng, threads
from hepml_nb.unfolding.sample import Floats, Measured, Simulation

__all__ = ["mean_weights", "measured_weights", "simulated_weights"]

_LEAF = 50  # events per leaf: a mean of fewer weights of both signs is mostly noise


def mean_weights(points: npt.ArrayLike, weights: npt.ArrayLike, seed: int = 0) -> Floats:
    """Return E[w | x] (n,), none negative, for weights (n,) of any sign at points (n, k).

    The weighted density is the density of the points times their mean weight, so both weightings have the same
    expectation for anything that depends on x alone, and a classifier can be trained with the second. The mean is a
    regression with boosted trees, learnt on one half and read off on the other (of fewer than 200 events, one number
    for all); where it comes out negative it is set to 0 (the density cannot be), and the sum is restored. Weights
    without a negative one are returned as they are. Raises InputError where weights do not sum to more than 0.
    Source: neural resampling, arXiv:2007.11586, with trees in the place of its network.
    """
    x, w = np.asarray(points, float), np.asarray(weights, float)
    if not (w < 0).any():
        return w.copy()
    if w.sum() <= 0:
        raise InputError(f"{int((w < 0).sum())} of {len(w)} weights are negative, and all sum to {w.sum():g}.")
    if len(w) < 4 * _LEAF:
        return np.full(len(w), w.mean())
    half = rng(seed, "resampling").permutation(len(w)) % 2
    mean = np.empty(len(w))
    for side in (0, 1):
        mean[half == side] = _regression(seed).fit(x[half != side], w[half != side]).predict(x[half == side])
    mean = np.maximum(mean, 0)
    if mean.sum() == 0:
        raise InputError(f"the {int((w < 0).sum())} negative weights leave no positive density anywhere.")
    return np.asarray(mean * (w.sum() / mean.sum()))


def simulated_weights(simulation: Simulation, seed: int = 0) -> Floats:
    """Return weights (n,) of the simulated events, none negative where an event is measured, with the same density.

    The mean is taken at each (gen, sim), so that the response stays; apart, and with their own sum, for fakes, which
    have no gen (none are left of fakes that sum to less than 0). Lost events keep their weights.
    """
    weights = simulation.weights.copy()
    both, fakes = simulation.pass_sim & simulation.pass_gen, simulation.pass_sim & ~simulation.pass_gen
    joint = np.concatenate([simulation.gen[both], simulation.sim[both]], axis=1)
    weights[both] = mean_weights(joint, weights[both], seed)
    some = bool(weights[fakes].sum() > 0)
    weights[fakes] = mean_weights(simulation.sim[fakes], weights[fakes], seed) if some else 0.0
    return np.asarray(weights)


def measured_weights(measured: Measured, seed: int = 0) -> tuple[Floats, Floats]:
    """Return points (m + b, l) and weights (m + b,), none negative, of the measured events less their background.

    The background stands in with negative weights. Raises InputError where it is as large as the measured sample.
    """
    points = np.concatenate([measured.sim, measured.background])
    weights = np.concatenate([measured.weights, -measured.background_weights])
    if weights.sum() <= 0:
        raise InputError(
            f"the background ({measured.background_weights.sum():g} events) is not smaller than the measured sample "
            f"({measured.weights.sum():g}); nothing is left to unfold."
        )
    return points, mean_weights(points, weights, seed)


def _regression(seed: int) -> Any:
    from sklearn.ensemble import HistGradientBoostingRegressor

    threads()
    return HistGradientBoostingRegressor(
        max_iter=50, min_samples_leaf=_LEAF, early_stopping=False, random_state=seed % 2**32
    )
