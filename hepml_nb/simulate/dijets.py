"""Events with two hard jets: the leading jets of an event, their inside, and the features of resonance searches."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import awkward as ak
import numpy as np

from hepml_nb.core import InputError, suggest
from hepml_nb.simulate import jets
from hepml_nb.simulate.substructure import momenta, n_subjettiness

__all__ = ["FEATURES", "JET", "describe", "dijet_mass", "features", "leading", "on_grid", "table"]

JET = ("pt", "eta", "phi", "mass", "tau1", "tau2", "tau3")
"""What is kept of each jet, as columns j1_pt ... j2_tau3."""

FEATURES = ("mjj", "m_light", "dm", "tau21_light", "tau21_heavy")
"""The features of searches on the LHC Olympics set (arXiv:2101.08320, 2109.00546), masses in TeV."""

_STEP = 2.0**-9


def features(events: Any) -> np.ndarray:
    """Return the five FEATURES of dijet events in the schema as float64, (n, 5).

    These are the dijet mass, the mass of the lighter jet, how much heavier the other is (all three in TeV), and
    tau21 = tau2 / (tau1 + 1e-5) of the lighter and of the heavier jet, as in CATHODE (arXiv:2109.00546).
    Raises InputError where a column is missing.
    """
    needed = ("mjj", *(f"{jet}_{name}" for jet in ("j1", "j2") for name in ("mass", "tau1", "tau2")))
    for name in needed:
        if name not in ak.fields(events):
            raise InputError(f"the events have no column {name!r}{suggest(name, ak.fields(events))}")
    at = {name: np.asarray(ak.to_numpy(events[name]), dtype=np.float64) for name in needed}
    swap = at["j1_mass"] > at["j2_mass"]
    light, heavy = (np.where(swap, at[a], at[b]) for a, b in (("j2_mass", "j1_mass"), ("j1_mass", "j2_mass")))
    first, second = (at[f"{jet}_tau2"] / (at[f"{jet}_tau1"] + 1e-5) for jet in ("j1", "j2"))
    columns = (at["mjj"] / 1000, light / 1000, (heavy - light) / 1000, np.where(swap, second, first),
               np.where(swap, first, second))  # fmt: skip
    return np.stack(columns, axis=1)


def dijet_mass(columns: Mapping[str, Any]) -> np.ndarray:
    """Return the invariant mass (GeV) of j1 and j2 from their `pt`, `eta`, `phi` and `mass` columns, (n,)."""
    total = np.zeros((4, len(columns["j1_pt"])))
    for jet in ("j1", "j2"):
        pt, eta, phi, mass = (np.asarray(columns[f"{jet}_{name}"], dtype=np.float64) for name in JET[:4])
        energy = np.sqrt((pt * np.cosh(eta)) ** 2 + mass**2)
        total += np.stack([energy, pt * np.cos(phi), pt * np.sin(phi), pt * np.sinh(eta)])
    return np.asarray(np.sqrt(np.maximum(total[0] ** 2 - (total[1:] ** 2).sum(axis=0), 0.0)))


def on_grid(candidates: Mapping[str, np.ndarray], n_events: int) -> Any:
    """Return the candidates event by event, hardest first, rounded so that they compress: {pt, eta, phi}.

    pt (GeV) keeps 8 bits of mantissa and the angles a grid of 1/512, finer than any cell of the detector. All that is
    computed from an event is computed from these, so that it can be computed again.
    """
    order = np.lexsort((-candidates["pt"], candidates["event"]))
    columns = {"pt": jets.round_bits(candidates["pt"][order], 8)}
    for name in ("eta", "phi"):
        columns[name] = (np.rint(candidates[name][order] / _STEP) * _STEP).astype(np.float32)
    return ak.unflatten(ak.zip(columns), np.bincount(candidates["event"], minlength=n_events))


def leading(particles: Any, radius: float = 1.0) -> Any:
    """Return the one or two hardest anti-kT jets above 20 GeV of events * var * {pt, eta, phi}, as `jets.cluster`."""
    return jets.cluster(particles, "antikt", radius, min_pt=20.0)[:, :2]


def describe(particles: Any, found: Any, radius: float = 1.0) -> dict[str, np.ndarray]:
    """Return `mjj` and j1_* to j2_* (see JET) of events whose jets `leading` found, each of shape (events,).

    Masses and momenta in GeV. tau1 to tau3 are sums of pt times distance to the nearest of 1 to 3 winner-take-all kT
    axes, in GeV: unlike the tau of tagging they are not divided by the jet's pt, as in the public files. Where an event
    has no second jet, its columns are 0.
    """
    n = len(particles)
    columns = {f"{jet}_{name}": np.zeros(n) for jet in ("j1", "j2") for name in JET}
    if n:
        row, rank = (ak.to_numpy(ak.flatten(x)) for x in (
            ak.broadcast_arrays(np.arange(n), found.pt)[0], ak.local_index(found.pt)))  # fmt: skip
        flat = ak.flatten(found)
        inside = _inside(particles, flat, row)
        scale = ak.to_numpy(ak.sum(inside.pt, axis=1)) * radius
        taus = n_subjettiness(momenta(inside.pt, inside.deta, inside.dphi), radius)[:, :3] * scale[:, None]
        seen = {name: ak.to_numpy(flat[name]) for name in JET[:4]} | dict(zip(JET[4:], taus.T, strict=True))
        for number, jet in enumerate(("j1", "j2")):
            for name in JET:
                columns[f"{jet}_{name}"][row[rank == number]] = seen[name][rank == number]
    for name in columns:
        columns[name] = jets.round_bits(columns[name], 13 if name.endswith("_pt") else 11)
    return {"mjj": jets.round_bits(dijet_mass(columns), 13), **columns}


def _inside(particles: Any, flat: Any, row: np.ndarray) -> Any:
    """Return the particles of each jet, relative to its axis."""
    counts = ak.to_numpy(ak.num(particles))
    sizes = ak.to_numpy(ak.num(flat.index))
    place = ak.to_numpy(ak.flatten(flat.index)) + np.repeat((np.cumsum(counts) - counts)[row], sizes)
    mine = ak.flatten(particles)[place]
    eta, phi = (np.repeat(ak.to_numpy(flat[name]), sizes) for name in ("eta", "phi"))
    columns = {"pt": mine.pt, "deta": mine.eta - eta, "dphi": jets.delta_phi(mine.phi, phi)}
    return ak.unflatten(ak.zip(columns), sizes)


def table(columns: Mapping[str, Any], n: int, **given: Any) -> Any:
    """Return events in the schema: floats of `columns`, then label, weight, mx, my and event as `given` or by default.

    The defaults are label 0, weight 1, masses 0 (no resonance) and the numbers 0 to n - 1.
    """
    kinds = {"label": np.int8, "weight": np.float32, "mx": np.float32, "my": np.float32, "event": np.int64}
    default: dict[str, Any] = {"label": 0, "weight": 1.0, "mx": 0.0, "my": 0.0, "event": np.arange(n)}
    out = {name: np.asarray(values, dtype=np.float32) for name, values in columns.items()}
    for name, kind in kinds.items():
        out[name] = np.broadcast_to(given.get(name, default[name]), (n,)).astype(kind)
    more = {name: values for name, values in given.items() if name not in kinds}
    return ak.zip({**out, **more}, depth_limit=1)
