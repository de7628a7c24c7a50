"""Electromagnetic showers particle by particle: a Monte Carlo of photons, electrons and positrons in real sheets.

Every particle above 50 keV is followed: pairs, bremsstrahlung above 100 keV, Compton scattering, photo-electric
absorption, electrons knocked on with more than 200 keV, continuous loss below, which fluctuates in active sheets, and
multiple scattering (the mean cosine of screened Rutherford scattering, see `cascade_physics.transport`) in steps over
which an electron turns by about half a radian, or loses a quarter of its energy; a random hinge in each step displaces
it (PENELOPE). Electrons below 1 MeV that end inside their sheet end at once. Left out: Rayleigh scattering,
fluorescence, annihilation in flight, the LPM effect, hadrons. It is in the spirit of SUPA (arXiv:2202.05012), with more
physics.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

import awkward as ak
import numpy as np

from hepml_nb.core import InputError, NotFound, suggest
from hepml_nb.simulate.calorimeter import MATERIALS, Geometry
from hepml_nb.simulate.cascade_physics import tables

__all__ = ["PARTICLES", "Sheets", "sheets", "showers", "steps"]

PARTICLES = ("photon", "electron", "positron")
_RANGE = (1.0, 1e7)
"""MeV that a particle may have."""


@dataclass(frozen=True)
class Sheets:
    """Sheets one behind the other: edges (n + 1) in mm, material (n) as a place in `names`, layer (n) or -1, scale (n).

    `scale` turns what a sheet sees into the energy of the particle; 0 where it is not read out.
    """

    edges: np.ndarray
    material: np.ndarray
    layer: np.ndarray
    scale: np.ndarray
    names: tuple[str, ...]


@cache
def sheets(geometry: Geometry) -> Sheets:
    """Return the sheets of a geometry: dead material, layers of one medium, and the stack, absorber first.

    Layers of the stack that touch are one pile of whole cells, and each active sheet belongs to the layer in which its
    middle lies, in X0 from the front.
    """
    stack, layers = geometry.stack, geometry.layers
    depth, rows, i = 0.0, list[tuple[str, float, int, float]](), 0
    while i < len(layers):
        layer = layers[i]
        if layer.begin > depth + 1e-9:
            rows.append((geometry.dead, (layer.begin - depth) * _x0(geometry.dead), -1, 0.0))
        if layer.medium:
            rows.append((layer.medium, (layer.end - layer.begin) * _x0(layer.medium), i, 1.0))
            depth, i = layer.end, i + 1
            continue
        last = i
        while (
            last + 1 < len(layers) and not layers[last + 1].medium and layers[last + 1].begin <= layers[last].end + 1e-9
        ):
            last += 1
        ends = np.array([one.end for one in layers[i : last + 1]])
        at, cell = layer.begin, stack.pitch / stack.x0
        for _ in range(round((ends[-1] - at) / cell)):
            place = at
            for name, thickness in stack.absorber:
                rows.append((name, thickness, -1, 0.0))
                place += thickness / _x0(name)
            for name, thickness in stack.active:
                middle = place + thickness / _x0(name) / 2
                rows.append(
                    (name, thickness, i + min(int(np.searchsorted(ends, middle)), last - i), 1 / stack.fraction)
                )
                place += thickness / _x0(name)
            at += cell
        depth, i = float(ends[-1]), last + 1
    names = tuple(sorted({row[0] for row in rows}))
    thick, number, scale = (np.array([row[k] for row in rows]) for k in (1, 2, 3))
    material = np.array([names.index(row[0]) for row in rows])
    return Sheets(np.cumsum([0.0, *thick.tolist()]), material, number.astype(np.int64), scale, names)


def _x0(name: str) -> float:
    return MATERIALS[name].x0 / MATERIALS[name].density * 10


def showers(
    energy: np.ndarray, geometry: Geometry, particle: str, generator: np.random.Generator, *,
    direction: tuple[float, float] = (0.0, 0.0), position: tuple[float, float] = (0.0, 0.0),
) -> np.ndarray:  # fmt: skip
    """Return showers (n, voxels) in MeV, float32, of particles with `energy` (n,) in MeV.

    `direction` is (theta, phi) in rad, theta from the normal of the sheets, and `position` (x, y) in mm where the
    particle meets the first; voxels are cylinders around an axis of that direction through (0, 0). Each shower has a
    seed of its own from `generator`, so that batches of any size give the same. What passes the outermost radius is
    lost; below the threshold a voxel reads 0. Raises InputError for energies outside 1 MeV to 10 TeV and for theta
    not below pi / 2, NotFound for other particles.
    """
    from hepml_nb.simulate.cascade_kernel import fill

    axis = _axis(direction)
    most = max(layer.n_r for layer in geometry.layers)
    edges = np.array([[*layer.r_edges, *[np.inf] * (most - layer.n_r)] for layer in geometry.layers])
    n_r, n_alpha = (np.array([getattr(layer, name) for layer in geometry.layers]) for name in ("n_r", "n_alpha"))
    out = np.zeros((len(energy), geometry.voxels), dtype=np.float32)
    for row, (points, _) in zip(out, _cascades(energy, geometry, particle, generator, axis, position), strict=True):
        fill(row, points, axis, n_r, n_alpha, geometry.offsets, edges)
    out[out < geometry.threshold] = 0
    return out


def steps(
    energy: np.ndarray, geometry: Geometry, particle: str, generator: np.random.Generator, *,
    direction: tuple[float, float] = (0.0, 0.0), position: tuple[float, float] = (0.0, 0.0),
) -> Any:  # fmt: skip
    """Return what `showers` bins as records {energy, points, active, absorbed, leaked}; see there for the arguments.

    `points` are deposits, n * var * {x, y, z, energy, layer}: mm in the frame of the sheets, MeV on the scale of the
    particle (over the sampling fraction), and the place of the layer. `active`, `absorbed` and `leaked` are MeV as
    deposited in sheets that are read out and in others, and as leaving front or back; they add up to the energy.
    """
    made = list(_cascades(energy, geometry, particle, generator, _axis(direction), position))
    points = np.concatenate([one for one, _ in made] or [np.zeros((0, 5), np.float32)])
    sums = np.array([sums for _, sums in made]).reshape(-1, 3)
    columns = {name: points[:, k] for k, name in enumerate(("x", "y", "z", "energy"))}
    columns["layer"] = points[:, 4].astype(np.uint8)
    cloud = ak.unflatten(ak.zip(columns), [len(one) for one, _ in made])
    parts = {name: sums[:, k] for k, name in enumerate(("active", "absorbed", "leaked"))}
    return ak.zip({"energy": np.asarray(energy, dtype=np.float64), "points": cloud, **parts}, depth_limit=1)


def _axis(direction: tuple[float, float]) -> tuple[float, float, float]:
    theta, phi = direction
    if not 0 <= theta < np.pi / 2:
        raise InputError(f"direction={direction}: expected (theta, phi) with theta from 0 to below pi / 2.")
    return float(np.sin(theta) * np.cos(phi)), float(np.sin(theta) * np.sin(phi)), float(np.cos(theta))


def _cascades(
    energy: np.ndarray, geometry: Geometry, particle: str, generator: np.random.Generator,
    axis: tuple[float, float, float], position: tuple[float, float],
) -> Any:  # fmt: skip
    """Yield deposits (n, 5), scaled, and the three sums of each shower."""
    from hepml_nb.simulate.cascade_kernel import shower

    if particle not in PARTICLES:
        raise NotFound(f"there is no cascade of {particle!r}{suggest(particle, PARTICLES)}")
    energy = np.asarray(energy, dtype=np.float64)
    if len(energy) and not (_RANGE[0] <= energy.min() and energy.max() <= _RANGE[1]):
        raise InputError(f"energies from {energy.min():g} to {energy.max():g} MeV; a cascade starts with "
                         f"{_RANGE[0]:g} to {_RANGE[1]:g} MeV.")  # fmt: skip
    pile = sheets(geometry)
    data = tables(pile.names)
    scale = np.zeros(len(geometry.layers), np.float32)
    scale[pile.layer[pile.layer >= 0]] = pile.scale[pile.layer >= 0]
    seeds = generator.integers(0, 2**64, len(energy), dtype=np.uint64)
    for one, seed in zip(energy, seeds, strict=True):
        first = np.array([PARTICLES.index(particle), one, *position, 0.0, *axis, 0.0])
        points, sums = shower(first, pile.edges, pile.material, pile.layer, data.photon, data.electron,
                              data.brems, data.pairs, data.medium, seed)  # fmt: skip
        points[:, 3] *= scale[points[:, 4].astype(np.int64)]
        yield points, sums
