"""Iterative Bayesian unfolding: Bayes' theorem with the simulation's spectrum as prior, then with its own result."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from hepml_nb.core import InputError
from hepml_nb.unfolding.binned import Binned, BinnedConfig
from hepml_nb.unfolding.response import Counts, Response
from hepml_nb.unfolding.sample import Floats

__all__ = ["Ibu", "IbuConfig", "iterate"]


@dataclass(frozen=True)
class IbuConfig(BinnedConfig):
    """iterations: few of them leave the result near the prior, many bring the errors of the inversion."""

    iterations: int = 4

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.iterations < 0:
            raise InputError(f"iterations={self.iterations!r}; expected 0 (the prior) or more.")


class Ibu(Binned):
    """D'Agostini's unfolding, NIM A362 (1995) 487: n'_i = n_i / eff_i sum_j R_ji d_j / sum_l R_jl n_l, repeated.

    This is expectation maximisation of the Poisson likelihood (Richardson, Lucy; Shepp and Vardi), begun at the
    simulation's spectrum and stopped early, which is the regularisation. The covariance follows the counts through
    every iteration, the priors' dependence on them included (arXiv:1105.1160, which corrects the paper's), and adds the
    simulation's statistics. No smoothing between iterations. `history`: the events (iterations + 1, b) at each.
    """

    name = "ibu"
    configs: ClassVar[Mapping[str, Any]] = {"paper": IbuConfig(), "small": IbuConfig()}
    history: Floats

    def _estimate(self, response: Response, counts: Counts) -> tuple[Floats, Floats]:
        steps, jacobian = iterate(response.matrix, counts.values, response.truth, self.config.iterations)
        return steps[-1], (jacobian * counts.variances) @ jacobian.T

    def _simulation_covariance(self, response: Response, counts: Counts) -> Floats:
        steps, _ = iterate(response.matrix, counts.values, response.truth, self.config.iterations)
        self.history = steps[:, response.inner]
        return super()._simulation_covariance(response, counts)

    def _values(self, response: Response, counts: Counts) -> Floats:
        settings = (response.matrix, counts.values, response.truth, self.config.iterations)
        return np.asarray(iterate(*settings, derivative=False)[0][-1])


def iterate(
    matrix: Floats, counts: Floats, prior: Floats, iterations: int, *, derivative: bool = True
) -> tuple[Floats, Floats]:
    """Return the events (iterations + 1, g) from the prior on, and the derivative (g, s) of the last by the counts.

    matrix: (s, g), probability to be seen in bin j given bin i; counts: (s,), may be negative after a subtraction.
    derivative=False leaves that at 0, which saves most of the time.
    """
    efficiency = matrix.sum(axis=0)
    steps, jacobian = [np.asarray(prior, float)], np.zeros((len(prior), len(counts)))
    for _ in range(iterations):
        now = steps[-1]
        seen = matrix @ now
        share = np.divide(matrix, seen[:, None], out=np.zeros_like(matrix), where=seen[:, None] > 0)
        ratio = share.T @ counts / efficiency
        if derivative:
            backwards = (now / efficiency)[:, None] * share.T  # Bayes' theorem: bin j -> bin i, over the efficiency
            own = np.diag(ratio) - backwards @ (share * counts[:, None])
            jacobian = backwards + own @ jacobian
        steps.append(now * ratio)
    return np.array(steps), jacobian
