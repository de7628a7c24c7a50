"""The look-elsewhere effect: from the best of many local p-values to one global p-value."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.stats import norm

from hepml_nb.anomaly.spectrum import Floats
from hepml_nb.core import InputError

__all__ = ["Trials", "gross_vitells", "toy_p", "upcrossings"]


def upcrossings(q0: npt.ArrayLike, level: float) -> Floats:
    """Return how often each scan q0 (t, m) over rising masses crosses the level from below, (t,).

    A scan that begins above the level has not crossed it.
    """
    above = np.atleast_2d(np.asarray(q0, float)) > level
    return np.asarray((above[:, 1:] & ~above[:, :-1]).sum(axis=1), float)


@dataclass(frozen=True)
class Trials:
    """How many upcrossings of `level` the background makes on average, and the error of that number."""

    crossings: float
    error: float
    level: float
    toys: int

    def global_p(self, q0: npt.ArrayLike) -> Floats:
        """Return P(largest q0 of a scan above the given one) <= P(chi2 above it) / 2 + N(level) e^(-(q0 - level) / 2).

        It is a bound that becomes an equality for small p (arXiv:1005.1891); where it would pass one it is one.
        """
        q = np.asarray(q0, float)
        bound = norm.sf(np.sqrt(q)) + self.crossings * np.exp(-(q - self.level) / 2)
        return np.asarray(np.minimum(bound, 1.0))

    def factor(self, q0: float) -> float:
        """Return the trials factor, global over local p; it grows in proportion to the significance."""
        return float(self.global_p(q0) / norm.sf(np.sqrt(q0)))

    def global_z(self, z: npt.ArrayLike) -> Floats:
        """Return the global significance of local ones."""
        return np.asarray(norm.isf(self.global_p(np.asarray(z, float) ** 2)))


def gross_vitells(q0: npt.ArrayLike, level: float = 0.5) -> Trials:
    """Count upcrossings of a low level in a few background scans q0 (toys, masses): `bumps.scan_toys`.

    A low level is crossed often, so that some tens of toys are enough for five sigma. The masses must be closer to each
    other than the resolution, or crossings are missed. Raises InputError for fewer than two toys or masses, or a level
    that is never crossed.
    """
    scans = np.asarray(q0, float)
    if scans.ndim != 2 or min(scans.shape) < 2:
        raise InputError(f"q0 has shape {scans.shape}; expected (toys, masses), at least two of each.")
    found = upcrossings(scans, level)
    if not found.any():
        raise InputError(f"no toy crosses level={level!r}; take a lower one, at most {scans.max():.3g}, or more toys.")
    return Trials(float(found.mean()), float(found.std(ddof=1) / np.sqrt(len(found))), level, len(found))


def toy_p(largest: npt.ArrayLike, observed: npt.ArrayLike) -> tuple[Floats, Floats]:
    """Return the share of toys whose statistic (t,) is at least each observed one (n,), and its binomial error.

    The data count as one more toy, so that p is never zero.
    """
    toys, seen = np.sort(np.asarray(largest, float)), np.atleast_1d(np.asarray(observed, float))
    p = (len(toys) - np.searchsorted(toys, seen, side="left") + 1) / (len(toys) + 1)
    return np.asarray(p), np.sqrt(p * (1 - p) / len(toys))
