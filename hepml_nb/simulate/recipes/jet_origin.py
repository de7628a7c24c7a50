"""The recipe "jet_origin": jets of eleven origins from Higgs decays at an electron-positron collider.

e+ e- -> Z H with Z to neutrinos, H to a pair of one kind, as in jet-origin identification (arXiv:2310.03440). The
detector has the resolutions of the CEPC baseline (conceptual design report, arXiv:1811.10545), particle by particle.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import awkward as ak
import numpy as np

from hepml_nb.core import NotFound, RunError, rng, suggest
from hepml_nb.simulate.jets import delta_phi, round_bits
from hepml_nb.simulate.pythia import Pythia
from hepml_nb.simulate.recipe import Recipe

__all__ = ["CLASSES", "PAIRS", "RECIPE", "impact_parameters", "jet_origin_sample", "seen"]

PAIRS = {"bb": 5, "cc": 4, "ss": 3, "uu": 2, "dd": 1, "gg": 21}
"""PDG code of the parton that the Higgs boson decays to a pair of."""

CLASSES = {5: 0, -5: 1, 4: 2, -4: 3, 3: 4, -3: 5, 2: 6, -2: 7, 1: 8, -1: 9, 21: 10}
"""Class number of a jet by the PDG code of its parton: b, bbar, c, cbar, s, sbar, u, ubar, d, dbar, g."""

_BATCH, _FEW = 250, 50
"""Events per read-out, also of small samples; part of what a seed means, so they are fixed."""

_FIELD = 3.0  # T, of the CEPC baseline
_TRACKER, _COS, _SOFT = 1000.0, 0.99, 0.1
"""A track needs: creation within this radius (mm; half of the tracker is left), |cos theta|, transverse momentum."""
_EFFICIENCY = 0.99
_THRESHOLD = {22: 0.1, 130: 0.5}  # GeV, photons and neutral hadrons
_MASS = {11: 0.000511, 13: 0.105658, 211: 0.139570, 321: 0.493677, 2212: 0.938272}
_SPECIES = np.array([211, 321, 2212])
_PID = np.array([[0.993, 0.005, 0.002], [0.040, 0.950, 0.010], [0.020, 0.030, 0.950]])
"""Probability that a pion, kaon, proton (row) is taken for each (column): kaon efficiency and purity are both about
95 %, what dE/dx and time of flight together reach in hadronic Z decays (arXiv:1803.05134)."""
_NEUTRINOS = (12, 14, 16)


def jet_origin_sample(n: int, seed: int, *, pair: str, ecm: float) -> tuple[Any, dict[str, float]]:
    """Return `n` jets from decays of the Higgs boson to `pair` (a name of PAIRS) and counters of how they came about.

    Every event gives the two exclusive jets of the Durham (e+e- kT) algorithm; of the two ways to give them the two
    partons the one with the smaller sum of angles is taken, so that quarks and antiquarks are equally many. `ecm` is
    the collision energy in GeV; beams do not radiate. Raises NotFound for an unknown pair.
    """
    if pair not in PAIRS:
        raise NotFound(f"there is no pair {pair!r}{suggest(pair, PAIRS)}")
    code = PAIRS[pair]
    partner = code if code == 21 else -code
    process = ("Beams:idA = 11", "Beams:idB = -11", "PDF:lepton = off", "HiggsSM:ffbar2HZ = on", "23:onMode = off",
               "23:onIfAny = 12 14 16", f"25:oneChannel = 1 1.0 100 {code} {partner}")  # fmt: skip
    generator = Pythia(process, seed=seed, pthat=None, ecm=ecm, tune=None, settings=("Tune:ee = 7",))
    noise = rng(seed, "detector")
    kept: list[Any] = []
    counters: dict[str, float] = {"events": 0, "lost": 0, "same_nearest": 0}
    total = 0
    while total < n or not kept:
        records = generator.events(_BATCH if n >= _BATCH else _FEW)
        found = _pairs(seen(records, noise), len(records), _partons(records))
        found["event"] = found.event + int(counters["events"])
        counters["events"] += len(records)
        counters["lost"] += len(records) - len(found) // 2
        counters["same_nearest"] += float(ak.sum(found.same)) / 2
        kept.append(found[[name for name in found.fields if name != "same"]])
        total += len(found)
    return ak.concatenate(kept)[:n], counters


def seen(records: Any, noise: np.random.Generator) -> dict[str, np.ndarray]:
    """Return what the detector sees of events, flat and sorted by event.

    Columns: `event`; `px, py, pz, e` (GeV; tracks with the mass of what they are taken for); `pdg` (what it is taken
    for: 211, 321, 2212, 11, 13 with sign, 22, 130), `true_pdg`, `charge`; `d0val, dzval` and their errors (mm; 0
    without a track). Momentum: sigma(1/pt) = 2e-5 (+) 1e-3 / (p sin^1.5 theta); photons 17 %/sqrt(E) (+) 1 %,
    neutral hadrons 60 %/sqrt(E) (+) 1 %; impact parameters 5 um (+) 10 um / (p sin^1.5 theta) (arXiv:1811.10545).
    Every particle is measured by itself: no confusion between tracks and clusters, no material.
    """
    particles = ak.flatten(records.prt)
    pdg = ak.to_numpy(particles.id)
    keep = (ak.to_numpy(particles.status) > 0) & ~np.isin(np.abs(pdg), _NEUTRINOS)
    event = np.repeat(np.arange(len(records)), ak.to_numpy(ak.num(records.prt)))[keep]
    particles, pdg = particles[keep], pdg[keep]
    p = np.stack([ak.to_numpy(particles.p[name]) for name in ("px", "py", "pz")], axis=-1)
    place = np.stack([ak.to_numpy(ak.fill_none(particles.vProd[name], 0.0)) for name in ("px", "py", "pz")], axis=-1)
    energy = ak.to_numpy(particles.p.e)
    kind, size = np.abs(pdg), np.linalg.norm(p, axis=1)
    pt, cos = np.hypot(p[:, 0], p[:, 1]), p[:, 2] / size
    sign = np.where(np.isin(kind, (11, 13)), -np.sign(pdg), np.sign(pdg))
    able = np.isin(kind, list(_MASS)) & (pt > _SOFT) & (np.hypot(place[:, 0], place[:, 1]) < _TRACKER)
    track = able & (np.abs(cos) < _COS) & (noise.random(len(pdg)) < _EFFICIENCY)
    # A charged hadron that was made beyond the tracker, by a long-lived neutral one, is seen by the calorimeter only.
    beyond = np.isin(kind, list(_MASS)) & (np.hypot(place[:, 0], place[:, 1]) >= _TRACKER) & (kind != 13)
    neutral = (kind == 22) | ~np.isin(kind, list(_MASS)) | beyond
    taken = np.where(track, _identified(pdg, noise), np.where((kind == 22) | (kind == 11), 22, 130))
    sin = np.sqrt(np.maximum(1 - cos**2, 1e-12))
    scale = np.where(
        track,
        1 / (1 + pt * np.hypot(2e-5, 1e-3 / (size * sin**1.5)) * noise.standard_normal(len(pt))),
        _calorimeter(energy, taken == 22, noise),
    )
    measured = np.where(track, size, energy) * scale
    threshold = np.where(track, 0.0, np.where(taken == 22, _THRESHOLD[22], _THRESHOLD[130]))
    good = (track | (neutral & (np.abs(cos) < _COS))) & (measured > threshold)
    d0, dz = impact_parameters(p, place, np.where(track, sign, 0))
    error = np.where(track, round_bits(np.hypot(5e-3, 10e-3 / (size * sin**1.5)), 5), 0.0)
    mass = np.select([np.abs(taken) == code for code in _MASS], list(_MASS.values()), 0.0)
    columns = {
        "event": event, "e": np.hypot(measured, mass), "pdg": taken, "true_pdg": pdg,
        "charge": np.where(track, sign, 0), "d0val": d0 + error * noise.standard_normal(len(pt)), "d0err": error,
        "dzval": dz + error * noise.standard_normal(len(pt)), "dzerr": error,
        **{name: p[:, i] / size * measured for i, name in enumerate(("px", "py", "pz"))},
    }  # fmt: skip
    return {name: column[good] for name, column in columns.items()}


def impact_parameters(p: np.ndarray, place: np.ndarray, charge: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return (d0, dz) in mm at the point of closest approach to the beam line of helices in a 3 T field.

    `p` (n, 3) in GeV at `place` (n, 3) in mm, `charge` (n,); neutral ones get 0. d0 is positive where the origin lies
    to the left of the direction of flight, as (x py - y px) / pt for a straight line.
    """
    turned = charge != 0
    pt = np.maximum(np.hypot(p[:, 0], p[:, 1]), 1e-12)
    radius = np.where(turned, pt / (0.3 * _FIELD) * 1000.0 * np.where(turned, charge, 1), 1e9)  # mm, signed
    x = place[:, 0] + radius * p[:, 1] / pt  # the centre of the circle: to the right of a positive track
    y = place[:, 1] - radius * p[:, 0] / pt
    d0 = np.abs(radius) - np.hypot(x, y)
    d0 = np.where(charge > 0, -d0, d0)
    # Direction of flight at the closest point: at a right angle to the line from there to the centre.
    phi = np.arctan2(np.sign(radius) * x, -np.sign(radius) * y)
    path = radius * delta_phi(np.arctan2(p[:, 1], p[:, 0]), phi)  # to the closest point; negative: back along pt
    dz = place[:, 2] + path * p[:, 2] / pt
    return np.where(turned, d0, 0.0), np.where(turned, dz, 0.0)


