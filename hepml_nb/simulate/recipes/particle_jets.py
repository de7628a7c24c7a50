"""The recipe "particle_jets": jets of one kind of parton or boson at particle level, with their true species."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, cast

import awkward as ak
import numpy as np

from hepml_nb.core import NotFound, suggest
from hepml_nb.simulate import jets
from hepml_nb.simulate.pythia import Preselection, Pythia, visible
from hepml_nb.simulate.recipe import Recipe

__all__ = ["RECIPE", "particle_jets"]

_Z = ("WeakZ0:gmZmode = 2", "23:onMode = off", "23:onIfAny = 12 14 16")
_QUARKS = "1 2 3 4 5"
_HARD: Mapping[str, tuple[str, ...]] = {
    "z_gluon": ("WeakBosonAndParton:qqbar2gmZg = on", *_Z),
    "z_quark": ("WeakBosonAndParton:qg2gmZq = on", *_Z),
    "gluon": ("HardQCD:gg2gg = on", "HardQCD:qqbar2gg = on"),
    "quark": ("HardQCD:qq2qq = on", "HardQCD:gg2qqbar = on", "HardQCD:qqbar2qqbarNew = on"),
    "top": ("Top:gg2ttbar = on", "Top:qqbar2ttbar = on", "24:onMode = off", f"24:onIfAny = {_QUARKS}"),
    "w": ("WeakDoubleBoson:ffbar2WW = on", "24:onMode = off", f"24:onIfAny = {_QUARKS}"),
    "z": ("WeakDoubleBoson:ffbar2gmZgmZ = on", "WeakZ0:gmZmode = 2", "23:onMode = off", f"23:onIfAny = {_QUARKS}"),
}
_BATCHES: Mapping[str, tuple[int, int]] = {"simple": (200, 40), "vincia": (40, 10)}
"""Events per read-out, and the same of small samples; part of what a seed means, so they are fixed."""


def particle_jets(
    n: int,
    seed: int,
    *,
    process: str,
    label: int,
    pt: tuple[float, float],
    pthat: tuple[float, float],
    ecm: float,
    radius: float,
    rapidity: float,
    flavours: int,
    hardest: int,
    most: int,
    shower: str,
) -> tuple[Any, dict[str, float]]:
    """Return `n` jets of one class in the jets schema with `rapidity`, `full_mass`, `particles`, and counters.

    Pythia 8 (arXiv:2203.11601) with its default tune and multiparton interactions. All final particles but neutrinos
    are clustered with their masses (anti-kT `radius`); jets among the `hardest` of their event with `pt` in the window
    (GeV) and |y| < `rapidity` are kept, of Z + quark events only those whose quark has a number up to `flavours`.
    Only the `most` hardest particles are kept (0: all); `full_mass` (GeV) and `particles` are those of the whole jet.
    The processes "z_gluon" and "z_quark" (an invisible Z beside the parton) are preselected, with edges that lose 1.5 %
    of gluon and 1 % of quark jets. Of quark jets 0.2 % come from pTHat below 310 GeV, but 7 % from below 400 GeV: the
    initial state radiates, and may even have made the jet.
    """
    if process not in _HARD:
        raise NotFound(f"there is no process {process!r}{suggest(process, _HARD)}")
    apart = process.startswith("z_")
    window = Preselection((0.924 * pt[0], 1.127 * pt[1]), radius, rapidity + 0.2, apart=23) if apart else None
    generator = Pythia(_HARD[process], seed=seed, mpi=True, pthat=pthat, ecm=ecm, preselect=window,
                       shower=cast(Literal["simple", "vincia"], shower))  # fmt: skip
    many, few = _BATCHES[shower]
    kept: list[Any] = []
    counters: dict[str, float] = {"events": 0, "jets_in_window": 0, "kept": 0}
    while counters["kept"] < n:
        records = generator.events(many if n >= many else few)
        found = _find(visible(records), len(records), pt, radius, rapidity, hardest)
        found["event"] = ak.values_astype(found.row, np.int64) + int(counters["events"])
        counters["events"] += len(records)
        counters["jets_in_window"] += len(found)
        if process == "z_quark":
            found = found[_flavour(records)[ak.to_numpy(found.row)] <= flavours]
        counters["kept"] += len(found)
        kept.append(found)
    counters["tried"] = generator.tried
    found = ak.concatenate(kept)[:n] if kept else _find(_nothing(), 0, pt, radius, rapidity, hardest)
    return _table(found, label, radius, most), counters


def _find(particles: Mapping[str, np.ndarray], n_events: int, window: tuple[float, float], radius: float,
          rapidity: float, hardest: int) -> Any:  # fmt: skip
    """Return the jets of a batch in the window, with their particles' columns, hardest first."""
    counts = np.bincount(particles["event"], minlength=n_events)
    columns = {to: particles[name] for to, name in (("px", "px"), ("py", "py"), ("pz", "pz"), ("E", "e"))}
    found = jets.cluster(ak.unflatten(ak.zip(columns, with_name="Momentum4D"), counts), "antikt", radius, window[0])
    found = found[:, :hardest]
    found["row"] = ak.broadcast_arrays(np.arange(n_events), found.pt)[0]
    found["rank"] = ak.local_index(found.pt)
    found = ak.flatten(found)
    found["rapidity"] = np.arcsinh(found.pt * np.sinh(found.eta) / np.hypot(found.pt, found.mass))
    found = found[(found.pt < window[1]) & (abs(found.rapidity) < rapidity)]
    sizes = ak.to_numpy(ak.num(found.index))
    first = (np.cumsum(counts) - counts)[ak.to_numpy(found.row)]
    flat = ak.to_numpy(ak.flatten(found.index)) + np.repeat(first, sizes)
    pt = np.hypot(particles["px"], particles["py"])[flat]
    order = np.lexsort((-pt, np.repeat(np.arange(len(found)), sizes)))
    flat, pt = flat[order], pt[order]
    axis = {name: np.repeat(ak.to_numpy(found[name]), sizes) for name in ("eta", "phi")}
    inside = {
        "pt": jets.round_bits(pt, 8),
        "deta": jets.grid(np.arcsinh(particles["pz"][flat] / np.maximum(pt, 1e-12)) - axis["eta"]),
        "dphi": jets.grid(jets.delta_phi(np.arctan2(particles["py"][flat], particles["px"][flat]), axis["phi"])),
        "pdg": particles["id"][flat].astype(np.int16),
    }
    names = ("pt", "eta", "phi", "mass", "rapidity", "rank", "row")
    columns = {name: found[name] for name in names}
    return ak.zip({**columns, "constituents": ak.unflatten(ak.zip(inside), sizes)}, depth_limit=1)


