"""The recipe "nano": collisions as an analysis gets them, with leptons, jets and generator particles as in NanoAOD."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import awkward as ak
import numpy as np

from hepml_nb.core import NotFound, rng, suggest
from hepml_nb.simulate import detector, jets, nanoaod
from hepml_nb.simulate.pythia import Pythia, visible
from hepml_nb.simulate.recipe import Recipe
from hepml_nb.simulate.recipes import tautau, zjets
from hepml_nb.simulate.substructure import describe

__all__ = ["PROCESSES", "RECIPE", "distance", "leptons", "nano_sample", "rounded", "sample"]

_TO_MUONS = ("23:onMode = off", "23:onIfAny = 13")

PROCESSES: Mapping[str, tuple[str, ...]] = {
    "zmumu": ("WeakSingleBoson:ffbar2gmZ = on", "PhaseSpace:mHatMin = 50", *_TO_MUONS),
    "continuum": ("WeakSingleBoson:ffbar2gmZ = on", "PhaseSpace:mHatMin = 7", "PhaseSpace:mHatMax = 14", "23:mMin = 7",
                  *_TO_MUONS),
    "upsilon": ("Bottomonium:gg2bbbar(3S1)[3S1(1)]g = on,off,off", "PhaseSpace:pTHatMin = 6", "553:onMode = off",
                "553:onIfMatch = 13 -13"),
    "ttbar": ("Top:gg2ttbar = on", "Top:qqbar2ttbar = on"),
    "dijets": ("HardQCD:all = on", "PhaseSpace:pTHatMin = 100"),
    "zjets": (*zjets.Z_AND_PARTON, f"PhaseSpace:pTHatMin = {zjets.PTHAT}"),
    "ztautau": tautau.PROCESSES["ztautau"],
    "htautau": tautau.PROCESSES["htautau"],
}  # fmt: skip
"""Z/gamma* to muons above 50 GeV; Drell-Yan of 7 to 14 GeV; Upsilon(1S) to muons, recoiling; top pairs; jets; a Z to
muons beside a parton, both above 150 GeV; Z and Higgs boson to taus, of which one decays to a lepton."""

_BATCH, _FEW = 200, 25
"""Events per read-out, also of small samples; part of what a seed means, so they are fixed."""
_KEPT = (6, 11, 12, 13, 14, 15, 16, 23, 24, 25, 553)
_MASS = {13: 0.1056584, 11: 0.000511}
_BITS = {"pt": 12, "mass": 11, "pfRelIso04_all": 9, "pfRelIso03_all": 9, "msoftdrop": 11, "tau1": 10, "tau2": 10,
         "tau3": 10}  # fmt: skip


def nano_sample(
    n: int, seed: int, *, process: str, label: int, ecm: float, mpi: bool, muons: int
) -> tuple[Any, dict[str, float]]:
    """Return `n` events in the nanoaod schema, of at least so many `muons`, and counters of how they came about.

    Pythia events at `ecm` (GeV) pass the detector. Muons have pt > 3 GeV and |eta| < 2.4, electrons pt > 5 and < 2.5,
    jets are anti-kT R = 0.4 above 20 GeV and R = 0.8 above 170 GeV of all candidates, leptons included. There is no
    identification, trigger, b-tagging, pile-up or jet calibration. Generator particles are the hard process, leptons,
    tops and bosons, each with the nearest of them above it as mother.
    """
    return sample(n, seed, process=process, label=label, ecm=ecm, mpi=mpi, muons=muons)


def sample(
    n: int, seed: int, *, process: str, label: int, ecm: float, mpi: bool, muons: int,
    more: Callable[[Any, Mapping[str, Any], Any], Mapping[str, Any]] | None = None,
) -> tuple[Any, dict[str, float]]:  # fmt: skip
    """Return what `nano_sample` does, with the further collections that `more` gives of (records, found, events).

    `records` are Pythia's, `found` the `candidates` and the jets that were clustered of them, `Jet` and `FatJet`, with
    the `index` of their candidates, and `events` is a batch in the schema. More columns do not change what is there.
    """
    if process not in PROCESSES:
        raise NotFound(f"there is no process {process!r}{suggest(process, PROCESSES)}")
    generator = Pythia(PROCESSES[process], seed=seed, pthat=None, ecm=ecm, mpi=mpi)
    response, noise = detector.Detector(), rng(seed, "detector")
    counters: dict[str, float] = {"events": 0, "kept": 0}
    kept: list[Any] = []
    while counters["kept"] < n or (more and not kept):
        records = generator.events(_BATCH if n >= _BATCH else _FEW)
        seen = visible(records)
        seen = {name: column[seen["e"] > 0] for name, column in seen.items()}  # a cell of no energy has no place
        events, found = _event(records, response.candidates(seen, noise))
        events["event"] = np.arange(len(records)) + int(counters["events"]) + 1
        events["label"] = np.full(len(records), label)
        chosen = ak.num(events["Muon"]) >= muons
        table = nanoaod.conform(events)
        for name, column in more(records, found, table).items() if more else ():
            table = ak.with_field(table, column, name)
        kept.append(table[chosen])
        counters["events"] += len(records)
        counters["kept"] += int(ak.sum(chosen))
    return (ak.concatenate(kept)[:n] if kept else nanoaod.empty()), counters


def _event(records: Any, found: Mapping[str, np.ndarray]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the columns and collections of a batch, and the candidates and jets that they are made of."""
    n = len(records)
    order = np.lexsort((-found["pt"], found["event"]))
    candidates = ak.unflatten(
        ak.zip({name: found[name][order] for name in ("pt", "eta", "phi", "pdg")}),
        np.bincount(found["event"], minlength=n),
    )
    particles, flavours = _generated(records)
    px, py = (-ak.sum(candidates.pt * f(candidates.phi), axis=1) for f in (np.cos, np.sin))
    out: dict[str, Any] = {
        "run": np.ones(n),
        "luminosityBlock": np.ones(n),
        "genWeight": ak.to_numpy(records.info.weights[:, 0]),
        "MET_pt": jets.round_bits(np.hypot(px, py), 11),
        "MET_phi": jets.round_bits(np.arctan2(py, px), 11),
        "GenPart": particles,
        "Muon": leptons(candidates, particles, 13, 3.0, 2.4, "pfRelIso04_all", 0.4),
        "Electron": leptons(candidates, particles, 11, 5.0, 2.5, "pfRelIso03_all", 0.3),
    }
    small = jets.cluster(candidates, "antikt", 0.4, min_pt=20.0)
    out["Jet"] = rounded(
        {name: small[name] for name in ("pt", "eta", "phi", "mass")}
        | {"nConstituents": ak.num(small.index, axis=2), "hadronFlavour": _flavour(small, flavours)}
    )
    large = jets.cluster(candidates, "antikt", 0.8, min_pt=170.0)
    out["FatJet"] = _fat(candidates, large)
    return out, {"candidates": candidates, "Jet": small, "FatJet": large}


