"""Jets in the schema of the tagging datasets: clustered, matched to decay quarks, described."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import awkward as ak
import numpy as np

from hepml_nb.core import InputError
from hepml_nb.simulate.substructure import cluster_sequence, describe, momenta

__all__ = ["FIELDS", "cluster", "delta_phi", "empty", "find", "from_constituents", "grid", "match",
           "round_bits"]  # fmt: skip

FIELDS: Mapping[str, type] = {
    "pt": np.float32,
    "eta": np.float32,
    "phi": np.float32,
    "mass": np.float32,
    "msoftdrop": np.float32,
    "tau1": np.float32,
    "tau2": np.float32,
    "tau3": np.float32,
    "tau4": np.float32,
    "c2": np.float32,
    "d2": np.float32,
    "n2": np.float32,
    "m2": np.float32,
    "label": np.int8,
    "matched": np.bool_,
    "rank": np.int8,
    "event": np.int64,
    "gen_pt": np.float32,
    "gen_mass": np.float32,
    "gen_msoftdrop": np.float32,
}
"""Columns of a jet beside its `constituents`, with their types."""

_STEP = 2.0**-9
"""Grid (rad) of the constituents' positions: finer than any cell, and it ships in few bytes."""


def delta_phi(a: Any, b: Any) -> Any:
    """Return a - b in (-pi, pi]."""
    return (a - b + np.pi) % (2 * np.pi) - np.pi


def round_bits(values: Any, bits: int) -> np.ndarray:
    """Round to `bits` bits of mantissa as float32, so that columns compress; zero, NaN and infinity stay."""
    mantissa, exponent = np.frexp(np.asarray(values, dtype=np.float64))
    rounded = np.ldexp(np.rint(np.ldexp(mantissa, bits)), exponent - bits)
    return np.asarray(rounded, dtype=np.float32)


def cluster(particles: Any, algorithm: str = "antikt", radius: float = 0.8, min_pt: float = 20.0) -> Any:
    """Cluster every event and return its jets, hardest first: events * var * {pt, eta, phi, mass, index}.

    `particles` is events * var * {pt, eta, phi} (massless candidates) or {px, py, pz, E}; `index` lists the particles
    of a jet by their place in the event. Energies in GeV.
    """
    if "px" not in ak.fields(particles):
        particles = momenta(particles.pt, particles.eta, particles.phi)
    sequence = cluster_sequence(particles, algorithm, radius)
    jets = sequence.inclusive_jets(min_pt=min_pt)
    pt = np.hypot(jets.px, jets.py)
    columns = {"pt": pt, "eta": np.arcsinh(jets.pz / pt), "phi": np.arctan2(jets.py, jets.px)}
    columns["mass"] = np.sqrt(np.maximum(jets.E**2 - pt**2 - jets.pz**2, 0.0))
    columns["index"] = sequence.constituent_index(min_pt=min_pt)
    found = ak.zip(columns, depth_limit=2)
    return found[ak.argsort(found.pt, ascending=False, axis=1)]


def find(candidates: Mapping[str, np.ndarray], n_events: int, window: tuple[float, float], *, radius: float = 0.8,
         eta_max: float = 2.0, hardest: int = 2, extra: Sequence[str] = ()) -> Any:  # fmt: skip
    """Return the up to `hardest` anti-kT jets of each event that lie in the pt `window` (GeV) and |eta| < `eta_max`.

    `candidates` are flat columns sorted by event. Returns jets with `pt, eta, phi, rank, row` (row: the event's number
    in this batch) and `constituents` * {pt, deta, dphi, pdg}, hardest first, with the `extra` columns as they are.
    """
    counts = np.bincount(candidates["event"], minlength=n_events)
    events = ak.unflatten(ak.zip({name: candidates[name] for name in ("pt", "eta", "phi")}), counts)
    found = cluster(events, "antikt", radius, min_pt=window[0])
    found = found[:, :hardest]
    rows, ranks = ak.broadcast_arrays(np.arange(n_events), found.pt)[0], ak.local_index(found.pt)
    found["row"], found["rank"] = rows, ranks
    found = ak.flatten(found)
    keep = (found.pt < window[1]) & (abs(found.eta) < eta_max)
    found = found[keep]
    sizes = ak.to_numpy(ak.num(found.index))
    first = (np.cumsum(counts) - counts)[ak.to_numpy(found.row)]
    flat = ak.to_numpy(ak.flatten(found.index)) + np.repeat(first, sizes)
    jet = np.repeat(np.arange(len(found)), sizes)
    flat = flat[np.lexsort((-candidates["pt"][flat], jet))]
    axis = {name: np.repeat(ak.to_numpy(found[name]), sizes) for name in ("eta", "phi")}
    inside = {
        "pt": round_bits(candidates["pt"][flat], 8),
        "deta": grid(candidates["eta"][flat] - axis["eta"]),
        "dphi": grid(delta_phi(candidates["phi"][flat], axis["phi"])),
        "pdg": candidates["pdg"][flat].astype(np.int16),
        **{name: candidates[name][flat] for name in extra},
    }
    columns = {name: found[name] for name in ("pt", "eta", "phi", "rank", "row")}
    return ak.zip({**columns, "constituents": ak.unflatten(ak.zip(inside), sizes)}, depth_limit=1)


