"""Do two samples come from one density? Seven tests side by side, each with a p-value that needs no asymptotics."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.stats import binom

from hepml_nb.anomaly.functions import KernelConfig
from hepml_nb.anomaly.nplm import NPLM
from hepml_nb.anomaly.pseudo import Null
from hepml_nb.core import InputError, NotFound, Result, rng, suggest
from hepml_nb.stats import c2st
from hepml_nb.stats.checks import table

__all__ = ["TESTS", "TwoSample", "battery", "statistic"]

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]
Test = Callable[[Floats, Bools, np.random.Generator], Floats]

DIRECTIONS = 50
NPLM_CONFIG = KernelConfig(centres=100, penalty=1e-3, loss="likelihood")


@dataclass(frozen=True, eq=False)
class TwoSample:
    """One test: its statistic beside that of samples of one density (floor, error), its p-value, and its cost."""

    statistic: Result
    p: Result
    null: Null | None
    seconds: float


def battery(
    x: npt.ArrayLike, y: npt.ArrayLike, tests: Iterable[str] | None = None, *, permutations: int = 200, seed: int = 0
) -> dict[str, TwoSample]:
    """Return the tests (default: all of `TESTS`) of samples x (n, d) and y (m, d), by name.

    The null distribution is that of the same statistic with the labels of the pooled sample permuted, which is exact
    for any density and any n; only the classifier's p-value is binomial, as one would have to train again for
    each permutation. Columns are divided by the standard deviation of the pooled sample. Source: arXiv:2409.16336.
    Raises InputError for other columns, constant columns, too few permutations; NotFound for an unknown test.
    """
    pooled, n = _pooled(x, y)
    names = list(TESTS) if tests is None else list(tests)
    for name in names:
        _known(name)
    if permutations < 19:
        raise InputError(f"permutations={permutations!r}; with fewer than 19 no p-value gets below 0.05.")
    labels = np.arange(len(pooled)) < n
    generator = rng(seed, "battery")
    permuted = np.array([labels, *(generator.permutation(labels) for _ in range(permutations))])
    made = {}
    for name in names:
        start = time.perf_counter()
        if name == "c2st":
            made[name] = _classifier(pooled, n, seed, start)
            continue
        values = TESTS[name](pooled, permuted, rng(seed, "battery", name))
        null = Null(values[1:])
        mean, spread = float(null.values.mean()), float(null.values.std(ddof=1))
        value = Result(values[0], spread, min(n, len(pooled) - n), mean, better="lower", definition=f"{name} statistic",
                       seeds=0)  # fmt: skip
        made[name] = TwoSample(value, null.p_value(values[0]), null, time.perf_counter() - start)
    return made


def statistic(name: str, x: npt.ArrayLike, y: npt.ArrayLike, seed: int = 0) -> float:
    """Return one statistic of x (n, d) and y (m, d), without a p-value: for toys, where the null is drawn.

    Raises InputError for other or constant columns, NotFound for an unknown test.
    """
    _known(name)
    pooled, n = _pooled(x, y)
    if name == "c2st":
        return _accuracy(pooled, n, seed).value
    labels = (np.arange(len(pooled)) < n)[None]
    return float(TESTS[name](pooled, labels, rng(seed, "battery", name))[0])


def sliced_wasserstein(pooled: Floats, labels: Bools, generator: np.random.Generator) -> Floats:
    """Return the Wasserstein-1 distances of random projections, averaged; labels (r, n + m) give (r,)."""
    found = [np.abs(apart) @ gaps for apart, gaps in _apart(pooled @ _directions(pooled, generator), labels)]
    return np.asarray(np.mean(found, axis=0))


def mean_ks(pooled: Floats, labels: Bools, generator: np.random.Generator) -> Floats:
    """Return the Kolmogorov-Smirnov statistics of the columns, averaged, times sqrt(n m / (n + m))."""
    return _ks(pooled, labels)


def sliced_ks(pooled: Floats, labels: Bools, generator: np.random.Generator) -> Floats:
    """Return the Kolmogorov-Smirnov statistics of random projections, averaged, times sqrt(n m / (n + m))."""
    return _ks(pooled @ _directions(pooled, generator), labels)


def frechet(pooled: Floats, labels: Bools, generator: np.random.Generator) -> Floats:
    """Return the Frechet distance of Gaussians with the samples' means and covariances, without its bias.

    The bias falls as 1 / n: twice the distance less the mean of that of two halves has none to that order.
    """
    half = generator.random(len(pooled)) < 0.5
    whole = _gaussian_distance(pooled, labels, ~labels)
    parts = [_gaussian_distance(pooled, labels & one, ~labels & one) for one in (half, ~half)]
    return np.asarray(2 * whole - np.mean(parts, axis=0))


def mmd(pooled: Floats, labels: Bools, generator: np.random.Generator) -> Floats:
    """Return the unbiased squared maximum mean discrepancy with the quartic kernel (x y / d + 1)^4."""
    signs, ones = labels.T.astype(float), np.ones((len(pooled), 1))
    centred = pooled - pooled.mean(axis=0)
    inside, crossed, outside = np.zeros(len(labels)), np.zeros(len(labels)), np.zeros(len(labels))
    for i in range(0, len(pooled), 1000):
        rows = slice(i, i + 1000)
        kernel = (centred[rows] @ centred.T / pooled.shape[1] + 1) ** 4
        diagonal = np.diagonal(kernel[:, i:])
        to_x = kernel @ signs
        to_y = kernel @ ones - to_x
        inside += np.einsum("ir,ir->r", signs[rows], to_x) - diagonal @ signs[rows]
        crossed += np.einsum("ir,ir->r", signs[rows], to_y)
        outside += np.einsum("ir,ir->r", 1 - signs[rows], to_y) - diagonal @ (1 - signs[rows])
    n = labels.sum(axis=1)
    m = len(pooled) - n
    return np.asarray(inside / (n * (n - 1)) + outside / (m * (m - 1)) - 2 * crossed / (n * m))


def nplm(pooled: Floats, labels: Bools, generator: np.random.Generator) -> Floats:
    """Return NPLM's statistic with kernels, x as data and y as the reference; x has at most as many rows as y."""
    seed = int(generator.integers(2**31))
    return np.array([NPLM(pooled[~row], int(row.sum()), NPLM_CONFIG, seed=seed).test(pooled[row]).t for row in labels])


