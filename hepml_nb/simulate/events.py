"""Collisions to look at: live Pythia 8 events with their record, visible particles and the detector's view."""

from __future__ import annotations

from typing import Any

import awkward as ak
import numpy as np

from hepml_nb.core import InputError, rng
from hepml_nb.simulate.detector import Detector
from hepml_nb.simulate.pythia import Pythia, decay_quarks, visible

__all__ = ["PTHAT", "generate"]

PTHAT = {"qcd": (500.0, 800.0), "top": (500.0, 800.0), "w": (300.0, 600.0)}
"""Default pTHat windows (GeV) of the processes: boosted, as in the tagging datasets."""


def generate(
    process: str = "top",
    n: int = 200,
    seed: int = 0,
    *,
    mpi: bool = False,
    detector: bool | Detector = True,
    pthat: tuple[float, float] | None = None,
    tune: int = 14,
    settings: tuple[str, ...] = (),
) -> Any:
    """Return `n` collisions at 14 TeV: an awkward array of events with these fields (energies in GeV, angles in rad).

    - `record`: Pythia's event record, var * {id, status, mother1, mother2, daughter1, daughter2, px, py, pz, E, mass};
      mothers and daughters are places in it, and status > 0 marks final particles.
    - `visible`: final particles but neutrinos, var * {id, px, py, pz, E, pt, eta, phi}.
    - `quarks`: decay quarks of tops or Ws, var * {pt, eta, phi, parent}, empty for dijets.
    - `candidates` (with `detector`): what the parametrised detector reconstructs, var * {pt, eta, phi, pdg}.
    - `pthat`: transverse momentum of the hard scattering.

    The same arguments give the same events. `process` is "qcd", "top" or "w"; a few hundred events take seconds.
    Raises NotFound for an unknown process and InputError for n < 1.
    """
    if n < 1:
        raise InputError(f"n={n}: expected at least 1 event.")
    generator = Pythia(process, seed=seed, pthat=pthat or PTHAT.get(process, (500.0, 800.0)), mpi=mpi, tune=tune,
                       settings=settings)  # fmt: skip
    parts: list[Any] = []
    while sum(map(len, parts)) < n:
        parts.append(generator.events(n - sum(map(len, parts))))
    records = ak.concatenate(parts) if len(parts) > 1 else parts[0]
    particles, momentum = records.prt, records.prt.p
    names = ("id", "status", "mother1", "mother2", "daughter1", "daughter2")
    record = {name: particles[name] for name in names}
    record |= {"px": momentum.px, "py": momentum.py, "pz": momentum.pz, "E": momentum.e, "mass": particles.m}
    seen = visible(records)
    columns = {
        "record": ak.zip(record),
        "visible": _per_event({**_kinematics(seen), "id": seen["id"]}, seen["event"], n),
        "quarks": _quarks(decay_quarks(records, process)),
        "pthat": np.sqrt(ak.to_numpy(records.info.pT2Hat)),
    }
    if detector:
        response = detector if isinstance(detector, Detector) else Detector()
        found = response.candidates(seen, rng(seed, "detector"))
        event = found.pop("event")
        columns["candidates"] = _per_event(found, event, n)
    return ak.zip(columns, depth_limit=1)


def _per_event(columns: dict[str, Any], event: Any, n: int) -> Any:
    return ak.unflatten(ak.zip(columns), np.bincount(event, minlength=n))


def _kinematics(particles: dict[str, Any]) -> dict[str, Any]:
    px, py, pz = particles["px"], particles["py"], particles["pz"]
    pt = np.hypot(px, py)
    angles = {"pt": pt, "eta": np.arcsinh(pz / np.maximum(pt, 1e-12)), "phi": np.arctan2(py, px)}
    return {"px": px, "py": py, "pz": pz, "E": particles["e"], **angles}


def _quarks(momenta: np.ndarray) -> Any:
    events, parents, each, _ = momenta.shape
    flat = momenta.reshape(-1, 4)
    seen = _kinematics(dict(zip(("px", "py", "pz", "e"), flat.T, strict=True)))
    parent = np.tile(np.repeat(np.arange(parents), each), events)
    columns = {**{name: seen[name] for name in ("pt", "eta", "phi")}, "parent": parent}
    return ak.unflatten(ak.zip(columns), np.full(events, parents * each))
