"""The recipe "drell_yan": pp -> gamma*/Z -> two leptons with partons, leptons after the shower, and as measured."""

from __future__ import annotations

from typing import Any

import awkward as ak
import numpy as np

from hepml_nb.core import InputError, rng
from hepml_nb.simulate.detector import Detector
from hepml_nb.simulate.jets import round_bits
from hepml_nb.simulate.pythia import Pythia
from hepml_nb.simulate.recipe import Recipe

__all__ = ["ECM", "LEVELS", "RECIPE", "collins_soper", "drell_yan_sample"]

ECM = 13000.0
"""Collision energy in GeV."""

LEVELS = ("parton", "particle", "reco")
"""Where leptons are looked at: from the boson, before they radiate photons; after all showers; and as measured."""

PROCESS = (
    "WeakSingleBoson:ffbar2gmZ = on",
    "WeakZ0:gmZmode = 0",
    "23:onMode = off",
    "23:onIfAny = 11 13",
    "HadronLevel:all = off",
)

_BATCH, _FEW = 2000, 100
"""Events per read-out, also of small samples; part of what a seed means, so they are fixed."""


def collins_soper(minus: np.ndarray, plus: np.ndarray) -> dict[str, np.ndarray]:
    """Return `m` (GeV), `y` and `cos` of lepton pairs from (n, 4) px, py, pz, e of lepton and antilepton, each (n,).

    `cos` is the cosine in the frame of Collins and Soper (Phys. Rev. D 16 (1977) 2219) with its axis along the pair's
    longitudinal momentum, since the quark's side is not seen. All are 0 where a pair has no energy.
    """
    pair = minus + plus
    there = pair[:, 3] > 0
    e, pz = np.where(there, pair[:, 3], 1.0), pair[:, 2]
    qt2 = pair[:, 0] ** 2 + pair[:, 1] ** 2
    m = np.sqrt(np.maximum(e**2 - pz**2 - qt2, 0.0))
    cross = (minus[:, 3] + minus[:, 2]) * (plus[:, 3] - plus[:, 2])
    cross = cross - (minus[:, 3] - minus[:, 2]) * (plus[:, 3] + plus[:, 2])
    cosine = np.sign(pz) * cross / np.maximum(m * np.sqrt(m**2 + qt2), 1e-12)
    found = {"m": m, "y": np.arctanh(np.clip(pz / e, -1 + 1e-15, 1 - 1e-15)), "cos": np.clip(cosine, -1, 1)}
    return {name: np.where(there, values, 0.0) for name, values in found.items()}


def drell_yan_sample(n: int, seed: int, *, window: tuple[float, ...]) -> tuple[Any, dict[str, float]]:
    """Return `n` events with the mass of the hard process in `window` (GeV), in the schema drell_yan, and counters.

    Electrons and muons; leading order with parton showers, without multiparton interactions and hadrons, of which no
    lepton knows. Leptons after the shower are bare, photons not added; measured ones are tracks of the parametrised
    detector, zeros where one of the two is lost. Raises InputError for an empty window.
    """
    if len(window) != 2 or not 10 <= window[0] < window[1] <= ECM:
        raise InputError(f"window={window} GeV is no window; expected 10 <= low < high <= {ECM:g}.")
    lines = (*PROCESS, f"PhaseSpace:mHatMin = {window[0]}", f"PhaseSpace:mHatMax = {window[1]}")
    generator = Pythia(lines, seed=seed, ecm=ECM, pthat=None, mpi=False)
    noise = rng(seed, "detector")
    parts, made = list[dict[str, np.ndarray]](), 0
    while made < n or not parts:
        records = generator.events(_BATCH if n >= _BATCH else _FEW)
        parts.append(_columns(records, noise))
        made += len(records)
    columns = {name: np.concatenate([part[name] for part in parts])[:n] for name in parts[0]}
    columns["event"] = np.arange(n)
    table = ak.zip({name: ak.Array(values) for name, values in columns.items()}, depth_limit=1)
    return table, {"events": made, "seen": int(columns["found"].sum())}


