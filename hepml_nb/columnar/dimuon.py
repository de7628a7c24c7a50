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
    two_hardest,
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
        """Return the cutflow and the pair's mass (events,), NaN where there is no pair, of momenta times `factor`."""
        muons = events.Muon
        good = (muons.pt * factor > self.pt[1]) & (abs(muons.eta) < self.eta)
        if self.identification:
            good = good & muons[self.identification]
        if self.isolation is not None:
            good = good & (muons.pfRelIso04_all < self.isolation)
        flow = Cutflow(weights)
        first, second = two_hardest(muons[good])
        flow.cut("two muons", ~ak.is_none(second) & (first.pt * factor > self.pt[0]))
        flow.cut("opposite sign", first.charge * second.charge < 0)
        mass = np.where(flow.passed, pair_mass(first, second, factor), np.nan)
        flow.cut("mass window", (mass > self.window[0]) & (mass < self.window[1]))
        return flow, mass
