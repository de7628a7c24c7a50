"""The mass of muon pairs of opposite sign, with its cutflow and its systematic variations."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import awkward as ak
import numpy as np
from coffea.processor import ProcessorABC

from hepml_nb.columnar.files import Reads
from hepml_nb.columnar.processors import (
    WEIGHT_VARIATIONS,
    Cutflow,
    event_weights,
    pair_mass,
    pair_spectrum,
    weight_branches,
)

__all__ = ["Dimuon"]


@dataclass(frozen=True)
class Dimuon(ProcessorABC):  # type: ignore[misc]
    """Events -> {"mass": histogram (dataset, variation, mass), "cutflow": {dataset: {step: {events, sumw, sumw2}}}}.

    The two hardest good muons of an event, if they have opposite signs, make a pair. Simulation also gets the
    variations "muon_scale_up" and "muon_scale_down" (all momenta times 1 +- `scale`, before the selection) and those of
    the `weights`; collisions are "nominal" only.

    Attributes:
        pt: least pt (GeV) of the harder and of the softer muon.
        eta: largest |eta|.
        identification: a boolean branch of muons that has to hold, such as "mediumId"; None for none.
        isolation: the largest `Muon_pfRelIso04_all`; None for no such cut.
        window: edges (GeV) of the last step of the cutflow; the histogram has all pairs.
        bins: number of bins and edges (GeV) of the histogram.
        scale: relative uncertainty of the muon momentum; 0.2 % is a round number of the size that experiments reach.
        weights: weight variations, name -> (branch, place in it).
    """

    pt: tuple[float, float] = (20.0, 10.0)
    eta: float = 2.4
    identification: str | None = None
    isolation: float | None = None
    window: tuple[float, float] = (76.0, 106.0)
    bins: tuple[int, float, float] = (70, 50.0, 120.0)
    scale: float = 0.002
    weights: Mapping[str, tuple[str, int]] = field(default_factory=lambda: dict(WEIGHT_VARIATIONS))

    def reads(self, schema: str) -> Reads:
        """Return the branches that are needed, and those taken where they are there."""
        names = ["pt", "eta", "phi", "mass", "charge", *([self.identification] if self.identification else [])]
        names += ["pfRelIso04_all"] if self.isolation is not None else []
        return Reads(("nMuon", *(f"Muon_{name}" for name in names)), weight_branches(self.weights))

    def process(self, events: Any) -> dict[str, Any]:
        """Return histogram and cutflow of a chunk."""
        weights = event_weights(events, self.weights)
        shifts = {"nominal": 1.0}
        if "genWeight" in events.fields:
            shifts |= {"muon_scale_up": 1 + self.scale, "muon_scale_down": 1 - self.scale}
        pairs = partial(self._pairs, events, weights["nominal"])
        label = r"$m_{\mu\mu}$ [GeV]"
        return pair_spectrum(events.metadata["dataset"], pairs, shifts, weights, self.bins, label)

    def _pairs(self, events: Any, weights: np.ndarray, factor: float) -> tuple[Cutflow, np.ndarray]:
        """Return the cutflow and the pair's mass (events,), NaN where there is no pair, of momenta times `factor`.

        Works on the muons of all events end to end, which is quicker than columns of two muons per event or None.
        """
        extra = [self.identification] if self.identification else []
        extra += ["pfRelIso04_all"] if self.isolation is not None else []
        names = ("pt", "eta", "phi", "mass", "charge", *extra)
        counts = ak.to_numpy(ak.num(events.Muon["pt"]))
        muons = {name: ak.to_numpy(ak.flatten(events.Muon[name])) for name in names}
        good = (muons["pt"] * factor > self.pt[1]) & (np.abs(muons["eta"]) < self.eta)
        if self.identification:
            good &= muons[self.identification].astype(bool)
        if self.isolation is not None:
            good &= muons["pfRelIso04_all"] < self.isolation
        place, first, second = _two_hardest(counts, muons["pt"], good)
        hard = muons["pt"][first] * factor > self.pt[0]
        opposite = muons["charge"][first] * muons["charge"][second] < 0
        flow, mass = Cutflow(weights), np.full(len(weights), np.nan)
        for step, chosen in {"two muons": place[hard], "opposite sign": place[hard & opposite]}.items():
            passed = np.zeros(len(weights), bool)
            passed[chosen] = True
            flow.cut(step, passed)
        a, b = (ak.zip({name: muons[name][one[hard & opposite]] for name in names[:4]}) for one in (first, second))
        mass[flow.passed] = pair_mass(a, b, factor)
        flow.cut("mass window", (mass > self.window[0]) & (mass < self.window[1]))
        return flow, mass


def _two_hardest(counts: np.ndarray, pt: np.ndarray, good: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the events that have two good muons, and the places of the hardest and the next of each; `pt` is flat."""
    ends = np.cumsum(counts)
    before = np.r_[0, np.cumsum(good)]
    there = before[ends] - before[ends - counts]  # good muons per event
    several = there > 1
    left = np.flatnonzero(good & np.repeat(several, counts))
    sizes = there[several]
    starts = np.cumsum(sizes) - sizes
    found, hardness = [], pt[left].astype(np.float64)
    for _ in range(2 if len(left) else 0):  # quicker than to sort
        largest = np.repeat(np.maximum.reduceat(hardness, starts), sizes)
        place = np.where(hardness == largest, np.arange(len(left)), len(left))
        found.append(np.minimum.reduceat(place, starts))  # of equal ones the first
        hardness[found[-1]] = -np.inf
    first, second = found or (left, left)
    return np.flatnonzero(several), left[first], left[second]
