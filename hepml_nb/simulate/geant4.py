"""Geant4 (NIM A 506 (2003) 250) through the wheel of `calzone`: electrons and photons in tungsten and silicon.

Geant4 11.4 follows every particle with its standard electromagnetic physics; what it deposits in silicon is put into
voxels. Its data sets come with no wheel: where calzone finds them they are used, else the tables of `geant4_tables`;
`tables` says which.
"""

from __future__ import annotations

import os
from functools import cache
from itertools import pairwise
from typing import Any

import numpy as np

from hepml_nb.core import InputError, NotFound, suggest
from hepml_nb.simulate import geant4_tables
from hepml_nb.simulate.calorimeter import Geometry

__all__ = ["CAVEAT", "PARTICLES", "available", "showers", "tables"]

PARTICLES = {"electron": "e-", "photon": "gamma"}
CAVEAT = ("Geant4 11.4 transport with closed-form bremsstrahlung below 1 GeV and Sandia photo-effect "
          "instead of G4EMLOW")  # fmt: skip
"""What figures and texts say where the closed-form tables were used."""
_MATERIALS = {"W": "G4_W", "Si": "G4_Si"}
_RANGE_CUT = 0.07
"""cm: electrons and photons that would not come as far are not followed on their own."""
_WIDTH = 100.0
"""cm: of the sheets, wide enough that nothing comes out at their sides."""
_AT_ONCE = 500e3
"""MeV: showers run together hold this much energy, so that their deposits take some 50 MB of memory."""


def available() -> bool:
    """Say whether calzone is installed."""
    from importlib.util import find_spec

    return find_spec("calzone") is not None


def tables() -> str:
    """Say which tables Geant4 reads here: "official" where its data sets are installed, else "closed-form"."""
    return geant4_tables.folder()[1]


def showers(energy: np.ndarray, geometry: Geometry, particle: str, generator: np.random.Generator) -> np.ndarray:
    """Return showers (n, voxels) in MeV, float32, of particles with kinetic `energy` (n,) in MeV along the axis.

    The particle starts at the front of the first sheet. Deposits in silicon count in the middle of their step, over the
    sampling fraction; what lies beyond the outermost radius is lost; below the threshold a voxel reads 0. One draw of
    `generator` is the seed of Geant4's own. Raises NotFound without calzone or for other particles, InputError for an
    energy that is not positive and for a geometry that is not of tungsten and silicon in layers alike.
    """
    if particle not in PARTICLES:
        raise NotFound(
            f"Geant4 is asked for electrons and photons here, not {particle!r}{suggest(particle, PARTICLES)}"
        )
    energy = np.asarray(energy, dtype=np.float64)
    if len(energy) and not (np.isfinite(energy).all() and energy.min() > 0):
        raise InputError(f"energy of {energy.min():g} MeV; expected positive numbers.")
    sheets = _sheets(geometry)
    calzone = _calzone()
    simulation = _simulation(geometry.stack.absorber, geometry.stack.active, len(geometry.layers) * sheets)
    simulation.random = calzone.Random(int(generator.integers(2**63)))
    made = np.zeros((len(energy), geometry.voxels))
    edges = np.flatnonzero(np.diff(np.cumsum(energy) // _AT_ONCE)) + 1
    for begin, end in pairwise([0, *edges, len(energy)]) if len(energy) else ():
        beam = calzone.particles(end - begin, pid=PARTICLES[particle], energy=energy[begin:end],
                                 position=(0, 0, -1e-4), direction=(0, 0, 1))  # fmt: skip
        made[begin:end] = _voxels(simulation.run(beam).deposits, end - begin, geometry, sheets)
    made /= geometry.stack.fraction
    made[made < geometry.threshold] = 0
    return made.astype(np.float32)


def _voxels(deposits: dict[str, Any], n: int, geometry: Geometry, sheets: int) -> np.ndarray:
    """Return what was deposited in the voxels (n, voxels), in MeV of silicon."""
    n_alpha, n_r = geometry.shape[1:]
    r_edges = np.asarray(geometry.layers[0].r_edges) / 10
    where, values = [np.zeros(0, dtype=np.int64)], [np.zeros(0)]
    for name, of_sheet in deposits.items():
        layer = int(name.rpartition("Active")[2]) // sheets
        for found, (x, y) in (
            (of_sheet.line, ((of_sheet.line["start"] + of_sheet.line["end"]) / 2).T[:2]),
            (of_sheet.point, of_sheet.point["position"].T[:2]),
        ):
            ring = np.searchsorted(r_edges, np.hypot(x, y), side="right") - 1
            alpha = np.minimum(((np.arctan2(y, x) / (2 * np.pi) + 0.5) * n_alpha).astype(np.int64), n_alpha - 1)
            index = found["event"].astype(np.int64) * geometry.voxels + geometry.offsets[layer] + alpha * n_r + ring
            where.append(index[ring < n_r])
            values.append(found["value"][ring < n_r])
    made = np.bincount(np.concatenate(where), np.concatenate(values), minlength=n * geometry.voxels)
    return made.reshape(n, -1)


def _sheets(geometry: Geometry) -> int:
    """Return the number of active sheets in a layer."""
    stack = geometry.stack
    ours = len(stack.absorber) == len(stack.active) == 1 and {stack.absorber[0][0], stack.active[0][0]} <= {*_MATERIALS}
    depths = np.array([(layer.end - layer.begin) * stack.x0 / stack.pitch for layer in geometry.layers])
    whole = round(float(depths[0]))
    if not ours or whole < 1 or not np.allclose(depths, whole):
        raise InputError(f"{geometry.name} is not of tungsten and silicon in layers alike; expected calochallenge-2 or "
                         "-3. Other calorimeters have the simulators cascade and gflash.")  # fmt: skip
    return whole


@cache
def _simulation(absorber: tuple[tuple[str, float]], active: tuple[tuple[str, float]], number: int) -> Any:
    """Return the calorimeter of `number` pairs of sheets (material, mm) along z from 0, ready to run."""
    calzone = _calzone()
    os.environ["GEANT4_DATA_DIR"] = str(geant4_tables.folder()[0])
    volumes: dict[str, Any] = {}
    front = 0.0
    for i in range(number):
        for name, (material, thickness) in (("Absorber", absorber[0]), ("Active", active[0])):
            depth = thickness / 10
            volumes[f"{name}{i}"] = {
                "material": _MATERIALS[material],
                "box": [_WIDTH, _WIDTH, depth],
                "position": [0, 0, front + depth / 2],
            }
            front += depth
        volumes[f"Active{i}"]["role"] = "record_deposits"
    world = {"material": "G4_Galactic", "box": [1.1 * _WIDTH, 1.1 * _WIDTH, 2.2 * front], **volumes}
    simulation = calzone.Simulation(calzone.Geometry({"World": world}))
    simulation.sample_deposits = "detailed"
    simulation.physics = calzone.Physics("standard", default_cut=_RANGE_CUT)
    return simulation


def _calzone() -> Any:
    try:
        import calzone
    except ImportError as error:
        raise NotFound(
            "simulating with Geant4 needs calzone: pip install 'hepml-nb[geant4]' (Linux on x86-64)."
        ) from error
    return calzone
