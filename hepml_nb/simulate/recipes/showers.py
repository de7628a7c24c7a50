"""The recipe "showers": single particles in a calorimeter, as hits in its voxels."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import awkward as ak
import numpy as np

from hepml_nb.core import InputError, NotFound, rng, suggest
from hepml_nb.simulate import cascade, geant4, gflash
from hepml_nb.simulate.calorimeter import Geometry, geometry
from hepml_nb.simulate.jets import round_bits
from hepml_nb.simulate.recipe import Recipe

__all__ = ["RECIPE", "sparse"]

_BLOCK = 128
"""Showers made at a time; part of what a seed means, so it is fixed."""
_BITS = 10
"""Bits of mantissa of a voxel's energy: 0.05 % at most."""

_Simulator = Callable[[np.ndarray, Geometry, str, np.random.Generator], np.ndarray]
SIMULATORS: dict[str, _Simulator] = {
    "cascade": cascade.showers,
    "geant4": geant4.showers,
    "gflash": gflash.showers,
}


def shower_sample(
    n: int, seed: int, *, simulator: str, calorimeter: str, particle: str, spectrum: str, energy: tuple[float, float]
) -> tuple[Any, dict[str, float]]:
    """Return `n` showers in the showers schema, and the energies in and seen (MeV) as counters.

    `calorimeter` names a geometry. `energy` is the range in MeV: of a log-uniform spectrum or, with
    `spectrum="calochallenge-1"`, of the powers of two that are kept, with the published numbers as weights.
    """
    if simulator not in SIMULATORS:
        raise NotFound(f"there is no simulator {simulator!r}{suggest(simulator, SIMULATORS)}")
    detector, simulate = geometry(calorimeter), SIMULATORS[simulator]
    energies = _energies(n, spectrum, energy, rng(seed, "energies"))
    generator = rng(seed, simulator)
    hits = [sparse(simulate(energies[i : i + _BLOCK], detector, particle, generator)) for i in range(0, n, _BLOCK)] or [
        sparse(np.zeros((0, detector.voxels)))
    ]
    showers = ak.zip({"energy": energies.astype(np.float32), "hits": ak.concatenate(hits)}, depth_limit=1)
    seen = ak.to_numpy(ak.flatten(showers.hits.energy)).sum(dtype=np.float64)
    counters = {"energy_in": float(energies.sum()), "energy_seen": float(seen)}
    if simulator == "geant4":  # what was made depends on what is installed, so provenance says it
        counters["with_official_tables"] = float(n * (geant4.tables() == "official"))
    return showers, counters


def sparse(showers: np.ndarray) -> Any:
    """Return flat showers (n, voxels) as hits, n * var * {voxel, energy}, with energies rounded to 10 bits."""
    row, voxel = np.nonzero(showers)
    columns = {"voxel": voxel.astype(np.uint16), "energy": round_bits(showers[row, voxel], _BITS)}
    return ak.unflatten(ak.zip(columns), np.bincount(row, minlength=len(showers)))


def _energies(n: int, spectrum: str, energy: tuple[float, float], generator: np.random.Generator) -> np.ndarray:
    low, high = energy
    if not 0 < low < high:
        raise InputError(f"energy={energy}: expected 0 < low < high in MeV.")
    if spectrum == "log-uniform":
        return np.asarray(np.exp(generator.uniform(np.log(low), np.log(high), n)))
    if spectrum != "calochallenge-1":
        raise NotFound(f"there is no spectrum {spectrum!r}{suggest(spectrum, ('log-uniform', 'calochallenge-1'))}")
    points = 2.0 ** np.arange(8, 23)
    weights = np.array([10.0] * 11 + [5.0, 3.0, 2.0, 1.0]) * ((points >= low) & (points <= high))
    if not weights.any():
        raise InputError(f"energy={energy} holds no power of two from 256 MeV to 4 TeV.")
    return np.asarray(generator.choice(points, n, p=weights / weights.sum()))


RECIPE = Recipe(
    "showers",
    1,
    shower_sample,
    {"simulator": "gflash", "calorimeter": "calochallenge-2", "particle": "electron", "spectrum": "log-uniform",
     "energy": (1e3, 1e6)},
    detected=False,
)  # fmt: skip
