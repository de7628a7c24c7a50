"""How far apart two samples of one observable are, and how far apart two samples of the same truth would be."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from hepml_nb.core import InputError, Result, rng

from .checks import Floats, column
from .samples import effective_size

__all__ = ["triangular", "wasserstein"]


def triangular(
    a: npt.ArrayLike,
    b: npt.ArrayLike,
    *,
    bins: int | npt.ArrayLike,
    weights_a: npt.ArrayLike | None = None,
    weights_b: npt.ArrayLike | None = None,
    scale: float = 1e3,
    n_boot: int = 200,
    seed: int = 0,
    baseline: float | None = None,
) -> Result:
    """Return the triangular discriminator, scale x 1/2 sum (p - q)^2 / (p + q) of the normalised histograms of a and b.

    a, b: (n,), (m,) values of one observable; bins: edges, or a number of equal bins over the range of both. Each
    histogram is normalised to the events inside the bins; bins empty in both add nothing. weights may be negative
    as long as no bin's sum is. 0 for equal histograms, `scale` for disjoint ones.
    error: Poisson toys of both histograms, less the noise that they have twice; floor: mean of toys in which both
    come from their common histogram, with the (effective) counts of the two samples. n: the smaller effective size.
    Raises InputError for nan, bad edges, no event inside, a negative bin.
    Source: arXiv:1911.09107 (x 1e3 as in its tables), arXiv:2503.09720.
    """
    (x, wx), (y, wy) = _sample(a, weights_a, "a"), _sample(b, weights_b, "b")
    edges = _edges(bins, x, y)
    p, unit_p, size_p = _filled(x, wx, edges, "a")
    q, unit_q, size_q = _filled(y, wy, edges, "b")
    generator = rng(seed, "triangular")
    common = (p / p.sum() * size_p + q / q.sum() * size_q) / (size_p + size_q)
    replicas = scale * _distance(_toys(p, unit_p, n_boot, generator), _toys(q, unit_q, n_boot, generator))
    perfect = scale * _distance(
        _toys(common * p.sum(), unit_p, n_boot, generator), _toys(common * q.sum(), unit_q, n_boot, generator)
    )
    noise = perfect.var(ddof=1)  # toys of noisy histograms are noisy twice: 4 d^2 V + 6 V^2 for a true 4 d^2 V + 2 V^2
    return Result(
        value=float(scale * _distance(p[None], q[None])[0]),
        error=float(np.sqrt(max(replicas.var(ddof=1) - 2 * noise, noise))),
        n=int(min(size_p, size_q)),
        floor=float(perfect.mean()),
        baseline=baseline,
        better="lower",
        definition=f"triangular discriminator x {scale:g}, {len(edges) - 1} bins",
    )


def wasserstein(
    a: npt.ArrayLike,
    b: npt.ArrayLike,
    *,
    weights_a: npt.ArrayLike | None = None,
    weights_b: npt.ArrayLike | None = None,
    n_boot: int = 100,
    seed: int = 0,
    baseline: float | None = None,
) -> Result:
    """Return the Wasserstein-1 distance of a and b: the integral of |F_a - F_b|, in the observable's unit.

    a, b: (n,), (m,); weights >= 0. Equal to scipy.stats.wasserstein_distance. error: bootstrap of both samples;
    floor: the mean distance that is left of the same redrawn samples when each is centred on its own sample, which
    is what two samples of one truth would show at these effective sizes (the smaller of which is n).
    Raises InputError for nan, empty samples, negative weights.
    """
    one, two = _Sample.read(a, weights_a, "a"), _Sample.read(b, weights_b, "b")
    order = np.argsort(np.concatenate([one.values, two.values]))
    gaps = np.diff(np.concatenate([one.values, two.values])[order])
    place = np.argsort(order)
    in_one, in_two, n = place[: len(one.values)], place[len(one.values) :], len(place)
    nominal = one.cumulative(in_one, n) - two.cumulative(in_two, n)
    generator = rng(seed, "wasserstein")
    replicas, perfect = np.empty(n_boot), np.empty(n_boot)
    for replica in range(n_boot):
        moved = one.cumulative(in_one, n, generator) - two.cumulative(in_two, n, generator)
        replicas[replica] = np.abs(moved) @ gaps
        perfect[replica] = np.abs(moved - nominal) @ gaps
    return Result(
        value=float(np.abs(nominal) @ gaps),
        error=float(replicas.std(ddof=1)),
        n=int(min(effective_size(one.weights), effective_size(two.weights))),
        floor=float(perfect.mean()),
        baseline=baseline,
        better="lower",
        definition="Wasserstein-1 distance, in the observable's unit",
    )


@dataclass(frozen=True)
class _Sample:
    values: Floats
    weights: Floats

    @classmethod
    def read(cls, values: npt.ArrayLike, weights: npt.ArrayLike | None, name: str) -> _Sample:
        sample = cls(*_sample(values, weights, name))
        if (sample.weights < 0).any() or sample.weights.sum() <= 0:
            negative = int((sample.weights < 0).sum())
            raise InputError(
                f"weights_{name} holds {negative} negative values of {len(sample.weights)}; needed: >= 0, not all 0."
            )
        return sample

    def cumulative(
        self, place: npt.NDArray[np.intp], total: int, generator: np.random.Generator | None = None
    ) -> Floats:
        """Return the cumulative distribution after each of `total` - 1 joint values; with a generator, redrawn."""
        weights, n = self.weights, len(self.values)
        if generator is not None:
            weights = weights * np.bincount(generator.integers(0, n, n), minlength=n)
        steps = np.zeros(total)
        steps[place] = weights
        return np.asarray(np.cumsum(steps)[:-1] / weights.sum())


def _sample(values: npt.ArrayLike, weights: npt.ArrayLike | None, name: str) -> tuple[Floats, Floats]:
    checked = column(values, name)
    return checked, np.ones(len(checked)) if weights is None else column(weights, f"weights_{name}", len(checked))


def _edges(bins: int | npt.ArrayLike, a: Floats, b: Floats) -> Floats:
    if isinstance(bins, int | np.integer):
        if bins < 1:
            raise InputError(f"bins={bins!r}; expected at least one bin, or an array of edges.")
        return np.histogram_bin_edges(np.concatenate([a, b]), bins=int(bins))
    edges = column(bins, "bins")
    if len(edges) < 2 or (np.diff(edges) <= 0).any():
        raise InputError(f"bins={edges!r} are no edges; expected at least two rising numbers, or a number of bins.")
    return edges


def _filled(values: Floats, weights: Floats, edges: Floats, name: str) -> tuple[Floats, Floats, float]:
    """Return (contents, weight of one effective event, effective events); shapes (bins,), (bins,), scalar."""
    contents = np.histogram(values, edges, weights=weights)[0]
    squares = np.histogram(values, edges, weights=weights**2)[0]
    if (contents < 0).any():
        worst = int(np.argmin(contents))
        raise InputError(
            f"the weights of {name} sum to {contents[worst]:g} in the bin [{edges[worst]:g}, {edges[worst + 1]:g}]; a "
            "negative density cannot be compared: use wider bins."
        )
    if contents.sum() <= 0:
        raise InputError(
            f"no event of {name} (from {values.min():g} to {values.max():g}) lies in the bins from {edges[0]:g} to "
            f"{edges[-1]:g}; give edges that hold the sample."
        )
    average = squares.sum() / contents.sum()
    unit = np.divide(squares, contents, out=np.full(len(contents), average), where=contents > 0)
    return contents, unit, float(contents.sum() ** 2 / squares.sum())


def _toys(contents: Floats, unit: Floats, n: int, generator: np.random.Generator) -> Floats:
    """Draw histograms (n, bins) as scaled Poisson counts, which have the mean and variance of weighted ones."""
    toys = generator.poisson(contents / unit, size=(n, len(contents))) * unit
    toys[toys.sum(axis=1) == 0] = contents
    return np.asarray(toys)


def _distance(p: Floats, q: Floats) -> Floats:
    """Return 1/2 sum (p - q)^2 / (p + q) of normalised histograms (n, bins), as (n,)."""
    p, q = p / p.sum(axis=1, keepdims=True), q / q.sum(axis=1, keepdims=True)
    total = p + q
    return np.asarray(0.5 * np.divide((p - q) ** 2, total, out=np.zeros_like(total), where=total > 0).sum(axis=1))
