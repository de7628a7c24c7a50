"""Do made showers lie where true ones lie, and everywhere there? Precision, recall, density and coverage."""

from __future__ import annotations

from math import prod

import numpy as np
import numpy.typing as npt

from hepml_nb.calo.measures import tables
from hepml_nb.calo.sample import Floats
from hepml_nb.core import InputError, Result, rng

__all__ = ["neighbours"]


def neighbours(
    truth: npt.ArrayLike, made: npt.ArrayLike, *, k: int = 5, most: int = 5000, n_boot: int = 50, seed: int = 0
) -> dict[str, Result]:
    """Return "precision", "recall" (arXiv:1904.06991), "density" and "coverage" (arXiv:2002.09797) of feature tables.

    Around each row of one table lies a ball up to its k-th neighbour in that table. precision: share of made rows in a
    ball of a true one; recall: share of true rows in a ball of a made one; density: in how many true balls a made row
    lies, over k, on average; coverage: share of true balls that hold a made row. Both tables (n, features), (m,
    features), are cut to the same number, `most` at most, with columns over the truth's standard deviation.

    The floors of density, 1, and coverage, 1 - prod (N - i) / (2 N - i) for i = 1 to k, are exact for equal
    distributions; for precision and recall, whose floors depend on the distribution, look at two halves of the truth.
    error: of showers drawn with replacement, at given balls. Raises InputError as `measures.fpd`, and for k below 1.
    """
    from sklearn.neighbors import NearestNeighbors  # imported here: it takes over a second

    a, b = tables(truth, made)
    n, generator = min(len(a), len(b), most), rng(seed, "neighbours")
    if not 1 <= k < n:
        raise InputError(f"k={k!r} neighbours among {n} showers; expected 1 to {n - 1}.")
    a, b = (one[generator.permutation(len(one))[:n]] for one in (a, b))
    reach = {}
    for name, one in (("truth", a), ("made", b)):
        reach[name] = NearestNeighbors(n_neighbors=k + 1).fit(one).kneighbors(one)[0][:, -1]  # itself is the first
    inside, held = np.zeros(n), np.zeros(n, bool)  # true balls around a made row; whether a true ball holds one
    recalled = np.zeros(n, bool)
    for begin in range(0, n, 500):  # rows of the distances at a time bound the memory
        some = slice(begin, begin + 500)
        apart = _distances(a[some], b)
        near = apart <= reach["truth"][some, None]
        inside += near.sum(axis=0)
        held[some] = near.any(axis=1)
        recalled[some] = (apart <= reach["made"]).any(axis=1)
    each = {"precision": inside > 0, "recall": recalled, "density": inside / k, "coverage": held}
    floors = {"density": 1.0, "coverage": 1 - prod((n - i) / (2 * n - i) for i in range(1, k + 1))}
    draws = generator.integers(n, size=(n_boot, n))
    return {
        name: Result(
            float(values.mean()), float(values[draws].mean(axis=1).std(ddof=1)), n, floors.get(name),
            better="target" if name == "density" else "higher", definition=f"{name}, {k} neighbours of {n} showers",
        )
        for name, values in each.items()
    }  # fmt: skip


def _distances(a: Floats, b: Floats) -> Floats:
    """Return all distances (len(a), len(b))."""
    squares = (a**2).sum(axis=1)[:, None] + (b**2).sum(axis=1) - 2 * a @ b.T
    return np.asarray(np.sqrt(np.maximum(squares, 0)))
