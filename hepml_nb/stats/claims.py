"""\"A beats B\" is a claim that the data can bear out, leave open or reverse."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hepml_nb.core import Claim, InputError, Outcome, Result

from .checks import Floats
from .intervals import gaussian_sigma

__all__ = ["claim"]


def claim(text: str, a: Result, b: Result, *, sigma: float = 2.0) -> Claim:
    """Judge "a is better than b" by the paired bootstrap over test events together with the spread between trainings.

    a, b: results of `paired` with the same test events, metric, seed and n_boot. At least three trainings are needed
    on one side (a side with fewer is taken to spread as much as the other), unless both methods are deterministic.
    difference, error: in the metric's unit, the difference positive when a is better. sigma: the Gaussian significance;
    that a spread of few trainings is itself uncertain is paid for by Student's t (Welch-Satterthwaite), and
    rejections are compared as background efficiencies, whose errors are symmetric.
    The outcome is "holds" above `sigma`, "reversed" below -`sigma`, else "consistent".
    Raises InputError for results that are not paired, have too few trainings, or have no direction.
    """
    _check(a, b)
    sign = -1.0 if a.better == "lower" else 1.0
    difference = sign * (a.value - b.value)
    one, two = _Side.of(a, b), _Side.of(b, a)
    error, degrees = _error(one, two)
    gap, spread = difference, error
    if (a.pairing or "").startswith("rejection@"):
        one, two = _Side.of(a, b, efficiency=True), _Side.of(b, a, efficiency=True)
        gap = float(one.replicas.mean() - two.replicas.mean())
        spread, degrees = _error(one, two)
        gap = gap if gap * difference > 0 else 0.0  # the mean rejection and the mean efficiency may disagree in noise
    significance = gaussian_sigma(gap / spread if spread > 0 else np.inf * np.sign(gap), degrees) if gap else 0.0
    outcome: Outcome = "consistent"
    if abs(significance) > sigma:
        outcome = "holds" if significance > 0 else "reversed"
    return Claim(text, outcome, significance, difference, error)


@dataclass(frozen=True)
class _Side:
    """One method: replicas (n_boot,) of its mean over trainings, and the variance of that mean between trainings."""

    replicas: Floats
    variance: float
    freedom: int

    @classmethod
    def of(cls, result: Result, other: Result, efficiency: bool = False) -> _Side:
        lender = other if 0 < result.seeds < 3 else result
        own, lent = _numbers(result, efficiency), _numbers(lender, efficiency)
        spread = float(lent.mean(axis=1).var(ddof=1)) if lender.seeds > 1 else 0.0
        return cls(own.mean(axis=0), spread / max(result.seeds, 1), max(lender.seeds - 1, 1))


def _numbers(result: Result, efficiency: bool) -> Floats:
    """Return the replicas (T, n_boot), of a rejection as minus the background efficiency: higher stays better."""
    numbers = np.atleast_2d(np.asarray(result.replicas, dtype=np.float64))
    return -1 / numbers if efficiency else numbers


def _error(a: _Side, b: _Side) -> tuple[float, float]:
    """Return the error of the difference and its degrees of freedom."""
    paired = float((a.replicas - b.replicas).var(ddof=1))
    parts = [(paired, len(a.replicas) - 1), (a.variance, a.freedom), (b.variance, b.freedom)]
    total = sum(part for part, _ in parts)
    return float(np.sqrt(total)), total**2 / sum(part**2 / f for part, f in parts) if total > 0 else 1.0


def _check(a: Result, b: Result) -> None:
    for name, result in (("a", a), ("b", b)):
        if result.replicas is None or result.pairing is None:
            raise InputError(
                f"result {name} ({result}) carries no bootstrap replicas, so it cannot be paired; make both results "
                "with stats.paired on the same test events (a result read from a file has none)."
            )
    if a.pairing != b.pairing:
        raise InputError(
            f"the results are not paired ({a.pairing} and {b.pairing}); give both calls of stats.paired the same "
            "metric, eff, test labels, weights, seed and n_boot."
        )
    if a.better == "target" or a.better != b.better:
        raise InputError(f"better={a.better!r} and {b.better!r}: a claim needs 'higher' or 'lower', the same in both.")
    if max(a.seeds, b.seeds) < 3 and not a.seeds == b.seeds == 0:
        trained = " and ".join(f"{name} has {r.seeds}" for name, r in (("a", a), ("b", b)) if r.seeds > 0)
        raise InputError(
            f"a claim needs at least three trainings ({trained}); train with three seeds and pass the list of their "
            "scores to stats.paired, or say deterministic=True there for a method without randomness."
        )
