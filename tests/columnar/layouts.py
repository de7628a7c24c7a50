"""Jets in the schema written as PFNano-like and Delphes-like events, as the experiments' programs lay them out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import awkward as ak
import numpy as np
import uproot

_TOP = {"pdg": (6, 24, 5, 2, -1), "mother": (-1, 0, 0, 1, 1), "share": (1.0, 0.6, 0.4, 0.35, 0.25),
        "deta": (0.0, 0.0, 0.2, -0.2, 0.1), "dphi": (0.0, 0.0, -0.1, 0.1, 0.15)}  # fmt: skip
"""A top and its decay inside a jet; a QCD jet has a gluon, which nothing is matched to."""


def _one_each(jets: Any) -> Any:
    return ak.Array(np.ones(len(jets), np.int64))


def _particles(jets: Any) -> Any:
    """Return what the generator made: one jet per event, events * particles * {pt, eta, phi, mass, pdg, mother}."""
    top = ak.to_numpy(jets.label) == 1
    counts = np.where(top, 5, 1)
    place = ak.to_numpy(ak.flatten(ak.local_index(ak.unflatten(np.zeros(counts.sum()), counts))))
    event, is_top = np.repeat(np.arange(len(jets)), counts), np.repeat(top, counts)
    values = {name: np.where(is_top, np.array(row)[place], {"pdg": 21, "mother": -1, "share": 1.0}.get(name, 0.0))
              for name, row in _TOP.items()}  # fmt: skip
    columns = {
        "pt": (ak.to_numpy(jets.pt)[event] * values["share"]).astype(np.float32),
        "eta": (ak.to_numpy(jets.eta)[event] + values["deta"]).astype(np.float32),
        "phi": _wrapped(ak.to_numpy(jets.phi)[event] + values["dphi"]),
        "mass": np.where(np.abs(values["pdg"]) == 6, 172.5, 0).astype(np.float32),
        "pdg": values["pdg"].astype(np.int32),
        "mother": values["mother"].astype(np.int32),
    }
    return ak.unflatten(ak.zip(columns), counts)


def _wrapped(phi: Any) -> np.ndarray:
    return ((np.asarray(phi) + np.pi) % (2 * np.pi) - np.pi).astype(np.float32)


def _absolute(jets: Any) -> Any:
    """Return the constituents with absolute positions: jets * var * {pt, eta, phi, pdg}."""
    inside = jets.constituents
    phi = ak.unflatten(_wrapped(ak.flatten(inside.dphi + jets.phi)), ak.num(inside))
    columns = {"pt": inside.pt, "eta": ak.values_astype(inside.deta + jets.eta, np.float32), "phi": phi}
    return ak.zip({**columns, "pdg": ak.values_astype(inside.pdg, np.int32)})


def pfnano(path: Path, jets: Any, *, truth: bool = True, weight: Any = None, tree: str = "Events") -> Path:
    """Write one jet per event with its candidates, CMS's index lists and generator particles."""
    n, inside, counts = len(jets), _absolute(jets), ak.num(jets.constituents)
    fat = ak.unflatten(ak.zip({name: jets[name] for name in ("pt", "eta", "phi", "mass")}), _one_each(jets))
    links = {"jetIdx": ak.zeros_like(inside.pdg), "pFCandsIdx": ak.values_astype(ak.local_index(inside.pt), np.int32)}
    candidates = {"pt": inside.pt, "eta": inside.eta, "phi": inside.phi, "pdgId": inside.pdg}
    collections = {"FatJet": fat, "FatJetPFCands": ak.zip(links), "PFCands": ak.zip(candidates)}
    assert ak.all(counts == ak.num(collections["FatJetPFCands"]))
    if truth:
        made = _particles(jets)
        names = {"pdg": "pdgId", "mother": "genPartIdxMother"}
        collections["GenPart"] = ak.zip({names.get(name, name): made[name] for name in made.fields})
    flat = {"run": np.ones(n, np.uint32), "luminosityBlock": np.full(n, 7, np.uint32),
            "event": np.arange(100, 100 + n, dtype=np.uint64)}  # fmt: skip
    if weight is not None or truth:
        flat["genWeight"] = np.asarray(np.ones(n) if weight is None else weight, np.float32)
    types = {**{k: v.dtype for k, v in flat.items()}, **{k: v.type for k, v in collections.items()}}
    with uproot.recreate(path) as file:
        made = file.mktree(tree, types, counter_name=lambda name: f"n{name}", field_name=lambda a, b: f"{a}_{b}")
        made.extend({**flat, **{name: ak.to_packed(column) for name, column in collections.items()}})
    return path


def delphes(path: Path, jets: Any, *, truth: bool = True) -> Path:
    """Write one jet per event as tracks, photons and neutral hadrons, with Delphes' names of branches.

    (uproot writes no branches below branches, so `EFlowTrack/EFlowTrack.PT` is the name of one here.)
    """
    n, inside = len(jets), _absolute(jets)
    kind = abs(inside.pdg)
    neutral = {"EFlowPhoton": kind == 22, "EFlowNeutralHadron": kind == 130}
    track = inside[(kind != 22) & (kind != 130)]
    upper = {"PT": track.pt, "Eta": track.eta, "Phi": track.phi, "PID": track.pdg, "Mass": ak.zeros_like(track.pt)}
    collections = {"EFlowTrack": ak.zip(upper)}
    for name, mask in neutral.items():
        some = inside[mask]
        collections[name] = ak.zip({"ET": some.pt, "Eta": some.eta, "Phi": some.phi})
    numbers = ak.unflatten(ak.zip({"Number": np.arange(100, 100 + n), "Weight": np.ones(n, np.float32)}),
                           _one_each(jets))  # fmt: skip
    collections["Event"] = numbers
    if truth:
        made = _particles(jets)
        names = {"pt": "PT", "eta": "Eta", "phi": "Phi", "mass": "Mass", "pdg": "PID", "mother": "M1"}
        collections["Particle"] = ak.zip({to: made[name] for name, to in names.items()})
    flat = {name: np.zeros(n, np.int32) for name in collections}
    with uproot.recreate(path) as file:
        types = {**{k: v.dtype for k, v in flat.items()}, **{f"{k}/{k}": v.type for k, v in collections.items()}}
        made = file.mktree("Delphes", types, counter_name=lambda name: f"{name.split('/')[0]}_size",
                           field_name=lambda a, b: f"{a}.{b}")  # fmt: skip
        made.extend({**flat, **{f"{name}/{name}": ak.to_packed(column) for name, column in collections.items()}})
    return path
