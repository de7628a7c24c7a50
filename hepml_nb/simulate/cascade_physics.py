"""Cross sections of photons and electrons in matter, as the tables that the cascade is simulated with.

Pair production: total of Hubbell, Gimm and Overbo (J. Phys. Chem. Ref. Data 9 (1980) 1023) in the fit of the Geant4
physics manual, shared by the Bethe-Heitler spectrum with screening and Coulomb correction (Tsai, Rev. Mod. Phys. 46
(1974) 815; Butcher and Messel, Nucl. Phys. 20 (1960) 15). Bremsstrahlung: Tsai's formula of thin targets. Compton
scattering: Klein and Nishina. Photo-electric absorption: Biggs and Lighthill (SAND87-0070). Ionisation: Moller's cross
section above a cut, Berger and Seltzer's loss below it, with Sternheimer's density effect (At. Data Nucl. Data Tables
30 (1984) 261). Positrons lose and scatter as electrons do. The Landau-Pomeranchuk-Migdal effect is left out: in
tungsten it suppresses photons below E^2 / 2.7 TeV (PDG), 37 MeV at 10 GeV.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np

from hepml_nb.core import NotFound, suggest
from hepml_nb.simulate.calorimeter import MATERIALS
from hepml_nb.simulate.geant4_tables import bremsstrahlung as shared

__all__ = ["ELEMENTS", "GRID", "Tables", "bremsstrahlung", "compton", "loss", "moller", "pair", "photo", "tables"]

MASS, ALPHA, RADIUS, AVOGADRO = 0.51099895, 1 / 137.035999, 2.8179403e-13, 6.02214076e23
"""Electron mass (MeV), fine structure constant, classical electron radius (cm), Avogadro's number."""
SOFT, DELTA = 0.1, 0.2
"""MeV: photons of bremsstrahlung and knock-on electrons below are a continuous loss."""
PER_DECADE = 24
GRID = np.logspace(-2, 8, 10 * PER_DECADE + 1)
"""Energies (MeV) of the tables: of photons, kinetic of electrons."""
QUANTILES = 65
BARN = 1e-24


@dataclass(frozen=True)
class Element:
    """An element: atomic weight, mean excitation energy (eV), K edge (MeV), density effect and photo-electric effect.

    `sternheimer` is (C, x0, x1, a, k, delta0); `photo` holds c_n of sigma = sum c_n / E^n (barn, MeV) from n = 1, below
    the first, between and above the second of `edges` (MeV).
    """

    weight: float
    excitation: float
    binding: float
    sternheimer: tuple[float, ...]
    edges: tuple[float, float]
    photo: tuple[tuple[float, ...], ...]


ELEMENTS = {
    "W": Element(183.84, 727, 0.0695, (5.4059, 0.2167, 3.4960, 0.15509, 2.8447, 0.14), (0.0695, 0.5), (
        (-6.4264, 1.4114, 0.15597, -5.6021e-4), (1.6107, 0.91557, 1.47395, -0.031445),
        (0.94610, 1.86594, 1.02212, 0.039993))),
    "Pb": Element(207.2, 823, 0.0880, (6.2018, 0.3776, 3.8073, 0.09359, 3.1608, 0.14), (0.0880, 0.5), (
        (-2.8231, 1.39604, 0.27350, -1.41565e-3), (2.61285, 1.61415, 2.21172, -0.060101),
        (1.45866, 3.05595, 1.63548, 0.011862))),
    "Si": Element(28.085, 173, 0.00184, (4.4351, 0.2014, 2.8715, 0.14921, 3.2546, 0.14), (0.1, 0.5), (
        (0.023061, -7.8440e-3, 1.69145e-3, -7.4849e-7), (1.26661e-3, -2.53135e-4, 8.27771e-4, 3.15486e-5),
        (5.25576e-4, 6.41698e-4, 2.27159e-4, 2.08785e-4))),
    "Fe": Element(55.845, 286, 0.00711, (4.2911, -0.0012, 3.1531, 0.14680, 2.9632, 0.12), (0.1, 0.5), (
        (0.019946, -0.024851, 0.0217076, -5.6221e-5), (0.0325567, -0.0151424, 0.0193801, 6.61241e-5),
        (9.51386e-3, 0.0145768, 5.47186e-3, 2.60194e-3))),
    "LAr": Element(39.948, 188, 0.00321, (5.2146, 0.2, 3.0, 0.19559, 3.0, 0.0), (0.1, 0.5), (
        (0.0582803, -0.0199066, 5.09571e-3, -8.0860e-6), (4.49672e-3, -1.78768e-3, 3.36243e-3, 3.50305e-5),
        (1.72333e-3, 2.29115e-3, 7.02468e-4, 7.08438e-4))),
    "Al": Element(26.982, 166, 0.00156, (4.2395, 0.1708, 3.0127, 0.08024, 3.6345, 0.12), (0.1, 0.5), (
        (0.0186299, -6.05314e-3, 1.21690e-3, 1.66807e-8), (5.04055e-4, 1.23079e-4, 5.26010e-4, 2.55164e-5),
        (3.81066e-4, 4.70004e-4, 1.98441e-4, 1.08114e-4))),
}  # fmt: skip
"""Elements of which sheets can be made, by the names of `MATERIALS`."""

