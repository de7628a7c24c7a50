"""Calorimeters: what their stack is made of, and the voxels (layer, angle, radius) in which showers are read out.

The voxels are those of the CaloChallenge datasets (arXiv:2410.21611): cylinders around the direction of the particle,
with edges in mm. A shower is flattened with the radius running fastest, then the angle alpha, then the layer.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, cached_property, partial
from typing import Any

import awkward as ak
import numpy as np

from hepml_nb.core import InputError, NotFound, suggest

__all__ = ["GEOMETRIES", "MATERIALS", "Geometry", "Layer", "Material", "Stack", "dense", "geometry"]

SCALE_ENERGY = 21.2
"""E_s = m_e c^2 sqrt(4 pi / alpha) in MeV, of the Moliere radius (PDG, passage of particles through matter)."""


@dataclass(frozen=True)
class Material:
    """An element: Z, radiation length (g/cm^2), density (g/cm^3) and Rossi's critical energy of electrons (MeV)."""

    z: float
    x0: float
    density: float
    critical: float


MATERIALS = {
    "W": Material(74, 6.76, 19.30, 7.97),
    "Si": Material(14, 21.82, 2.329, 40.19),
    "Pb": Material(82, 6.37, 11.35, 7.43),
    "Fe": Material(26, 13.84, 7.874, 21.68),
    "LAr": Material(18, 19.55, 1.396, 32.84),
    "Al": Material(13, 24.01, 2.699, 42.70),
}
"""Values of the PDG's tables of atomic and nuclear properties."""


@dataclass(frozen=True)
class Stack:
    """Sheets of absorber and of active material that repeat: (material, thickness in mm), seen as one medium.

    `resolution` is the sampling term c of sigma / E = c / sqrt(E / GeV), and `fraction` the share of a shower's energy
    that its active sheets see.
    """

    absorber: tuple[tuple[str, float], ...]
    active: tuple[tuple[str, float], ...]
    resolution: float
    fraction: float = 1.0

    def _masses(self, sheets: tuple[tuple[str, float], ...]) -> list[tuple[Material, float]]:
        """Return each sheet's material and its mass per area in g/cm^2."""
        return [(MATERIALS[name], thickness / 10 * MATERIALS[name].density) for name, thickness in sheets]

    def _mean(self, value: Any, sheets: tuple[tuple[str, float], ...]) -> float:
        """Return the mean of a property over the sheets, weighted with their mass (the mixture rule of the PDG)."""
        masses = self._masses(sheets)
        return float(sum(value(material) * mass for material, mass in masses) / sum(mass for _, mass in masses))

    @property
    def pitch(self) -> float:
        """Return the thickness of one absorber and one active part in mm."""
        return sum(thickness for _, thickness in self.absorber + self.active)

    @property
    def x0(self) -> float:
        """Return the radiation length in mm: 1 / X0 is the mass-weighted mean of 1 / X0."""
        return self.pitch / sum(mass / material.x0 for material, mass in self._masses(self.absorber + self.active))

    @property
    def z(self) -> float:
        """Return the mass-weighted atomic number."""
        return self._mean(lambda material: material.z, self.absorber + self.active)

    @property
    def critical(self) -> float:
        """Return the critical energy in MeV: X0 times the mean of E_c / X0 (hep-ex/0001020)."""
        both = self.absorber + self.active
        return self._mean(lambda m: m.critical / m.x0, both) / self._mean(lambda m: 1 / m.x0, both)

    @property
    def moliere(self) -> float:
        """Return the Moliere radius in mm: 1 / R_M is the mean of E_c / X0, divided by E_s (PDG)."""
        return self.x0 * SCALE_ENERGY / self.critical

    @property
    def frequency(self) -> float:
        """Return the sampling frequency: active parts per radiation length."""
        return self.x0 / self.pitch

    @property
    def electron_to_mip(self) -> float:
        """Return e / mip as 1 / (1 + 0.007 (Z_absorber - Z_active)) (hep-ex/0001020)."""
        z = [self._mean(lambda material: material.z, sheets) for sheets in (self.absorber, self.active)]
        return 1 / (1 + 0.007 * (z[0] - z[1]))


@dataclass(frozen=True)
class Layer:
    """A layer of voxels: its number, radial edges (mm), bins in alpha from -pi to pi, begin and end in depth (X0).

    `medium` is the material of a layer that is no part of the stack and of which everything is read out.
    """

    number: int
    r_edges: tuple[float, ...]
    n_alpha: int
    begin: float
    end: float
    medium: str = ""

    @property
    def n_r(self) -> int:
        """Return the number of bins in radius."""
        return len(self.r_edges) - 1


