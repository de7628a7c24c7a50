"""The recipe "tautau": a lepton and a hadronic tau from Higgs, Z, top or W pairs, as in the HiggsML challenge."""

from __future__ import annotations

from typing import Any

import awkward as ak
import numpy as np

from hepml_nb.core import NotFound, rng, suggest
from hepml_nb.simulate import jets
from hepml_nb.simulate.detector import Detector
from hepml_nb.simulate.higgsml import CLASSES, PRIMARY, UNDEFINED, primary, table
from hepml_nb.simulate.pythia import Pythia, visible
from hepml_nb.simulate.recipe import Recipe

__all__ = ["CROSS_SECTIONS", "LUMINOSITY", "PROCESSES", "RECIPE", "tautau_sample", "visible_taus"]

LUMINOSITY = 10.0
"""In fb^-1, as in the challenge."""

TAGGED = 0.6
"""Efficiency of finding a hadronic tau; part of the weights."""

_LEPTONIC = 0.35039  # of tau decays in Pythia
_W = 0.108  # of W decays to each lepton
_TAUS = 2 * _LEPTONIC * (1 - _LEPTONIC)
_WS = 2 * _W * (1 - _LEPTONIC) * _W * (2 + _LEPTONIC)

CROSS_SECTIONS = {
    "htautau": 55.6e3 * 0.0627 * _TAUS,
    "ztautau": 1.98e6 * _TAUS,
    "ttbar": 832e3 * _WS,
    "diboson": 118.7e3 * _WS,
}
"""In fb at 13 TeV, with the decays to a lepton and a hadronic tau: all Higgs production (arXiv:1610.07922), Z to two
taus with 66 < m < 116 GeV (arXiv:1603.09222), top pairs (arXiv:1303.6254), W pairs (arXiv:1408.5243)."""

_SPLIT = ("15:onMode = off", "15:onPosIfAny = 111 211 321 311 310 130", "15:onNegIfAny = 11 13")
_BOSONS = ("24:onMode = off", "24:onPosIfAny = 11 13 15", "24:onNegIfAny = 15")
PROCESSES = {
    "htautau": ("HiggsSM:all = on", "25:onMode = off", "25:onIfMatch = 15 15", *_SPLIT),
    "ztautau": ("WeakSingleBoson:ffbar2gmZ = on", "WeakZ0:gmZmode = 2", "PhaseSpace:mHatMin = 66",
                "PhaseSpace:mHatMax = 116", "23:onMode = off", "23:onIfMatch = 15 15", *_SPLIT),
    "ttbar": ("Top:gg2ttbar = on", "Top:qqbar2ttbar = on", *_BOSONS, *_SPLIT),
    "diboson": ("WeakDoubleBoson:ffbar2WW = on", *_BOSONS, *_SPLIT),
}  # fmt: skip
"""The negative tau decays to hadrons and the positive one to a lepton: charges are not among the features."""

_BATCH, _FEW = 400, 100
"""Events per read-out, also of small samples; part of what a seed means, so they are fixed."""


def tautau_sample(n: int, seed: int, *, process: str, mpi: bool) -> tuple[Any, dict[str, float]]:
    """Return `n` selected events of a process in the schema higgsml and counters.

    Selected are exactly one isolated electron or muon with pt > 20 GeV (none other above 15 GeV) and a hadronic tau
    that is a jet with pt > 20 GeV, both within |eta| < 2.5. Other anti-kT jets with R = 0.4 have pt > 20 GeV and
    |eta| < 3. Weights sum to the expected events in 10 fb^-1. Raises NotFound for an unknown process.
    """
    if process not in PROCESSES:
        raise NotFound(f"there is no process {process!r}{suggest(process, PROCESSES)}")
    generator = Pythia(PROCESSES[process], seed=seed, ecm=13000.0, pthat=None, mpi=mpi)
    noise = rng(seed, "detector")
    parts: list[dict[str, np.ndarray]] = []
    found = events = tried = 0
    while found < n:
        records = generator.events(_BATCH if n >= _BATCH else _FEW)
        events += len(records)
        tau, direct = _taus(records)
        # Pythia gives a W the same chance for a tau as for an electron, whatever the tau may do after.
        counted = direct | (noise.random(len(records)) < (_LEPTONIC if process in ("ttbar", "diboson") else 1.0))
        tried += int(counted.sum())
        chosen = _select(Detector().candidates(visible(records), noise), tau, counted)
        parts.append(chosen)
        found += len(chosen["PRI_met"])
    weight = CROSS_SECTIONS[process] * LUMINOSITY * TAGGED / max(tried, 1) * found / max(n, 1)
    columns = {name: np.concatenate([part[name] for part in parts])[:n] if parts else np.zeros(0) for name in PRIMARY}
    rounded = {name: np.where(values == UNDEFINED, values, _rounded(values, name)) for name, values in columns.items()}
    made = table(rounded, weights=np.full(n, weight, np.float32), label=np.full(n, CLASSES[process], np.int8),
                 event=np.arange(n))  # fmt: skip
    return made, {"events": events, "counted": tried, "selected": found}


def _rounded(values: np.ndarray, name: str) -> np.ndarray:
    return jets.round_bits(values, 13) if name.endswith(("pt", "met")) else np.round(values * 2048) / 2048