def _identified(pdg: np.ndarray, noise: np.random.Generator) -> np.ndarray:
    """Return what charged particles are taken for; leptons are always known."""
    drawn = noise.random(len(pdg))
    out = pdg.copy()
    for code, row in zip(_SPECIES, _PID, strict=True):
        mine = np.abs(pdg) == code
        out[mine] = _SPECIES[np.searchsorted(np.cumsum(row)[:-1], drawn[mine], side="right")] * np.sign(pdg[mine])
    return out


def _calorimeter(energy: np.ndarray, photon: np.ndarray, noise: np.random.Generator) -> np.ndarray:
    width = np.hypot(np.where(photon, 0.17, 0.60) / np.sqrt(np.maximum(energy, 0.05)), 0.01)
    width = np.sqrt(np.log1p(width**2))  # log-normal: energies stay positive and right on average
    return np.asarray(np.exp(width * noise.standard_normal(len(energy)) - width**2 / 2))


def _partons(records: Any) -> np.ndarray:
    """Return the two decay partons of each event: (events, 2, 5) of PDG code, px, py, pz, e."""
    particles = records.prt
    # Pythia lists both decays of the hard process; the ones of the Z boson are neutrinos.
    chosen = particles[(abs(particles.status) == 23) & ~((abs(particles.id) >= 11) & (abs(particles.id) <= 16))]
    if not ak.all(ak.num(chosen) == 2):
        raise RunError("an event record does not hold two partons of the Higgs boson's decay.")
    columns = [chosen.id, *(chosen.p[name] for name in ("px", "py", "pz", "e"))]
    return np.stack([ak.to_numpy(column).astype(np.float64) for column in columns], axis=-1)


