"""What our processors share: event weights and their variations, cutflows, and which branches they read."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import awkward as ak
import hist
import numpy as np

__all__ = [
    "WEIGHT_VARIATIONS",
    "Cutflow",
    "event_numbers",
    "event_weights",
    "pair_mass",
    "pair_spectrum",
    "two_hardest",
    "weight_branches",
    "weight_columns",
]

WEIGHT_VARIATIONS: Mapping[str, tuple[str, int]] = {
    "scale_up": ("LHEScaleWeight", -1),
    "scale_down": ("LHEScaleWeight", 0),
}
"""Name of a variation: the branch of relative weights and the place in it.

In CMS NanoAOD the first scale weight is (muR, muF) = (0.5, 0.5) and the last (2, 2).
"""


def weight_branches(variations: Mapping[str, tuple[str, int]]) -> tuple[str, ...]:
    """Return the branches that weights come from, where a file has them."""
    names = {branch for branch, _ in variations.values()}
    return ("genWeight", *sorted(names), *(f"n{name}" for name in sorted(names)))


def event_weights(events: Any, variations: Mapping[str, tuple[str, int]]) -> dict[str, np.ndarray]:
    """Return {"nominal": ..., variation: ...}, each (events,); collisions have weight one and no variations.

    The nominal weight is the generator's, times `weight` of the dataset's metadata. A variation is there where the file
    has its branch; an event whose list is too short for it (a process without that calculation) keeps its weight.
    """
    factor = float(events.metadata.get("weight", 1.0))
    if "genWeight" in events.fields:
        nominal = ak.to_numpy(events.genWeight).astype(np.float64) * factor
    elif "Event" in events.fields and "Weight" in events.Event.fields:
        nominal = ak.to_numpy(events.Event.Weight).astype(np.float64) * factor
    else:
        nominal = np.full(len(events), factor)
    weights = {"nominal": nominal}
    for name, (branch, place) in variations.items() if "genWeight" in events.fields else ():
        if branch in events.fields:
            relative = ak.pad_none(events[branch], 1 + max(place, 0))[:, place]
            weights[name] = nominal * ak.to_numpy(ak.fill_none(relative, 1.0))
    return weights


def weight_columns(weights: Mapping[str, np.ndarray], rows: Any, name: str = "weight") -> dict[str, np.ndarray]:
    """Return the weights of `event_weights` at some rows, as columns: the nominal one under `name`, `name`_scale_up ...

    Files without a variation have no such column, and generator weights keep their sign. Each (rows,).
    """
    columns = {name if kind == "nominal" else f"{name}_{kind}": values[rows] for kind, values in weights.items()}
    return {kind: values.astype(np.float32) for kind, values in columns.items()}


def event_numbers(events: Any) -> np.ndarray:
    """Return the numbers of the events as the file has them, (events,)."""
    number = events.Event.Number if "Event" in events.fields else events.event
    return np.asarray(ak.to_numpy(number)).astype(np.int64)


def two_hardest(things: Any) -> tuple[Any, Any]:
    """Return the hardest and the second hardest of each event, None where there is none: two of (events,)."""
    order = ak.argsort(things.pt, axis=1, ascending=False, stable=True)
    padded = ak.pad_none(things[order], 2, clip=True)
    return padded[:, 0], padded[:, 1]


def pair_mass(a: Any, b: Any, factor: float = 1.0) -> np.ndarray:
    """Return the invariant mass (GeV) of pairs {pt, eta, phi, mass} with momenta times `factor`, NaN for no pair.

    Computed in double precision, as float32 energies leave nothing of small masses. (events,)
    """

    def column(thing: Any, name: str) -> np.ndarray:
        return np.asarray(ak.to_numpy(ak.fill_none(thing[name], np.nan)), dtype=np.float64)

    total = np.zeros((4, len(a)))
    for thing in (a, b):
        pt, eta, phi, mass = (column(thing, name) for name in ("pt", "eta", "phi", "mass"))
        pt = pt * factor
        pz = pt * np.sinh(eta)
        total += np.stack([np.sqrt(pt**2 + pz**2 + mass**2), pt * np.cos(phi), pt * np.sin(phi), pz])
    return np.asarray(np.sqrt(np.maximum(total[0] ** 2 - (total[1:] ** 2).sum(axis=0), 0.0)))


def pair_spectrum(
    dataset: str, pairs: Callable[[float], tuple[Cutflow, np.ndarray]], shifts: Mapping[str, float],
    weights: Mapping[str, np.ndarray], bins: tuple[int, float, float], label: str,
) -> dict[str, Any]:  # fmt: skip
    """Return {"mass": histogram (dataset, variation, mass), "cutflow": {dataset: steps}} of one pair per event.

    `pairs(factor)` gives cutflow and masses (events,), NaN for no pair, of momenta times a factor; `shifts` are the
    factors by variation, with "nominal": 1. `weights` are those of `event_weights`; each variation changes one thing.
    """
    spectrum = hist.Hist(
        hist.axis.StrCategory([dataset], growth=True, name="dataset"),
        hist.axis.StrCategory([], growth=True, name="variation"),
        hist.axis.Regular(*bins, name="mass", label=label),
        storage=hist.storage.Weight(),
    )
    steps: dict[str, Any] = {}
    for shift, factor in shifts.items():
        flow, mass = pairs(factor)
        there = ~np.isnan(mass)
        for name in weights if shift == "nominal" else [shift]:
            weight = weights.get(name, weights["nominal"])[there]
            spectrum.fill(dataset=dataset, variation=name, mass=mass[there], weight=weight)
        if shift == "nominal":
            steps = flow.steps
    return {"mass": spectrum, "cutflow": {dataset: steps}}


class Cutflow:
    """Events and weights left after each step, in the order of the steps: `cut("two muons", mask)`.

    Masks are over all events of the chunk and the flow is their running "and", kept in `passed`.
    """

    def __init__(self, weights: np.ndarray) -> None:
        self.steps: dict[str, dict[str, Any]] = {}
        self.passed = np.ones(len(weights), dtype=bool)
        self._weights = weights
        self.cut("all", self.passed)

    def cut(self, step: str, mask: Any) -> None:
        """Add a step that keeps the events of `mask` (events,); events without a decision (None) fail."""
        self.passed = self.passed & ak.to_numpy(ak.fill_none(mask, False))
        left = self._weights[self.passed]
        self.steps[step] = {"events": len(left), "sumw": float(left.sum()), "sumw2": float((left**2).sum())}