def visible_taus(records: Any) -> Any:
    """Return what taus left but for neutrinos: events * var * {pt, eta, phi, charge, hadronic}, momenta in GeV.

    `hadronic` says that a tau neutrino and no other is among the decay products; photons off the tau are on their own.
    """
    counts = ak.to_numpy(ak.num(records.prt))
    first = np.repeat(np.cumsum(counts) - counts, counts)
    event = np.repeat(np.arange(len(records)), counts)
    flat = ak.flatten(records.prt)
    pdg, mother = ak.to_numpy(flat.id), ak.to_numpy(flat.mother1) + first
    final = np.flatnonzero(ak.to_numpy(flat.status) > 0)
    source = final.copy()
    for _ in range(8):  # a tau, its resonances, their pions, their photons
        source = np.where(np.abs(pdg[source]) == 15, source, mother[source])
    of_tau = np.abs(pdg[source]) == 15
    final, source = final[of_tau], source[of_tau]
    seen = ~np.isin(np.abs(pdg[final]), (12, 14, 16))
    unique, place = np.unique(source[seen], return_inverse=True)
    momenta = [ak.to_numpy(flat.p[name])[final[seen]] for name in ("px", "py", "pz")]
    px, py, pz = (np.bincount(place, values, minlength=len(unique)) for values in momenta)
    pt = np.hypot(px, py)
    columns = {"pt": pt, "eta": np.arcsinh(pz / np.maximum(pt, 1e-9)), "phi": np.arctan2(py, px)}
    columns["charge"] = -np.sign(pdg[unique])
    light, tau = (np.isin(unique, source[np.isin(np.abs(pdg[final]), kinds)]) for kinds in ((12, 14), (16,)))
    columns["hadronic"] = tau & ~light
    return ak.unflatten(ak.zip(columns), np.bincount(event[unique], minlength=len(records)))


def _taus(records: Any) -> tuple[np.ndarray, np.ndarray]:
    """Return the hardest negative tau, (events, 3) of pt, eta, phi or zeros, and whether a W made the lepton itself."""
    taus = visible_taus(records)
    taus = taus[taus.charge < 0]
    hardest = ak.firsts(taus[ak.argsort(taus.pt, axis=1, ascending=False)])
    out = np.stack([ak.to_numpy(ak.fill_none(hardest[name], 0.0)) for name in ("pt", "eta", "phi")], axis=1)
    counts = ak.to_numpy(ak.num(records.prt))
    first = np.repeat(np.cumsum(counts) - counts, counts)
    flat = ak.flatten(records.prt)
    pdg, mother = ak.to_numpy(flat.id), ak.to_numpy(flat.mother1) + first
    direct = np.zeros(len(records), dtype=bool)
    direct[np.repeat(np.arange(len(records)), counts)[np.isin(pdg, (-11, -13)) & (pdg[mother] == 24)]] = True
    return out, direct


def _select(seen: dict[str, np.ndarray], tau: np.ndarray, counted: np.ndarray) -> dict[str, np.ndarray]:
    """Return the primary features of the selected events."""
    events = len(tau)
    particles = ak.unflatten(ak.zip(seen), np.bincount(seen["event"], minlength=events))
    light = (abs(particles.pdg) == 11) | (abs(particles.pdg) == 13)
    leptons = particles[light & (particles.pt > 15) & (abs(particles.eta) < 2.5)]
    pairs = ak.cartesian([leptons, particles], nested=True)
    one, other = ak.unzip(pairs)
    close = np.hypot(one.eta - other.eta, jets.delta_phi(one.phi, other.phi)) < 0.3
    around = ak.sum(ak.where(close, other.pt, 0.0), axis=2) - leptons.pt
    leptons = leptons[around < 0.15 * leptons.pt]
    single = ak.to_numpy(ak.num(leptons) == 1)
    lepton = {name: ak.to_numpy(ak.fill_none(ak.firsts(leptons[name]), 0.0)) for name in ("pt", "eta", "phi")}
    met = -np.stack([ak.to_numpy(ak.sum(particles.pt * f(particles.phi), axis=1)) for f in (np.cos, np.sin)], axis=1)
    found = jets.cluster(particles[["pt", "eta", "phi"]], "antikt", 0.4, min_pt=20.0)
    found = found[_away(found, lepton["eta"], lepton["phi"]) > 0.4]
    near = _away(found, tau[:, 1], tau[:, 2])
    is_tau = (near < 0.3) & (near == ak.min(near, axis=1)) & (abs(found.eta) < 2.5)
    keep = counted & single & (lepton["pt"] > 20) & (tau[:, 0] > 10) & ak.to_numpy(ak.any(is_tau, axis=1))
    columns = primary(ak.firsts(leptons), ak.firsts(found[is_tau]), found[~is_tau], met)
    return {name: values[keep] for name, values in columns.items()}


def _away(found: Any, eta: np.ndarray, phi: np.ndarray) -> Any:
    return np.hypot(found.eta - eta, jets.delta_phi(found.phi, phi))


RECIPE = Recipe(
    "tautau",
    1,
    tautau_sample,
    {"process": "ztautau", "mpi": False},
    libraries=("pythia8mc", "fastjet"),
)