def _pairs(candidates: Mapping[str, np.ndarray], events: int, partons: np.ndarray) -> Any:
    """Return the two jets of every event with more than three candidates, with labels: 2 * events records."""
    import fastjet
    import vector

    vector.register_awkward()
    counts = np.bincount(candidates["event"], minlength=events)
    rows = np.flatnonzero(counts > 3)
    flat = ak.zip({"px": candidates["px"], "py": candidates["py"], "pz": candidates["pz"], "E": candidates["e"]},
                  with_name="Momentum4D")  # fmt: skip
    durham = fastjet.JetDefinition0Param(fastjet.ee_kt_algorithm)
    fastjet.ClusterSequenceArea.set_fastjet_banner_stream(None)  # no banner amid a notebook
    sequence = fastjet.ClusterSequence(ak.unflatten(flat, counts)[rows], durham)
    index = ak.flatten(sequence.exclusive_jets_constituent_index(njets=2))
    sizes = ak.to_numpy(ak.num(index))
    first = np.repeat((np.cumsum(counts) - counts)[rows], 2)
    chosen, jet = ak.to_numpy(ak.flatten(index)) + np.repeat(first, sizes), np.repeat(np.arange(len(sizes)), sizes)
    columns = {name: column[chosen] for name, column in candidates.items()}
    total = np.stack([np.bincount(jet, columns[name], len(sizes)) for name in ("px", "py", "pz", "e")], axis=-1)
    order = np.lexsort((-np.hypot(columns["px"], columns["py"]), jet))
    inside = _inside({name: column[order] for name, column in columns.items()}, total[jet[order]])
    angle = _angles(total.reshape(-1, 2, 4)[:, :, None, :3], partons[rows][:, None, :, 1:4])  # event, jet, parton
    swapped = (angle[:, 0, 1] + angle[:, 1, 0]) < (angle[:, 0, 0] + angle[:, 1, 1])
    mine = np.where(swapped[:, None], [1, 0], [0, 1])  # which parton each of the two jets gets
    code = np.take_along_axis(partons[rows][..., 0], mine, axis=1).ravel().astype(int)
    pt = np.hypot(total[:, 0], total[:, 1])
    table = {
        "pt": round_bits(pt, 13), "eta": _fine(np.arcsinh(total[:, 2] / pt)),
        "phi": _fine(np.arctan2(total[:, 1], total[:, 0])), "energy": round_bits(total[:, 3], 13),
        "mass": round_bits(np.sqrt(np.maximum(total[:, 3] ** 2 - (total[:, :3] ** 2).sum(axis=1), 0.0)), 11),
        "label": np.array([CLASSES[value] for value in code], np.int8),
        "angle": round_bits(np.take_along_axis(angle, mine[..., None], axis=2).ravel(), 8),
        "event": np.repeat(rows, 2).astype(np.int64),
        "same": np.repeat(angle[:, 0].argmin(axis=1) == angle[:, 1].argmin(axis=1), 2),
    }  # fmt: skip
    return ak.zip({**table, "constituents": ak.unflatten(inside, sizes)}, depth_limit=1)


