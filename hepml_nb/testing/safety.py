"""Infrared and collinear safety: how far a score moves when a particle splits in two, or a soft one is added."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Sequence
from typing import Any

import awkward as ak
import numpy as np
import numpy.typing as npt

from hepml_nb.core import InputError, rng
from hepml_nb.tagging import Tagger

__all__ = ["EMISSIONS", "SIZES", "emit", "score_changes", "untruncated"]

EMISSIONS = ("collinear", "soft")
SIZES = (1e-2, 1e-3, 1e-4, 1e-5, 1e-6)
_RADIUS = 0.8


def emit(jets: Any, kind: str, size: float, seed: int = 0) -> Any:
    """Return jets of one particle more each, in float64.

    "collinear": one particle, drawn in proportion to pt, becomes two at the distance `size` (rad) in the (eta, phi)
    plane, in a random direction, with at least a fifth of its pt each and its centre kept. "soft": a photon of `size`
    times the jet's scalar pt sum appears anywhere within 0.8 of the axis. The same seed makes the same emissions of
    every size. Raises InputError for another kind or a size that is not positive.
    """
    if kind not in EMISSIONS or not size > 0:
        raise InputError(f"kind={kind!r}, size={size!r}; expected one of {EMISSIONS} and a positive size.")
    generator, n = rng(seed, "emission", kind), len(jets)
    parts = jets.constituents
    pt, x, y = (ak.to_numpy(ak.flatten(parts[name])).astype(np.float64) for name in ("pt", "deta", "dphi"))
    pdg, lengths = ak.to_numpy(ak.flatten(parts.pdg)).copy(), ak.to_numpy(ak.num(parts))
    starts = np.cumsum(lengths) - lengths
    total = np.add.reduceat(pt, starts)
    angle, draw = generator.uniform(0, 2 * np.pi, n), generator.random(n)
    if kind == "soft":
        place = _RADIUS * np.sqrt(draw)
        new = size * total, place * np.cos(angle), place * np.sin(angle), np.full(n, 22, pdg.dtype)
    else:
        before = np.cumsum(pt)
        row = np.searchsorted(before, before[starts] - pt[starts] + draw * total, side="right")
        row = np.clip(row, starts, starts + lengths - 1)
        share = generator.uniform(0.2, 0.8, n)
        dx, dy = size * np.cos(angle), size * np.sin(angle)
        new = pt[row] * share, x[row] + (1 - share) * dx, y[row] + (1 - share) * dy, pdg[row]
        pt[row], x[row], y[row] = pt[row] * (1 - share), x[row] - share * dx, y[row] - share * dy
    ends = starts + lengths
    columns = {
        name: np.insert(old, ends, more)
        for name, old, more in zip(("pt", "deta", "dphi", "pdg"), (pt, x, y, pdg), new, strict=True)
    }
    return ak.with_field(jets, ak.unflatten(ak.zip(columns), lengths + 1), "constituents")


def untruncated(tagger: Tagger) -> Tagger:
    """Return a copy that computes in float64 and takes all particles: a cut on their number is itself unsafe."""
    twin = tagger.double() if hasattr(tagger, "double") else copy.copy(tagger)
    if getattr(twin.config, "most", None) is not None:
        twin.config = dataclasses.replace(twin.config, most=None)
    return twin


def score_changes(
    tagger: Tagger, jets: Any, kind: str, sizes: Sequence[float] = SIZES, seed: int = 0
) -> npt.NDArray[np.float64]:
    """Return |score after - score before| of every jet at every size of the emission: (len(sizes), jets).

    For a safe tagger all of a jet's changes go to zero with the size. Raises InputError as `emit` does.
    """
    twin = untruncated(tagger)
    before = twin.scores(jets)
    return np.stack([np.abs(twin.scores(emit(jets, kind, size, seed)) - before) for size in sizes])
