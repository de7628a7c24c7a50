"""Likelihood unfolding: one free parameter per bin before the detector in a pyhf model of the counts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from hepml_nb.core import InputError, RunError
from hepml_nb.unfolding.binned import Binned, BinnedConfig, moved
from hepml_nb.unfolding.response import Counts, Response
from hepml_nb.unfolding.sample import Floats
from hepml_nb.unfolding.tikhonov import curvature

__all__ = ["Likelihood", "LikelihoodConfig", "model"]


@dataclass(frozen=True)
class LikelihoodConfig(BinnedConfig):
    """tau: strength of a constraint on the curvature of the signal strengths, in `Tikhonov`'s units (0: none)."""

    tau: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.tau >= 0:
            raise InputError(f"tau={self.tau!r}; expected 0 (no constraint) or a positive number.")


class Likelihood(Binned):
    """Maximum of the Poisson likelihood of a pyhf model: each bin before the detector is a sample with a free strength.

    Strengths are at least 0. The background is a sample of its own and nothing is subtracted, so that few counts are
    treated right where least squares is not; without constraint the errors are otherwise those of the inversion. The
    covariance is that of the maximum, to first order in the counts, the background's and the simulation's statistics.
    `strengths`: those fitted (g,). Source: pyhf (JOSS 6 (2021) 2823), arXiv:1611.01927 (review).
    """

    name = "likelihood"
    configs: ClassVar[Mapping[str, Any]] = {"paper": LikelihoodConfig(), "small": LikelihoodConfig()}
    strengths: Floats

    def _estimate(self, response: Response, counts: Counts) -> tuple[Floats, Floats]:
        if (counts.data < 0).any() or not np.allclose(counts.data, np.round(counts.data)):
            raise InputError("a Poisson likelihood needs counts; the measured events' weights give no whole numbers.")
        self.strengths = _maximum(response, counts, self._penalty(response, counts))
        values = self.strengths * response.truth
        seen, folding, inverse = self._expansion(response, counts, values)
        by_data = inverse @ (folding / seen[:, None]).T
        by_background = by_data * (counts.data / seen)
        covariance = (by_data * counts.data) @ by_data.T + (by_background * counts.background_squares) @ by_background.T
        return values, covariance

    def _simulation_covariance(self, response: Response, counts: Counts) -> Floats:
        values = self.strengths * response.truth
        inverse = self._expansion(response, counts, values)[2]
        nominal = self._slope(response, counts, values)
        changes = [
            inverse @ (self._slope(*now, values) - nominal) * (error / step)
            for now, step, error in moved(response, counts)
        ]
        return np.asarray(np.transpose(changes) @ np.array(changes))

    def _penalty(self, response: Response, counts: Counts) -> Floats:
        """Return the matrix (g, g) of the constraint: strengths^T penalty strengths / 2 is added to -ln L."""
        g = len(response.truth)
        return np.asarray(self.config.tau * curvature(np.ones(g)) * counts.values.sum() / g)

    def _expansion(self, response: Response, counts: Counts, values: Floats) -> tuple[Floats, Floats, Floats]:
        """Return expected counts (s,), the folding (s, g) and the inverse Hessian (g, g) of -ln L at events (g,)."""
        folding = _per_event(response)
        seen = np.maximum(folding @ values + counts.background, 1e-9)
        hessian = (folding * (counts.data / seen**2)[:, None]).T @ folding
        hessian += self._penalty(response, counts) / np.outer(response.truth, response.truth)
        if np.linalg.cond(hessian * np.outer(response.truth, response.truth)) > 1e14:
            raise InputError(
                f"the counts of {response.observable} do not decide all {len(values)} bins before the detector; use "
                "fewer of them, more bins after it, or a constraint (tau)."
            )
        return seen, folding, np.linalg.inv(hessian)

    def _slope(self, response: Response, counts: Counts, values: Floats) -> Floats:
        folding = _per_event(response)
        seen = np.maximum(folding @ values + counts.background, 1e-9)
        penalty = self._penalty(response, counts) / np.outer(response.truth, response.truth)
        return np.asarray(folding.T @ (1 - counts.data / seen) + penalty @ values)


def model(response: Response, counts: Counts) -> Any:
    """Return the pyhf model: channel "measured", samples "bin0", ... with strengths "mu0", ..., and "background".

    Bins after the detector in which nothing is expected are left out.
    """
    import pyhf

    used = _used(response, counts)
    signal = _per_event(response)[used] * response.truth
    samples = [_sample(f"bin{i}", one, [f"mu{i}"]) for i, one in enumerate(signal.T)]
    if counts.background[used].any():
        samples.append(_sample("background", counts.background[used], []))
    channels = [{"name": "measured", "samples": samples}]
    return pyhf.Model({"channels": channels}, poi_name=None, validate=False)


def _sample(name: str, contents: Floats, strengths: list[str]) -> dict[str, Any]:
    modifiers = [{"name": one, "type": "normfactor", "data": None} for one in strengths]
    return {"name": name, "data": contents.tolist(), "modifiers": modifiers}


def _maximum(response: Response, counts: Counts, penalty: Floats) -> Floats:
    """Return the strengths (g,) that maximise pyhf's likelihood, with the gradient that a linear model has."""
    from scipy.optimize import minimize

    made, used = model(response, counts), _used(response, counts)
    data, signal = counts.data[used], _per_event(response)[used] * response.truth
    order = [made.config.par_order.index(f"mu{i}") for i in range(len(response.truth))]

    def loss(strengths: Floats) -> tuple[float, Floats]:
        parameters = np.empty(len(order))
        parameters[order] = strengths
        seen = np.asarray(made.expected_data(parameters, include_auxdata=False))
        slope = signal.T @ (1 - data / seen) + penalty @ strengths
        return float(-made.logpdf(parameters, data)[0] + strengths @ penalty @ strengths / 2), slope

    level = max((counts.data - counts.background).sum() / signal.sum(), 1e-3)
    found = minimize(loss, np.full(len(order), level), jac=True, method="SLSQP", bounds=[(1e-9, 1e3)] * len(order),
                     options={"ftol": 1e-10, "maxiter": 1000})  # fmt: skip
    if not found.success:
        raise RunError(f"the likelihood fit of {response.observable} did not converge: {found.message}.")
    return np.asarray(found.x)


def _per_event(response: Response) -> Floats:
    """Return the counts (s, g) that one event before the detector adds, fakes in their share included."""
    genuine = response.genuine[:, None]
    return np.divide(response.matrix, genuine, out=np.zeros_like(response.matrix), where=genuine > 0)


def _used(response: Response, counts: Counts) -> Any:
    return (response.fold(response.truth) > 0) | (counts.background > 0)