_PAIR = (
    (8.7842e2, -1.9625e3, 1.2949e3, -2.0028e2, 1.2575e1, -2.8333e-1),
    (-1.0342e1, 1.7692e1, -8.2381, 1.3063, -9.0815e-2, 2.3586e-3),
    (-4.5263e2, 1.1161e3, -8.6749e2, 2.1773e2, -2.0467e1, 6.5372e-1),
)
"""Microbarn; powers of ln(E / m), rows for Z, Z^2 and 1 in sigma / (Z + 1)."""


@dataclass(frozen=True)
class Tables:
    """What the kernel reads for a list of materials; lengths in mm, energies in MeV, along `GRID`.

    `photon` (materials, grid, 3): interactions per mm, shares of them that are pairs, pairs or Compton. `electron`
    (materials, grid, 5): loss per mm below the cuts, bremsstrahlung above per mm, knock-on electrons per mm, range,
    `transport` per mm. `brems` and `pairs` (materials, grid, quantiles): of ln(k / cut) / ln(T / cut), and of the share
    of the kinetic energy that one of the two takes. `medium` (materials, 2): Landau's xi per mm (times beta^2), K edge.
    """

    photon: np.ndarray
    electron: np.ndarray
    brems: np.ndarray
    pairs: np.ndarray
    medium: np.ndarray


def _coulomb(z: float) -> float:
    """Return f(Z) of the Coulomb correction (Davies, Bethe and Maximon; PDG)."""
    a = (ALPHA * z) ** 2
    return a * (1 / (1 + a) + 0.20206 - 0.0369 * a + 0.0083 * a**2 - 0.002 * a**3)


def pair(z: float, energy: np.ndarray) -> np.ndarray:
    """Return the cross section of pair production (barn) by photons of `energy` (MeV), nucleus and electrons."""
    low = 1.5  # the fit's first energy; below it goes as the square of what is above threshold
    x = np.log(np.clip(energy, low, 1e5) / MASS)
    one, two, three = (np.polynomial.polynomial.polyval(x, row) for row in _PAIR)
    value = (z + 1) * (one * z + two * z**2 + three) * 1e-6
    start = np.clip((energy - 2 * MASS) / (low - 2 * MASS), 0, 1) ** 2
    return np.asarray(np.maximum(value, 0) * start)


def compton(z: float, energy: np.ndarray) -> np.ndarray:
    """Return the cross section of Compton scattering (barn) on `z` free electrons (Klein and Nishina)."""
    k = energy / MASS
    log = np.log1p(2 * k)
    one = (1 + k) / k**2 * (2 * (1 + k) / (1 + 2 * k) - log / k) + log / (2 * k) - (1 + 3 * k) / (1 + 2 * k) ** 2
    return np.asarray(2 * np.pi * RADIUS**2 / BARN * z * one)


def photo(name: str, energy: np.ndarray) -> np.ndarray:
    """Return the cross section of photo-electric absorption (barn) in the element called `name`."""
    element = ELEMENTS[name]
    place = np.searchsorted(element.edges, energy, side="right")
    powers = energy[..., None] ** -np.arange(1.0, 5.0)
    return np.asarray((np.asarray(element.photo)[place] * powers).sum(axis=-1))


