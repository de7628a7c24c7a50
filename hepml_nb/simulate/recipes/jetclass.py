"""The recipe "jetclass": the ten classes of JetClass after the detector, with the impact parameters of their tracks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import awkward as ak
import numpy as np

from hepml_nb.core import NotFound, RunError, derive_seed, rng, suggest
from hepml_nb.simulate import detector, jets, tracks
from hepml_nb.simulate.pythia import Preselection, Pythia, visible
from hepml_nb.simulate.recipe import Recipe

__all__ = ["RECIPE", "decay_partons", "jet_class"]

_BATCH, _FEW = 200, 40
"""Events per read-out, also of small samples; part of what a seed means, so they are fixed."""

_COLUMNS = ("charge", "d0val", "d0err", "dzval", "dzerr")


@dataclass(frozen=True)
class _Class:
    """Lines of Pythia (variants take turns), parent, parents per event and visible partons of each, lowest pTHat.

    The last is a fraction of the lower edge of the pt window.
    """

    lines: tuple[tuple[str, ...], ...]
    parent: int
    parents: int
    partons: int
    least: float


def _higgs(*decays: str) -> tuple[str, ...]:
    return ("HiggsSM:gg2Hg(l:t) = on", "HiggsSM:qg2Hq(l:t) = on", "HiggsSM:qqbar2Hg(l:t) = on", "25:onMode = off",
            *decays)  # fmt: skip


_QUARKS, _LEPTONS = "1 2 3 4 5", "11 13"
_W_PAIR = ("25:onIfMatch = 24 -24", "24:onMode = off")
_TOPS = ("Top:gg2ttbar = on", "Top:qqbar2ttbar = on", "24:onMode = off")
_Z_JET = ("WeakBosonAndParton:qqbar2gmZg = on", "WeakBosonAndParton:qg2gmZq = on", "WeakZ0:gmZmode = 2",
          "23:onMode = off")  # fmt: skip
_W_JET = ("WeakBosonAndParton:qqbar2Wg = on", "WeakBosonAndParton:qg2Wq = on", "24:onMode = off")
_CLASSES: Mapping[str, _Class] = {
    "QCD": _Class(((*_Z_JET, "23:onIfAny = 12 14 16"),), 0, 0, 0, 0.65),
    "Hbb": _Class((_higgs("25:onIfMatch = 5 -5"),), 25, 1, 2, 0.65),
    "Hcc": _Class((_higgs("25:onIfMatch = 4 -4"),), 25, 1, 2, 0.65),
    "Hgg": _Class((_higgs("25:onIfMatch = 21 21"),), 25, 1, 2, 0.65),
    "H4q": _Class((_higgs(*_W_PAIR, f"24:onIfAny = {_QUARKS}"),), 25, 1, 4, 0.65),
    "Hqql": _Class(
        (
            _higgs(*_W_PAIR, f"24:onPosIfAny = {_LEPTONS}", f"24:onNegIfAny = {_QUARKS}"),
            _higgs(*_W_PAIR, f"24:onPosIfAny = {_QUARKS}", f"24:onNegIfAny = {_LEPTONS}"),
        ),
        25,
        1,
        3,
        0.65,
    ),
    "Zqq": _Class(((*_Z_JET, f"23:onIfAny = {_QUARKS}"),), 23, 1, 2, 0.65),
    "Wqq": _Class(((*_W_JET, f"24:onIfAny = {_QUARKS}"),), 24, 1, 2, 0.65),
    "Tbqq": _Class(((*_TOPS, f"24:onIfAny = {_QUARKS}"),), 6, 2, 3, 0.55),
    "Tbl": _Class(((*_TOPS, f"24:onIfAny = {_LEPTONS}"),), 6, 2, 2, 0.55),
}


def jet_class(
    n: int, seed: int, *, process: str, label: int, pt: tuple[float, float], mpi: bool
) -> tuple[Any, dict[str, float]]:
    """Return `n` jets of one class of JetClass (arXiv:2202.03772) in the jets schema, and counters.

    Pythia events at 13 TeV pass the detector; anti-kT R = 0.8 jets among the two hardest of their event with `pt` in
    the window (GeV) and |eta| < 2 are kept, of signals those with all quarks, gluons, electrons and muons of the decay
    within 0.8. Constituents have `charge` and `d0val, d0err, dzval, dzerr` (mm), see `tracks.measured`.
    """
    if process not in _CLASSES:
        raise NotFound(f"there is no class {process!r}{suggest(process, _CLASSES)}")
    kind = _CLASSES[process]
    response, noise, tracking = detector.Detector(), rng(seed, "detector"), rng(seed, "tracks")
    generators: list[Pythia] = []
    kept: list[Any] = []
    counters: dict[str, float] = {"events": 0, "jets_in_window": 0, "near": 0, "matched": 0}
    while counters["matched"] < n:
        turn = len(kept) % len(kind.lines)
        if turn == len(generators):
            generators.append(_generator(kind, turn, seed, pt, mpi))
        records = generators[turn].events(_BATCH if n >= _BATCH else _FEW)
        particles = visible(records, vertices=True)
        candidates = response.candidates(particles, noise, sources=True)
        candidates |= _rounded(tracks.measured(candidates, particles, tracking))
        found = jets.find(candidates, len(records), pt, extra=_COLUMNS)
        near = inside = np.ones(len(found), dtype=bool)
        if kind.parent:
            near, inside = jets.match(found, decay_partons(records, kind.parent, kind.parents, kind.partons))
        found["event"] = ak.values_astype(found.row, np.int64) + int(counters["events"])
        for name, count in (("events", len(records)), ("jets_in_window", len(found)), ("near", near.sum()),
                            ("matched", inside.sum())):  # fmt: skip
            counters[name] += int(count)
        kept.append(found[inside])
    counters["tried"] = sum(generator.tried for generator in generators)
    if not kept:
        return _empty(), counters
    found = ak.concatenate(kept)[:n]
    sample = jets.from_constituents(
        found.pt, found.eta, found.phi, found.constituents, label=np.full(len(found), label),
        matched=np.ones(len(found)), rank=found["rank"], event=found["event"],
    )  # fmt: skip
    return sample, counters


def _generator(kind: _Class, turn: int, seed: int, pt: tuple[float, float], mpi: bool) -> Pythia:
    window = (0.96 * pt[0], 1.13 * pt[1])
    preselect = Preselection(window, holds=kind.parent, apart=0 if kind.parent else 23)
    own = derive_seed(seed, "turn", turn) if turn else seed
    return Pythia(kind.lines[turn], seed=own, mpi=mpi, ecm=13000.0, pthat=(kind.least * pt[0], 2.5 * pt[1]),
                  preselect=preselect)  # fmt: skip


def decay_partons(records: Any, parent: int, parents: int, partons: int) -> np.ndarray:
    """Return the visible partons and leptons of the decay of every `parent`, before their showers.

    The shape is (events, `parents`, `partons`, 4) with (px, py, pz, e) in GeV on the last axis; neutrinos are left
    out, gluons count for a Higgs only. Raises RunError where an event does not hold that many.
    """
    counts = ak.to_numpy(ak.num(records.prt))
    first = np.repeat(np.cumsum(counts) - counts, counts)
    event = np.repeat(np.arange(len(records)), counts)
    particles = ak.flatten(records.prt)
    pdg = np.abs(ak.to_numpy(particles.id))
    mother = ak.to_numpy(particles.mother1) + first
    carriers = (6, 24) if parent == 6 else (24, 25) if parent == 25 else (parent,)
    # A copy that a shower makes of a decay product has that product as its mother, no boson or top.
    product = np.isin(pdg, (1, 2, 3, 4, 5, 11, 13)) & np.isin(pdg[mother], carriers)
    chosen = np.flatnonzero(product | ((pdg == 21) & (pdg[mother] == 25)))
    origin = mother[chosen]
    for _ in range(500):  # walk up through a W and the copies of the parent to its first copy
        climb = (pdg[origin] != parent) | (pdg[mother[origin]] == parent)
        if not climb.any():
            break
        origin = np.where(climb, mother[origin], origin)
    order = np.argsort(origin, kind="stable")
    chosen = chosen[order]
    if not np.array_equal(event[chosen], np.repeat(np.arange(len(records)), parents * partons)):
        raise RunError(f"the event records do not hold {parents} x {partons} decay products of particle {parent}.")
    momentum = particles.p[chosen]
    columns = [ak.to_numpy(momentum[name]) for name in ("px", "py", "pz", "e")]
    return np.stack(columns, axis=-1).reshape(len(records), parents, partons, 4)


def _rounded(columns: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Return the columns of the tracks in the types of the schema, rounded far below what they resolve."""
    values = {name: jets.round_bits(columns[name], 7 if name.endswith("err") else 10) for name in columns}
    return values | {"charge": columns["charge"].astype(np.int8)}


def _empty() -> Any:
    found = jets.empty()
    inside = found.constituents
    for name in _COLUMNS:
        inside[name] = ak.values_astype(inside.pt, np.int8 if name == "charge" else np.float32)
    found["constituents"] = inside
    return found


RECIPE = Recipe(
    "jetclass",
    1,
    jet_class,
    {"process": "QCD", "label": 0, "pt": (500.0, 1000.0), "mpi": True},
    libraries=("pythia8mc", "fastjet"),
)