def grid(values: np.ndarray) -> np.ndarray:
    """Round positions (rad) to the grid on which constituents are stored."""
    return (np.rint(values / _STEP) * _STEP).astype(np.float32)


def match(jets: Any, quarks: np.ndarray, radius: float = 0.8) -> tuple[np.ndarray, np.ndarray]:
    """Say for each jet whether a parent of decay quarks points into it, and whether all its quarks do: two (jets,).

    `jets` needs `eta, phi, row`; `quarks` is (events, parents, quarks, 4) of (px, py, pz, e). "Into it" means within
    `radius` of the jet axis, as in the public top-tagging set (arXiv:1902.09914).
    """
    eta, phi = ak.to_numpy(jets.eta)[:, None], ak.to_numpy(jets.phi)[:, None]
    mine = quarks[ak.to_numpy(jets.row)]
    parents = mine.sum(axis=2)
    near = _distance(parents, eta, phi) < radius
    inside = np.all(_distance(mine, eta[..., None], phi[..., None]) < radius, axis=2) & near
    return np.any(near, axis=1), np.any(inside, axis=1)


def _distance(momentum: np.ndarray, eta: np.ndarray, phi: np.ndarray) -> np.ndarray:
    pt = np.maximum(np.hypot(momentum[..., 0], momentum[..., 1]), 1e-12)
    mine = np.arctan2(momentum[..., 1], momentum[..., 0])
    return np.asarray(np.hypot(np.arcsinh(momentum[..., 2] / pt) - eta, delta_phi(mine, phi)))


def from_constituents(
    pt: Any, eta: Any, phi: Any, constituents: Any, *, radius: float = 0.8, extra: Mapping[str, Any] | None = None,
    **columns: Any,
) -> Any:  # fmt: skip
    """Return jets of a `radius` in the schema from their axes (GeV, rad) and `constituents` * {pt, deta, dphi, pdg}.

    Observables are computed from the constituents as stored, so they can be computed again and agree. `columns` gives
    the others of FIELDS; those left out are NaN, 0 or False. `constituents` may have more columns than those, and
    `extra` gives columns that a dataset adds to the schema. Raises InputError for an unknown column.
    """
    unknown = set(columns) - set(FIELDS)
    if unknown:
        raise InputError(f"{', '.join(sorted(unknown))}: not in the jets schema; known are {', '.join(FIELDS)}.")
    seen = describe(constituents.pt, constituents.deta, constituents.dphi, radius)
    rounded = {name: round_bits(values, 11) for name, values in seen.items()}
    rounded |= {"pt": round_bits(pt, 13), "eta": _fine(eta), "phi": _fine(phi)}
    table: dict[str, Any] = {}
    for name, kind in FIELDS.items():
        default = np.full(len(constituents), np.nan if kind is np.float32 else 0)
        given = rounded[name] if name in rounded else columns.get(name, default)
        given = round_bits(given, 11) if name.startswith("gen_") else given
        table[name] = np.asarray(given).astype(kind)
    return ak.zip({**table, **(extra or {}), "constituents": constituents}, depth_limit=1)


def _fine(values: Any) -> np.ndarray:
    return (np.rint(np.asarray(values, dtype=np.float64) * 8192) / 8192).astype(np.float32)


def empty() -> Any:
    """Return zero jets in the schema."""
    inside = ak.zip({"pt": np.zeros(0, np.float32), "deta": np.zeros(0, np.float32),
                     "dphi": np.zeros(0, np.float32), "pdg": np.zeros(0, np.int16)})  # fmt: skip
    columns: dict[str, Any] = {name: np.zeros(0, kind) for name, kind in FIELDS.items()}
    return ak.zip({**columns, "constituents": ak.unflatten(inside, np.zeros(0, np.int64))}, depth_limit=1)
