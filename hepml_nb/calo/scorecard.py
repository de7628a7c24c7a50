"""One call for all figures of merit of made showers, and the time that one shower takes."""

from __future__ import annotations

import time
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from hepml_nb.calo import judge, response
from hepml_nb.calo.base import ShowerModel
from hepml_nb.calo.features import features
from hepml_nb.calo.measures import fpd, kpd, separation
from hepml_nb.calo.neighbours import neighbours
from hepml_nb.calo.sample import Floats, Showers
from hepml_nb.core import InputError, Result
from hepml_nb.stats import wasserstein

__all__ = ["milliseconds", "scorecard", "separations"]

_BINS = 50
_RANGE = (0.001, 0.999)
_TRIES = 3
_LEVELS: tuple[judge.Level, ...] = ("high", "low")


def separations(truth: Showers, made: Showers, seed: int = 0) -> dict[str, Result]:
    """Return the separation power of every feature of `features`, in 50 bins over the middle 99.8 % of the truth.

    What lies beyond falls into the first and last bin. Features that are always the same are left out.
    """
    one, two = features(truth), features(made)
    found = {}
    for name in one.names:
        edges = _bins(one[name])
        if edges is not None:
            a, b = (np.clip(which[name], edges[0], edges[-1]) for which in (one, two))
            found[name] = separation(a, b, edges, seed)
    return found


def scorecard(truth: Showers, made: Showers, *, judges: Sequence[str] = ("small",), seed: int = 0) -> dict[str, Result]:
    """Return all figures of merit of made showers against true ones of the same energies.

    auc_high, auc_low (with the first of `judges`; further ones as auc_high_NAME), auc_full (trees on all features),
    fpd and kpd (of the columns of the high level), separation and wasserstein (means over features, the latter in
    standard deviations of the truth), precision, recall, density and coverage, response and resolution. Neither sample
    may have trained the generator. Give two halves of the truth for the floors.
    """
    first, *others = judges
    found = {f"auc_{level}": judge.auc(truth, made, level, first, seed=seed) for level in _LEVELS}
    found |= {f"auc_high_{name}": judge.auc(truth, made, "high", name, seed=seed) for name in others}
    found["auc_full"] = judge.auc(truth, made, "full", "trees", seed=seed)
    a, b = judge.columns(truth, "high"), judge.columns(made, "high")
    found |= {"fpd": fpd(a, b, seed=seed), "kpd": kpd(a, b, seed=seed)}
    found["separation"] = _mean(list(separations(truth, made, seed).values()), "separation power")
    one, two = features(truth), features(made)
    moved = [
        wasserstein(one[name] / spread, two[name] / spread, n_boot=20, seed=seed)
        for name, spread in zip(one.names, one.values.std(axis=0), strict=True)
        if _bins(one[name]) is not None
    ]
    found["wasserstein"] = _mean(moved, "Wasserstein-1 distance in standard deviations")
    return found | neighbours(a, b, seed=seed) | response.distances(truth, made)


def milliseconds(
    model: ShowerModel, energies: npt.ArrayLike, batches: Sequence[int] = (1, 100), seed: int = 0
) -> dict[int, float]:
    """Return the milliseconds that one shower takes a fitted model at batch sizes, the shortest of three tries.

    energies: of which a batch is drawn, in MeV. The time is that of the clock: mind the threads, and compare times of
    one run only.
    """
    given = np.atleast_1d(np.asarray(energies, np.float64))
    if not len(given) or min(batches) < 1:
        raise InputError(f"{len(given)} energies and batches {tuple(batches)}; expected energies and sizes above 0.")
    found = {}
    for size in batches:
        some = np.resize(given, size)
        model.sample(some, seed)  # caches fill
        times = []
        for i in range(_TRIES):
            start = time.perf_counter()
            model.sample(some, seed + i)
            times.append(time.perf_counter() - start)
        found[size] = 1000 * min(times) / size
    return found


def _bins(values: Floats) -> Floats | None:
    """Return edges over the middle of the values; None where there is nothing to divide."""
    low, high = np.quantile(values, _RANGE)
    return np.linspace(low, high, _BINS + 1) if high > low else None


def _mean(results: Sequence[Result], name: str) -> Result:
    """Return the mean over features; they move together, so that the error is the mean of theirs."""
    values, errors, floors = (np.array([getattr(one, key) for one in results]) for key in ("value", "error", "floor"))
    return Result(
        float(values.mean()), float(errors.mean()), results[0].n, floor=float(floors.mean()), better="lower",
        definition=f"{name}, mean of {len(results)} features",
    )  # fmt: skip
