"""The recipe "dimuon": muon pairs of 5 to 16 GeV from bottom hadrons, Drell-Yan and Upsilons, as a tracker sees."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import awkward as ak
import numpy as np

from hepml_nb.core import NotFound, rng, suggest
from hepml_nb.simulate import tracks
from hepml_nb.simulate.detector import Detector
from hepml_nb.simulate.jets import delta_phi, round_bits
from hepml_nb.simulate.pythia import Pythia, visible
from hepml_nb.simulate.recipe import Recipe

__all__ = ["BRANCHING", "CONE", "ECM", "LEAST", "PROCESSES", "RECIPE", "WINDOW", "dimuon_sample"]

ECM = 13000.0
"""Collision energy in GeV."""

WINDOW = (5.0, 16.0)
"""Mass of the measured pair, GeV."""

LEAST, REACH, CONE = 3.0, 2.4, 0.3
"""A muon needs this transverse momentum (GeV) and |eta|; radius in which its isolation is summed."""

BRANCHING = {553: 0.0248, 100553: 0.0193, 200553: 0.0218}
"""Share of the decays of Upsilon 1S, 2S and 3S that are to two muons (Particle Data Group)."""

_BOTTOM = (511, 521, 531, 541, 5122, 5132, 5232, 5332)  # hadrons of bottom that decay weakly
_MATRIX = ("gg2bbbar(3S1)[3S1(1)]g", *(f"{of}2bbbar(3S1)[{state}(8)]{to}" for of, to in (("gg", "g"), ("qg", "q"))
           for state in ("3S1", "1S0", "3PJ")))  # fmt: skip

PROCESSES: Mapping[str, tuple[str, ...]] = {
    "bottom": ("HardQCD:gg2bbbar = on", "HardQCD:qqbar2bbbar = on", "PhaseSpace:pTHatMin = 7",
               *(line for code in _BOTTOM for line in (f"{code}:onMode = off", f"{code}:onIfAny = 13"))),
    "continuum": ("WeakSingleBoson:ffbar2gmZ = on", "PhaseSpace:mHatMin = 4.5", "PhaseSpace:mHatMax = 18",
                  "23:mMin = 4.5", "23:onMode = off", "23:onIfAny = 13"),
    "upsilon": (*(f"Bottomonium:{one} = on,on,on" for one in _MATRIX), "PhaseSpace:pTHatMin = 4",
                *(line for code in BRANCHING for line in (f"{code}:onMode = off", f"{code}:onIfMatch = 13 -13"))),
}  # fmt: skip
"""Pairs of bottom quarks of which both hadrons decay to a muon; Drell-Yan of 4.5 to 18 GeV; Upsilon(1S, 2S, 3S) of
colour singlets and octets, recoiling against a parton, which decay to two muons."""

_BATCH, _FEW = 2000, 400
"""Events per read-out, also of small samples; part of what a seed means, so they are fixed."""
_MASS = 0.1056584
_TRACKS = (11, 13, 211, 321, 2212, 3112, 3222, 3312, 3334)
_BITS = {"pt": 11, "eta": 11, "d0": 8, "dz": 8, "d0err": 7, "iso": 8}


def dimuon_sample(n: int, seed: int, *, process: str, label: int) -> tuple[Any, dict[str, float]]:
    """Return `n` pairs of the two hardest muons of an event, in the schema dimuon, and counters of how they came about.

    Pythia events without multiparton interactions; tracks of the parametrised detector with impact parameters as in
    `tracks`. Both muons have pt > 3 GeV and |eta| < 2.4, the pair 5 to 16 GeV, of either sign. Decays to muons are
    forced; of the Upsilons as many are kept as `BRANCHING` says, relative to the first. Raises NotFound for an unknown
    process.
    """
    if process not in PROCESSES:
        raise NotFound(f"there is no process {process!r}{suggest(process, PROCESSES)}")
    generator = Pythia(PROCESSES[process], seed=seed, pthat=None, ecm=ECM, mpi=False)
    noise = rng(seed, "detector")
    parts, made, kept = list[dict[str, np.ndarray]](), 0, 0
    while kept < n or not parts:
        records = generator.events(_BATCH if n >= _BATCH else _FEW)
        near, true = _near(records)
        parts.append(_pairs(records[near], true, noise))
        made, kept = made + len(records), kept + len(parts[-1]["mass"])
    columns = {name: np.concatenate([part[name] for part in parts])[:n] for name in parts[0]}
    columns |= {"event": np.arange(n), "label": np.full(n, label, np.int8)}
    table = ak.zip({name: ak.Array(values) for name, values in columns.items()}, depth_limit=1)
    return table, {"events": made, "kept": kept}


def _near(records: Any) -> tuple[np.ndarray, np.ndarray]:
    """Return the rows of events whose two hardest true muons could pass, and the true mass (GeV) of these pairs."""
    particles = records.prt
    muons = particles[(particles.status > 0) & (abs(particles.id) == 13)].p
    pt = np.hypot(muons.px, muons.py)
    able = (pt > 0.8 * LEAST) & (abs(np.arcsinh(muons.pz / pt)) < REACH)
    muons = muons[able][ak.argsort(pt[able], axis=1, ascending=False)]
    two = np.flatnonzero(ak.to_numpy(ak.num(muons)) >= 2)
    pair = {name: ak.to_numpy(ak.sum(muons[two][:, :2][name], axis=1)) for name in ("px", "py", "pz", "e")}
    mass = np.sqrt(np.maximum(pair["e"] ** 2 - pair["px"] ** 2 - pair["py"] ** 2 - pair["pz"] ** 2, 0.0))
    could = (mass > 0.8 * WINDOW[0]) & (mass < 1.2 * WINDOW[1])
    return two[could], mass[could]


def _pairs(records: Any, true: np.ndarray, noise: np.random.Generator) -> dict[str, np.ndarray]:
    """Return the columns of the events, some of `records`, whose two hardest measured muons pass."""
    particles = visible(records, vertices=True)
    charged = np.isin(np.abs(particles["id"]), _TRACKS)
    particles = {name: column[charged] for name, column in particles.items()}
    seen = Detector().candidates(particles, noise, sources=True)
    seen |= tracks.measured(seen, particles, noise)
    seen = {name: column[seen["source"] >= 0] for name, column in seen.items()}  # tracks, no cells
    good = (np.abs(seen["pdg"]) == 13) & (seen["pt"] > LEAST) & (np.abs(seen["eta"]) < REACH)
    rows = np.flatnonzero(good)
    rows = rows[np.lexsort((-seen["pt"][rows], seen["event"][rows]))]
    event, first, count = np.unique(seen["event"][rows], return_index=True, return_counts=True)
    first = first[count >= 2]
    chosen, event = np.stack([rows[first], rows[first + 1]], axis=1), event[count >= 2]
    state = _states(records)[event]
    share = np.array([1.0, *(one / BRANCHING[553] for one in BRANCHING.values())])[state]
    mass, pair = _together({name: seen[name][chosen] for name in ("pt", "eta", "phi")})
    passed = (mass > WINDOW[0]) & (mass < WINDOW[1]) & (noise.random(len(mass)) < share)
    chosen, event = chosen[passed], event[passed]
    out = {"mass": round_bits(mass[passed], 14), "true_mass": round_bits(true[event], 14)}
    out |= {name: round_bits(values[passed], 11) for name, values in pair.items()}
    out["sign"] = np.prod(seen["charge"][chosen], axis=1).astype(np.int8)
    out["state"] = state[passed].astype(np.int8)
    values = {"pt": seen["pt"], "eta": seen["eta"], "d0": seen["d0val"], "d0err": seen["d0err"], "dz": seen["dzval"]}
    muons = {name: column[chosen] for name, column in values.items()}
    for name in ("d0", "dz"):  # to a micrometre, which is a tenth of the smallest error
        muons[name] = np.rint(muons[name] * 1e3) / 1e3
    muons["iso"] = _isolation(seen, chosen, event)
    return out | {f"mu_{name}": round_bits(column, _BITS[name]) for name, column in muons.items()}


def _together(muons: Mapping[str, np.ndarray]) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Return mass (n,) in GeV, and pt and rapidity of pairs of muons with pt, eta, phi (n, 2)."""
    pt, eta, phi = muons["pt"], muons["eta"], muons["phi"]
    pz = (pt * np.sinh(eta)).sum(axis=1)
    energy = np.sqrt((pt * np.cosh(eta)) ** 2 + _MASS**2).sum(axis=1)
    both = np.hypot((pt * np.cos(phi)).sum(axis=1), (pt * np.sin(phi)).sum(axis=1))
    return np.sqrt(np.maximum(energy**2 - pz**2 - both**2, 0.0)), {"pt": both, "y": np.arctanh(pz / energy)}


