"""A Gaussian unfolding problem: a linear detector before which every answer is known in closed form."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from hepml_nb.core import InputError, rng

__all__ = ["Gaussian", "GaussianProblem", "gaussian_problem"]

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Gaussian:
    """A normal density with mean (d,) and covariance (d, d), positive definite.

    Raises InputError for shapes that do not fit, NaN, or a covariance that is not symmetric and positive definite.
    """

    mean: Any
    covariance: Any

    def __post_init__(self) -> None:
        mean = np.atleast_1d(np.asarray(self.mean, float))
        covariance = np.atleast_2d(np.asarray(self.covariance, float))
        d = len(mean)
        if mean.ndim != 1 or covariance.shape != (d, d):
            raise InputError(f"mean {mean.shape} and covariance {covariance.shape} do not fit; expected (d,), (d, d).")
        if not np.isfinite(mean).all() or not np.isfinite(covariance).all():
            raise InputError("mean and covariance of a Gaussian must be finite.")
        if not np.allclose(covariance, covariance.T) or np.linalg.eigvalsh(covariance).min() <= 0:
            raise InputError(f"covariance={covariance.tolist()} is not symmetric and positive definite.")
        object.__setattr__(self, "mean", mean)
        object.__setattr__(self, "covariance", covariance)

    def draw(self, n: int, generator: np.random.Generator) -> Floats:
        """Return n independent points (n, d)."""
        standard = generator.standard_normal((n, len(self.mean)))
        return np.asarray(self.mean + standard @ np.linalg.cholesky(self.covariance).T)

    def density(self, x: npt.ArrayLike) -> Floats:
        """Return the density at points (n, d)."""
        apart = np.atleast_2d(np.asarray(x, float)) - self.mean
        exponent = np.einsum("ni,ij,nj->n", apart, np.linalg.inv(self.covariance), apart)
        return np.asarray(np.exp(-exponent / 2) / np.sqrt(np.linalg.det(2 * np.pi * self.covariance)))

    def shares(self, edges: npt.ArrayLike, column: int = 0) -> Floats:
        """Return the probability (b,) of one coordinate between edges (b + 1,); infinite edges are fine."""
        from scipy.special import ndtr

        width = np.sqrt(self.covariance[column, column])
        return np.asarray(np.diff(ndtr((np.asarray(edges, float) - self.mean[column]) / width)))


@dataclass(frozen=True, eq=False)
class GaussianProblem:
    """Events x ~ simulation or nature, both Gaussian (d,), seen as y = matrix x + offset + N(0, smearing), (l,).

    Bayes' iteration (IBU with fine bins, and OmniFold: both are expectation maximisation, arXiv:1911.09107) keeps a
    Gaussian prior Gaussian, so `iterated` tells what either must give after each iteration with infinite statistics.
    Raises InputError for shapes that do not fit.
    """

    simulation: Gaussian
    nature: Gaussian
    matrix: Any
    offset: Any
    smearing: Any

    def __post_init__(self) -> None:
        matrix, smearing = np.atleast_2d(np.asarray(self.matrix, float)), Gaussian(self.offset, self.smearing)
        rows, d = matrix.shape
        if len(smearing.mean) != rows or {len(self.simulation.mean), len(self.nature.mean)} != {d}:
            raise InputError(
                f"matrix {matrix.shape} does not fit the offset ({len(smearing.mean)},) and densities of "
                f"{len(self.simulation.mean)} and {len(self.nature.mean)} dimensions; expected (offset, dimensions)."
            )
        for name, value in (("matrix", matrix), ("offset", smearing.mean), ("smearing", smearing.covariance)):
            object.__setattr__(self, name, value)

    def measured(self, density: Gaussian) -> Gaussian:
        """Return the density after the detector of events that have `density` before it."""
        return Gaussian(
            self.matrix @ density.mean + self.offset,
            self.matrix @ density.covariance @ self.matrix.T + self.smearing,
        )

    def simulate(self, n: int, seed: int = 0) -> tuple[Floats, Floats]:
        """Return n simulated events: before the detector (n, d) and, row by row the same ones, after it (n, l)."""
        return self._events(self.simulation, n, rng(seed, "gaussian", "simulation"))

    def measure(self, n: int, seed: int = 0) -> tuple[Floats, Floats]:
        """Return n events of nature: as measured (n, l), and, to judge with only, before the detector (n, d)."""
        gen, sim = self._events(self.nature, n, rng(seed, "gaussian", "nature"))
        return sim, gen

    def posterior(self, prior: Gaussian, y: npt.ArrayLike) -> tuple[Floats, Floats]:
        """Return means (n, d) and the one covariance (d, d) of p(x | y) at measured points y (n, l)."""
        gain = self._gain(prior)
        seen = np.asarray(y, float).reshape(-1, len(self.offset)) - self.measured(prior).mean
        return prior.mean + seen @ gain.T, prior.covariance - gain @ self.matrix @ prior.covariance

    def iterated(self, iterations: int, prior: Gaussian | None = None) -> Gaussian:
        """Return the unfolded density after so many iterations from `prior` (None: the simulation), data infinite.

        One iteration takes the posterior of every measured y and averages it over the data:
        m' = m + K (mu - A m - b), V' = V - K A V + K W K^T with K = V A^T (A V A^T + S)^-1 and data N(mu, W).
        Raises InputError for a negative number.
        """
        if iterations < 0:
            raise InputError(f"iterations={iterations!r}; expected 0 (the prior) or more.")
        density, data = self.simulation if prior is None else prior, self.measured(self.nature)
        for _ in range(iterations):
            gain = self._gain(density)
            mean, covariance = self.posterior(density, data.mean)
            spread = covariance + gain @ data.covariance @ gain.T
            density = Gaussian(mean[0], (spread + spread.T) / 2)
        return density

    def limit(self) -> Gaussian:
        """Return where the iteration ends, the density that folds to the data: nature, if the detector sees all of x.

        Raises InputError where directions of x leave no trace in y: what is found along them depends on the prior.
        """
        if np.linalg.matrix_rank(self.matrix) < self.matrix.shape[1]:
            raise InputError(
                f"a matrix of rank {np.linalg.matrix_rank(self.matrix)} hides directions of x, which has "
                f"{self.matrix.shape[1]}; the limit then depends on the prior: use iterated(many)."
            )
        data, inverse = self.measured(self.nature), np.linalg.pinv(self.matrix)
        return Gaussian(inverse @ (data.mean - self.offset), inverse @ (data.covariance - self.smearing) @ inverse.T)

    def _gain(self, prior: Gaussian) -> Floats:
        across = prior.covariance @ self.matrix.T
        return np.asarray(np.linalg.solve(self.measured(prior).covariance, across.T).T)

    def _events(self, density: Gaussian, n: int, generator: np.random.Generator) -> tuple[Floats, Floats]:
        if n < 1:
            raise InputError(f"n={n!r}; expected at least one event.")
        gen = density.draw(n, generator)
        noise = Gaussian(self.offset, self.smearing).draw(n, generator)
        return gen, gen @ self.matrix.T + noise


def gaussian_problem(dimensions: int = 1) -> GaussianProblem:
    """Return the problem used throughout: one coordinate, or two correlated ones with a detector that mixes them.

    Nature is shifted by 0.4 standard deviations and a tenth narrower, so that weights from the simulation to it stay
    small; the detector's resolution is half a standard deviation. Raises InputError for other dimensions.
    """
    if dimensions == 1:
        return GaussianProblem(Gaussian(0, 1), Gaussian(0.4, 0.81), 0.9, 0.1, 0.25)
    if dimensions != 2:
        raise InputError(f"dimensions={dimensions!r}; expected 1 or 2, or make a GaussianProblem yourself.")
    return GaussianProblem(
        Gaussian([0, 0], [[1, 0.3], [0.3, 1]]),
        Gaussian([0.4, -0.2], [[0.81, 0.45], [0.45, 0.9]]),
        [[0.9, 0.1], [0, 0.95]],
        [0.1, 0],
        [[0.25, 0.05], [0.05, 0.2]],
    )
