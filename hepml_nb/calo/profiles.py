"""What is known of electromagnetic showers, measured on showers: depth and width of the profile, response, resolution.

Depths are in radiation lengths X0 and radii in Moliere radii of the mixture that the sheets make up, as in the PDG's
review "Passage of particles through matter"; errors come from redrawing whole showers, whose layers fluctuate together.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.interpolate import PchipInterpolator
from scipy.optimize import curve_fit, minimize
from scipy.special import gammainc

from hepml_nb.calo.sample import Floats, Showers
from hepml_nb.core import Better, InputError, Result, content_hash, rng
from hepml_nb.simulate.calorimeter import MATERIALS, Geometry, Stack

__all__ = [
    "GammaProfile",
    "Response",
    "behind_middle",
    "bootstrap",
    "contained",
    "depth_edges",
    "fit_profile",
    "fit_response",
    "layer_shares",
    "pdg_maximum",
]

_OFFSETS = {"electron": -0.5, "photon": 0.5}
_FEWEST = 10
_SIZES = np.array([1e-2, 1e-4])
"""Of the squares of sampling and constant term, about: the fit is in these units."""


@dataclass(frozen=True)
class GammaProfile:
    """dE/dt = scale * b (b t)^(a - 1) exp(-b t) / Gamma(a), t in X0 (PDG eq. for the mean longitudinal profile)."""

    a: float
    b: float
    scale: float

    @property
    def maximum(self) -> float:
        """Return the depth of the maximum, (a - 1) / b, in X0."""
        return (self.a - 1) / self.b

    def between(self, edges: Floats) -> Floats:
        """Return what lies between depths (n + 1,) in X0, (n,)."""
        return np.asarray(self.scale * np.diff(gammainc(self.a, self.b * np.asarray(edges))))

    def __call__(self, t: Floats) -> Floats:
        """Return the density at depths t in X0."""
        from scipy.stats import gamma

        return np.asarray(self.scale * gamma.pdf(t, self.a, scale=1 / self.b))


def depth_edges(geometry: Geometry) -> Floats:
    """Return begin and end of the layers (layers + 1,) in X0; raise InputError for layers with gaps between them."""
    edges = np.array([*(layer.begin for layer in geometry.layers), geometry.layers[-1].end])
    if not np.allclose(edges[1:], [layer.end for layer in geometry.layers]):
        raise InputError(f"{geometry.name} has gaps between its layers; expected layers that follow one another.")
    return edges


def behind_middle(geometry: Geometry) -> float:
    """Return how much deeper than the middle of a layer its active sheets lie, in X0: absorber comes first."""
    return sum(mm / 10 * MATERIALS[name].density / MATERIALS[name].x0 for name, mm in geometry.stack.absorber) / 2


def pdg_maximum(energies: Floats, stack: Stack, particle: str = "electron") -> Floats:
    """Return ln(E / E_c) - 0.5 for electrons, + 0.5 for photons, in X0; energies in MeV, Rossi's critical energy."""
    if particle not in _OFFSETS:
        raise InputError(f"particle={particle!r}; the formula is for electron and photon.")
    return np.asarray(np.log(np.asarray(energies) / stack.critical) + _OFFSETS[particle])


def layer_shares(showers: Showers) -> Floats:
    """Return the energy of the layers over that of the particle, (n, layers)."""
    return np.asarray(showers.layers / showers.energies[:, None])


def fit_profile(showers: Showers, shift: float = 0.0) -> GammaProfile:
    """Return the gamma profile of the mean share of energy in the layers, fitted with the layers' errors.

    The profile is integrated over each layer, moved by `shift` in X0: `behind_middle` where the showers were sampled by
    sheets, 0 where layers hold all that lies in them. Raises InputError for fewer than 10 showers.
    """
    edges, shares = depth_edges(showers.geometry) + shift, layer_shares(showers)
    if len(shares) < _FEWEST:
        raise InputError(f"{len(shares)} showers; a mean profile needs {_FEWEST}.")
    mean = shares.mean(axis=0)
    error = shares.std(axis=0, ddof=1) / np.sqrt(len(shares))
    error = np.maximum(error, 1e-3 * mean.max())  # the last layers hold almost nothing, all of the same size
    middle = (edges[1:] + edges[:-1]) / 2
    first = np.average(middle, weights=mean)
    a = max(first**2 / np.average((middle - first) ** 2, weights=mean), 1.2)

    def model(_: Floats, *logs: float) -> Floats:  # logarithms keep a > 1, b > 0 and the scale positive
        return GammaProfile(1 + np.exp(logs[0]), np.exp(logs[1]), np.exp(logs[2])).between(edges)

    found, _ = curve_fit(model, middle, mean, sigma=error, p0=np.log([a - 1, a / first, mean.sum()]))
    above, b, scale = np.exp(found)
    return GammaProfile(float(1 + above), float(b), float(scale))