def _states(records: Any) -> np.ndarray:
    """Return which Upsilon stands in each event: 1, 2, 3, or 0 for none."""
    pdg = records.prt.id
    there = [i * ak.to_numpy(ak.any(pdg == code, axis=1)) for i, code in enumerate(BRANCHING, 1)]
    return np.asarray(np.max(there, axis=0))


def _isolation(seen: Mapping[str, np.ndarray], chosen: np.ndarray, event: np.ndarray) -> np.ndarray:
    """Return the pt of other tracks within CONE of each of the `chosen` (n, 2) muons of the events, over its own."""
    others = np.ones(len(seen["pt"]), bool)
    others[chosen] = False
    rows = np.flatnonzero(others)
    pair = np.searchsorted(event, seen["event"][rows])
    with_pair = pair < len(event)
    with_pair[with_pair] = event[pair[with_pair]] == seen["event"][rows[with_pair]]
    rows, pair = rows[with_pair], pair[with_pair]
    out = np.zeros(chosen.shape)
    for i in (0, 1):
        muon = chosen[pair, i]
        apart = np.hypot(seen["eta"][rows] - seen["eta"][muon], delta_phi(seen["phi"][rows], seen["phi"][muon]))
        out[:, i] = np.bincount(pair, np.where(apart < CONE, seen["pt"][rows], 0.0), len(chosen))
    return np.asarray(out / seen["pt"][chosen])


RECIPE = Recipe("dimuon", 1, dimuon_sample, {"process": "bottom", "label": 0}, libraries=("pythia8mc",))
