"""The recipe "ttbar_mass": top pairs with a lepton and jets after the detector, for a chosen mass of the top quark."""

from __future__ import annotations

from typing import Any

import awkward as ak
import numpy as np

from hepml_nb.core import InputError, rng
from hepml_nb.simulate.detector import Detector
from hepml_nb.simulate.jets import cluster, delta_phi, round_bits
from hepml_nb.simulate.pythia import Pythia, visible
from hepml_nb.simulate.recipe import Recipe

__all__ = ["RECIPE", "lepton_and_jets"]

PARTONS = ("none", "b of the hadronic top", "quark of the W", "b of the leptonic top")
"""What `jet_parton` counts."""

_BATCH, _FEW = 500, 100
"""Events per read-out, also of small samples; part of what a seed means, so they are fixed."""

_PROCESS = ("Top:gg2ttbar = on", "Top:qqbar2ttbar = on", "24:onMode = off", "24:onPosIfAny = 1 2 3 4 5",
            "24:onNegIfAny = 11 13")  # fmt: skip
_TAGGING = {5: 0.70, 4: 0.15, 0: 0.01}
"""Efficiency of the b tag for jets of a b, of a c from the W, and of anything else; round numbers of the CMS kind."""
_LEPTON_PT, _JET_PT, _ETA, _RADIUS, _ISOLATION = 25.0, 30.0, 2.4, 0.4, 0.15

_Flat = dict[str, np.ndarray]


def lepton_and_jets(n: int, seed: int, *, m_top: float, mpi: bool, label: int) -> tuple[Any, dict[str, float]]:
    """Return `n` events pp -> t tbar -> b q q' + lepton nu b at 14 TeV in the ttbar schema, and counters.

    The top decays to quarks, the antitop to e- or mu-. Events have one isolated lepton above 25 GeV and four jets
    (anti-kT R = 0.4) above 30 GeV, all within |eta| < 2.4, after the detector; the four hardest jets are kept. A jet
    takes the parton of the decays nearest to it within 0.4, and its b tag is drawn with that parton's efficiency.
    `m_top` (GeV) is the mass in the generator. Raises InputError for one outside 150 to 200.
    """
    if not 150 <= m_top <= 200:
        raise InputError(f"m_top={m_top} GeV; expected 150 to 200, where decay and width make sense.")
    generator = Pythia(_PROCESS, seed=seed, pthat=None, mpi=mpi, settings=(f"6:m0 = {m_top}",))
    noise, counters = rng(seed, "detector"), dict.fromkeys(("events", "lepton", "selected", "two_tags", "matched"), 0.0)
    kept: list[Any] = []
    while not kept or sum(map(len, kept)) < n:
        records = generator.events(_BATCH if n >= _BATCH else _FEW)
        found = _selected(records, noise, counters)
        found["event"] = ak.values_astype(found.event, np.int64) + int(counters["events"])
        counters["events"] += len(records)
        kept.append(found)
    table = ak.concatenate(kept)[:n]
    table["m_top"] = np.full(len(table), m_top, dtype=np.float32)
    table["label"] = np.full(len(table), label, dtype=np.int8)
    return table, counters