def contained(showers: Showers, radius: float) -> float:
    """Return the share of the energy in the voxels within `radius` mm of the axis, interpolated between the rings.

    The layers must have the same rings. Raises InputError for a radius outside them or showers without energy.
    """
    edges, view = np.array(showers.geometry.layers[0].r_edges), showers.geometry.view(showers.deposits)
    if not 0 < radius <= edges[-1]:
        raise InputError(f"radius={radius} mm; the voxels reach {edges[-1]} mm.")
    grown = np.concatenate([[0], np.cumsum(view.sum(axis=(0, 1, 2), dtype=np.float64))])
    if not grown[-1] > 0:
        raise InputError("no energy in any voxel.")
    return float(PchipInterpolator(edges, grown / grown[-1])(radius))


@dataclass(frozen=True)
class Response:
    """E_seen = scale E (E / 10 GeV)^curvature, with sigma / E_seen = sqrt(sampling^2 / (E / GeV) + constant^2)."""

    scale: float
    curvature: float
    sampling: float
    constant: float

    def resolution(self, energies: Floats) -> Floats:
        """Return sigma / E at energies in MeV."""
        return np.hypot(self.sampling / np.sqrt(np.asarray(energies) / 1000), self.constant)


def fit_response(energies: Floats, totals: Floats) -> Response:
    """Return response and resolution by maximum likelihood of Gaussian totals (n,) at energies (n,), both in MeV.

    Raises InputError for fewer than 10 showers or energies within a factor of 2, which cannot tell the terms apart.
    """
    energies, totals = np.asarray(energies, np.float64), np.asarray(totals, np.float64)
    if len(energies) < _FEWEST or energies.max() < 2 * energies.min():
        raise InputError(f"{len(energies)} showers; expected {_FEWEST} or more, with energies beyond a factor of 2.")
    seen, x = totals / energies, np.log(energies / 1e4)
    per_gev, flat = _SIZES[0] * 1000 / energies, np.full(len(x), _SIZES[1])

    def loss(p: Floats) -> tuple[float, Floats]:
        mean, variance = np.exp(p[0] + p[1] * x), p[2] * per_gev + p[3] * flat
        pull = (seen / mean - 1) ** 2 / variance
        by_log_mean = 1 - pull - (seen / mean - 1) / variance
        by_variance = (1 - pull) / (2 * variance)
        slopes = [by_log_mean, by_log_mean * x, by_variance * per_gev, by_variance * flat]
        return float(np.mean(np.log(mean) + 0.5 * np.log(variance) + 0.5 * pull)), np.array([s.mean() for s in slopes])

    start = [np.log(seen.mean()), 0.0, max(float(np.var((seen / seen.mean() - 1) / np.sqrt(per_gev))), 0.01), 1.0]
    limits = [(None, None), (None, None), (1e-4, None), (1e-4, None)]
    found = minimize(loss, start, jac=True, method="L-BFGS-B", bounds=limits, options={"ftol": 1e-11}).x
    squares = found[2:] * _SIZES
    return Response(float(np.exp(found[0])), float(found[1]), *map(float, np.sqrt(squares)))


def bootstrap(
    measure: Callable[[Showers], float],
    showers: Showers,
    seed: int = 0,
    n_boot: int = 50,
    *,
    floor: float | None = None,
    better: Better = "target",
    definition: str = "",
) -> Result:
    """Return what `measure` makes of the showers, with the standard deviation over showers drawn with replacement.

    Results of simulators at the same energies are paired: the same showers are drawn. floor: what theory says, or a
    perfect simulation has.
    """
    g = rng(seed, "showers")
    again = [measure(showers[g.integers(len(showers), size=len(showers))]) for _ in range(n_boot)]
    pairing = f"showers:{content_hash([definition, seed, n_boot, showers.energies.tolist()])}"
    return Result(float(measure(showers)), float(np.std(again, ddof=1)), len(showers), floor, better=better,
                  definition=definition, seeds=0, replicas=np.array([again]), pairing=pairing)  # fmt: skip
