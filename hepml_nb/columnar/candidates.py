"""Candidates and stable generator particles of whole events, from PFNano and from Delphes, as flat columns."""

from __future__ import annotations

from typing import Any

import awkward as ak
import numpy as np

from hepml_nb.columnar.files import Reads
from hepml_nb.simulate.zjets import Flat

__all__ = ["generated", "generated_branches", "measured", "measured_branches"]

_EFLOW = {"Track": "PT", "Photon": "ET", "NeutralHadron": "ET"}
_NEUTRAL = {"Photon": 22, "NeutralHadron": 130}
_NEUTRINOS = (12, 14, 16)
_AXES = ("pt", "eta", "phi")
_BEAM = 10.0
"""Largest |eta|; beyond lie the beam remnants, to which Delphes gives 999."""


def measured_branches(schema: str, *, pdg: bool = True) -> Reads:
    """Return the branches that `measured` needs, and those it takes where they are there."""
    if schema == "delphes":
        columns = [f"{name}.{column}" for name, pt in _EFLOW.items() for column in (pt, "Eta", "Phi")]
        columns += ["Track.PID"] if pdg else []
        return Reads(tuple(f"EFlow{x.split('.')[0]}/EFlow{x}" for x in columns))
    columns = [f"PFCands_{name}" for name in ("pt", "eta", "phi", *(["pdgId"] if pdg else []))]
    return Reads(("nPFCands", *columns), ("PFCands_puppiWeight",))


def generated_branches(schema: str) -> tuple[str, ...]:
    """Return the branches that `generated` takes."""
    if schema == "delphes":
        return tuple(f"Particle/Particle.{name}" for name in ("PT", "Eta", "Phi", "Mass", "PID", "Status", "IsPU"))
    return ("nGenCands", *(f"GenCands_{name}" for name in ("pt", "eta", "phi", "mass", "pdgId")))


def measured(events: Any, *, pdg: bool = True) -> dict[str, np.ndarray]:
    """Return candidates {event, pt, eta, phi, pdg} as flat columns sorted by event: GeV, rad, the file's PDG numbers.

    Without `pdg` that column is left out.

    In PFNano candidates carry their PUPPI weight, where the file has it, and those of weight 0 are left out. A file
    that keeps the candidates of jets only has no others. In Delphes files these are tracks, photons and neutral
    hadrons of the particle flow.
    """
    if "EFlowTrack" in events.fields:
        return _particle_flow(events, pdg)
    things = events.PFCands
    flat = {name: ak.to_numpy(ak.flatten(things[name])) for name in ("pt", "eta", "phi")}
    flat |= {"pdg": ak.to_numpy(ak.flatten(things.pdgId))} if pdg else {}
    flat = {"event": np.repeat(np.arange(len(events)), ak.to_numpy(ak.num(things.pt))), **flat}
    if "puppiWeight" in things.fields:
        flat["pt"] = flat["pt"] * ak.to_numpy(ak.flatten(things.puppiWeight))
    return {name: column[flat["pt"] > 0] for name, column in flat.items()}


def _particle_flow(events: Any, pdg: bool) -> dict[str, np.ndarray]:
    parts: dict[str, list[np.ndarray]] = {}
    for name, pt in _EFLOW.items():
        things = events[f"EFlow{name}"]
        counts = ak.to_numpy(ak.num(things[pt]))
        columns = {to: ak.to_numpy(ak.flatten(things[own])) for to, own in zip(_AXES, (pt, "Eta", "Phi"), strict=True)}
        columns["event"] = np.repeat(np.arange(len(events)), counts)
        if pdg:
            known = name in _NEUTRAL
            columns["pdg"] = np.full(counts.sum(), _NEUTRAL[name]) if known else ak.to_numpy(ak.flatten(things.PID))
        for to, values in columns.items():
            parts.setdefault(to, []).append(np.asarray(values))
    flat = {name: np.concatenate(columns) for name, columns in parts.items()}
    sort = np.argsort(flat["event"], kind="stable")
    sort = sort[(flat["pt"][sort] > 0) & np.isfinite(flat["eta"][sort])]
    return {name: column[sort] for name, column in flat.items()}


def generated(events: Any) -> Flat | None:
    """Return the stable visible particles {event, id, px, py, pz, e} (GeV) as flat columns, None where there are none.

    These are PFNano's GenCands, or Delphes' Particle of status 1, without those of other collisions.
    """
    if "GenCands" in events.fields:
        things, names = events.GenCands, ("pt", "eta", "phi", "mass", "pdgId")
    elif "Particle" in events.fields:
        things, names = events.Particle, ("PT", "Eta", "Phi", "Mass", "PID")
        stable = things.Status == 1
        things = things[stable & (things.IsPU == 0) if "IsPU" in things.fields else stable]
    else:
        return None
    event = np.repeat(np.arange(len(events)), ak.to_numpy(ak.num(things[names[0]])))
    pt, eta, phi, mass = (ak.to_numpy(ak.flatten(things[name])).astype(np.float64) for name in names[:4])
    pdg = ak.to_numpy(ak.flatten(things[names[4]]))
    seen = (pt > 0) & (np.abs(eta) < _BEAM) & ~np.isin(np.abs(pdg), _NEUTRINOS)
    event, pt, eta, phi, mass, pdg = (column[seen] for column in (event, pt, eta, phi, mass, pdg))
    pz = pt * np.sinh(eta)
    momentum = {"px": pt * np.cos(phi), "py": pt * np.sin(phi), "pz": pz, "e": np.sqrt(pt**2 + pz**2 + mass**2)}
    return {"event": event, "id": pdg, **momentum}
