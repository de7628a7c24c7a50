"""What a cut does to a spectrum, and how well a score works from bin to bin of something else."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from hepml_nb.core import InputError, Result, rng

from .checks import Floats, column, labelled
from .classify import auc, roc
from .compare import _edges, _filled, _toys

__all__ = ["Dependence", "dependence", "jensen_shannon", "sculpting"]


@dataclass(frozen=True)
class Dependence:
    """A metric in bins of another quantity: edges (bins + 1,), results (bins,), None where a class has too few events.

    signal, background: events in each bin, (bins,).
    """

    edges: Floats
    results: tuple[Result | None, ...]
    signal: npt.NDArray[np.int64]
    background: npt.NDArray[np.int64]

    @property
    def spread(self) -> float:
        """Largest minus smallest value; nan where fewer than two bins have one."""
        values = [result.value for result in self.results if result is not None]
        return max(values) - min(values) if len(values) > 1 else float("nan")


def dependence(
    labels: npt.ArrayLike,
    scores: npt.ArrayLike,
    by: npt.ArrayLike,
    *,
    bins: int | npt.ArrayLike = 5,
    metric: Callable[[Floats, Floats], Result] = auc,
    least: int = 20,
) -> Dependence:
    """Return the metric in bins of `by`, each with its own error.

    labels: (n,) of 0 and 1; scores, by: (n,). bins: edges (a value on the last one counts), or a number of bins that
    hold equally many of the rarer class. metric: (labels, scores) -> Result, such as `auc` or a `rejection`. least:
    bins with fewer events of a class get None. Raises InputError for nan, one class, wrong lengths, bad edges.
    """
    signal, score, _ = labelled(labels, scores)
    values = column(by, "by", len(signal))
    if isinstance(bins, int | np.integer):
        rare = values[signal] if signal.sum() < (~signal).sum() else values[~signal]
        bins = np.unique(np.quantile(rare, np.linspace(0, 1, _count(bins) + 1)))
        bins[0], bins[-1] = min(bins[0], values.min()), max(bins[-1], values.max())
        if len(bins) < 2:
            raise InputError(f"by is {values[0]:g} for every event of the rarer class; nothing depends on it.")
    edges = _edges(bins, values, values)
    place = np.searchsorted(edges, values, side="right") - 1
    place[values == edges[-1]] = len(edges) - 2
    inside = [place == i for i in range(len(edges) - 1)]
    counts = np.array([[(one & signal).sum(), (one & ~signal).sum()] for one in inside], dtype=np.int64)
    results = tuple(
        metric(signal[one].astype(np.float64), score[one]) if min(n) >= max(least, 1) else None
        for one, n in zip(inside, counts, strict=True)
    )
    return Dependence(edges, results, counts[:, 0], counts[:, 1])


def jensen_shannon(
    a: npt.ArrayLike, b: npt.ArrayLike, *, bins: int | npt.ArrayLike, n_boot: int = 200, seed: int = 0
) -> Result:
    """Return the Jensen-Shannon divergence, in bits, of the normalised histograms of a (n,) and b (m,).

    1/2 KL(p, m) + 1/2 KL(q, m) with m = (p + q) / 2: 0 for equal histograms, 1 for disjoint ones. bins: edges, or a
    number of equal bins over the range of both. error: Poisson toys of both histograms, less the noise that they have
    twice; floor: mean of toys in which both come from their common histogram, which is what equal spectra would show
    on so many events. n: events of the smaller sample. Raises InputError for nan, bad edges, no event inside.
    """
    x, y = column(a, "a"), column(b, "b")
    edges = _edges(bins, x, y)
    p, unit, size_p = _filled(x, np.ones(len(x)), edges, "a")
    q, _, size_q = _filled(y, np.ones(len(y)), edges, "b")
    common = (p + q) / (size_p + size_q)
    generator = rng(seed, "jensen-shannon")
    replicas = _divergence(_toys(p, unit, n_boot, generator), _toys(q, unit, n_boot, generator))
    perfect = _divergence(
        _toys(common * size_p, unit, n_boot, generator), _toys(common * size_q, unit, n_boot, generator)
    )
    noise = perfect.var(ddof=1)
    return Result(
        value=float(_divergence(p[None], q[None])[0]),
        error=float(np.sqrt(max(replicas.var(ddof=1) - 2 * noise, noise))),
        n=int(min(size_p, size_q)),
        floor=float(perfect.mean()),
        better="lower",
        definition=f"Jensen-Shannon divergence in bits, {len(edges) - 1} bins",
    )


def sculpting(
    labels: npt.ArrayLike,
    scores: npt.ArrayLike,
    mass: npt.ArrayLike,
    *,
    eff: float = 0.5,
    bins: int | npt.ArrayLike = 30,
    n_boot: int = 200,
    seed: int = 0,
) -> Result:
    """Return how far a cut at signal efficiency `eff` bends the background's mass: pass against fail, in bits.

    The Jensen-Shannon divergence of the `mass` (n,) of background events that pass and that fail (ATL-PHYS-PUB-2018-014
    quotes its inverse). Read it beside the floor: few events pass a hard cut. bins: as in `jensen_shannon`.
    Raises InputError as `roc` does, and where no background passes, or all.
    """
    signal, score, _ = labelled(labels, scores)
    values = column(mass, "mass", len(signal))
    passed = score >= roc(signal, score).threshold_at(eff)
    kept, left = values[passed & ~signal], values[~passed & ~signal]
    if not len(kept) or not len(left):
        raise InputError(
            f"at eff={eff:g} {len(kept)} background events pass and {len(left)} fail; both are needed to compare."
        )
    return jensen_shannon(kept, left, bins=bins, n_boot=n_boot, seed=seed)


def _count(bins: int | np.integer) -> int:
    if bins < 1:
        raise InputError(f"bins={bins!r}; expected at least one bin, or an array of edges.")
    return int(bins)


def _divergence(p: Floats, q: Floats) -> Floats:
    """Return the divergence in bits of histograms (n, bins), as (n,)."""
    p, q = p / p.sum(axis=1, keepdims=True), q / q.sum(axis=1, keepdims=True)
    middle = (p + q) / 2
    terms = [x * np.log2(np.divide(x, middle, out=np.ones_like(x), where=x > 0)) for x in (p, q)]
    return np.asarray((terms[0] + terms[1]).sum(axis=1) / 2)
