"""The mass of the two hardest jets, with its cutflow and its systematic variations."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

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

__all__ = ["Dijets"]


@dataclass(frozen=True)
class Dijets(ProcessorABC):  # type: ignore[misc]
    """Events -> {"mass": histogram (dataset, variation, mass), "cutflow": {dataset: {step: {events, sumw, sumw2}}}}.

    The two hardest jets within `eta` make a pair; they have to be close in eta, as in searches for dijet resonances,
    where the t channel of QCD is far apart (CMS: 1.3, arXiv:1806.00843, which also merges jets nearby; not done here).
    Simulation also gets "jet_scale_up" and "jet_scale_down" (momenta and masses times 1 +- `scale`, before the
    selection) and the variations of the `weights`; collisions are "nominal" only.

    Attributes:
        pt: least pt (GeV) of the harder and of the softer jet.
        eta: largest |eta|.
        delta_eta: largest difference in eta.
        collection: the jets, "Jet" or "FatJet".
        window: edges (GeV) of the last step of the cutflow; the histogram has all pairs.
        bins: number of bins and edges (GeV) of the histogram.
        scale: relative uncertainty of the jet energy; 1 % is a round number of the size that experiments reach.
        weights: weight variations, name -> (branch, place in it).
    """

    pt: tuple[float, float] = (60.0, 30.0)
    eta: float = 2.5
    delta_eta: float = 1.3
    collection: str = "Jet"
    window: tuple[float, float] = (0.0, np.inf)
    bins: tuple[int, float, float] = (80, 0.0, 1600.0)
    scale: float = 0.01
    weights: Mapping[str, tuple[str, int]] = field(default_factory=lambda: dict(WEIGHT_VARIATIONS))

    def reads(self, schema: str) -> Reads:
        """Return the branches that are needed, and those taken where they are there."""
        names = (f"{self.collection}_{name}" for name in ("pt", "eta", "phi", "mass"))
        return Reads((f"n{self.collection}", *names), weight_branches(self.weights))

    def process(self, events: Any) -> dict[str, Any]:
        """Return histogram and cutflow of a chunk."""
        weights = event_weights(events, self.weights)
        shifts = {"nominal": 1.0}
        if "genWeight" in events.fields:
            shifts |= {"jet_scale_up": 1 + self.scale, "jet_scale_down": 1 - self.scale}
        pairs = partial(self._pairs, events, weights["nominal"])
        return pair_spectrum(events.metadata["dataset"], pairs, shifts, weights, self.bins, r"$m_{jj}$ [GeV]")

    def _pairs(self, events: Any, weights: np.ndarray, factor: float) -> tuple[Cutflow, np.ndarray]:
        """Return the cutflow and the pair's mass (events,), NaN where there is no pair, of momenta times `factor`."""
        jets = events[self.collection]
        flow = Cutflow(weights)
        first, second = two_hardest(jets[abs(jets.eta) < self.eta])
        hard = (first.pt * factor > self.pt[0]) & (second.pt * factor > self.pt[1])
        flow.cut("two jets", hard)
        flow.cut("close in eta", abs(first.eta - second.eta) < self.delta_eta)
        mass = np.where(flow.passed, pair_mass(first, second) * factor, np.nan)  # the jets' own masses scale as well
        flow.cut("mass window", (mass > self.window[0]) & (mass < self.window[1]))
        return flow, mass
