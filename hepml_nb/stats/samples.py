"""How much a sample is worth, and what a perfect method would score on one of that size."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from hepml_nb.core import InputError, Result, rng

from .checks import column

__all__ = ["effective_size", "floor"]


def effective_size(weights: npt.ArrayLike) -> float:
    """Return (sum w)^2 / sum w^2: the number of unweighted events with the same relative error (Kish).

    weights: shape (n,), finite, negative ones allowed; equal weights give n. Raises InputError when all are zero.
    """
    w = column(weights, "weights")
    squares = float(np.sum(w * w))
    if squares == 0:
        raise InputError(f"all {len(w)} weights are 0; an effective size needs at least one other.")
    return float(w.sum() ** 2 / squares)


def floor(
    metric: Callable[..., Result | float],
    draw: Callable[[np.random.Generator], tuple[object, ...]],
    *,
    n: int = 20,
    seed: int = 0,
) -> Result:
    """Return what `metric` gives on average for a perfect method, and how far one sample scatters around it.

    draw(generator) returns the metric's arguments as a perfect method would give them, for instance two independent
    samples of the truth, of the same (effective) size as the number that the floor stands beside. value: mean over `n`
    draws; error: standard deviation of one draw. Raises InputError for n < 2.
    """
    if n < 2:
        raise InputError(f"n={n!r} draws give no scatter; expected at least 2.")
    numbers = np.empty(n)
    for i in range(n):
        got = metric(*draw(rng(seed, "floor", i)))
        numbers[i] = got.value if isinstance(got, Result) else float(got)
    return Result(
        float(numbers.mean()), float(numbers.std(ddof=1)), n, better="target", definition=f"mean of {n} perfect draws"
    )
