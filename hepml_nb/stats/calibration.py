"""Whether a probability means what it says: of the events given 80 %, are 80 % signal?"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from hepml_nb.core import InputError, Result, rng

from .checks import Floats, binary
from .checks import probabilities as checked_probabilities
from .intervals import clopper_pearson

__all__ = ["Reliability", "ece", "reliability"]

_CHUNK = 2_000_000


@dataclass(frozen=True)
class Reliability:
    """A reliability diagram; all shapes (bins,), from low to high probability.

    predicted: mean probability; observed: fraction of signal; low, high: its 68 % Clopper-Pearson interval;
    error: half of that interval; n: events.
    """

    predicted: Floats
    observed: Floats
    error: Floats
    n: npt.NDArray[np.int64]
    low: Floats
    high: Floats


def reliability(labels: npt.ArrayLike, probabilities: npt.ArrayLike, bins: int = 15) -> Reliability:
    """Return mean probability and observed signal fraction in `bins` bins of equal count.

    labels: (n,) of 0 and 1; probabilities: (n,) in [0, 1]. Events of equal probability share a bin, so there are
    fewer bins where many are equal. Raises InputError for anything else, and for more bins than events.
    """
    signal, probability, starts = _binned(labels, probabilities, bins)
    n = np.diff(np.append(starts, len(signal)))
    passed = np.add.reduceat(signal, starts)
    low, high = clopper_pearson(passed, n)
    return Reliability(
        np.add.reduceat(probability, starts) / n, passed / n, (high - low) / 2, n.astype(np.int64), low, high
    )


def ece(
    labels: npt.ArrayLike, probabilities: npt.ArrayLike, bins: int = 15, *, n_boot: int = 200, seed: int = 0
) -> Result:
    """Return the expected calibration error, sum over bins of (n_b / n) |observed - predicted|.

    The bins are those of `reliability`: 15 of equal count. error: bootstrap over events in fixed bins. floor: the
    mean over `n_boot` toys in which each event is signal with exactly the given probability; a perfectly calibrated
    classifier scores that, not 0, on as many events. Raises InputError as `reliability` does.
    Source: Naeini, Cooper and Hauskrecht, AAAI 2015; equal-count bins as in Nguyen and O'Connor, arXiv:1508.05154.
    """
    signal, probability, starts = _binned(labels, probabilities, bins)
    n = len(signal)
    excess = signal - probability
    toys, replicas = np.empty(n_boot), np.empty(n_boot)
    step = max(1, _CHUNK // n)
    for start in range(0, n_boot, step):
        rows = min(step, n_boot - start)
        drawn = rng(seed, "ece floor", start).random((rows, n)) < probability
        toys[start : start + rows] = np.abs(np.add.reduceat(drawn - probability, starts, axis=1)).sum(axis=1) / n
        generator = rng(seed, "ece bootstrap", start)
        counts = np.stack([np.bincount(generator.integers(0, n, n), minlength=n) for _ in range(rows)])
        replicas[start : start + rows] = np.abs(np.add.reduceat(counts * excess, starts, axis=1)).sum(axis=1) / n
    value = float(np.abs(np.add.reduceat(excess, starts)).sum() / n)
    definition = f"expected calibration error, {len(starts)} bins of equal count"
    return Result(value, float(replicas.std(ddof=1)), n, float(toys.mean()), None, "lower", definition)


def _binned(
    labels: npt.ArrayLike, probabilities: npt.ArrayLike, bins: int
) -> tuple[Floats, Floats, npt.NDArray[np.intp]]:
    """Return (signal, probability) sorted by probability and the index where each bin starts."""
    signal = binary(labels)
    probability = checked_probabilities(probabilities, len(signal))
    if not 1 <= bins <= len(signal):
        raise InputError(f"bins={bins!r} for {len(signal)} events; expected at least 1 and at most one bin per event.")
    order = np.argsort(probability, kind="stable")
    signal, probability = signal[order], probability[order]
    wanted = np.arange(bins) * len(signal) // bins
    starts = np.unique(np.searchsorted(probability, probability[wanted], side="left"))
    return signal.astype(np.float64), probability, starts