def rounded(columns: Mapping[str, Any]) -> Any:
    """Zip columns of events * var, rounded so that they compress: angles to 1/8192, others to some bits."""
    counts = ak.num(columns["pt"])
    flat = {}
    for name, values in columns.items():
        values = ak.to_numpy(ak.flatten(values))
        if name in ("eta", "phi"):
            values = np.rint(values * 8192) / 8192
        flat[name] = jets.round_bits(values, _BITS[name]) if name in _BITS else values
    return ak.unflatten(ak.zip(flat), counts)


def leptons(candidates: Any, particles: Any, pdg: int, pt: float, eta: float, isolation: str, cone: float) -> Any:
    """Return leptons of a kind with charge, isolation (pt of others in the `cone` over its own), and their particle."""
    mine = candidates[(abs(candidates.pdg) == pdg) & (candidates.pt > pt) & (abs(candidates.eta) < eta)]
    near = distance(mine, candidates) < cone
    around = ak.sum(ak.where(near, ak.broadcast_arrays(mine.pt, candidates.pt[:, None, :])[1], 0.0), axis=2)
    truth = ak.mask(particles, (abs(particles.pdgId) == pdg) & (particles.status == 1))
    away = ak.fill_none(distance(mine, truth), 9.0)
    best = ak.fill_none(ak.argmin(away, axis=2), -1)
    matched = ak.fill_none(ak.min(away, axis=2), 9.0) < 0.02
    columns = {name: mine[name] for name in ("pt", "eta", "phi")}
    columns |= {"mass": ak.full_like(mine.pt, _MASS[pdg]), "charge": -np.sign(mine.pdg),
                "genPartIdx": ak.where(matched, best, -1),
                isolation: np.maximum((around - mine.pt) / mine.pt, 0.0)}  # fmt: skip
    return rounded(columns)


def distance(one: Any, two: Any) -> Any:
    """Return distances in eta and phi: events * one * two."""
    return np.hypot(one.eta[:, :, None] - two.eta[:, None, :], jets.delta_phi(one.phi[:, :, None], two.phi[:, None, :]))


