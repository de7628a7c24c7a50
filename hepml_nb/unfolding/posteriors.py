"""How good posterior draws are: whether their intervals cover, whether ranks are flat, and a score that is proper."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from hepml_nb.core import InputError, Result, rng
from hepml_nb.unfolding.sample import Floats

__all__ = ["coverage", "crps", "ranks"]

_REPLICAS = 200  # bootstrap replicas


def ranks(draws: npt.ArrayLike, truth: npt.ArrayLike, seed: int = 0) -> Floats:
    """Return the share of each event's draws (n, draws) that lies below its true value (n,), ties broken at random.

    Uniform in [0, 1] where the draws follow the posterior (simulation-based calibration, arXiv:1804.06788).
    Raises InputError for shapes that do not fit or values that are not finite.
    """
    x, y = _checked(draws, truth)
    within = rng(seed, "ranks").random(len(y)) * ((x == y[:, None]).sum(1) + 1)
    return np.asarray(((x < y[:, None]).sum(1) + within) / (x.shape[1] + 1))


def coverage(draws: npt.ArrayLike, truth: npt.ArrayLike, level: float = 0.6827, seed: int = 0) -> Result:
    """Return how often the central interval of `level` in (0, 1) of an event's draws (n, draws) holds its truth (n,).

    error: binomial; floor: the level, what a calibrated posterior scores. Raises InputError as `ranks` does.
    """
    if not 0 < level < 1:
        raise InputError(f"level={level!r}; expected a probability between 0 and 1.")
    inside = np.abs(ranks(draws, truth, seed) - 0.5) < level / 2
    value, n = float(inside.mean()), len(inside)
    error = max(np.sqrt(value * (1 - value) / n), 0.5 / n)
    return Result(value, error, n, level, None, "target", f"share of events in their central {level:.2%} interval")


def crps(
    draws: npt.ArrayLike | Sequence[npt.ArrayLike],
    truth: npt.ArrayLike,
    *,
    seed: int = 0,
    floor: float | None = None,
    baseline: float | None = None,
) -> Result:
    """Return the mean continuous ranked probability score, E|x - y| - E|x - x'| / 2, of draws x of truths y (n,).

    draws: (n, draws), or one such table per training. In the unit of the observable, lower is better, and no other
    draws score better on average than those of the exact posterior (Gneiting and Raftery, JASA 102 (2007) 359);
    of one draw per event it is the mean distance. error: bootstrap over events, with the spread of trainings / sqrt(T).
    replicas: the same resampled events for all results with the same truth and seed. Raises InputError as `ranks` does.
    """
    tables: list[Any] = list(draws) if isinstance(draws, list | tuple) else [draws]
    scores = np.stack([_scores(*_checked(one, truth)) for one in tables])
    n = scores.shape[1]
    chosen = rng(seed, "crps", n).integers(0, n, (_REPLICAS, n))
    replicas = scores[:, chosen].mean(axis=2)
    spread = scores.mean(1).std(ddof=1) / np.sqrt(len(scores)) if len(scores) > 1 else 0.0
    error = float(np.hypot(replicas.mean(0).std(ddof=1), spread))
    return Result(
        float(scores.mean()), error, n, floor, baseline, "lower", "continuous ranked probability score",
        seeds=len(scores), replicas=replicas, pairing=f"crps@{seed}:{float(np.sum(np.asarray(truth, float))):.12g}",
    )  # fmt: skip


def _scores(x: Floats, y: Floats) -> Floats:
    m = x.shape[1]
    rank = 2 * np.arange(1, m + 1) - m - 1
    apart = 2 * (np.sort(x, axis=1) @ rank) / max(m * (m - 1), 1)  # the fair mean of |x - x'|
    return np.asarray(np.abs(x - y[:, None]).mean(1) - apart / 2)


def _checked(draws: npt.ArrayLike, truth: npt.ArrayLike) -> tuple[Floats, Floats]:
    x, y = np.asarray(draws, float), np.asarray(truth, float)
    if x.ndim != 2 or y.shape != (len(x),) or x.shape[1] < 1 or not len(y):
        raise InputError(f"draws {x.shape} and truth {y.shape} do not fit; expected (n, draws) and (n,).")
    if not np.isfinite(x).all() or not np.isfinite(y).all():
        raise InputError("draws and truth must be finite.")
    return x, y
