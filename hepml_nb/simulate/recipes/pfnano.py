"""The recipe "pfnano": the events of "nano" with candidates, lists of those in jets, stable particles and taus."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import awkward as ak
import numpy as np

from hepml_nb.simulate import jets
from hepml_nb.simulate.recipe import Recipe
from hepml_nb.simulate.recipes.nano import RECIPE as NANO
from hepml_nb.simulate.recipes.nano import distance, leptons, rounded, sample
from hepml_nb.simulate.recipes.tautau import visible_taus

__all__ = ["RECIPE", "pfnano_sample"]

_ETA = 6.0
"""CMS packs generator particles up to here."""

_NEUTRINOS = (12, 14, 16)
_CHARGES = {211: 1, 321: 1, 2212: 1, 3222: 1, 3112: -1, 3312: -1, 3334: -1, 11: -1, 13: -1}


def pfnano_sample(
    n: int, seed: int, *, process: str, label: int, ecm: float, mpi: bool, muons: int
) -> tuple[Any, dict[str, float]]:
    """Return the events of the recipe "nano" with these further collections, in the layout of CMS's PFNano.

    `PFCands` are all candidates (massless here), `JetPFCands` and `FatJetPFCands` say which jet holds which of them,
    `GenCands` are the stable particles with |eta| < 6, neutrinos included, `GenJetAK8` their anti-kT R = 0.8 jets above
    100 GeV without neutrinos. `Tau` are jets above 20 GeV with |eta| < 2.5 that a hadronic tau points to (the nearest
    within 0.3 of its visible momentum above 10 GeV), all found and none fake, with the tau's charge. Muons also get
    their isolation in the cone of electrons. A seed makes the events that it makes for "nano".
    """
    return sample(n, seed, process=process, label=label, ecm=ecm, mpi=mpi, muons=muons, more=_more)


def _more(records: Any, found: Mapping[str, Any], events: Any) -> dict[str, Any]:
    """Return the collections that PFNano has beside those of NanoAOD, and Muon with one more column."""
    candidates, particles = found["candidates"], _stable(records)
    isolated = leptons(candidates, events.GenPart, 13, 3.0, 2.4, "pfRelIso03_all", 0.3).pfRelIso03_all
    return {
        "Muon": ak.with_field(events.Muon, ak.values_astype(isolated, np.float32), "pfRelIso03_all"),
        "PFCands": _things(candidates, candidates.pdg, ak.zeros_like(candidates.pt)),
        "JetPFCands": _links(found["Jet"]),
        "FatJetPFCands": _links(found["FatJet"]),
        "GenCands": particles,
        "GenJetAK8": _particle_jets(particles),
        "Tau": _taus(visible_taus(records), events.Jet),
    }


def _things(momenta: Any, pdg: Any, mass: Any) -> Any:
    """Return candidates or particles with the columns of CMS, events * var."""
    counts, number = ak.num(pdg), ak.to_numpy(ak.flatten(pdg)).astype(np.int32)
    columns = {name: ak.to_numpy(ak.flatten(momenta[name])).astype(np.float32) for name in ("pt", "eta", "phi")}
    columns["mass"] = ak.to_numpy(ak.flatten(mass)).astype(np.float32)
    charge = np.select([np.abs(number) == kind for kind in _CHARGES], list(_CHARGES.values()), 0) * np.sign(number)
    return ak.unflatten(ak.zip({**columns, "charge": charge.astype(np.int32), "pdgId": number}), counts)


def _links(found: Any) -> Any:
    """Return the pairs (jet, candidate) of each event, as places in their collections."""
    jet = ak.flatten(ak.broadcast_arrays(ak.local_index(found.pt), found.index)[0], axis=2)
    candidate = ak.flatten(found.index, axis=2)
    return ak.values_astype(ak.zip({"jetIdx": jet, "pFCandsIdx": candidate}), np.int32)


def _stable(records: Any) -> Any:
    """Return the stable particles of each event."""
    particles = records.prt[records.prt.status > 0]
    px, py, pz = (particles.p[name] for name in ("px", "py", "pz"))
    pt = np.hypot(px, py)
    axes = ak.zip({"pt": pt, "eta": np.arcsinh(pz / np.maximum(pt, 1e-12)), "phi": np.arctan2(py, px)})
    inside = abs(axes.eta) < _ETA
    return _things(axes[inside], particles.id[inside], particles.m[inside])


def _particle_jets(particles: Any) -> Any:
    """Return the jets of what is not a neutrino; its mass counts little at 100 GeV and is left out."""
    kind = abs(particles.pdgId)
    hidden = (kind == _NEUTRINOS[0]) | (kind == _NEUTRINOS[1]) | (kind == _NEUTRINOS[2])
    found = jets.cluster(particles[~hidden][["pt", "eta", "phi"]], "antikt", 0.8, min_pt=100.0)
    return ak.values_astype(rounded({name: found[name] for name in ("pt", "eta", "phi", "mass")}), np.float32)


def _taus(taus: Any, small: Any) -> Any:
    """Return the jets that are hadronic taus."""
    taus = taus[taus.hadronic & (taus.pt > 10)]
    jet_of_tau = ak.argmin(distance(taus, small), axis=2)
    away = distance(small, taus)
    tau_of_jet = ak.argmin(away, axis=2)
    mutual = ak.fill_none(jet_of_tau[tau_of_jet] == ak.local_index(small.pt), False)
    chosen = mutual & ak.fill_none(ak.min(away, axis=2) < 0.3, False) & (abs(small.eta) < 2.5)
    columns = {name: small[name][chosen] for name in ("pt", "eta", "phi", "mass")}
    place = ak.local_index(small.pt)[chosen]
    charge = ak.drop_none(taus.charge[tau_of_jet[chosen]])
    kinds = {"charge": charge, "jetIdx": place, "genPartFlav": ak.full_like(place, 5)}
    return ak.zip({**columns, **{name: ak.values_astype(column, np.int32) for name, column in kinds.items()}})


RECIPE = Recipe("pfnano", 1, pfnano_sample, NANO.defaults, libraries=NANO.libraries)
