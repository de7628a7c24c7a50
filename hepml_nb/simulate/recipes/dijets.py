"""The recipe "dijets": QCD and resonances W' -> X Y with two or three quarks each, as in the LHC Olympics R&D set."""

from __future__ import annotations

from typing import Any

import awkward as ak
import numpy as np

from hepml_nb.core import InputError, NotFound, rng, suggest
from hepml_nb.simulate import detector, dijets
from hepml_nb.simulate.pythia import Preselection, Pythia, visible
from hepml_nb.simulate.recipe import Recipe

__all__ = ["PROCESSES", "RECIPE", "dijet_sample", "resonance"]

PROCESSES = ("qcd", "qq", "qqq")
TRIGGER, ETA = 1200.0, 2.5
"""Least pt (GeV) and largest |eta| of the leading jet (arXiv:2101.08320)."""

_BATCH, _FEW = 200, 25
"""Events per read-out, also of small samples; part of what a seed means, so they are fixed."""
_PTHAT = 800.0
_X, _Y = 9000001, 9000002


def resonance(process: str, mass: float, mx: float, my: float) -> tuple[str, ...]:
    """Return Pythia's lines for W' -> X Y: X and Y are narrow scalars (width 1 %), and so is the W' (masses in GeV).

    With "qq" each of them decays to a quark and an antiquark, with "qqq" to three quarks, flat in phase space; their
    colours then end in a junction, as in decays that break R-parity. X has the charge of the W', Y has none.
    Raises InputError for masses that the W' cannot decay to.
    """
    if not (mx > 10 and my > 10 and mx + my < mass):
        raise InputError(f"masses {mass}, {mx}, {my} GeV: expected mx + my below that of the W', and both above 10.")
    if process == "qq":
        decays = {_X: ("2 -1", "4 -3"), _Y: ("1 -1", "2 -2", "3 -3", "4 -4", "5 -5")}
    else:
        decays = {_X: ("2 2 1",), _Y: ("2 1 3", "-2 -1 -3")}
    lines = ["NewGaugeBoson:ffbar2Wprime = on", f"34:m0 = {mass}", *_narrow(34, mass),
             f"34:oneChannel = 1 1.0 100 {_X} {_Y}"]  # fmt: skip
    for pdg, names, m in ((_X, "X+ X- 1 3", mx), (_Y, "Y0 void 1 0", my)):
        lines += [f"{pdg}:all = {names} 0 {m} 0. 0. 0. 0.", f"{pdg}:isResonance = on", *_narrow(pdg, m)]
        for i, products in enumerate(decays[pdg]):
            lines.append(f"{pdg}:{'addChannel' if i else 'oneChannel'} = 1 {1 / len(decays[pdg])} 100 {products}")
    return tuple(lines)


def _narrow(pdg: int, m: float) -> tuple[str, ...]:
    window = (f"{pdg}:mMin = {0.9 * m}", f"{pdg}:mMax = {1.1 * m}")
    return (f"{pdg}:mWidth = {0.01 * m}", *window, f"{pdg}:doForceWidth = on")


