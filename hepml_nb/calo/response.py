"""Response and resolution of a calorimeter, energy by energy, and how far made showers are from the truth in both."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hepml_nb.calo.sample import Floats, Showers
from hepml_nb.core import InputError, Result

__all__ = ["EnergyScan", "distances", "energy_scan"]

_POINTS = 20
_BINS = 10
_FEWEST = 20


@dataclass(frozen=True)
class EnergyScan:
    """Mean and standard deviation of E_seen / E, with errors, at energies in MeV; all (points,)."""

    energies: Floats
    response: Floats
    response_error: Floats
    resolution: Floats  # standard deviation over mean
    resolution_error: Floats
    counts: Floats


def energy_scan(showers: Showers, edges: Floats | None = None) -> EnergyScan:
    """Return response and resolution at each energy, or in ten logarithmic bins where there are more than twenty.

    edges: of bins in MeV instead. In a bin E_seen / E is taken of each shower, so that the bin's width does not count.
    Errors are those of a mean and of a standard deviation from moments, the fourth included. Raises InputError where no
    energy has 20 showers.
    """
    limits = _edges(showers) if edges is None else np.asarray(edges, np.float64)
    which = np.searchsorted(limits, showers.energies, side="right") - 1
    share, rows = showers.totals / showers.energies, []
    for i in range(len(limits) - 1):
        mine = share[which == i]
        if len(mine) < _FEWEST or not mine.mean() > 0:
            continue
        mean, variance, n = mine.mean(), mine.var(ddof=1), len(mine)
        fourth = ((mine - mean) ** 4).mean()
        spread = np.sqrt(max(fourth - variance**2, 0) / (4 * variance * n)) if variance > 0 else 0.0
        sigma = np.sqrt(variance)
        error = np.hypot(spread / mean, variance / mean**2 / np.sqrt(n))
        rows.append((showers.energies[which == i].mean(), mean, sigma / np.sqrt(n), sigma / mean, error, n))
    if not rows:
        raise InputError(f"{len(showers)} showers, at no energy {_FEWEST}; response and resolution need as many.")
    return EnergyScan(*np.array(rows).T)


def distances(truth: Showers, made: Showers) -> dict[str, Result]:
    """Return how far "response" and "resolution" are from the truth's: the mean of |made / true - 1| over energies.

    floor: the mean of the absolute errors of these ratios, which equal distributions show. error: of that mean. Taken
    at energies of which both have 20 showers; raises InputError where there are none.
    """
    limits = _edges(truth)
    one, two = (energy_scan(showers, limits) for showers in (truth, made))
    a, b = (np.searchsorted(limits, scan.energies, side="right") for scan in (one, two))
    both, *rows = np.intersect1d(a, b, return_indices=True)
    if not len(both):
        raise InputError(f"energies {one.energies.round()} and {two.energies.round()} MeV; expected the same ones.")
    found = {}
    for name in ("response", "resolution"):
        (a, ea), (b, eb) = (
            (getattr(scan, name)[at], getattr(scan, f"{name}_error")[at])
            for scan, at in zip((one, two), rows, strict=True)
        )
        errors = b / a * np.hypot(ea / a, eb / b)
        found[name] = Result(
            float(np.abs(b / a - 1).mean()), float(np.sqrt((errors**2).sum()) / len(a)),
            int(min(one.counts.min(), two.counts.min())), floor=float(np.sqrt(2 / np.pi) * errors.mean()),
            better="lower", definition=f"mean |{name} / true - 1|",
        )  # fmt: skip
    return found


def _edges(showers: Showers) -> Floats:
    """Return edges around each energy, or of ten logarithmic bins where there are more than twenty energies."""
    places = np.unique(showers.energies)
    if len(places) > _POINTS:
        return np.geomspace(places[0], places[-1] * (1 + 1e-9), _BINS + 1)
    return np.concatenate([places[:1] / 1.1, np.sqrt(places[1:] * places[:-1]), places[-1:] * 1.1])