def _fat(candidates: Any, found: Any) -> Any:
    """Return large jets with soft-drop mass and tau, as `substructure.describe`."""
    counts, flat = ak.num(found), ak.flatten(found)
    sizes = ak.to_numpy(ak.num(flat.index))
    event = np.repeat(np.repeat(np.arange(len(counts)), ak.to_numpy(counts)), sizes)
    offset = np.cumsum(ak.to_numpy(ak.num(candidates))) - ak.to_numpy(ak.num(candidates))
    inside = ak.flatten(candidates)[ak.to_numpy(ak.flatten(flat.index)) + offset[event]]
    axis = {name: np.repeat(ak.to_numpy(flat[name]), sizes) for name in ("eta", "phi")}
    columns = (inside.pt, inside.eta - axis["eta"], jets.delta_phi(inside.phi, axis["phi"]))
    seen = describe(*(ak.unflatten(column, sizes) for column in columns))
    more = {name: ak.unflatten(seen[name], counts) for name in ("msoftdrop", "tau1", "tau2", "tau3")}
    return rounded({**{name: found[name] for name in ("pt", "eta", "phi", "mass")}, **more})


def _generated(records: Any) -> tuple[Any, Any]:
    """Return the generator particles that are kept, and heavy hadrons for the flavour of jets: events * var each."""
    counts = ak.to_numpy(ak.num(records.prt))
    first = np.repeat(np.cumsum(counts) - counts, counts)
    flat = ak.flatten(records.prt)
    pdg, status, mother = (ak.to_numpy(flat[name]) for name in ("id", "status", "mother1"))
    px, py, pz = (ak.to_numpy(flat.p[name]) for name in ("px", "py", "pz"))
    pt = np.hypot(px, py)
    kinds, size = np.abs(pdg), np.abs(status)
    soft = (pt < 2.0) & np.isin(kinds, (11, 12, 13, 14, 15, 16))
    hard = (size > 20) & (size < 30)
    above = mother + first
    copy, again = pdg[above] == pdg, np.zeros(len(pdg), dtype=bool)
    again[above[copy]] = True
    kept = hard | (np.isin(kinds, _KEPT) & ~soft & ~(copy & again))
    nearest = above.copy()
    for _ in range(500):  # up to the nearest ancestor that is kept; entry 0 of an event stands for none
        climb = ~kept[nearest] & (nearest != first)
        if not climb.any():
            break
        nearest = np.where(climb, above[nearest], nearest)
    place = np.cumsum(kept) - 1
    start = np.concatenate([[0], np.cumsum(np.bincount(np.repeat(np.arange(len(counts)), counts)[kept],
                                                       minlength=len(counts)))])  # fmt: skip
    event = np.repeat(np.arange(len(counts)), counts)
    index = np.where(kept[nearest] & (nearest != first), place[nearest] - start[event], -1)
    flags = hard * 2**7 + ~copy * 2**12 + ~again * 2**13  # isHardProcess, isFirstCopy, isLastCopy
    eta = np.arcsinh(pz / np.maximum(pt, 1e-3))  # finite for what moves along the beam
    columns = {"pt": pt, "eta": eta, "phi": np.arctan2(py, px), "mass": ak.to_numpy(flat.m), "pdgId": pdg,
               "status": np.where(status > 0, 1, size), "statusFlags": flags, "genPartIdxMother": index}  # fmt: skip
    particles = ak.unflatten(ak.zip({name: x[kept] for name, x in columns.items()}), np.diff(start))
    hidden = ((kinds // 10) % 10 == (kinds // 100) % 10) & ((kinds // 1000) % 10 == 0)  # quarkonia have no flavour
    bottom, charm = ((((kinds // 100) % 10 == quark) | ((kinds // 1000) % 10 == quark)) & ~hidden for quark in (5, 4))
    heavy = (kinds > 100) & (kinds < 10_000_000) & (bottom | charm) & (pt > 1)
    hadrons = ak.zip({"eta": eta[heavy], "phi": columns["phi"][heavy], "flavour": np.where(bottom, 5, 4)[heavy]})
    return rounded({name: particles[name] for name in columns}), ak.unflatten(
        hadrons, np.bincount(event[heavy], minlength=len(counts))
    )


def _flavour(found: Any, hadrons: Any) -> Any:
    """Return 5 for jets with a bottom hadron within 0.4, 4 for those with a charmed one, 0 for others."""
    near = distance(found, hadrons) < 0.4
    flavour = ak.broadcast_arrays(near, hadrons.flavour[:, None, :])[1]
    return ak.fill_none(ak.max(ak.where(near, flavour, 0), axis=2), 0)


RECIPE = Recipe(
    "nano",
    1,
    nano_sample,
    {"process": "zmumu", "label": 0, "ecm": 13000.0, "mpi": True, "muons": 0},
    libraries=("pythia8mc", "fastjet"),
)
