"""The shower parametrisation of Grindhammer and Peters (hep-ex/0001020), for electrons and photons.

Each shower has a gamma distribution in depth whose maximum T and shape alpha fluctuate together, sampling fluctuations
per layer, and energy spots that spread in radius by a core and a tail which widen with depth. The constants are those
of the paper's appendix for sampling calorimeters.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hepml_nb.core import InputError, NotFound, suggest
from hepml_nb.simulate.calorimeter import Geometry, Stack

__all__ = ["PARTICLES", "Longitudinal", "longitudinal", "radial", "showers"]

PARTICLES = ("electron", "photon")
_LEAST = 200.0
"""MeV: below it, ln T and ln alpha fluctuate by more than the parametrisation was made for."""
_MANY = 10
"""Mean spots per voxel from which a ring is filled voxel by voxel."""


@dataclass(frozen=True)
class Longitudinal:
    """Profiles in depth t (X0), one per shower: energy ~ t^(alpha - 1) exp(-beta t), spots likewise.

    `centre` is the depth that tau = t / centre counts in, `start` where the shower begins.
    """

    alpha: np.ndarray
    beta: np.ndarray
    alpha_spots: np.ndarray
    beta_spots: np.ndarray
    centre: np.ndarray
    start: np.ndarray


def longitudinal(energy: np.ndarray, stack: Stack, particle: str, generator: np.random.Generator) -> Longitudinal:
    """Return a fluctuated profile for each energy (n,) in MeV (hep-ex/0001020, appendix).

    The paper's profile is one of electrons. A photon converts after a depth drawn with a mean of 9/7 X0; its pair
    shares the energy evenly in x, so that the mean of ln E over the energy is lower by 1/2, and the profile is that of
    an electron of such ln E. Raises InputError below 200 MeV and NotFound for other particles.
    """
    if particle not in PARTICLES:
        raise NotFound(f"there is no parametrisation of {particle!r}{suggest(particle, PARTICLES)}")
    energy = np.asarray(energy, dtype=np.float64)
    if len(energy) and not energy.min() >= _LEAST:
        raise InputError(f"energy of {energy.min():g} MeV; the parametrisation needs at least {_LEAST:g} MeV.")
    y, unsampled = np.log(energy / stack.critical), 1 - stack.electron_to_mip
    y = y - 0.5 if particle == "photon" else y
    mean_t = np.log(y - 0.812 - 0.55 / stack.frequency - 0.69 * unsampled)
    mean_alpha = np.log(0.81 + (0.458 + 2.26 / stack.z) * y - 0.476 / stack.frequency)
    spread_t, spread_alpha = (1 / np.maximum(a + b * y, 2.0) for a, b in ((-2.5, 1.25), (-0.82, 0.79)))
    rho = 0.784 - 0.023 * y
    one, two = generator.standard_normal((2, len(energy)))
    same, opposite = np.sqrt((1 + rho) / 2) * one, np.sqrt((1 - rho) / 2) * two
    peak = np.exp(mean_t + spread_t * (same + opposite))
    alpha = np.maximum(np.exp(mean_alpha + spread_alpha * (same - opposite)), 1.1)
    beta = (alpha - 1) / peak
    alpha_spots = np.maximum(alpha * (0.844 + 0.0026 * stack.z), 1.1)
    beta_spots = (alpha_spots - 1) / (peak * (0.813 + 0.0019 * stack.z))
    mean = np.exp(mean_alpha)
    # tau is t / <t> of this shower, times <alpha> / (<alpha> - 1), so that tau = 1 at the mean maximum
    centre = alpha / beta * (mean - 1) / mean
    start = generator.exponential(9 / 7, len(energy)) if particle == "photon" else np.zeros(len(energy))
    return Longitudinal(alpha, beta, alpha_spots, beta_spots, centre, start)


def radial(tau: np.ndarray, energy: np.ndarray, stack: Stack) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return core and tail radius in Moliere radii and the weight of the core (hep-ex/0001020, appendix).

    `tau` is the depth in units of the shower maximum, `energy` in MeV; both broadcast.
    """
    e, unsampled, per = np.log(np.asarray(energy) / 1000), 1 - stack.electron_to_mip, 1 / stack.frequency
    core = 0.0251 + 0.00319 * e + (0.1162 - 0.000381 * stack.z) * tau
    core = core - 0.0203 * unsampled + 0.0397 * per * np.exp(-tau)
    tail = np.exp(-2.59 * (tau - 0.645)) + np.exp((0.3585 + 0.0412 * e) * (tau - 0.645))
    tail = (0.659 - 0.00309 * stack.z) * tail - 0.14 * unsampled - 0.495 * per * np.exp(-tau)
    scaled = (0.401 + 0.00187 * stack.z - tau) / (1.313 - 0.0686 * e)
    weight = (2.632 - 0.00094 * stack.z) * np.exp(scaled - np.exp(scaled))
    weight = weight + unsampled * (0.348 - 0.642 * per * np.exp(-((tau - 1) ** 2)))
    return np.maximum(core, 1e-3), np.maximum(tail, 1e-3), np.clip(weight, 0, 1)