def _selected(records: Any, noise: np.random.Generator, counters: dict[str, float]) -> Any:
    """Return the events of a batch that pass, with their columns."""
    count = len(records)
    seen = Detector().candidates(visible(records), noise)
    lepton = _lepton(seen, count)
    good = lepton >= 0
    counters["lepton"] += int(good.sum())
    rest = np.ones(len(seen["pt"]), dtype=bool)
    rest[lepton[good]] = False
    counts = np.bincount(seen["event"][rest], minlength=count)
    jets = cluster(ak.unflatten(ak.zip({name: seen[name][rest] for name in ("pt", "eta", "phi")}), counts),
                   "antikt", _RADIUS, min_pt=_JET_PT)  # fmt: skip
    jets = jets[abs(jets.eta) < _ETA]
    good &= ak.to_numpy(ak.num(jets.pt)) >= 4
    counters["selected"] += int(good.sum())
    jet = {name: ak.to_numpy(ak.to_regular(jets[good][name][:, :4])) for name in ("pt", "eta", "phi", "mass")}
    parton, flavour, tops = _truth(records, good, jet)
    efficiency = np.select([flavour == 5, flavour == 4], [_TAGGING[5], _TAGGING[4]], _TAGGING[0])
    tag = noise.random(efficiency.shape) < efficiency
    at = lepton[good]
    columns: dict[str, Any] = {
        "lepton_pt": round_bits(seen["pt"][at], 10),
        "lepton_eta": _grid(seen["eta"][at]),
        "lepton_phi": _grid(seen["phi"][at]),
        "lepton_pdg": seen["pdg"][at].astype(np.int16),
        **_missing(seen, count, good),
        "n_jets": ak.to_numpy(ak.num(jets.pt))[good].astype(np.int8),
        "jet_pt": round_bits(jet["pt"], 10),
        "jet_eta": _grid(jet["eta"]),
        "jet_phi": _grid(jet["phi"]),
        "jet_mass": round_bits(jet["mass"], 9),
        "jet_btag": tag,
        "jet_parton": parton.astype(np.int8),
        "event": np.flatnonzero(good),
    }
    columns |= _masses(columns)
    columns["matched"] &= columns["m_bjj"] > 0
    counters["two_tags"] += int(np.isfinite(columns["m_jj"]).sum())
    counters["matched"] += int(columns["matched"].sum())
    return ak.zip({**columns, **tops}, depth_limit=1)


def _grid(values: Any) -> np.ndarray:
    """Round to multiples of 1/512, so that columns compress."""
    return np.asarray(np.rint(np.asarray(values, dtype=np.float64) * 512) / 512, dtype=np.float32)


def _lepton(seen: _Flat, count: int) -> np.ndarray:
    """Return the place of each event's hardest lepton if it is negative, inside and isolated, else -1: (count,)."""
    found = np.full(count, -1)
    places = np.flatnonzero(np.isin(np.abs(seen["pdg"]), (11, 13)) & (seen["pt"] > _LEPTON_PT))
    places = places[np.argsort(seen["pt"][places], kind="stable")]
    found[seen["event"][places]] = places  # the last one written, the hardest, stays
    mine = found[seen["event"]]
    away = np.hypot(seen["eta"] - seen["eta"][mine], delta_phi(seen["phi"], seen["phi"][mine]))
    around = (away < 0.3) & (mine >= 0) & (np.arange(len(mine)) != mine)
    activity = np.bincount(seen["event"][around], seen["pt"][around], minlength=count)
    good = (seen["pdg"][found] > 0) & (np.abs(seen["eta"][found]) < _ETA)
    return np.where((found >= 0) & good & (activity < _ISOLATION * seen["pt"][found]), found, -1)


def _missing(seen: _Flat, count: int, good: np.ndarray) -> dict[str, np.ndarray]:
    px, py = (np.bincount(seen["event"], seen["pt"] * turn(seen["phi"]), minlength=count)[good]
              for turn in (np.cos, np.sin))  # fmt: skip
    return {"met": round_bits(np.hypot(px, py), 9), "met_phi": _grid(np.arctan2(-py, -px))}


def _truth(records: Any, good: np.ndarray, jet: _Flat) -> tuple[np.ndarray, np.ndarray, _Flat]:
    """Return partons (see PARTONS) and flavours of the jets, (events, 4) each, and the columns of both tops."""
    particles = ak.flatten(records.prt)
    counts = ak.to_numpy(ak.num(records.prt))
    pdg, status = ak.to_numpy(particles.id), ak.to_numpy(particles.status)
    event = np.repeat(np.arange(len(records)), counts)
    above = pdg[ak.to_numpy(particles.mother1) + np.repeat(np.cumsum(counts) - counts, counts)]
    momentum = np.stack([ak.to_numpy(particles.p[name]) for name in ("px", "py", "pz", "e")], axis=1)
    columns: _Flat = {}
    for name, number in (("had", 6), ("lep", -6)):
        top = momentum[_one_each(np.flatnonzero((pdg == number) & (status == -62)), event, len(records))[good]]
        px, py, pz, energy = top.T
        mass, pt = np.sqrt(np.maximum(energy**2 - px**2 - py**2 - pz**2, 0.0)), np.hypot(px, py)
        columns |= {
            f"gen_top_{name}_pt": round_bits(pt, 10),
            f"gen_top_{name}_y": _grid(np.arcsinh(pz / np.hypot(pt, mass))),
            f"gen_top_{name}_phi": _grid(np.arctan2(py, px)),
            f"gen_top_{name}_mass": round_bits(mass, 12),
        }
    quark = (np.abs(pdg) <= 5) & (pdg != 0)
    of_w = np.flatnonzero(quark & (above == 24))  # the W of the antitop goes to leptons: all are of the hadronic one
    partons = [_one_each(np.flatnonzero(quark & (above == 6)), event, len(records)),
               _one_each(of_w[0::2], event, len(records)), _one_each(of_w[1::2], event, len(records)),
               _one_each(np.flatnonzero(quark & (above == -6)), event, len(records))]  # fmt: skip
    place = np.stack(partons, axis=1)[good]
    px, py, pz, _ = np.moveaxis(momentum[place], -1, 0)
    eta, phi = np.arcsinh(pz / np.maximum(np.hypot(px, py), 1e-12)), np.arctan2(py, px)
    away = np.hypot(jet["eta"][:, :, None] - eta[:, None], delta_phi(jet["phi"][:, :, None], phi[:, None]))
    nearest, near = away.argmin(axis=2), away.min(axis=2) < _RADIUS
    flavour = np.take_along_axis(np.abs(pdg[place]), nearest, axis=1)
    return np.where(near, np.array([1, 2, 2, 3])[nearest], 0), np.where(near, flavour, 0), columns


