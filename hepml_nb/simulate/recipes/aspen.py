"""The recipe "aspen": jets of dijets as CMS would see them, with tracks, like those of Aspen Open Jets (no labels)."""

from __future__ import annotations

from typing import Any

import awkward as ak
import numpy as np

from hepml_nb.core import rng
from hepml_nb.simulate import detector, jets, tracks
from hepml_nb.simulate.pythia import Preselection, Pythia, visible
from hepml_nb.simulate.recipe import Recipe

__all__ = ["RECIPE", "aspen_sample"]

_BATCH, _FEW = 250, 25
"""Events per read-out, also of small samples; part of what a seed means, so they are fixed."""
_TRACKS = ("charge", "d0val", "d0err", "dzval", "dzerr")


def aspen_sample(n: int, seed: int, *, pt_min: float, mpi: bool) -> tuple[Any, dict[str, float]]:
    """Return `n` jets of dijets at 13 TeV in the jets schema with tracks, and counters of how they came about.

    Anti-kT R = 0.8 jets among the two hardest of their event with pt above `pt_min` (GeV) and |eta| < 2.5, as in Aspen
    Open Jets (arXiv:2412.10504), but without trigger, pile-up and anything that is not QCD. Constituents have `charge`,
    `d0val, d0err, dzval, dzerr` (mm, see `tracks.measured`) and a `puppi` weight, which is 1.
    """
    # Like that of "jets" at its lower edge, the preselection leaves out some per cent of the softest jets.
    early = Preselection((0.95 * pt_min, 1e5), rapidity=2.7)
    generator = Pythia("qcd", seed=seed, pthat=(0.6 * pt_min, 6500.0), ecm=13000.0, mpi=mpi, preselect=early)
    response, noise, tracking = detector.Detector(), rng(seed, "detector"), rng(seed, "tracks")
    kept: list[Any] = []
    counters: dict[str, float] = {"events": 0, "kept": 0}
    while counters["kept"] < n or not kept:
        records = generator.events(_BATCH if n >= _BATCH else _FEW)
        particles = visible(records, vertices=True)
        candidates = response.candidates(particles, noise, sources=True)
        candidates |= _rounded(tracks.measured(candidates, particles, tracking))
        found = jets.find(candidates, len(records), (pt_min, np.inf), eta_max=2.5, extra=(*_TRACKS, "puppi"))
        found["event"] = ak.values_astype(found.row, np.int64) + int(counters["events"])
        counters["events"] += len(records)
        counters["kept"] += len(found)
        kept.append(found)
    counters["tried"] = generator.tried
    found = ak.concatenate(kept)[:n]
    pt = jets.round_bits(ak.to_numpy(found.pt), 13)
    sample = jets.from_constituents(
        found.pt, found.eta, found.phi, found.constituents, matched=np.ones(len(found)), rank=found["rank"],
        event=found.event, extra={"corrected_pt": pt, "run": np.ones(len(found), np.int64)},
    )  # fmt: skip
    sample["reported_msoftdrop"] = sample.msoftdrop
    return sample, counters


def _rounded(columns: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    out = {name: jets.round_bits(columns[name], 8 if name.endswith("val") else 5) for name in _TRACKS[1:]}
    return {**out, "charge": columns["charge"].astype(np.int8), "puppi": np.ones(len(columns["charge"]), np.float32)}


RECIPE = Recipe("aspen", 1, aspen_sample, {"pt_min": 300.0, "mpi": True}, ("pythia8mc", "fastjet"))
