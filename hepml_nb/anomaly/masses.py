"""The mass spectrum inside a window as the sideband foretells it: a smooth curve, its integral, and draws from it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from hepml_nb.anomaly.sample import Events, Floats
from hepml_nb.core import InputError, rng

__all__ = ["MassDensity", "in_window", "interpolated"]

_GRID = 400


@dataclass(frozen=True, eq=False)
class MassDensity:
    """Expected events per TeV inside a window, tabulated: masses (g,) from low to high, density (g,)."""

    masses: Floats
    density: Floats

    @property
    def expected(self) -> float:
        """Number of background events that the sideband foretells in the window."""
        return float(np.trapezoid(self.density, self.masses))

    def draw(self, n: int, seed: int = 0) -> Floats:
        """Return n masses (n,) that follow the density, in TeV."""
        steps = (self.density[1:] + self.density[:-1]) / 2 * np.diff(self.masses)
        cumulative = np.append(0.0, np.cumsum(steps))
        return np.asarray(np.interp(rng(seed, "masses").random(n) * cumulative[-1], cumulative, self.masses))


def in_window(sideband: Events, signal_region: Events) -> MassDensity:
    """Return `interpolated` between the least and the largest mass of the signal region, which lie in the window."""
    return interpolated(sideband.mjj, float(signal_region.mjj.min()), float(signal_region.mjj.max()))


def interpolated(
    sideband: npt.ArrayLike, low: float, high: float, *, order: int = 4, width: float = 0.05, share: float = 0.995
) -> MassDensity:
    """Return the spectrum between low and high (TeV) from the masses (n,) beside: log density a polynomial in log mass.

    Maximum of the Poisson likelihood in bins of `width` TeV; order: of the polynomial. The upper 1 - share of the
    masses is left out, where bins are empty and a polynomial has nothing to hold on to.
    Raises InputError where fewer than order + 1 bins are filled.
    """
    from sklearn.linear_model import PoissonRegressor

    masses = np.asarray(sideband, np.float64)
    top = max(float(np.quantile(masses, share)), high + (order + 1) * width)
    below, above = np.arange(low, masses.min() - width, -width)[::-1], np.arange(high, top + width, width)
    parts = []
    for edges in (below, above):
        if len(edges) > 1:
            parts.append(np.stack([(edges[1:] + edges[:-1]) / 2, np.histogram(masses, edges)[0]], axis=1))
    centres, counts = np.concatenate(parts).T if parts else np.zeros((2, 0))
    if (counts > 0).sum() <= order:
        raise InputError(
            f"the {len(masses)} masses beside {low:g} to {high:g} TeV fill {int((counts > 0).sum())} bins of {width:g} "
            f"TeV; a spectrum of order {order} needs more than {order}."
        )
    middle, scale = np.log(centres).mean(), np.log(centres).std()

    def powers(at: Floats) -> Floats:
        return np.stack([((np.log(at) - middle) / scale) ** k for k in range(1, order + 1)], axis=1)

    fitted = PoissonRegressor(alpha=0.0, solver="newton-cholesky", max_iter=100).fit(powers(centres), counts)
    grid = np.linspace(low, high, _GRID)
    return MassDensity(grid, np.asarray(fitted.predict(powers(grid))) / width)