def classifier(pooled: Floats, labels: Bools, generator: np.random.Generator) -> Floats:
    """Return the held-out accuracies of `stats.c2st`, one training for each row of labels."""
    seed = int(generator.integers(2**31))
    return np.array([c2st(pooled[row], pooled[~row], seed=seed).value for row in labels])


TESTS: dict[str, Test] = {
    "sliced-wasserstein": sliced_wasserstein,
    "mean-ks": mean_ks,
    "sliced-ks": sliced_ks,
    "frechet": frechet,
    "mmd": mmd,
    "nplm": nplm,
    "c2st": classifier,
}
"""By name; the last two train something, the last one a network."""


def _classifier(pooled: Floats, n: int, seed: int, start: float) -> TwoSample:
    """Return the classifier's test: as many held-out events right as coins would give?"""
    found = _accuracy(pooled, n, seed)
    events = 2 * min(n, len(pooled) - n)
    p = float(binom.sf(round(found.value * events) - 1, events, 0.5))
    return TwoSample(
        found,
        Result(p, 0.0, events, better="target", seeds=1, definition="binomial p-value of the held-out accuracy"),
        None,
        time.perf_counter() - start,
    )


def _accuracy(pooled: Floats, n: int, seed: int) -> Result:
    """Return the accuracy with as many events of either sample, so that guessing gives one half."""
    least = min(n, len(pooled) - n)
    return c2st(pooled[:n][:least], pooled[n:][:least], seed=seed)


def _pooled(x: npt.ArrayLike, y: npt.ArrayLike) -> tuple[Floats, int]:
    one, two = table(x, "x"), table(y, "y")
    if one.shape[1] != two.shape[1]:
        raise InputError(f"x has {one.shape[1]} columns and y has {two.shape[1]}; both samples need the same ones.")
    pooled = np.concatenate([one, two])
    spread = pooled.std(axis=0)
    if not spread.all():
        raise InputError(f"column {int(np.argmin(spread))} is the same for all events; leave it out.")
    return np.asarray(pooled / spread), len(one)


def _known(name: str) -> None:
    if name not in TESTS:
        raise NotFound(f"there is no test {name!r}{suggest(name, TESTS)}")


def _directions(pooled: Floats, generator: np.random.Generator) -> Floats:
    drawn = generator.normal(size=(pooled.shape[1], DIRECTIONS))
    return np.asarray(drawn / np.linalg.norm(drawn, axis=0))


def _apart(projected: Floats, labels: Bools) -> Iterable[tuple[Floats, Floats]]:
    """Yield, for each column, F_x - F_y after each pooled value (r, n + m - 1) and the gaps between them."""
    n = labels.sum(axis=1, keepdims=True)
    steps = np.where(labels, 1 / n, -1 / (labels.shape[1] - n))
    for column in projected.T:
        order = np.argsort(column)
        yield np.cumsum(steps[:, order], axis=1)[:, :-1], np.diff(column[order])


def _ks(projected: Floats, labels: Bools) -> Floats:
    largest = [np.abs(apart[:, gaps > 0]).max(axis=1) for apart, gaps in _apart(projected, labels)]
    n = labels.sum(axis=1)
    return np.asarray(np.mean(largest, axis=0) * np.sqrt(n * (labels.shape[1] - n) / labels.shape[1]))


def _gaussian_distance(pooled: Floats, one: Bools, other: Bools) -> Floats:
    """Return |mean difference|^2 + tr(A + B - 2 (A B)^(1/2)) of the covariances, for rows of labels (r, n + m)."""
    squares = np.einsum("ia,ib->iab", pooled, pooled).reshape(len(pooled), -1)
    means, covariances = [], []
    for labels in (one.astype(float), other.astype(float)):
        n = labels.sum(axis=1, keepdims=True)
        mean = labels @ pooled / n
        second = (labels @ squares / n).reshape(len(labels), *[pooled.shape[1]] * 2)
        covariances.append((second - np.einsum("ra,rb->rab", mean, mean)) * (n / (n - 1))[:, :, None])
        means.append(mean)
    root = np.sqrt(np.maximum(np.linalg.eigvals(covariances[0] @ covariances[1]).real, 0)).sum(axis=1)
    traces = sum(np.trace(c, axis1=1, axis2=2) for c in covariances)
    return np.asarray(((means[0] - means[1]) ** 2).sum(axis=1) + traces - 2 * root)