def _flavour(records: Any) -> np.ndarray:
    """Return the number of the outgoing quark of every Z + quark event: 1 d, 2 u, 3 s, 4 c, 5 b."""
    kind = abs(records.prt.id)
    outgoing = (records.prt.status == -23) & (kind <= 5)
    return np.asarray(ak.to_numpy(ak.fill_none(ak.firsts(kind[outgoing]), 0)))


def _table(found: Any, label: int, radius: float, most: int) -> Any:
    """Return jets in the schema; `most` hardest particles are kept, with what the whole jet had."""
    inside = found.constituents
    extra = {
        "rapidity": (np.rint(ak.to_numpy(found.rapidity) * 8192) / 8192).astype(np.float32),
        "full_mass": jets.round_bits(ak.to_numpy(found.mass), 11),
        "particles": ak.to_numpy(ak.num(inside)).astype(np.int16),
    }
    event = found["event"] if "event" in ak.fields(found) else found.row
    return jets.from_constituents(
        found.pt, found.eta, found.phi, inside[:, :most] if most else inside, radius=radius, extra=extra,
        label=np.full(len(found), label), matched=np.ones(len(found)), rank=found["rank"], event=event,
    )  # fmt: skip


def _nothing() -> dict[str, np.ndarray]:
    return {"event": np.zeros(0, np.int64), "id": np.zeros(0, np.int64),
            **{name: np.zeros(0) for name in ("px", "py", "pz", "e")}}  # fmt: skip


RECIPE = Recipe(
    "particle_jets",
    1,
    particle_jets,
    {
        "process": "z_quark",
        "label": 1,
        "pt": (500.0, 550.0),
        "pthat": (300.0, 1200.0),
        "ecm": 14000.0,
        "radius": 0.4,
        "rapidity": 1.7,
        "flavours": 3,
        "hardest": 1,
        "most": 0,
        "shower": "simple",
    },
    libraries=("pythia8mc", "fastjet"),
    detected=False,
)