@dataclass(frozen=True)
class Geometry:
    """A calorimeter: stack, layers in depth, and the least energy (MeV) that a voxel is read out with.

    Where there is no layer there is material without readout, `dead`. Voxel energies are on
    the scale of the particle: divided by the sampling fraction.
    """

    name: str
    stack: Stack
    layers: tuple[Layer, ...]
    threshold: float
    dead: str = "Al"

    @property
    def shape(self) -> tuple[int, int, int]:
        """Return (layers, alpha, r) of a regular geometry; raise InputError where layers differ."""
        shapes = {(layer.n_alpha, layer.r_edges) for layer in self.layers}
        if len(shapes) > 1:
            raise InputError(f"{self.name} has layers of different bins; expected a regular one, like calochallenge-2.")
        return len(self.layers), self.layers[0].n_alpha, self.layers[0].n_r

    @cached_property
    def offsets(self) -> np.ndarray:
        """Return the first voxel of each layer, and the number of voxels as the last entry."""
        return np.cumsum([0, *(layer.n_alpha * layer.n_r for layer in self.layers)])

    @property
    def voxels(self) -> int:
        """Return the number of voxels."""
        return int(self.offsets[-1])

    @cached_property
    def layer_of(self) -> np.ndarray:
        """Return for each voxel the place of its layer in `layers`."""
        return np.repeat(np.arange(len(self.layers)), np.diff(self.offsets))

    @cached_property
    def rings(self) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Return for each ring (layer and radial bin) the layer's place, bins in alpha, first voxel, step to the next.

        The voxels of a ring are first, first + step, ... of as many as it has bins in alpha.
        """
        columns = []
        for i, layer in enumerate(self.layers):
            r = np.arange(layer.n_r)
            same = np.ones_like(r)
            columns.append([i * same, layer.n_alpha * same, self.offsets[i] + r, layer.n_r * same])
        place, n_alpha, first, step = np.concatenate(columns, axis=1)
        return place, n_alpha, first, step

    @cached_property
    def ring_of(self) -> np.ndarray:
        """Return for each voxel the place of its ring in `rings`."""
        place = np.empty(self.voxels, np.int64)
        for ring, (_, n_alpha, first, step) in enumerate(zip(*self.rings, strict=True)):
            place[first : first + n_alpha * step : step] = ring
        return place

    def view(self, showers: np.ndarray) -> np.ndarray:
        """Return flat showers (n, voxels) as (n, layers, alpha, r); raise InputError where layers differ."""
        return self._flat(showers).reshape(-1, *self.shape)

    def layer_energies(self, showers: np.ndarray) -> np.ndarray:
        """Return the energy in each layer (n, layers) of flat showers (n, voxels)."""
        return np.asarray(np.add.reduceat(self._flat(showers), self.offsets[:-1], axis=1))

    def cylindrical(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return depth z (mm), angle alpha (rad) and radius r (mm) of the centres of all voxels."""
        z, alpha, r = [], [], []
        for layer in self.layers:
            a, edges = _middle(np.linspace(-np.pi, np.pi, layer.n_alpha + 1)), np.asarray(layer.r_edges)
            alpha.append(np.repeat(a, layer.n_r))
            r.append(np.tile(_middle(edges), layer.n_alpha))
            z.append(np.full(layer.n_alpha * layer.n_r, (layer.begin + layer.end) / 2 * self.stack.x0))
        return np.concatenate(z), np.concatenate(alpha), np.concatenate(r)

    def centres(self) -> np.ndarray:
        """Return x, y, z (mm) of the centres of all voxels, (voxels, 3); the particle flies along z from 0."""
        z, alpha, r = self.cylindrical()
        return np.stack([r * np.cos(alpha), r * np.sin(alpha), z], axis=1)

    def _flat(self, showers: np.ndarray) -> np.ndarray:
        showers = np.asarray(showers)
        if showers.ndim != 2 or showers.shape[1] != self.voxels:
            raise InputError(f"showers of shape {showers.shape}; {self.name} expects (n, {self.voxels}).")
        return showers


def dense(hits: Any, voxels: int) -> np.ndarray:
    """Return hits, n * var * {voxel, energy}, as flat showers (n, voxels) in MeV, float32.

    Raises InputError for a voxel number that is too large.
    """
    counts = ak.to_numpy(ak.num(hits))
    index = ak.to_numpy(ak.flatten(hits.voxel)).astype(np.int64)
    if len(index) and index.max() >= voxels:
        raise InputError(f"hit in voxel {index.max()}; expected at most {voxels - 1}: is it this geometry?")
    out = np.zeros((len(counts), voxels), dtype=np.float32)
    out[np.repeat(np.arange(len(counts)), counts), index] = ak.to_numpy(ak.flatten(hits.energy))
    return out


def _middle(edges: np.ndarray) -> np.ndarray:
    return np.asarray((edges[1:] + edges[:-1]) / 2)


