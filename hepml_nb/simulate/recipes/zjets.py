"""The recipe "zjets": a Z with a jet before and after the detector, event by event, for unfolding."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import awkward as ak
import numpy as np

from hepml_nb.core import InputError, derive_seed, rng, suggest
from hepml_nb.simulate import sherpa, zjets
from hepml_nb.simulate.detector import Detector
from hepml_nb.simulate.pythia import Preselection, Pythia, visible
from hepml_nb.simulate.recipe import Recipe
from hepml_nb.simulate.zjets import Flat

__all__ = ["PTHAT", "RECIPE", "Z_AND_PARTON", "run_card", "z_and_jet"]

PTHAT = 150.0
"""Least pt (GeV) of Z and parton in the matrix element, as in the public set; 2.9 % of the Zs above 200 GeV in the end
would come from below with Pythia, and 1.5 % with Sherpa."""

_BATCH, _FEW = 500, 50
"""Events per read-out, also of small samples; part of what a seed means, so they are fixed."""

Z_AND_PARTON = ("WeakBosonAndParton:qqbar2gmZg = on", "WeakBosonAndParton:qg2gmZq = on", "23:onMode = off",
                 "23:onIfAny = 13", "23:mMin = 66", "23:mMax = 116")  # fmt: skip
_Events = Iterator[tuple[Flat, int]]


def z_and_jet(
    n: int,
    seed: int,
    *,
    generator: str,
    tune: int,
    shower: str,
    pt_z_min: float,
    losses: bool,
    particles: bool,
    label: int,
) -> tuple[Any, dict[str, float]]:
    """Return `n` events pp -> Z(mu mu) + jet at 14 TeV in the zjets schema, and counters of how they came about.

    The selection is that of the public set (Zenodo 3548091, arXiv:1911.09107): pTHat > 150 GeV, the Z above `pt_z_min`
    (GeV) before the detector, the hardest anti-kT R = 0.4 jet above 10 GeV on each side; here |y| < 2.5 is added, and a
    muon pair takes the place of a stable Z. No event is lost on either side unless `losses` asks for it: then the Z has
    to be above `pt_z_min` on that side, muons (25 GeV, |eta| < 2.4) and jet (100 GeV, |y| < 2.1) inside the detector,
    and muons can be missed. `pass_gen` and `pass_sim` tell, and events that pass on neither side are left out.

    `generator` is "pythia" (with `tune` and `shower` as in `Pythia`) or "sherpa", which has to be installed;
    `particles` adds the constituents of both jets. Raises InputError for an unknown generator or pt_z_min < 200.
    """
    counters: dict[str, float] = dict.fromkeys(("tried", "events", "z", "without_jet"), 0)
    sources: dict[str, Callable[[], _Events]] = {
        "pythia": lambda: _from_pythia(n, seed, tune, shower, pt_z_min, counters),
        "sherpa": lambda: _from_sherpa(n, seed, counters),
    }
    if generator not in sources:
        raise InputError(f"generator={generator!r} is unknown{suggest(generator, sources)}")
    if pt_z_min < 200:
        raise InputError(f"pt_z_min={pt_z_min} GeV; expected 200 or more, as the matrix element begins at {PTHAT:.0f}.")
    noise, events = rng(seed, "detector"), sources[generator]()
    kept: list[Any] = []
    while not kept or sum(map(len, kept)) < n:
        seen, count = next(events)
        found = _measured(seen, count, noise, pt_z_min, losses, particles, counters)
        found["event"] = ak.values_astype(found.event, np.int64) + int(counters["events"])
        counters["events"] += count
        kept.append(found)
    table = ak.concatenate(kept)[:n]
    table["label"] = np.full(len(table), label, dtype=np.int8)
    return table, counters


def _from_pythia(n: int, seed: int, tune: int, shower: Any, low: float, counters: dict[str, float]) -> _Events:
    """Yield (visible particles, number of events); of 1130 Zs above 200 GeV the early look loses none."""
    early = Preselection((0.87 * low, np.inf), radius=0.1, rapidity=5.0, holds=23)
    generator = Pythia(Z_AND_PARTON, seed=seed, pthat=(PTHAT, 7000.0), mpi=True, tune=tune, shower=shower,
                       preselect=early)  # fmt: skip
    while True:
        records = generator.events(_BATCH if n >= _BATCH else _FEW)
        counters["tried"] = generator.tried
        yield visible(records), len(records)


def run_card() -> str:
    """Return Sherpa's run card of the same process."""
    selectors = ("[Mass, 13, -13, 66, 116]", f"[PT, 93, {PTHAT:.0f}, E_CMS]")
    return sherpa.run_card("93 93 -> 13 -13 93", order="{QCD: 1, EW: 2}", selectors=selectors)


def _from_sherpa(n: int, seed: int, counters: dict[str, float]) -> _Events:
    """Yield (visible particles, number of events) of one run that will mostly do, then of small ones."""
    number = 0
    while True:
        size = int(2.8 * max(n, 40)) if number == 0 else 500
        run = sherpa.events(run_card(), size, derive_seed(seed, "sherpa", number))
        counters["tried"] += len(run)
        for first in range(0, len(run), _BATCH):
            part = run[first : first + _BATCH]
            yield part.visible(), len(part)
        number += 1


def _measured(
    seen: Flat, count: int, noise: np.random.Generator, low: float, losses: bool, particles: bool,
    counters: dict[str, float],
) -> Any:  # fmt: skip
    """Return the events that are kept, before and after the detector."""
    of_z = zjets.of_z(seen, count)
    gen_z = zjets.total(zjets.part(seen, of_z), count)
    keep = np.hypot(gen_z[0], gen_z[1]) > low * (0.9 if losses else 1.0)
    of_z, seen = of_z[keep[seen["event"]]], zjets.of_events(seen, keep)
    gen = zjets.Side(zjets.part(seen, of_z), zjets.part(seen, ~of_z))
    # The Z is measured wherever it goes, as in the public set, where it does not decay: no acceptance, no efficiency.
    everywhere = Detector(eta_track=10.0, eta_calo=10.0, pt_track=0.0, lepton_efficiency=1.0)
    measured = zjets.massless(everywhere.candidates(gen.z, noise))
    sim = zjets.Side(measured, zjets.massless(Detector().candidates(gen.others, noise)))
    found: np.ndarray | None = None
    if losses:
        found = np.all(noise.random((int(keep.sum()), 2)) < Detector().lepton_efficiency, axis=1)
    made, masks = zjets.records(gen, sim, np.flatnonzero(keep), low=low, losses=losses, particles=particles,
                                found=found)  # fmt: skip
    counters["z"] += int(keep.sum())
    counters["without_jet"] += int((~masks["jet"]).sum())
    return made


RECIPE = Recipe(
    "zjets",
    1,
    z_and_jet,
    {
        "generator": "pythia",
        "tune": 14,
        "shower": "simple",
        "pt_z_min": 200.0,
        "losses": False,
        "particles": False,
        "label": 0,
    },
    libraries=("pythia8mc", "fastjet"),
)
