"""The two hardest jets: the spectrum of their mass with its variations, and records of them for anomaly searches."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import awkward as ak
import numpy as np
from coffea.processor import ProcessorABC

from hepml_nb.columnar.candidates import measured, measured_branches
from hepml_nb.columnar.files import Reads
from hepml_nb.columnar.processors import (
    WEIGHT_VARIATIONS,
    Cutflow,
    event_numbers,
    event_weights,
    pair_mass,
    pair_spectrum,
    two_hardest,
    weight_branches,
    weight_columns,
)
from hepml_nb.core import InputError
from hepml_nb.simulate import dijets

__all__ = ["DijetFeatures", "Dijets"]


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
        collection: the jets, "Jet" or "FatJet", of NanoAOD or of Delphes.
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
        if schema == "delphes":
            whole = f"{self.collection}/{self.collection}"
            return Reads(tuple(f"{whole}.{name}" for name in ("PT", "Eta", "Phi", "Mass")), ("Event/Event.Weight",))
        names = (f"{self.collection}_{name}" for name in ("pt", "eta", "phi", "mass"))
        return Reads((f"n{self.collection}", *names), weight_branches(self.weights))

    def process(self, events: Any) -> dict[str, Any]:
        """Return histogram and cutflow of a chunk."""
        weights = event_weights(events, self.weights)
        shifts = {"nominal": 1.0}
        if "genWeight" in events.fields or "Event" in events.fields:
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


@dataclass(frozen=True)
class DijetFeatures(ProcessorABC):  # type: ignore[misc]
    """Events -> {"events": records in the dijets schema, "cutflow": {dataset: {step: {events, sumw, sumw2}}}}.

    The trigger and the jets are those of the LHC Olympics R&D set (arXiv:2101.08320): candidates of the whole event
    (PFNano's PFCands, Delphes' particle flow) are clustered to anti-kT R = 1 jets, and described by the functions that
    the recipe "dijets" uses. `simulate.dijets.features` makes the features of searches out of the records.

    With `collection="FatJet"` the jets of NanoAOD (R = 0.8) are taken instead, with CMS's N-subjettiness, which is
    divided by the sum of pt: here it is multiplied by the jet's pt and R, which differs by some per cent and leaves
    ratios as they are. `label`, `mx` and `my` (GeV) of the dataset's metadata are written to every record; else the
    label is -1 and the masses are NaN.

    Attributes:
        pt: least pt (GeV) of the leading jet.
        eta: its largest |eta|.
        mjj: window of the dijet mass (GeV).
        collection: jets of the file with tau1 to tau3, such as "FatJet"; None clusters the candidates.
        radius: R of the jets; None for that of the collection, 0.8, and 1 where candidates are clustered.
        weights: weight variations, name -> (branch, place in it): columns weight_<name> where a file has the branch.
    """

    pt: float = 1200.0
    eta: float = 2.5
    mjj: tuple[float, float] = (0.0, np.inf)
    collection: str | None = None
    radius: float | None = None
    weights: Mapping[str, tuple[str, int]] = field(default_factory=lambda: dict(WEIGHT_VARIATIONS))

    def reads(self, schema: str) -> Reads:
        """Return the branches that are needed, and those taken where they are there."""
        delphes = ("Event/Event.Weight", "Event/Event.Number")
        weights = delphes if schema == "delphes" else weight_branches(self.weights)
        if self.collection is None:
            seen = measured_branches(schema, pdg=False)
            return Reads(seen.needs, (*seen.takes, *weights))
        if schema == "delphes":
            raise InputError(f"collection={self.collection!r} is for NanoAOD; of Delphes files the candidates are "
                             "clustered: collection=None.")  # fmt: skip
        return Reads((f"n{self.collection}", *(f"{self.collection}_{name}" for name in dijets.JET)), weights)

    def process(self, events: Any) -> dict[str, Any]:
        """Return records and cutflow of a chunk."""
        weights = event_weights(events, self.weights)
        flow = Cutflow(weights["nominal"])
        if self.collection is None:
            particles = dijets.on_grid(measured(events, pdg=False), len(events))
            found = dijets.leading(particles, self.radius or 1.0)
        else:
            found = events[self.collection]
            found = found[ak.argsort(found.pt, axis=1, ascending=False, stable=True)][:, :2]
        first = found[:, :1]
        flow.cut("trigger", ak.any((first.pt > self.pt) & (abs(first.eta) < self.eta), axis=1))
        rows = np.flatnonzero(flow.passed)
        if self.collection is None:
            columns = dijets.describe(particles[rows], found[rows], self.radius or 1.0)
        else:
            columns = _taken(found[rows], self.radius or 0.8)
        inside = (columns["mjj"] > self.mjj[0]) & (columns["mjj"] < self.mjj[1])
        rows = rows[inside]
        flow.cut("mass window", np.isin(np.arange(len(events)), rows))
        about = events.metadata
        given = {"label": about.get("label", -1), "mx": about.get("mx", np.nan), "my": about.get("my", np.nan)}
        table = dijets.table({name: x[inside] for name, x in columns.items()}, len(rows), **given,
                             event=event_numbers(events)[rows], **weight_columns(weights, rows))  # fmt: skip
        return {"events": table, "cutflow": {about["dataset"]: flow.steps}}


def _taken(found: Any, radius: float) -> dict[str, np.ndarray]:
    """Return the columns of jets that the file has, 0 where there is no second one, as `dijets.describe` does."""
    padded = ak.pad_none(found, 2, axis=1)
    columns: dict[str, np.ndarray] = {}
    for place, jet in enumerate(("j1", "j2")):
        for name in dijets.JET:
            values = ak.to_numpy(ak.fill_none(padded[name][:, place], 0.0)).astype(np.float64)
            columns[f"{jet}_{name}"] = values * columns[f"{jet}_pt"] * radius if name.startswith("tau") else values
    return {"mjj": dijets.dijet_mass(columns), **columns}
