"""Events to a Z and the hardest jet beside it, before and after the detector: the records that unfolding takes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import awkward as ak
import numpy as np
from coffea.processor import ProcessorABC

from hepml_nb.columnar.candidates import generated, generated_branches, measured, measured_branches
from hepml_nb.columnar.classes import particle_classes
from hepml_nb.columnar.files import Reads
from hepml_nb.columnar.processors import (
    WEIGHT_VARIATIONS,
    Cutflow,
    event_numbers,
    event_weights,
    weight_branches,
    weight_columns,
)
from hepml_nb.core import InputError
from hepml_nb.simulate import zjets

__all__ = ["ZJets"]


@dataclass(frozen=True)
class ZJets(ProcessorABC):  # type: ignore[misc]
    """Events -> {"events": records in the zjets schema and `weight`, "cutflow": {dataset: {step: {events, ...}}}}.

    On both sides the Z is the hardest muon of each sign with the photons within 0.1 of them, and the jet is the hardest
    anti-kT R = 0.4 jet of all other candidates (particles), above 10 GeV with |y| < 2.5, its observables those of the
    recipe "zjets" by the same function, `simulate.zjets.records`: candidates are massless, particles are not, and there
    is no calibration. `pass_gen` and `pass_sim` say where an event passes (see there). Kept are events that pass on one
    side and have a jet on both; a Z that is not measured is NaN. Collisions, which have no particles before the
    detector, are NaN there and have `pass_gen` False.

    The candidates of the whole event are needed: PFNano with all of them (PFCands; stable particles are GenCands), or
    Delphes' particle flow (and Particle). Simulation without stable particles is refused (InputError, which `run` tells
    as RunError). `label` of the dataset's metadata is the label, else -1.

    Attributes:
        pt_z: least pt (GeV) of the Z on the side where an event passes.
        particles: keep the constituents of both jets, as `gen_particles` and `sim_particles`.
        weights: weight variations, name -> (branch, place in it): columns weight_<name> where a file has the branch.
    """

    pt_z: float = 200.0
    particles: bool = False
    weights: Mapping[str, tuple[str, int]] = field(default_factory=lambda: dict(WEIGHT_VARIATIONS))

    def reads(self, schema: str) -> Reads:
        """Return the branches that are needed, and those taken where they are there."""
        seen = measured_branches(schema)
        weights = ("Event/Event.Weight", "Event/Event.Number") if schema == "delphes" else weight_branches(self.weights)
        return Reads(seen.needs, (*seen.takes, *generated_branches(schema), *weights))

    def process(self, events: Any) -> dict[str, Any]:
        """Return records and cutflow of a chunk."""
        weights = event_weights(events, self.weights)
        flow = Cutflow(weights["nominal"])
        seen = measured(events)
        seen = {name: values.astype(np.float64) if name in ("pt", "eta", "phi") else values
                for name, values in seen.items()}  # fmt: skip
        seen["pdg"] = particle_classes(seen["pdg"])
        sides = {"sim": zjets.massless(seen), "gen": generated(events)}
        if sides["gen"] is None and ("genWeight" in events.fields or "Event" in events.fields):
            raise InputError("simulated events have no GenCands (PFNano with all generator candidates) and no Particle "
                             "(Delphes), so that nothing is known before the detector")  # fmt: skip
        split: dict[str, zjets.Side] = {}
        hard = np.zeros(len(events), dtype=bool)
        for name, flat in sides.items():
            if flat is not None:
                of_z = zjets.of_z(flat, len(events))
                split[name] = zjets.Side(zjets.part(flat, of_z), zjets.part(flat, ~of_z))
                px, py, *_ = zjets.total(split[name].z, len(events))
                hard |= np.hypot(px, py) > self.pt_z * _MARGIN
        flow.cut("a hard Z", hard)
        some = {name: zjets.Side(zjets.of_events(side.z, hard), zjets.of_events(side.others, hard))
                for name, side in split.items()}  # fmt: skip
        place = np.flatnonzero(hard)
        made, masks = zjets.records(some.get("gen"), some["sim"], place, low=self.pt_z, losses=True,
                                    particles=self.particles)  # fmt: skip
        for step, mask in (("jets", masks["jet"]), ("passes on a side", masks["kept"])):
            flow.cut(step, np.isin(np.arange(len(events)), place[mask]))
        rows = ak.to_numpy(made.event)
        columns = {name: made[name] for name in made.fields}
        columns["label"] = np.full(len(made), events.metadata.get("label", -1), np.int8)
        columns["event"] = event_numbers(events)[rows]
        table = ak.zip({**columns, **weight_columns(weights, rows)}, depth_limit=1)
        return {"events": table, "cutflow": {events.metadata["dataset"]: flow.steps}}


_MARGIN = 0.999
"""The pt of a Z is rounded to 10 bits before it is held against the threshold."""
