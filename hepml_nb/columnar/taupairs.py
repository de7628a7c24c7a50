"""Events with a lepton and a hadronic tau to the features of the HiggsML challenge."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import awkward as ak
import numpy as np
from coffea.processor import ProcessorABC

from hepml_nb.columnar.files import Reads
from hepml_nb.columnar.matching import nearest
from hepml_nb.columnar.processors import (
    WEIGHT_VARIATIONS,
    Cutflow,
    event_numbers,
    event_weights,
    weight_branches,
    weight_columns,
)
from hepml_nb.core import InputError
from hepml_nb.simulate import higgsml

__all__ = ["TauPairs"]

_THINGS = ("Muon", "Electron", "Tau", "Jet")
_ISOLATION = "pfRelIso03_all"


@dataclass(frozen=True)
class TauPairs(ProcessorABC):  # type: ignore[misc]
    """Events -> {"events": records in the higgsml schema, "cutflow": {dataset: {step: {events, sumw, sumw2}}}}.

    Selected are, as in the recipe "tautau" after the challenge (arXiv:2410.02867), events with exactly one isolated
    electron or muon above the softer threshold, itself above the harder one, and a hadronic tau, the hardest that is
    not near the lepton. Their charges have to be opposite, as analyses ask for and the recipe does not. Jets are those
    apart from both. Derived features are those of `simulate.higgsml.derived`. NanoAOD has taus as `Tau`; in Delphes
    files they are jets with a TauTag.

    `weights` is the event's weight: give each dataset's `weight` in its metadata (cross-section x luminosity / sum of
    generator weights) to make them expected events. `label` of the metadata is the label, else -1.

    Attributes:
        lepton: least pt (GeV) of the lepton, and from which pt on a second one counts.
        tau, jet: least pt (GeV) of the hadronic tau and of jets.
        eta, jet_eta: largest |eta| of lepton and tau, and of jets.
        apart: least distance in eta and phi of tau and lepton, and of jets and both.
        isolation: the largest isolation of leptons (cone 0.3, over its own pt); None for no such cut.
        opposite: ask for opposite charges.
        met: the missing momentum, "MET" or "PuppiMET".
        identification: {"Tau": ("idDeepTau2018v2p5VSjet", 5)}: a branch of a collection and its least value.
        weights: weight variations, name -> (branch, place in it): columns weights_<name> where a file has the branch.
    """

    lepton: tuple[float, float] = (20.0, 15.0)
    tau: float = 20.0
    jet: float = 20.0
    eta: float = 2.5
    jet_eta: float = 3.0
    apart: float = 0.4
    isolation: float | None = 0.15
    opposite: bool = True
    met: str = "MET"
    identification: Mapping[str, tuple[str, float]] = field(default_factory=dict)
    weights: Mapping[str, tuple[str, int]] = field(default_factory=lambda: dict(WEIGHT_VARIATIONS))

    def __post_init__(self) -> None:
        if self.met not in _MISSING:
            raise InputError(f"met={self.met!r}: expected one of {', '.join(_MISSING)}.")
        for name in self.identification:
            if name not in _THINGS:
                raise InputError(f"identification of {name!r}: expected one of {', '.join(_THINGS)}.")

    def reads(self, schema: str) -> Reads:
        """Return the branches that are needed, and those taken where they are there."""
        if schema == "delphes":
            lepton = ("PT", "Eta", "Phi", "Charge", *(["IsolationVar"] if self.isolation is not None else []))
            columns = {"Muon": lepton, "Electron": lepton, "Jet": ("PT", "Eta", "Phi", "TauTag", "Charge"),
                       _MISSING[self.met]: ("MET", "Phi")}  # fmt: skip
            named = [f"{thing}/{thing}.{name}" for thing, names in columns.items() for name in names]
            for thing, (branch, _) in self.identification.items():
                own = "Jet" if thing == "Tau" else thing
                named += [f"{own}/{own}.{branch}"]
            return Reads(tuple(named), ("Event/Event.Weight", "Event/Event.Number"))
        needs = [f"{self.met}_pt", f"{self.met}_phi"]
        for thing in _THINGS:
            names = ["pt", "eta", "phi", *(["charge"] if thing != "Jet" else [])]
            names += [_ISOLATION] if thing in ("Muon", "Electron") and self.isolation is not None else []
            names += [self.identification[thing][0]] if thing in self.identification else []
            needs += [f"n{thing}", *(f"{thing}_{name}" for name in names)]
        return Reads(tuple(needs), weight_branches(self.weights))

    def process(self, events: Any) -> dict[str, Any]:
        """Return records and cutflow of a chunk."""
        weights = event_weights(events, self.weights)
        flow = Cutflow(weights["nominal"])
        things, met = self._things(events)
        leptons = ak.concatenate([things["Muon"], things["Electron"]], axis=1)
        leptons = leptons[(leptons.pt > self.lepton[1]) & (abs(leptons.eta) < self.eta)]
        lepton = leptons[:, :1]
        flow.cut("one lepton", (ak.num(leptons) == 1) & (ak.firsts(lepton.pt) > self.lepton[0]))
        taus = things["Tau"]
        taus = taus[(taus.pt > self.tau) & (abs(taus.eta) < self.eta) & self._away(taus, lepton)]
        tau = taus[ak.argsort(taus.pt, axis=1, ascending=False)][:, :1]
        flow.cut("hadronic tau", ak.num(tau) == 1)
        if self.opposite:
            flow.cut("opposite sign", ak.firsts(lepton.charge) * ak.firsts(tau.charge) < 0)
        jets = things["Jet"]
        jets = jets[(jets.pt > self.jet) & (abs(jets.eta) < self.jet_eta)]
        jets = jets[self._away(jets, lepton) & self._away(jets, tau)]
        jets = jets[ak.argsort(jets.pt, axis=1, ascending=False)]
        rows = np.flatnonzero(flow.passed)
        features = higgsml.primary(ak.firsts(lepton)[rows], ak.firsts(tau)[rows], jets[rows], met[rows])
        label = np.full(len(rows), events.metadata.get("label", -1), np.int8)
        table = higgsml.table(features, label=label, event=event_numbers(events)[rows],
                              **weight_columns(weights, rows, "weights"))  # fmt: skip
        return {"events": table, "cutflow": {events.metadata["dataset"]: flow.steps}}

    def _away(self, things: Any, other: Any) -> Any:
        return nearest(things, other)[1] > self.apart

    def _things(self, events: Any) -> tuple[dict[str, Any], np.ndarray]:
        """Return collections {pt, eta, phi, charge} of isolated leptons, taus and jets, and (px, py) of what misses."""
        if "MissingET" in events.fields or "Event" in events.fields:
            given = {"Muon": events.Muon, "Electron": events.Electron, "Tau": events.Jet[events.Jet.TauTag > 0]}
            given["Jet"] = events.Jet
            names, isolation = ("PT", "Eta", "Phi", "Charge"), "IsolationVar"
            missing = events[_MISSING[self.met]]
            size, phi = (ak.to_numpy(ak.flatten(missing[name], axis=None)) for name in ("MET", "Phi"))
        else:
            given = {name: events[name] for name in _THINGS}
            names, isolation = ("pt", "eta", "phi", "charge"), _ISOLATION
            size, phi = (ak.to_numpy(events[self.met][name]) for name in ("pt", "phi"))
        found: dict[str, Any] = {}
        for thing, array in given.items():
            good = array[names[0]] > 0
            if thing in ("Muon", "Electron") and self.isolation is not None:
                good = good & (array[isolation] < self.isolation)
            if thing in self.identification:
                branch, least = self.identification[thing]
                good = good & (array[branch] >= least)
            columns = {to: array[name] for to, name in zip(_COLUMNS, names, strict=True) if name in array.fields}
            found[thing] = ak.zip(columns)[good]
        return found, np.stack([size * np.cos(phi), size * np.sin(phi)], axis=1).astype(np.float64)


_COLUMNS = ("pt", "eta", "phi", "charge")
_MISSING = {"MET": "MissingET", "PuppiMET": "PuppiMissingET"}
"""What is called so in NanoAOD, and in Delphes files."""