def _silicon_tungsten(name: str, n_r: int, n_alpha: int, n_layers: int = 45) -> Geometry:
    """Return the calorimeter of datasets 2 and 3: 90 x (1.4 mm W + 0.3 mm Si), paired, to a radius of 41.85 mm.

    n_layers: among which the 90 sheets are shared, 45 in the challenge.

    The sampling term of 0.15 lies between those of CALICE's prototype of 30 thicker sheets (0.165, arXiv:0811.2354)
    and of Geant4 runs of this stack (0.14 to 0.16 at 10 GeV). The threshold is 0.5 keV over the sampling fraction of
    0.033, as in the challenge's evaluation.
    """
    stack = Stack((("W", 1.4),), (("Si", 0.3),), 0.15, 0.033)
    edges = tuple(float(edge) for edge in np.round(np.arange(n_r + 1) * 41.85 / n_r, 3))
    depth = 90 // n_layers * stack.pitch / stack.x0
    layers = tuple(Layer(i, edges, n_alpha, i * depth, (i + 1) * depth) for i in range(n_layers))
    return Geometry(name, stack, layers, 0.5e-3 / stack.fraction)


_PRESAMPLER, _BACK = (0, 5, 10, 30, 50, 100, 200, 400, 600), (0, 50, 100, 200, 400, 600)
_ATLAS_DEPTHS = {0: (1.8, 1.88), 1: (1.9, 6.2), 2: (6.2, 22.2), 3: (22.2, 24.2),
                 12: (25.2, 39.1), 13: (39.1, 77.0), 14: (77.0, 93.6)}  # fmt: skip
"""X0 at small eta: 1.8 of cryostat and coil, 11 mm of argon as presampler, 4.3, 16 and 2 of strips, middle and back
(ATLAS, JINST 3 (2008) S08003), then a wall and 1.5, 4.1 and 1.8 interaction lengths of tiles, in X0. The material
before and between is our estimate."""


def _atlas_like(name: str, bins: dict[int, tuple[tuple[int, ...], int]]) -> Geometry:
    """Return a barrel like that of dataset 1: its voxels (binning files of the challenge), depths of ATLAS's layers.

    Lead of 1.53 mm in 0.4 mm of steel with 4.2 mm of liquid argon, and a sampling term of 0.10.
    """
    stack = Stack((("Pb", 1.53), ("Fe", 0.4)), (("LAr", 4.2),), 0.10, 0.21)
    layers = tuple(
        Layer(i, tuple(map(float, edges)), n_alpha, *_ATLAS_DEPTHS[i], "LAr" if i == 0 else "Fe" if i >= 12 else "")
        for i, (edges, n_alpha) in bins.items()
    )
    return Geometry(name, stack, layers, 1e-3)


def _photons() -> Geometry:
    strips = (0, 2, 4, 6, 8, 10, 12, 15, 20, 30, 40, 50, 70, 90, 120, 150, 200)
    middle = (0, 2, 5, 10, 15, 20, 25, 30, 40, 50, 60, 80, 100, 130, 160, 200, 250, 300, 350, 400)
    bins = {
        0: (_PRESAMPLER, 1),
        1: (strips, 10),
        2: (middle, 10),
        3: (_BACK, 1),
        12: ((0, 100, 200, 400, 1000, 2000), 1),
    }
    return _atlas_like("calochallenge-1-photons", bins)


def _pions() -> Geometry:
    strips, middle = (0, 1, 4, 7, 10, 15, 30, 50, 90, 150, 200), (0, 5, 10, 20, 30, 50, 80, 130, 200, 300, 400)
    tile = (0, 10, 20, 30, 50, 80, 100, 130, 160, 200, 250, 300, 350, 400)
    last = (0, 50, 100, 150, 200, 250, 300, 400, 600, 1000, 2000)
    tiles = {12: ((*tile, 1000, 2000), 10), 13: ((*tile, 600, 1000, 2000), 10), 14: (last, 1)}
    calo = {0: (_PRESAMPLER, 1), 1: (strips, 10), 2: (middle, 10), 3: (_BACK, 1)}
    return _atlas_like("calochallenge-1-pions", calo | tiles)


GEOMETRIES: dict[str, Callable[[], Geometry]] = {
    "calochallenge-1-photons": _photons,
    "calochallenge-1-pions": _pions,
    "calochallenge-2": partial(_silicon_tungsten, "calochallenge-2", 9, 16),
    "calochallenge-3": partial(_silicon_tungsten, "calochallenge-3", 18, 50),
    "tiny": partial(_silicon_tungsten, "tiny", 6, 6, 5),
}


@cache
def geometry(name: str) -> Geometry:
    """Return the geometry called `name`; raise NotFound with the nearest one."""
    if name not in GEOMETRIES:
        raise NotFound(f"there is no geometry {name!r}{suggest(name, GEOMETRIES)}")
    return GEOMETRIES[name]()
