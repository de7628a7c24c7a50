"""What a jet came from: tops, Ws, Zs and Higgs bosons in a list of generator particles, with their decay quarks."""

from __future__ import annotations

from typing import Any

import awkward as ak
import numpy as np

from hepml_nb.simulate.jets import delta_phi

__all__ = ["ORIGINS", "distance", "match_origin", "nearest"]

ORIGINS = ("qcd", "top", "w", "z", "h", "other")
"""Classes of jets; "other" holds a heavy parent whose decay is not all quarks: the b of a leptonic top, Z to muons."""

_PARENT = {6: 1, 24: 2, 23: 3, 25: 4}
_QUARKS = {1: (3,), 2: (2,), 3: (2,), 4: (2, 4)}
_OTHER = ORIGINS.index("other")
_LEPTONS = (11, 13, 15)


def distance(a: Any, b: Any) -> Any:
    """Return the distance in eta and phi of all pairs {eta, phi} of an event: events * a * b."""
    return np.hypot(a.eta[:, :, None] - b.eta[:, None, :], delta_phi(a.phi[:, :, None], b.phi[:, None, :]))


def match_origin(jets: Any, particles: Any, radius: float) -> tuple[Any, Any]:
    """Say of each jet what it came from, and whether all decay quarks are inside: two of events * jets.

    `jets` is events * var * {eta, phi}, `particles` events * var * {pt, eta, phi, pdg, mother}, `mother` a place in the
    event or below 0. The first is a place in ORIGINS: the nearest parent whose quarks together point to within
    `radius` of the axis. As in the public top-tagging set (arXiv:1902.09914), "inside" means that each of its quarks
    does as well; it is True for jets of no parent. Leptons of the decay count neither for the axis nor as inside, but
    where there is no quark, they are what points to the jet.
    """
    quarks, parents = _decays(particles)
    place, away = nearest(jets, parents)
    place = ak.mask(place, away < radius)
    wanted = ak.fill_none(parents.quarks[place], 0)
    mine = quarks.parent[:, None, :] == ak.fill_none(place, -1)[:, :, None]
    inside = ak.sum(mine & (distance(jets, quarks) < radius), axis=2)
    return ak.fill_none(parents.origin[place], 0), inside == wanted


def nearest(a: Any, b: Any) -> tuple[Any, Any]:
    """Return the place of the nearest `b` {eta, phi} for each `a`, and how far it is; None and infinity for no `b`."""
    away = distance(a, b)
    return ak.argmin(away, axis=2), ak.fill_none(ak.min(away, axis=2), np.inf)


def _decays(particles: Any) -> tuple[Any, Any]:
    """Return events * quarks * {eta, phi, parent} and events * parents * {eta, phi, origin, quarks}."""
    counts = ak.to_numpy(ak.num(particles))
    first = np.repeat(np.cumsum(counts) - counts, counts)
    event = np.repeat(np.arange(len(counts)), counts)
    flat = ak.flatten(particles)
    pdg, local = (np.asarray(ak.to_numpy(flat[name])) for name in ("pdg", "mother"))
    kind = np.abs(pdg)
    mother = np.where(local < 0, -1, local + first)
    above = np.where(mother < 0, 0, kind[mother]) if len(kind) else kind
    heavy = np.isin(kind, list(_PARENT))
    origin = np.arange(len(kind))
    for _ in range(100):  # up to the first heavy ancestor, through Ws of tops and Zs of Higgs bosons
        up = mother[origin]
        climb = heavy[origin] & (up >= 0) & (heavy[up] if len(heavy) else False)
        if not climb.any():
            break
        origin = np.where(climb, up, origin)
    is_quark = (kind <= 5) & (kind > 0)
    product = np.flatnonzero((is_quark | np.isin(kind, _LEPTONS)) & np.isin(above, list(_PARENT)))
    roots, parent = np.unique(origin[mother[product]], return_inverse=True)
    number = np.bincount(parent[is_quark[product]], minlength=len(roots))
    told = is_quark[product] | (number[parent] == 0)
    product, parent = product[told], parent[told]
    summed = np.stack([np.bincount(parent, column, minlength=len(roots)) for column in _momenta(flat, product)])
    of = np.array([_PARENT[value] for value in kind[roots]], dtype=np.int64)
    whole = np.array([n in _QUARKS[o] for n, o in zip(number, of, strict=True)], dtype=bool)
    per_event = np.bincount(event[roots], minlength=len(counts))
    quark, parent = product[is_quark[product]], parent[is_quark[product]]
    parent = parent - (np.cumsum(per_event) - per_event)[event[quark]]
    quarks = ak.zip({"eta": ak.to_numpy(flat.eta)[quark], "phi": ak.to_numpy(flat.phi)[quark], "parent": parent})
    pt = np.maximum(np.hypot(summed[0], summed[1]), 1e-12)
    axes = {"eta": np.arcsinh(summed[2] / pt), "phi": np.arctan2(summed[1], summed[0])}
    parents = ak.zip({**axes, "origin": np.where(whole, of, _OTHER), "quarks": number})
    return (ak.unflatten(quarks, np.bincount(event[quark], minlength=len(counts))), ak.unflatten(parents, per_event))


def _momenta(flat: Any, rows: np.ndarray) -> np.ndarray:
    pt, eta, phi = (np.asarray(ak.to_numpy(flat[name]), dtype=np.float64)[rows] for name in ("pt", "eta", "phi"))
    return np.stack([pt * np.cos(phi), pt * np.sin(phi), pt * np.sinh(eta)])