def _inside(columns: Mapping[str, np.ndarray], axis: np.ndarray) -> Any:
    """Return constituents as they are stored, from candidates and the momentum (n, 4) of the jet of each."""
    pt, axis_pt = np.hypot(columns["px"], columns["py"]), np.hypot(axis[:, 0], axis[:, 1])
    deta = np.arcsinh(columns["pz"] / pt) - np.arcsinh(axis[:, 2] / axis_pt)
    dphi = delta_phi(np.arctan2(columns["py"], columns["px"]), np.arctan2(axis[:, 1], axis[:, 0]))
    stored = {"pt": round_bits(pt, 8), "deta": _step(deta), "dphi": _step(dphi)}
    stored |= {name: columns[name].astype(np.int16) for name in ("pdg", "true_pdg")}
    stored["charge"] = columns["charge"].astype(np.int8)
    # Impact parameters are kept to a fifth of their smallest error and to 8 bits where they are large.
    stored |= {name: round_bits(np.rint(columns[name] / 1e-3) * 1e-3, 8) for name in ("d0val", "dzval")}
    stored |= {name: columns[name].astype(np.float32) for name in ("d0err", "dzerr")}
    return ak.zip(stored)


def _angles(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    dot = (a * b).sum(axis=-1) / (np.linalg.norm(a, axis=-1) * np.linalg.norm(b, axis=-1) + 1e-12)
    return np.asarray(np.arccos(np.clip(dot, -1.0, 1.0)))


def _fine(values: np.ndarray) -> np.ndarray:
    return np.asarray(np.rint(values * 8192) / 8192, np.float32)


def _step(values: np.ndarray) -> np.ndarray:
    return np.asarray(np.rint(values * 1024) / 1024, np.float32)


RECIPE = Recipe("jet_origin", 1, jet_origin_sample, {"pair": "bb", "ecm": 240.0}, ("pythia8mc", "fastjet"), False)
