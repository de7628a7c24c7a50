"""How the reference changes with what is not known exactly: a Taylor expansion of log n(x | nu) / n(x | 0), learnt."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from hepml_nb.anomaly.functions import Floats, KernelConfig, Kernels, lowest
from hepml_nb.core import InputError
from hepml_nb.stats.checks import table

__all__ = ["Nuisances", "Shape", "learn_shape"]

SHAPE = KernelConfig(centres=100, penalty=1e-2, loss="likelihood")


@dataclass(frozen=True, eq=False)
class Shape:
    """One nuisance parameter: log r(x; nu) = nu delta1(x) + nu^2 delta2(x), with nu in standard deviations."""

    functions: Kernels
    linear: Floats
    quadratic: Floats

    def terms(self, x: npt.ArrayLike) -> tuple[Floats, Floats]:
        """Return (delta1, delta2) of events (n, d), each (n,)."""
        prepared = self.functions.prepare(table(x, "x"))
        return np.asarray(prepared @ self.linear), np.asarray(prepared @ self.quadratic)


@dataclass(frozen=True)
class Nuisances:
    """All nuisance parameters of a reference, each with a Gaussian constraint of one standard deviation.

    shapes: those that move events, by name (`learn_shape`). yields: relative errors of the expected number of events,
    by name, each of which multiplies it by exp(error nu). Raises InputError for none, an error that is not positive,
    or a name that stands on both sides.
    """

    shapes: Mapping[str, Shape]
    yields: Mapping[str, float]

    def __post_init__(self) -> None:
        if not self.names:
            raise InputError("there is no nuisance parameter; expected shapes or yields, or nuisances=None.")
        if len(set(self.names)) < len(self.names) or any(not error > 0 for error in self.yields.values()):
            raise InputError(f"{', '.join(self.names)}, {dict(self.yields)}: names occur once and errors are positive.")

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the parameters (q,), shapes first."""
        return (*self.shapes, *self.yields)

    def terms(self, x: Floats) -> tuple[Floats, Floats]:
        """Return the linear and quadratic coefficients (n, q) of log r at events (n, d)."""
        linear, quadratic = np.zeros((len(x), len(self.names))), np.zeros((len(x), len(self.names)))
        if len(x):
            for j, shape in enumerate(self.shapes.values()):
                linear[:, j], quadratic[:, j] = shape.terms(x)
        linear[:, len(self.shapes) :] = list(self.yields.values())
        return linear, quadratic

    def log_ratio(self, x: npt.ArrayLike, nu: npt.ArrayLike) -> Floats:
        """Return log n(x | nu) / n(x | 0) of events (n, d) at nu (q,)."""
        linear, quadratic = self.terms(table(x, "x"))
        values = np.asarray(nu, np.float64)
        return np.asarray(linear @ values + quadratic @ values**2)


def learn_shape(
    reference: npt.ArrayLike,
    shifted: Mapping[float, npt.ArrayLike],
    *,
    yields: Mapping[float, float] | None = None,
    config: KernelConfig = SHAPE,
    seed: int = 0,
) -> Shape:
    """Learn delta1 and delta2 of one nuisance parameter from events that were simulated with it shifted.

    reference: (n, d) at nu = 0; shifted: nu in standard deviations -> events (k, d), of both signs or of at least two
    values. yields: expected events at nu over those at 0 (1 each: it only moves events). All samples have one fit,
    of the same loss as NPLM's: the sum over nu of  sum_reference (e^f - 1) / n - yield sum_shifted f / k  with
    f = nu delta1 + nu^2 delta2, whose minimum is the log ratio of the densities. As in arXiv:2111.13633, where the
    coefficients are networks; here they are a constant, a parabola in each feature and `centres` kernels.
    Raises InputError for other columns, fewer than two values of nu, and nu = 0.
    """
    events = table(reference, "reference")
    samples = {float(nu): table(x, f"shifted[{nu:g}]") for nu, x in shifted.items()}
    if len(samples) < 2 or 0.0 in samples:
        given = ", ".join(f"{nu:g}" for nu in samples)
        raise InputError(f"shifted at nu = {given or 'nothing'}; expected at least two values, none of them 0.")
    for nu, x in samples.items():
        if x.shape[1] != events.shape[1]:
            raise InputError(f"shifted[{nu:g}] has {x.shape[1]} columns; the reference has {events.shape[1]}.")
    functions = Kernels(events, replace(config, loss="likelihood"), seed, polynomial=True)
    at_zero = functions.prepare(events)
    means = {nu: functions.prepare(x).mean(axis=0) * (yields or {}).get(nu, 1.0) for nu, x in samples.items()}
    p = functions.size

    def loss(parameters: Floats) -> tuple[float, Floats]:
        total, gradient = config.penalty * parameters @ parameters, 2 * config.penalty * parameters
        first, second = at_zero @ parameters[:p], at_zero @ parameters[p:]
        for nu, mean in means.items():
            raised = np.exp(nu * first + nu**2 * second)
            pull = at_zero.T @ raised / len(at_zero) - mean
            total += raised.mean() - 1 - mean @ (nu * parameters[:p] + nu**2 * parameters[p:])
            gradient += np.concatenate([nu * pull, nu**2 * pull])
        return float(total), gradient

    square = at_zero.T @ at_zero / len(at_zero)
    moments = [[sum(nu ** (i + j) for nu in means) for j in (1, 2)] for i in (1, 2)]
    hessian = np.kron(moments, square) + 2 * config.penalty * np.eye(2 * p)
    found, _ = lowest(loss, np.zeros(2 * p), config.steps, hessian=hessian)
    return Shape(functions, found[:p], found[p:])
