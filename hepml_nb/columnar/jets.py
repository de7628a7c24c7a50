"""Events to jets in the schema of the tagging datasets: from PFNano, from Delphes, or from a list of candidates."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import awkward as ak
import numpy as np
from coffea.processor import ProcessorABC

from hepml_nb.columnar.candidates import measured, measured_branches
from hepml_nb.columnar.classes import particle_classes
from hepml_nb.columnar.files import Reads
from hepml_nb.columnar.matching import ORIGINS, match_origin, nearest
from hepml_nb.columnar.processors import (
    WEIGHT_VARIATIONS,
    Cutflow,
    event_numbers,
    event_weights,
    weight_branches,
    weight_columns,
)
from hepml_nb.core import InputError, suggest
from hepml_nb.simulate import jets as simulated
from hepml_nb.simulate.jets import delta_phi

__all__ = ["JetSkim"]


@dataclass(frozen=True)
class JetSkim(ProcessorABC):  # type: ignore[misc]
    """Events -> {"jets": jets in the jets schema and `weight`, "cutflow": {dataset: {step: {events, sumw, sumw2}}}}.

    PFNano's own jets are taken, with the candidates that its index lists name; candidates carry their PUPPI weight and
    the calibration of their jet, so that they add up to its pt. In Delphes files, where constituents are references,
    the particle-flow objects (tracks, photons, neutral hadrons) are clustered with anti-kT. Substructure is computed
    from the constituents by `simulate.from_constituents` in every case, as for the simulated twins.

    Labels are places in `classes` of what generator particles say (`matching.match_origin`); jets of other origins are
    left out. Without generator particles, or where the dataset's metadata has a `label`, that label or -1 is given.

    Attributes:
        pt: window (GeV) of the jets.
        eta: largest |eta|.
        hardest: so many of the hardest jets of an event are looked at.
        radius: R of the jets: what is clustered, and how far off decay quarks may be.
        classes: origins that are kept, of "qcd", "top", "w", "z", "h", "other"; places in it are the labels.
        matched_only: keep only jets with all decay quarks inside.
        weights: weight variations, name -> (branch, place in it): columns weight_<name> where a file has the branch.
    """

    pt: tuple[float, float] = (200.0, np.inf)
    eta: float = 2.0
    hardest: int = 2
    radius: float = 0.8
    classes: tuple[str, ...] = ("qcd", "top")
    matched_only: bool = False
    weights: Mapping[str, tuple[str, int]] = field(default_factory=lambda: dict(WEIGHT_VARIATIONS))

    def __post_init__(self) -> None:
        for name in self.classes:
            if name not in ORIGINS:
                raise InputError(f"classes={self.classes}: {name!r} is no origin{suggest(name, ORIGINS)}")

    def reads(self, schema: str) -> Reads:
        """Return the branches that are needed, and those taken where they are there."""
        if schema == "delphes":
            return Reads(
                measured_branches(schema).needs, ("Event/Event.Weight", "Event/Event.Number", "Particle/Particle.PID")
            )
        links = ("nFatJetPFCands", "FatJetPFCands_jetIdx", "FatJetPFCands_pFCandsIdx")
        axes = ("pt", "eta", "phi")
        fat = ("nFatJet", *(f"FatJet_{name}" for name in axes))
        candidates = ("nPFCands", *(f"PFCands_{name}" for name in (*axes, "pdgId")))
        generated = [f"GenPart_{name}" for name in (*axes, "pdgId", "genPartIdxMother")]
        before = [f"GenJetAK8_{name}" for name in (*axes, "mass")]
        weights = weight_branches(self.weights)
        takes = (*weights, "FatJet_rawFactor", "PFCands_puppiWeight", "nGenPart", *generated, "nGenJetAK8", *before)
        return Reads((*fat, *links, *candidates), takes)

    def process(self, events: Any) -> dict[str, Any]:
        """Return jets and cutflow of a chunk."""
        dataset = events.metadata["dataset"]
        weights = event_weights(events, self.weights)
        found = self._clustered(events) if "EFlowTrack" in events.fields else self._linked(events)
        flow = Cutflow(weights["nominal"])
        flow.cut("jet in window", np.bincount(found.row, minlength=len(events)) > 0)
        columns = self._truth(events, found)
        keep = columns.pop("keep")
        flow.cut("known origin", np.bincount(found.row[keep], minlength=len(events)) > 0)
        found, columns = found[keep], {name: column[keep] for name, column in columns.items()}
        rows = ak.to_numpy(found.row)
        columns["event"] = event_numbers(events)[rows]
        made = simulated.from_constituents(
            found.pt, found.eta, found.phi, found.constituents, radius=self.radius, rank=found["rank"],
            extra=weight_columns(weights, rows), **columns,
        )  # fmt: skip
        return {"jets": made, "cutflow": {dataset: flow.steps}}

    def _inside(self, jets: Any) -> Any:
        return (jets.pt > self.pt[0]) & (jets.pt < self.pt[1]) & (abs(jets.eta) < self.eta)

    def _linked(self, events: Any) -> Any:
        """Return jets {pt, eta, phi, rank, row, constituents} of PFNano by its lists of indices."""
        fat, links, candidates = events.FatJet, events.FatJetPFCands, events.PFCands
        counts = [ak.to_numpy(ak.num(thing.pt)) for thing in (fat, candidates)]
        jet_first, candidate_first = (np.cumsum(count) - count for count in counts)
        order = ak.argsort(ak.argsort(fat.pt, axis=1, ascending=False), axis=1)
        raw = 1 - fat.rawFactor if "rawFactor" in fat.fields else ak.ones_like(fat.pt)
        keep = ak.to_numpy(ak.flatten(self._inside(fat) & (order < self.hardest)))
        table = {"pt": fat.pt, "eta": fat.eta, "phi": fat.phi, "rank": order, "raw": raw}
        flat = {name: ak.to_numpy(ak.flatten(column)) for name, column in table.items()}
        row = np.repeat(np.arange(len(fat)), ak.to_numpy(ak.num(links.jetIdx)))
        which = ak.to_numpy(ak.flatten(links.jetIdx)).astype(np.int64)
        inside = ak.to_numpy(ak.flatten(links.pFCandsIdx)).astype(np.int64)
        if ((which >= counts[0][row]) | (inside >= counts[1][row])).any():
            raise InputError(
                "FatJetPFCands names jets or candidates that are not there; FatJet and PFCands are cut down"
            )
        good = (which >= 0) & (inside >= 0)
        jet, candidate = (jet_first[row] + which)[good], (candidate_first[row] + inside)[good]
        jet, candidate = jet[keep[jet]], candidate[keep[jet]]
        pt, eta, phi, pdg = (ak.to_numpy(ak.flatten(candidates[n]))[candidate] for n in ("pt", "eta", "phi", "pdgId"))
        if "puppiWeight" in candidates.fields:
            pt = pt * ak.to_numpy(ak.flatten(candidates.puppiWeight))[candidate]
        pt = pt / flat["raw"][jet]
        sort = np.lexsort((-pt, jet))
        sort = sort[pt[sort] > 0]  # what PUPPI gives no weight is not in the jet
        jet = jet[sort]
        columns = {"pt": pt[sort], "deta": eta[sort] - flat["eta"][jet], "dphi": delta_phi(phi[sort], flat["phi"][jet])}
        kinds = {name: column.astype(np.float32) for name, column in columns.items()}
        kinds["pdg"] = particle_classes(pdg[sort])
        sizes = np.bincount(jet, minlength=len(keep))
        keep &= sizes > 0
        found = {name: flat[name][keep] for name in ("pt", "eta", "phi", "rank")}
        found["row"] = np.repeat(np.arange(len(fat)), counts[0])[keep]
        jets = ak.zip({**found, "constituents": ak.unflatten(ak.zip(kinds), sizes[keep])}, depth_limit=1)
        return jets[np.lexsort((found["rank"], found["row"]))]

    def _clustered(self, events: Any) -> Any:
        """Return the same of what Delphes calls particle flow."""
        flat = measured(events)
        flat["pdg"] = particle_classes(flat["pdg"])
        return simulated.find(flat, len(events), self.pt, radius=self.radius, eta_max=self.eta, hardest=self.hardest)

    def _truth(self, events: Any, found: Any) -> dict[str, np.ndarray]:
        """Return label, matched, gen_pt, gen_mass and which jets to keep, each (jets,)."""
        n = len(found)
        known = events.metadata.get("label", -1)
        out = {"label": np.full(n, known), "matched": np.ones(n, dtype=bool), "keep": np.ones(n, dtype=bool)}
        counts = np.bincount(found.row, minlength=len(events))
        mine = ak.unflatten(ak.zip({"eta": found.eta, "phi": found.phi}), counts)
        particles = _particles(events)
        if particles is not None:
            kind, inside = (ak.to_numpy(ak.flatten(x)) for x in match_origin(mine, particles, self.radius))
            labels = np.array([self.classes.index(name) if name in self.classes else -1 for name in ORIGINS])
            out["matched"] = inside
            if "label" not in events.metadata:
                out["label"] = labels[kind]
                out["keep"] = labels[kind] >= 0
            out["keep"] = out["keep"] & (inside | (not self.matched_only))
        if "GenJetAK8" in events.fields:
            before = events.GenJetAK8
            place, away = nearest(mine, before)
            place = ak.mask(place, away < 0.4)
            for name in ("pt", "mass"):
                out[f"gen_{name}"] = ak.to_numpy(ak.flatten(ak.fill_none(before[name][place], np.nan)))
        return out


def _particles(events: Any) -> Any:
    """Return generator particles {pt, eta, phi, pdg, mother}, None where the file has none."""
    if "GenPart" in events.fields:
        things, names = events.GenPart, ("pt", "eta", "phi", "pdgId", "genPartIdxMother")
    elif "Particle" in events.fields:
        things, names = events.Particle, ("PT", "Eta", "Phi", "PID", "M1")
    else:
        return None
    return ak.zip({to: things[name] for to, name in zip(("pt", "eta", "phi", "pdg", "mother"), names, strict=True)})
