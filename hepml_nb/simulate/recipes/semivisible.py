"""The recipe "semivisible": jets of a dark shower with invisible dark hadrons, and of their background of dijets.

q qbar -> Z' -> dark quarks that shower and hadronise in a hidden valley (arXiv:1006.2911); a fraction r_inv of the dark
hadrons is stable and invisible, the others decay to quarks. Model and conventions are those of the CMS search
(arXiv:2112.11125): two dark colours and flavours, leptophobic Z', transverse mass of the dijet system and MET.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import awkward as ak
import numpy as np

from hepml_nb.core import InputError, NotFound, rng, suggest
from hepml_nb.simulate import detector, jets
from hepml_nb.simulate.pythia import Pythia, visible
from hepml_nb.simulate.recipe import Recipe

__all__ = ["PROCESSES", "RECIPE", "dark_coupling", "hidden_valley", "semivisible_sample", "transverse_mass"]

PROCESSES = ("qcd", "svj")

_BATCH, _FEW = 200, 40
"""Events per read-out, also of small samples; part of what a seed means, so they are fixed."""

_DARK = 4_900_000  # PDG codes above belong to the hidden valley
_STABLE = (51, 53)  # stand-ins for the dark matter that stable dark hadrons go to
_QUARKS = {1: 0.0048, 2: 0.0023, 3: 0.095, 4: 1.275, 5: 4.18}  # masses in GeV: may a dark hadron decay to a pair?
_RUNNING = {3: 0.055, 4: 0.63, 5: 2.85}  # of the same at the electroweak scale, for the rates of scalar ones
_B0 = 11 / 6 * 2 - 2 / 6 * 2  # of the dark coupling with two colours and two flavours


def semivisible_sample(
    n: int,
    seed: int,
    *,
    process: str,
    label: int,
    m_zprime: float,
    m_dark: float,
    r_inv: float,
    alpha_dark: float,
    mt_min: float,
    mpi: bool,
) -> tuple[Any, dict[str, float]]:
    """Return `n` jets in the jets schema with columns of their event, and counters of how they came about.

    Both leading anti-kT R = 0.8 jets of an event are kept where each has pt > 200 GeV and |eta| < 2.4, they are within
    1.5 in eta, and the transverse mass is above `mt_min` (GeV), as in the CMS search but for its cut on MET / mt, which
    would leave no background. Masses in GeV; `alpha_dark` is the dark coupling at 1 TeV, 0 the one that makes most
    dark hadrons (`dark_coupling`). Raises NotFound for an unknown process and InputError for values out of range.
    """
    if process not in PROCESSES:
        raise NotFound(f"there is no process {process!r}{suggest(process, PROCESSES)}")
    if process == "qcd":
        # A dijet system of mass mt has jets of pt > mt / 2.6 when they are within 1.5 in eta. Measured with windows
        # wide open, 3 % of the jets come from softer scatterings (with a hard jet of the initial state) and are lost.
        hard: tuple[float, float] | None = (max(0.32 * mt_min, 150.0), 6500.0)
        lines: tuple[str, ...] = ("HardQCD:all = on", f"PhaseSpace:mHatMin = {max(0.8 * mt_min, 300.0)}")
    else:
        hard, lines = None, hidden_valley(m_zprime, m_dark, r_inv, alpha_dark)
    generator = Pythia(lines, seed=seed, pthat=hard, ecm=13000.0, mpi=mpi)
    response, noise = detector.Detector(eta_calo=5.0), rng(seed, "detector")
    kept: list[Any] = []
    counters: dict[str, float] = {"events": 0, "two_jets": 0, "kept": 0}
    total = 0
    while total < n or not kept:
        records = generator.events(_BATCH if n >= _BATCH else _FEW)
        found = _events(response.candidates(_seen(records), noise), len(records), int(counters["events"]))
        counters["events"] += len(records)
        counters["two_jets"] += len(found) // 2
        found = found[found.mt > mt_min]
        counters["kept"] += len(found) // 2
        kept.append(found)
        total += len(found)
    found = ak.concatenate(kept)[:n]
    extra = {name: found[name] for name in ("met", "met_phi", "mjj", "mt", "min_dphi")}
    sample = jets.from_constituents(
        found.pt, found.eta, found.phi, found.constituents, label=np.full(len(found), label),
        matched=np.ones(len(found)), rank=found["rank"], event=found.event, extra=extra,
    )  # fmt: skip
    return sample, counters


def dark_coupling(m_dark: float) -> float:
    """Return the dark coupling at 1 TeV for which a dark hadron mass (GeV) gives most dark hadrons, as CMS found it."""
    return float(np.pi / (_B0 * np.log(1000.0 / (3.2 * m_dark**0.8))))


def hidden_valley(m_zprime: float, m_dark: float, r_inv: float, alpha_dark: float) -> tuple[str, ...]:
    """Return Pythia's lines of Z' -> dark quarks; raise InputError for values out of range (masses in GeV)."""
    if not 0 <= r_inv <= 1:
        raise InputError(f"r_inv={r_inv} is no fraction; expected 0 to 1.")
    if not 1 <= m_dark < m_zprime / 4:
        raise InputError(f"m_dark={m_dark} GeV; expected 1 to a quarter of m_zprime={m_zprime} GeV.")
    alpha = alpha_dark or dark_coupling(m_dark)
    scale = 1000.0 * np.exp(-np.pi / (_B0 * alpha))
    if not 0.01 <= scale < m_zprime / 10:
        raise InputError(f"alpha_dark={alpha_dark} puts Lambda at {scale:.3g} GeV; expected 0.01 to m_zprime / 10.")
    lines = [
        "HiddenValley:ffbar2Zv = on", f"4900023:m0 = {m_zprime}", f"4900023:mMin = {m_zprime - 1}",
        f"4900023:mMax = {m_zprime + 1}", "4900023:mWidth = 0.01", "4900023:oneChannel = 1 0.982 102 4900101 -4900101",
        *(f"4900023:addChannel = 1 0.003 102 {quark} -{quark}" for quark in range(1, 7)),
        "4900023:onMode = off", "4900023:onIfAny = 4900101",
        f"4900101:m0 = {m_dark / 2}", *(f"{code}:m0 = {m_dark}" for code in (4900111, 4900211, 4900113, 4900213)),
        *(f"{code}:{line}" for code in _STABLE for line in ("m0 = 0.0", "isResonance = off")),
        "HiddenValley:Ngauge = 2", "HiddenValley:nFlav = 2", "HiddenValley:spinFv = 0", "HiddenValley:FSR = on",
        "HiddenValley:fragment = on", "HiddenValley:probVector = 0.75", "HiddenValley:alphaOrder = 1",
        # Without setLambda Pythia goes by alphaFSR at 91 GeV and silently ignores Lambda.
        "HiddenValley:setLambda = on", f"HiddenValley:Lambda = {scale:.6g}",
        f"HiddenValley:pTminFSR = {1.1 * scale:.6g}",
    ]  # fmt: skip
    open_ = [quark for quark, mass in _QUARKS.items() if 2 * mass < m_dark]
    squares = {quark: _RUNNING.get(quark, 0.0) ** 2 for quark in open_}
    scalar = {quark: square / sum(squares.values()) for quark, square in squares.items() if square > 0}
    vector = {quark: 1 / len(open_) for quark in open_}
    for code, dark, rates in (
        (4900111, 51, scalar),
        (4900211, 51, scalar),
        (4900113, 53, vector),
        (4900213, 53, vector),
    ):
        lines.append(f"{code}:oneChannel = 1 {r_inv:.6g} 0 {dark} -{dark}")
        visible_rates = rates or vector
        lines += [f"{code}:addChannel = 1 {(1 - r_inv) * rate:.6g} 91 {quark} -{quark}"
                  for quark, rate in visible_rates.items()]  # fmt: skip
    return tuple(lines)


def transverse_mass(mjj: Any, px: Any, py: Any, met: Any, met_phi: Any) -> np.ndarray:
    """Return the transverse mass (GeV) of a dijet system (mass, px, py) and MET (arXiv:2112.11125, equation 1)."""
    energy = np.sqrt(mjj**2 + px**2 + py**2)
    squared = mjj**2 + 2 * (energy * met - met * (px * np.cos(met_phi) + py * np.sin(met_phi)))
    return np.asarray(np.sqrt(np.maximum(squared, 0.0)))


def _seen(records: Any) -> dict[str, np.ndarray]:
    particles = visible(records)
    code = np.abs(particles["id"])
    keep = (code < _DARK) & ~np.isin(code, _STABLE)
    return {name: column[keep] for name, column in particles.items()}


def _events(candidates: Mapping[str, np.ndarray], n_events: int, first: int) -> Any:
    """Return the two leading jets of the events that pass all but the cut on mt, one after the other."""
    along = [np.bincount(candidates["event"], candidates["pt"] * turn(candidates["phi"]), n_events)
             for turn in (np.cos, np.sin)]  # fmt: skip
    found = jets.find(candidates, n_events, (200.0, np.inf), eta_max=2.4)
    number = np.bincount(ak.to_numpy(found.row), minlength=n_events)
    found = found[number[ak.to_numpy(found.row)] == 2]
    pt, eta, phi = (ak.to_numpy(found[name]).reshape(-1, 2) for name in ("pt", "eta", "phi"))
    row = ak.to_numpy(found.row).reshape(-1, 2)[:, 0]
    mass = _masses(found).reshape(-1, 2)
    px, py, pz = pt * np.cos(phi), pt * np.sin(phi), pt * np.sinh(eta)
    energy = np.sqrt(px**2 + py**2 + pz**2 + mass**2).sum(axis=1)
    px, py, pz = px.sum(axis=1), py.sum(axis=1), pz.sum(axis=1)
    mjj = np.sqrt(np.maximum(energy**2 - px**2 - py**2 - pz**2, 0.0))
    met, met_phi = np.hypot(along[0], along[1])[row], np.arctan2(-along[1], -along[0])[row]
    nearest = np.abs(jets.delta_phi(phi, met_phi[:, None])).min(axis=1)
    mt = transverse_mass(mjj, px, py, met, met_phi)
    columns = {"met": met, "met_phi": met_phi, "mjj": mjj, "mt": mt, "min_dphi": nearest}
    for name, values in columns.items():
        found[name] = np.repeat(jets.round_bits(values, 11), 2)
    found["event"] = ak.values_astype(found.row, np.int64) + first
    return found[np.repeat(np.abs(eta[:, 0] - eta[:, 1]) < 1.5, 2)]


def _masses(found: Any) -> np.ndarray:
    inside = found.constituents
    pt, deta, dphi = (ak.values_astype(inside[name], np.float64) for name in ("pt", "deta", "dphi"))
    sums = [ak.sum(pt * shape, axis=1) for shape in (np.cosh(deta), np.cos(dphi), np.sin(dphi), np.sinh(deta))]
    squared = sums[0] ** 2 - sums[1] ** 2 - sums[2] ** 2 - sums[3] ** 2
    return np.asarray(np.sqrt(np.maximum(ak.to_numpy(squared), 0.0)))


RECIPE = Recipe(
    "semivisible",
    1,
    semivisible_sample,
    {
        "process": "svj",
        "label": 1,
        "m_zprime": 2100.0,
        "m_dark": 20.0,
        "r_inv": 0.3,
        "alpha_dark": 0.0,
        "mt_min": 1500.0,
        "mpi": True,
    },
    ("pythia8mc", "fastjet"),
)