def _columns(records: Any, noise: np.random.Generator) -> dict[str, np.ndarray]:
    info = records.info
    leptons = _leptons(records)
    flavour = np.abs(leptons["id"][:, 0])
    levels = {"parton": leptons["parton"], "particle": leptons["particle"]}
    levels["reco"] = _measured(levels["particle"], flavour, noise)
    out: dict[str, np.ndarray] = {name: ak.to_numpy(info[name]).astype(np.int8) for name in ("id1", "id2")}
    out |= {name: ak.to_numpy(info[name]).astype(np.float32) for name in ("x1", "x2", "pdf1", "pdf2")}
    out["q"] = np.sqrt(ak.to_numpy(info.Q2Fac)).astype(np.float32)
    out["alpha_em"] = ak.to_numpy(info.alphaEM).astype(np.float32)
    out["lepton"] = flavour.astype(np.int8)
    out["found"] = levels["reco"][:, 0, 3] > 0
    for level in LEVELS:
        pair = levels[level]
        bits = 22 if level == "parton" else 20  # forward pairs are much lighter than their energies
        found = {**collins_soper(pair[:, 0], pair[:, 1]), "minus": pair[:, 0], "plus": pair[:, 1]}
        out |= {f"{level}_{name}": round_bits(values, bits) for name, values in found.items()}
    return out


def _leptons(records: Any) -> dict[str, np.ndarray]:
    """Return lepton and antilepton of the hard process and after the shower: `id` (n, 2), both levels (n, 2, 4)."""
    particles = records.prt
    hard = particles[(abs(particles.status) == 23) & ((abs(particles.id) == 11) | (abs(particles.id) == 13))]
    first = [ak.firsts(hard.id[hard.id * sign > 0]) for sign in (1, -1)]
    out = {"id": np.stack([ak.to_numpy(ak.fill_none(one, 0)) for one in first], axis=1)}
    final = particles[particles.status > 0]
    for level, those in (("parton", hard), ("particle", final)):
        pair = []
        for i in (0, 1):
            same = those[those.id == out["id"][:, i]]
            p = ak.firsts(same.p[ak.argmax(same.p.e, axis=1, keepdims=True)])  # there are others from photons, softer
            pair.append(np.stack([ak.to_numpy(ak.fill_none(p[x], 0.0)) for x in ("px", "py", "pz", "e")], axis=1))
        out[level] = np.stack(pair, axis=1)
    return out


def _measured(pair: np.ndarray, flavour: np.ndarray, noise: np.random.Generator) -> np.ndarray:
    """Return the momenta of the tracks of lepton and antilepton, zeros where one was not found: (n, 2, 4)."""
    n = len(pair)
    flat = pair.reshape(2 * n, 4)
    pdg = (np.array([1, -1]) * flavour[:, None]).reshape(-1)
    event = np.repeat(np.arange(n), 2)
    columns = dict(zip(("px", "py", "pz", "e"), flat.T, strict=True))
    seen = Detector().candidates({"event": event, "id": pdg, **columns}, noise)
    track = np.isin(np.abs(seen["pdg"]), (11, 13))
    row, side = seen["event"][track], (seen["pdg"][track] < 0).astype(int)
    pt, eta, phi = (seen[name][track] for name in ("pt", "eta", "phi"))
    out = np.zeros((n, 2, 4))
    out[row, side] = pt[:, None] * np.stack([np.cos(phi), np.sin(phi), np.sinh(eta), np.cosh(eta)], axis=1)
    both = np.all(out[..., 3] > 0, axis=1, keepdims=True)
    return np.asarray(out * both[..., None])


RECIPE = Recipe("drell_yan", 1, drell_yan_sample, {"window": (300.0, 2000.0)}, libraries=("pythia8mc",))