def showers(energy: np.ndarray, geometry: Geometry, particle: str, generator: np.random.Generator) -> np.ndarray:
    """Return showers (n, voxels) in MeV, float32, of particles with `energy` (n,) in MeV along the axis.

    A layer's energy fluctuates as a gamma variable with variance c^2 E (MeV and GeV as in `Stack.resolution`), which
    adds up to sigma / E = c / sqrt(E). 10.3 / c (E / GeV)^0.959 spots say where it goes: their number in a voxel is
    a Poisson variable, which is the same as placing them one by one, and each shower is scaled so that it keeps its
    energy. What passes the outermost radius or the last layer is lost; below the threshold a voxel reads 0.
    """
    from scipy.special import gammainc

    energy, stack = np.asarray(energy, dtype=np.float64), geometry.stack
    profile = longitudinal(energy, stack, particle, generator)
    begin, end = (np.array([getattr(layer, side) for layer in geometry.layers]) for side in ("begin", "end"))
    low, high = (np.maximum(depth - profile.start[:, None], 0) for depth in (begin, end))
    share, spots = (
        np.diff(gammainc(a[:, None, None], b[:, None, None] * np.stack([low, high], axis=-1)), axis=-1)[..., 0]
        for a, b in ((profile.alpha, profile.beta), (profile.alpha_spots, profile.beta_spots))
    )
    quantum = 1000 * stack.resolution**2
    deposit = generator.gamma(energy[:, None] * share / quantum) * quantum
    number = 10.3 / stack.resolution * (energy[:, None] / 1000) ** 0.959 * spots
    value = deposit / np.maximum(number, 1e-12)  # MeV of a spot in each layer
    tau = (low + high) / 2 / profile.centre[:, None]
    inside = _inside(geometry, *radial(tau, energy[:, None], stack))
    counts, outside = _place(geometry, number, inside, generator)
    made = counts * value[:, geometry.layer_of]
    total = made.sum(axis=1) + (outside * value).sum(axis=1)
    made *= (deposit.sum(axis=1) / np.maximum(total, 1e-12))[:, None]
    made[made < geometry.threshold] = 0
    return np.asarray(made, dtype=np.float32)


def _inside(geometry: Geometry, core: np.ndarray, tail: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Return the share of a layer's spots in each ring (n, rings): r^2 / (r^2 + R^2) for core and for tail."""
    place = geometry.rings[0]
    low, high = (np.concatenate([layer.r_edges[side] for layer in geometry.layers]) / geometry.stack.moliere
                 for side in (slice(None, -1), slice(1, None)))  # fmt: skip
    parts = []
    for radius in (core, tail):
        square = radius[:, place] ** 2
        parts.append(high**2 / (high**2 + square) - low**2 / (low**2 + square))
    weight = weight[:, place]
    return np.asarray(weight * parts[0] + (1 - weight) * parts[1])


def _place(
    geometry: Geometry, number: np.ndarray, inside: np.ndarray, generator: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Return Poisson numbers of spots in the voxels (n, voxels), and outside of them in each layer (n, layers).

    Rings with few spots are filled spot by spot, which is fast; those with many voxel by voxel, which bounds memory.
    """
    place, n_alpha, first, step = geometry.rings
    mean = number[:, place] * inside
    few = mean < _MANY * n_alpha
    drawn = generator.poisson(np.where(few, mean, 0)).ravel()
    at = np.repeat(np.arange(drawn.size), drawn)
    row, ring = np.divmod(at, len(place))
    alpha = (generator.random(len(at), dtype=np.float32) * n_alpha[ring]).astype(np.int64)
    index = row * geometry.voxels + first[ring] + np.minimum(alpha, n_alpha[ring] - 1) * step[ring]
    counts = np.bincount(index, minlength=len(number) * geometry.voxels)
    row, ring = np.nonzero(~few)
    times = n_alpha[ring]
    alpha = np.arange(times.sum()) - np.repeat(np.cumsum(times) - times, times)
    row, ring = np.repeat(row, times), np.repeat(ring, times)
    index = row * geometry.voxels + first[ring] + alpha * step[ring]
    counts[index] = generator.poisson(mean[row, ring] / n_alpha[ring])
    lost = np.add.reduceat(inside, np.searchsorted(place, np.arange(len(geometry.layers))), axis=1)
    outside = generator.poisson(np.maximum(number * (1 - lost), 0))
    return counts.reshape(len(number), geometry.voxels), outside
