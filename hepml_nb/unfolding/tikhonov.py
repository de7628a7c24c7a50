"""Tikhonov regularisation: least squares with a price on curvature of the ratio to the simulation."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from hepml_nb.core import InputError
from hepml_nb.unfolding.binned import Binned, BinnedConfig
from hepml_nb.unfolding.inversion import least_squares
from hepml_nb.unfolding.response import Counts, Response
from hepml_nb.unfolding.sample import Floats, Measured, Simulation

__all__ = ["Tikhonov", "TikhonovConfig", "curvature", "global_correlation"]

STRENGTHS = np.logspace(-6, 4, 81)
_TIED = 0.9999  # a mean global correlation that says nothing any more


@dataclass(frozen=True)
class TikhonovConfig(BinnedConfig):
    """tau: strength of the regularisation (None: the one with the least mean global correlation)."""

    tau: float | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.tau is not None and not self.tau >= 0:
            raise InputError(f"tau={self.tau!r}; expected 0 (no regularisation), a positive number, or None.")


class Tikhonov(Binned):
    """Minimise chi2 + tau |L w|^2, w = unfolded over simulated events and L second differences between bins.

    That is the problem that SVD unfolding (hep-ph/9509307) solves, its damped singular values being this penalty; as in
    TUnfold (arXiv:1205.6201) tau is, unless given, where the mean global correlation of the bins is least: too little
    leaves neighbours anticorrelated, too much ties them together. The choice counts as fixed in the covariance.
    Raises InputError where all strengths tie the bins completely, as with fewer bins after the detector than before it.
    `tau`: the strength used, in units in which chi2 of the data and the penalty of the prior's scale compare.
    """

    name = "tikhonov"
    configs: ClassVar[Mapping[str, Any]] = {"paper": TikhonovConfig(), "small": TikhonovConfig()}
    tau: float

    def _fit(self, simulation: Simulation, measured: Measured, seed: int, untrained: bool) -> None:
        self._chosen: float | None = self.config.tau
        super()._fit(simulation, measured, seed, untrained)

    def _estimate(self, response: Response, counts: Counts) -> tuple[Floats, Floats]:
        scale = response.truth * (counts.values.sum() / (response.matrix @ response.truth).sum())
        penalty = curvature(scale) * counts.values.sum() / len(scale)
        if self._chosen is None:
            covariances = [least_squares(response, counts, tau * penalty)[1] for tau in STRENGTHS]
            mean = [global_correlation(one[response.inner, response.inner]).mean() for one in covariances]
            if min(mean) > _TIED:
                raise InputError(
                    f"the {len(response.edges) - 1} bins of {response.observable!r} are not told apart by the "
                    f"{len(counts.values)} after the detector: at every strength each is fixed by the others, so none "
                    "can be chosen; give wider bins, or tau."
                )
            self._chosen = float(STRENGTHS[int(np.argmin(mean))])
        self.tau = self._chosen
        return least_squares(response, counts, self.tau * penalty)


def curvature(scale: Floats) -> Floats:
    """Return the matrix (g, g) of the squared second differences of x / scale."""
    second = np.diff(np.eye(len(scale)), 2, axis=0) / scale
    return np.asarray(second.T @ second)


def global_correlation(covariance: Floats) -> Floats:
    """Return each bin's (b,) correlation with the best linear combination of all others."""
    width = np.sqrt(np.diag(covariance))
    values, vectors = np.linalg.eigh(covariance / np.outer(width, width))
    inverse = (vectors**2 / np.maximum(values, 1e-12)).sum(axis=1)  # bounded: tied bins correlate fully
    return np.asarray(np.sqrt(np.clip(1 - 1 / inverse, 0, 1)))