def bremsstrahlung(z: float, kinetic: np.ndarray, k: np.ndarray) -> np.ndarray:
    """Return k dsigma/dk (barn) of photons of energy `k` by electrons of `kinetic` energy (MeV).

    Tsai's formula of thin targets, raised at low energies to Seltzer and Berger's (`geant4_tables`).
    """
    beta2 = 1 - 1 / (1 + kinetic / MASS) ** 2
    scaled = shared(round(z), kinetic, np.minimum(k / kinetic, 1)) * z**2 / beta2 * 1e-3
    return np.asarray(np.where(k < kinetic, scaled, 0))


def density_effect(name: str, kinetic: np.ndarray) -> np.ndarray:
    """Return Sternheimer's delta."""
    c, x0, x1, a, power, delta0 = ELEMENTS[name].sternheimer
    tau = kinetic / MASS
    x = np.log10(np.sqrt(tau * (tau + 2)))
    above = 2 * np.log(10) * x - c + a * np.maximum(x1 - x, 0) ** power
    return np.asarray(np.where(x < x0, delta0 * 10 ** (2 * (x - x0)), above))


def loss(name: str, kinetic: np.ndarray, cut: float = np.inf) -> np.ndarray:
    """Return the loss by ionisation (MeV cm^2 / g) in collisions of electrons that give less than `cut` (MeV)."""
    element, tau = ELEMENTS[name], kinetic / MASS
    gamma = 1 + tau
    beta2 = 1 - 1 / gamma**2
    most = np.minimum(cut / MASS, tau / 2)
    f = -1 - beta2 + np.log((tau - most) * most) + tau / (tau - most)
    f += (most**2 / 2 + (2 * tau + 1) * np.log1p(-most / tau)) / gamma**2
    log = np.log(2 * (gamma + 1) / (element.excitation * 1e-6 / MASS) ** 2)
    return np.asarray(_xi(name) / beta2 * (log + f - density_effect(name, kinetic)))


def _xi(name: str) -> float:
    """Return 2 pi N r^2 m Z / A in MeV cm^2 / g."""
    return 2 * np.pi * AVOGADRO * RADIUS**2 * MASS * MATERIALS[name].z / ELEMENTS[name].weight


def moller(name: str, kinetic: np.ndarray, cut: float) -> np.ndarray:
    """Return the number of electrons knocked on with more than `cut` (MeV), per g / cm^2 (Moller)."""
    gamma = 1 + kinetic / MASS
    beta2, x = 1 - 1 / gamma**2, np.minimum(cut / kinetic, 0.5)
    c = (2 * gamma - 1) / gamma**2
    inside = (0.5 - x) * (2 / (x * (1 - x)) + (1 - 1 / gamma) ** 2) - c * np.log((1 - x) / x)
    return np.asarray(np.maximum(_xi(name) / (beta2 * kinetic) * inside, 0))


def transport(name: str, kinetic: np.ndarray) -> np.ndarray:
    """Return the inverse of the first transport mean free path (cm^2 / g): scattering by that depth turns by 1 rad.

    Screened Rutherford scattering by nuclei and electrons with Moliere's screening angle (Z. Naturforsch. 2a (1947)
    133), as an exact mean of the cosine (Lewis, Phys. Rev. 78 (1950) 526). Highland's width is the core's for a given
    thickness; it neither adds up over steps nor has tails.
    """
    z, tau = MATERIALS[name].z, kinetic / MASS
    p2 = tau * (tau + 2)
    beta2 = p2 / (1 + tau) ** 2
    screening = (ALPHA * z ** (1 / 3) / 0.885) ** 2 / p2 / 4 * (1.13 + 3.76 * (ALPHA * z) ** 2 / beta2)
    log = np.log1p(1 / screening) - 1 / (1 + screening)
    return np.asarray(_xi(name) / MASS * (z + 1) * log / (p2 * beta2))