def dijet_sample(
    n: int,
    seed: int,
    *,
    process: str,
    label: int,
    mass: float,
    mx: float,
    my: float,
    bias: float,
    mjj: tuple[float, float],
    mpi: bool,
    tune: int,
    particles: bool,
) -> tuple[Any, dict[str, float]]:
    """Return `n` events in the dijets schema and counters of how they came about.

    Pythia events at 13 TeV pass the detector; anti-kT R = 1 jets are found, and the leading one must pass the trigger,
    pt > 1.2 TeV and |eta| < 2.5, and the two of them the window `mjj` (GeV). `process` is "qcd", or a resonance of
    `mass` that decays to X (`mx`) and Y (`my`) of two ("qq") or three quarks each ("qqq"). With `bias` > 0 QCD events
    are drawn (pTHat / 800 GeV)**bias too often and carry the inverse as weight: the tail at high mass for little
    work. `particles` keeps the candidates, at most 700. QCD starts at pTHat = 800 GeV, which loses 2 % of what
    the trigger takes (next to none above mjj = 3 TeV); the preselection loses another 0.6 %.
    """
    if process not in PROCESSES:
        raise NotFound(f"there is no process {process!r}{suggest(process, PROCESSES)}")
    if bias < 0 or (bias and process != "qcd"):
        raise InputError(f"bias={bias} of {process!r}: expected a power of 0 or more, and QCD.")
    generator = _generator(process, seed, mass, mx, my, bias, mjj, mpi, tune)
    response, noise = detector.Detector(), rng(seed, "detector")
    counters: dict[str, float] = {"events": 0, "triggered": 0, "kept": 0}
    kept: list[Any] = []
    while counters["kept"] < n:
        records = generator.events(_BATCH if n >= _BATCH else _FEW)
        seen = visible(records)
        seen = {name: column[seen["e"] > 0] for name, column in seen.items()}  # a cell of no energy has no place
        events = dijets.on_grid(response.candidates(seen, noise), len(records))
        found = dijets.leading(events)
        first = found[:, :1]
        triggered = ak.to_numpy(ak.any((first.pt > TRIGGER) & (abs(first.eta) < ETA), axis=1))
        columns = dijets.describe(events[triggered], found[triggered])
        inside = (columns["mjj"] > mjj[0]) & (columns["mjj"] < mjj[1])
        weight = ak.to_numpy(records.info.weights[:, 0])[triggered][inside] if bias else 1.0
        number = int(counters["events"]) + np.flatnonzero(triggered)[inside]
        sizes = {"event": number, "weight": weight, "label": label}
        sizes |= {} if process == "qcd" else {"mx": mx, "my": my}
        if particles:
            sizes["particles"] = events[triggered][inside][:, :700]
        kept.append(dijets.table({name: x[inside] for name, x in columns.items()}, int(inside.sum()), **sizes))
        for name, count in (("events", len(records)), ("triggered", triggered.sum()), ("kept", inside.sum())):
            counters[name] += int(count)
    counters["tried"] = generator.tried
    return (ak.concatenate(kept)[:n] if kept else _nothing(particles)), counters


def _generator(process: str, seed: int, mass: float, mx: float, my: float, bias: float, mjj: tuple[float, float],
               mpi: bool, tune: int) -> Pythia:  # fmt: skip
    """Return the generator.

    Margins are measured: the preselection loses 0.6 % of triggered QCD events, and a window of mjj 1 % by the mass of
    the hard scattering.
    """
    settings: tuple[str, ...] = ()
    pthat: tuple[float, float] | None = None
    lines: tuple[str, ...] = ("HardQCD:all = on",)
    if process == "qcd":
        pthat = (_PTHAT, 6500.0)
        settings = (f"PhaseSpace:mHatMin = {0.78 * mjj[0]}",) if 0.78 * mjj[0] > 2 * _PTHAT else ()
        settings += (f"PhaseSpace:mHatMax = {1.15 * mjj[1]}",) if 1.15 * mjj[1] < 13000 else ()
        if bias:
            settings += ("PhaseSpace:bias2Selection = on", f"PhaseSpace:bias2SelectionPow = {bias}",
                         f"PhaseSpace:bias2SelectionRef = {_PTHAT}")  # fmt: skip
    else:
        lines = resonance(process, mass, mx, my)
    # Quarks of a resonance shower after the preselection has looked: it serves QCD only.
    window = Preselection((0.94 * TRIGGER, 1e5), radius=1.0, rapidity=2.7) if process == "qcd" else None
    return Pythia(lines, seed=seed, pthat=pthat, ecm=13000.0, mpi=mpi, tune=tune, settings=settings, preselect=window)


def _nothing(particles: bool) -> Any:
    columns = {f"{jet}_{name}": np.zeros(0) for jet in ("j1", "j2") for name in dijets.JET}
    none = ak.unflatten(ak.zip({name: np.zeros(0, np.float32) for name in ("pt", "eta", "phi")}), np.zeros(0, np.int64))
    return dijets.table({"mjj": np.zeros(0), **columns}, 0, **({"particles": none} if particles else {}))


RECIPE = Recipe(
    "dijets",
    1,
    dijet_sample,
    {
        "process": "qcd", "label": 0, "mass": 3500.0, "mx": 500.0, "my": 100.0, "bias": 0.0, "mjj": (0.0, 13000.0),
        "mpi": False, "tune": 14, "particles": False,
    },
    libraries=("pythia8mc", "fastjet"),
)  # fmt: skip