def _one_each(places: np.ndarray, event: np.ndarray, count: int) -> np.ndarray:
    """Return the place of the one particle that every event has; raise InputError where one has none."""
    found = np.full(count, -1)
    found[event[places][::-1]] = places[::-1]
    if (found < 0).any():
        raise InputError("an event has no top pair with one decay to quarks; was the process changed?")
    return found


def _masses(columns: dict[str, Any]) -> dict[str, np.ndarray]:
    """Return m_jj, m_bjj and m_lb (GeV) of events with two b tags among the four jets, NaN elsewhere.

    The two jets without a tag make the W; of the tagged ones, the one with the smaller m_lb goes with the lepton, the
    other with the W. `matched` says that all three jets of m_bjj are where the partons of the hadronic top went.
    """
    jets = _momenta(*(columns[f"jet_{name}"] for name in ("pt", "eta", "phi", "mass")))
    lepton = _momenta(*(columns[f"lepton_{name}"] for name in ("pt", "eta", "phi")))
    tag, parton = columns["jet_btag"], columns["jet_parton"]
    two = tag.sum(axis=1) == 2
    order = np.argsort(tag, axis=1, kind="stable")  # light, light, b, b
    jets, parton = np.take_along_axis(jets, order[..., None], axis=1), np.take_along_axis(parton, order, axis=1)
    with_lepton = np.stack([_mass(jets[:, i] + lepton) for i in (2, 3)], axis=1)
    leptonic = 2 + with_lepton.argmin(axis=1)
    row = np.arange(len(jets))
    hadronic = jets[row, 5 - leptonic]
    light = (parton[:, 0] == 2) & (parton[:, 1] == 2)
    found = {
        "m_jj": _mass(jets[:, 0] + jets[:, 1]),
        "m_bjj": _mass(jets[:, 0] + jets[:, 1] + hadronic),
        "m_lb": with_lepton.min(axis=1),
    }
    table = {name: np.where(two, round_bits(mass, 11), np.nan).astype(np.float32) for name, mass in found.items()}
    return {**table, "matched": two & light & (parton[row, 5 - leptonic] == 1)}


def _momenta(pt: Any, eta: Any, phi: Any, mass: Any = 0.0) -> np.ndarray:
    """Return (px, py, pz, e) on a last axis."""
    pt, eta, phi, mass = (np.asarray(column, dtype=np.float64) for column in (pt, eta, phi, mass))
    pz = pt * np.sinh(eta)
    return np.stack([pt * np.cos(phi), pt * np.sin(phi), pz, np.sqrt(pt**2 + pz**2 + mass**2)], axis=-1)


def _mass(momentum: np.ndarray) -> np.ndarray:
    px, py, pz, energy = np.moveaxis(momentum, -1, 0)
    return np.asarray(np.sqrt(np.maximum(energy**2 - px**2 - py**2 - pz**2, 0.0)))


RECIPE = Recipe(
    "ttbar_mass",
    1,
    lepton_and_jets,
    {"m_top": 172.5, "mpi": True, "label": 0},
    libraries=("pythia8mc", "fastjet"),
)