def _above(lowest: float, function: np.ndarray, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the integral of `function` over each row of `x` and `QUANTILES` quantiles of the share of its range."""
    steps = np.diff(x, axis=1) * (function[:, 1:] + function[:, :-1]) / 2
    total = np.concatenate([np.zeros((len(x), 1)), np.cumsum(steps, axis=1)], axis=1)
    share = (x - x[:, :1]) / np.maximum(x[:, -1:] - x[:, :1], 1e-12)
    at = np.linspace(0, 1, QUANTILES)
    quantiles = [np.interp(at, one / one[-1], to) if one[-1] > lowest else at
                 for one, to in zip(total, share, strict=True)]  # fmt: skip
    return total[:, -1], np.array(quantiles)


def _pair_shares(z: float) -> np.ndarray:
    """Return quantiles (grid, QUANTILES) of the share of the kinetic energy that one particle of a pair has."""
    energy = np.maximum(GRID, 2 * MASS * 1.001)[:, None]
    share = np.linspace(0, 1, 401)[None]
    fraction = (MASS + share * (energy - 2 * MASS)) / energy
    delta = 136 / z ** (1 / 3) * MASS / energy / (fraction * (1 - fraction))
    far = 21.12 - 4.184 * np.log(delta + 0.952)
    one = np.where(delta < 1, 20.867 - 3.242 * delta + 0.625 * delta**2, far)
    two = np.where(delta < 1, 20.209 - 1.930 * delta - 0.086 * delta**2, far)
    screen = 4 / 3 * np.log(z) + np.where(energy > 50, 4 * _coulomb(z), 0)
    value = (fraction**2 + (1 - fraction) ** 2) * (one - screen) + 2 / 3 * fraction * (1 - fraction) * (two - screen)
    value = np.maximum(value, 0)
    value[energy[:, 0] < 2.5] = 1  # nearly uniform, and the formula ends
    return _above(0, value, np.broadcast_to(share, value.shape))[1]


def _table(name: str) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    element, material = ELEMENTS[name], MATERIALS[name]
    z, density = material.z, material.density / 10  # g / cm^2 in a mm
    atoms = AVOGADRO / element.weight * BARN * density
    parts = np.cumsum([pair(z, GRID), compton(z, GRID), photo(name, GRID)], axis=0)
    photon = np.stack([parts[2] * atoms, parts[0] / parts[2], parts[1] / parts[2]], axis=1)
    share = np.linspace(0, 1, 201)[None]
    top = np.maximum(GRID, SOFT * 1.0001)[:, None]
    k = SOFT * (top / SOFT) ** share
    hard, quantiles = _above(0, bremsstrahlung(z, top, k), np.log(k))
    hard = np.where(GRID > SOFT * 1.001, hard, 0) * atoms
    soft_k = np.minimum(SOFT, GRID)[:, None] * np.linspace(1e-4, 1, 101)[None]
    soft = np.trapezoid(bremsstrahlung(z, GRID[:, None], soft_k), soft_k, axis=1) * atoms
    every = GRID[:, None] * np.linspace(1e-4, 1, 201)[None]
    radiated = np.trapezoid(bremsstrahlung(z, GRID[:, None], every), every, axis=1) * atoms
    ionised, all_ionised = (loss(name, GRID, cut) * density for cut in (DELTA, np.inf))
    knocked = np.where(GRID > 2 * DELTA, moller(name, GRID, DELTA) * density, 0)
    slowing = 1 / (all_ionised + radiated)
    reach = np.concatenate([[GRID[0] * slowing[0]], np.diff(GRID) * (slowing[1:] + slowing[:-1]) / 2]).cumsum()
    electron = np.stack([ionised + soft, hard, knocked, reach, transport(name, GRID) * density], axis=1)
    medium = np.array([_xi(name) * density, element.binding])
    return photon, electron, quantiles, _pair_shares(z), medium


@cache
def tables(names: tuple[str, ...]) -> Tables:
    """Return the tables of the materials called `names`; raise NotFound for one that has no cross sections."""
    for name in names:
        if name not in ELEMENTS:
            raise NotFound(f"there are no cross sections of {name!r}{suggest(name, ELEMENTS)}")
    return Tables(*(np.ascontiguousarray(one) for one in map(np.stack, zip(*map(_table, names), strict=True))))
