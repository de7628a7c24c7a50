"""Null distributions by pseudo-data: p-values of any test statistic, and whether a chi2 describes it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import stats

from hepml_nb.anomaly.trials import toy_p
from hepml_nb.core import InputError, Result, progress, rng
from hepml_nb.stats.checks import column, table

__all__ = ["Null", "drawn_from", "power", "pseudo_tests", "uniform"]

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Null:
    """Values (n,) of a statistic in pseudo-data without a signal; higher values are less like the reference."""

    values: Floats

    def __post_init__(self) -> None:
        object.__setattr__(self, "values", column(self.values, "values"))
        if len(self.values) < 2:
            raise InputError("one value is no distribution; expected at least two pseudo-experiments.")

    def p_value(self, t: float) -> Result:
        """Return (1 + values >= t) / (1 + n), which is never too small, with its binomial error."""
        (p,), (error,) = toy_p(self.values, t)
        n = len(self.values)
        return Result(float(p), float(error), n, better="target", seeds=0, definition="p-value from toys")

    def dof(self) -> float:
        """Return the degrees of freedom of the chi2 of the highest likelihood."""
        return float(stats.chi2.fit(np.maximum(self.values, 1e-9), floc=0, fscale=1)[0])

    def chi2_p(self, t: float, dof: float | None = None) -> float:
        """Return the p-value from a chi2 (default: of the fitted degrees of freedom), which reaches beyond the toys."""
        return float(stats.chi2.sf(t, self.dof() if dof is None else dof))

    def agreement(self, dof: float | None = None) -> float:
        """Return the Kolmogorov-Smirnov p-value of the toys with a chi2; too high where `dof` was fitted to them."""
        return float(stats.kstest(self.values, stats.chi2(self.dof() if dof is None else dof).cdf).pvalue)


def pseudo_tests(statistic: Callable[[np.random.Generator], float], n: int, seed: int = 0, desc: str = "toys") -> Null:
    """Return the statistic of n pseudo-experiments; statistic(generator) draws one and tests it."""
    values = np.empty(n)
    with progress(total=n, desc=desc, unit="toy") as bar:
        for i in range(n):
            values[i] = statistic(rng(seed, "pseudo", i))
            bar.update(1)
    return Null(values)


def drawn_from(pool: npt.ArrayLike, expected: float) -> Callable[[np.random.Generator], Floats]:
    """Return a function that draws pseudo-data: a Poisson number of different rows of the pool (n, d).

    The pool holds other events than the reference. Raises InputError where it is smaller than twice the expectation:
    then pseudo-data would share most of their events and fluctuate too little.
    """
    events = table(pool, "pool")
    if not 0 < 2 * expected <= len(events):
        raise InputError(f"a pool of {len(events)} events for {expected:g} expected; give at least twice as many.")

    def draw(generator: np.random.Generator) -> Floats:
        n = min(int(generator.poisson(expected)), len(events))
        return events[generator.choice(len(events), n, replace=False)]

    return draw


def uniform(p_values: npt.ArrayLike) -> float:
    """Return the Kolmogorov-Smirnov p-value for p-values (n,) that are uniform between 0 and 1."""
    return float(stats.kstest(column(p_values, "p_values"), "uniform").pvalue)


def power(null: Null, values: npt.ArrayLike, level: float = 0.05) -> Result:
    """Return how often values (k,) of the statistic with a signal lie above the null's `level` tail.

    error: binomial. floor: 1; baseline: `level`, which a test that sees nothing has. Raises InputError for a level that
    the null's pseudo-experiments are too few for.
    """
    found = column(values, "values")
    if not 1 / (1 + len(null.values)) <= level < 1:
        raise InputError(f"level={level!r} with {len(null.values)} pseudo-experiments; expected 1 / (1 + n) or more.")
    p = np.array([null.p_value(t).value for t in found])
    share, k = float((p <= level).mean()), len(found)
    return Result(share, float(np.sqrt(max(share * (1 - share), 1 / k) / k)), k, 1.0, level, seeds=0,
                  definition=f"power at a level of {level:g}")  # fmt: skip
