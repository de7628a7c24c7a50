"""Toy jets in the full schema, made in milliseconds: prongs with the right mass, fragments around them, a soft haze."""

from __future__ import annotations

from typing import Any

import awkward as ak
import numpy as np
import numpy.typing as npt

from hepml_nb.core import InputError, rng

__all__ = ["toy_jets", "without"]

Array = npt.NDArray[Any]

_R = 0.8
_MASSES = {"qcd": None, "w": 80.4, "top": 172.5}  # GeV
_CLASSES = {2: ("qcd", "top"), 3: ("qcd", "w", "top")}
_PDG = np.array([211, -211, 22, 130, 11, -11, 13, -13], dtype=np.int16)
_PDG_P = np.array([0.29, 0.29, 0.28, 0.12, 0.005, 0.005, 0.005, 0.005])


def toy_jets(n: int, seed: int = 0, *, classes: int = 2) -> Any:
    """Return `n` toy jets (an awkward array in the jets schema), as many of each class as n allows, shuffled.

    classes=2: label 0 QCD, 1 top; classes=3: label 0 QCD, 1 W, 2 top. Masses, multiplicities and N-subjettiness
    differ as they do in nature, but nothing here is a simulation: for tests only. pt and masses in GeV, angles in
    rad. Observables are computed from the constituents; tau_N uses greedy axes, and c2, d2, n2, m2 the 8 hardest.
    Raises InputError for n below 1 or another number of classes.
    """
    if n < 1 or classes not in _CLASSES:
        raise InputError(f"n={n!r}, classes={classes!r}; expected n of at least 1 and classes 2 or 3.")
    generator = rng(seed, "toy jets", n, classes)
    label = generator.permutation(np.arange(n) % classes).astype(np.int8)
    pt, x, y = _constituents(generator, np.array(_CLASSES[classes])[label])
    gen = _four_momentum(pt, x, y)
    pt = pt * np.where(pt > 0, generator.normal(1, 0.1, pt.shape).clip(0.5, 1.5), 0)  # the detector
    order = np.argsort(-pt, axis=1, kind="stable")
    pt, x, y = (np.take_along_axis(a, order, 1) for a in (pt, x, y))
    x, y = x - _mean(pt, x), y - _mean(pt, y)
    jets: dict[str, Any] = {
        "eta": generator.uniform(-2, 2, n),
        "phi": generator.uniform(-np.pi, np.pi, n),
        **_observables(pt, x, y),
        "gen_pt": gen[0],
        "gen_mass": gen[1],
        "gen_msoftdrop": gen[1] * 0.98,
    }
    record: dict[str, Any] = {name: values.astype(np.float32) for name, values in jets.items()}
    record |= {"label": label, "matched": np.ones(n, bool), "rank": np.zeros(n, np.int8), "event": np.arange(n)}
    counts, present = (pt > 0).sum(1), pt > 0
    pdg = generator.choice(_PDG, size=counts.sum(), p=_PDG_P)
    flat = {"pt": pt[present], "deta": x[present], "dphi": y[present]}
    flat = {name: values.astype(np.float32) for name, values in flat.items()} | {"pdg": pdg}
    record["constituents"] = ak.unflatten(ak.zip(flat), counts)
    return ak.zip(record, depth_limit=1)


def without(jets: Any, *columns: str) -> Any:
    """Return jets that lack the named columns."""
    return jets[[name for name in jets.fields if name not in columns]]


def _constituents(generator: np.random.Generator, kind: Array) -> tuple[Array, Array, Array]:
    """Return pt (GeV), deta, dphi of shape (jets, 96); missing constituents have pt 0."""
    n = len(kind)
    pt_jet = 550 + 100 * generator.beta(1, 1.5, n)
    share, px, py = _prongs(generator, kind, pt_jet)
    slots = 32
    per_prong = np.where(share > 0, generator.poisson(6 + 12 * np.sqrt(share)), 0).clip(0, slots)
    there = np.arange(slots) < per_prong[:, :, None]
    there[:, 0, 0] = True  # never an empty jet
    fraction = np.where(there, generator.gamma(0.5, 1.0, (n, 3, slots)) + 1e-3, 0)
    total = fraction.sum(2, keepdims=True)
    fraction = np.divide(fraction, total, out=np.zeros_like(fraction), where=total > 0) * share[:, :, None]
    # harder fragments lie closer to their prong
    spread = 0.05 / (1 + 20 * fraction)
    x = px[:, :, None] + spread * generator.standard_t(4, fraction.shape)
    y = py[:, :, None] + spread * generator.standard_t(4, fraction.shape)
    haze = generator.random((n, 1, slots)) < 0.2
    soft = np.where(haze, generator.exponential(0.002, haze.shape), 0)
    radius, angle = _R * np.sqrt(generator.random(haze.shape)), generator.uniform(0, 2 * np.pi, haze.shape)
    pt = np.concatenate([fraction, soft], 1).reshape(n, -1) * pt_jet[:, None]
    x = np.concatenate([x, radius * np.cos(angle)], 1).reshape(n, -1)
    y = np.concatenate([y, radius * np.sin(angle)], 1).reshape(n, -1)
    inside = (np.hypot(x, y) < _R) & (pt > 0.2)
    inside[:, 0] = True
    order = np.argsort(~inside, axis=1, kind="stable")[:, :96]
    return tuple(np.take_along_axis(np.where(inside, a, 0), order, 1) for a in (pt, x, y))  # type: ignore[return-value]


def _prongs(generator: np.random.Generator, kind: Array, pt_jet: Array) -> tuple[Array, Array, Array]:
    """Return shares of pt and positions of up to three prongs, each (jets, 3), scaled to the class's mass."""
    n = len(kind)
    share = generator.dirichlet((3.0, 3.0, 3.0), n)
    two = generator.beta(2, 2, n)
    share = np.where((kind == "w")[:, None], np.stack([two, 1 - two, np.zeros(n)], 1), share)
    soft = np.exp(generator.uniform(np.log(0.01), np.log(0.5), (n, 2))) * [1, 0.3]
    share = np.where((kind == "qcd")[:, None], np.stack([1 - soft.sum(1), soft[:, 0], soft[:, 1]], 1), share)
    x, y = generator.normal(size=(2, n, 3))
    mass = np.sqrt(_pairs(share, x, y)) * pt_jet  # small angles: m^2 = sum of pt_i pt_j dR_ij^2
    target = np.array([_MASSES[k] or 0.0 for k in kind]) * generator.normal(1, 0.12, n)
    wide = np.exp(generator.uniform(np.log(0.03), np.log(0.8), (n, 1)))
    scale = np.where((kind == "qcd")[:, None], wide, (target / mass)[:, None])
    x, y = x * scale, y * scale
    return share, x - _mean(share, x), y - _mean(share, y)


def _pairs(weight: Array, x: Array, y: Array) -> Array:
    squared = (x[:, :, None] - x[:, None]) ** 2 + (y[:, :, None] - y[:, None]) ** 2
    total: Array = (weight[:, :, None] * weight[:, None] * squared).sum((1, 2)) / 2
    return total


def _mean(pt: Array, x: Array) -> Array:
    mean: Array = (pt * x).sum(1, keepdims=True) / pt.sum(1, keepdims=True)
    return mean


def _four_momentum(pt: Array, x: Array, y: Array) -> tuple[Array, Array]:
    """Return pt and mass (GeV) of the sum of massless constituents at deta = x, dphi = y."""
    energy, px, py, pz = ((pt * f).sum(1) for f in (np.cosh(x), np.cos(y), np.sin(y), np.sinh(x)))
    return np.hypot(px, py), np.sqrt(np.maximum(energy**2 - px**2 - py**2 - pz**2, 0))


def _observables(pt: Array, x: Array, y: Array) -> dict[str, Array]:
    jet_pt, mass = _four_momentum(pt, x, y)
    total = pt.sum(1)
    nearest = np.hypot(x - x[:, :1], y - y[:, :1])  # the hardest constituent is the first axis
    taus, groomed = {}, np.zeros_like(pt, dtype=bool)
    for i in range(1, 5):
        taus[f"tau{i}"] = (pt * nearest).sum(1) / (total * _R)
        far = (pt * nearest).argmax(1)[:, None]
        distance = np.hypot(x - np.take_along_axis(x, far, 1), y - np.take_along_axis(y, far, 1))
        near = distance < 0.2
        groomed |= near & ((pt * near).sum(1, keepdims=True) > 0.1 * total[:, None])
        nearest = np.minimum(nearest, distance)
    groomed |= np.hypot(x - x[:, :1], y - y[:, :1]) < 0.2
    return {
        "pt": jet_pt,
        "mass": mass,
        "msoftdrop": _four_momentum(pt * groomed, x, y)[1],
        **taus,
        **_correlations(pt[:, :8] / total[:, None], x[:, :8], y[:, :8]),
    }


def _correlations(z: Array, x: Array, y: Array) -> dict[str, Array]:
    """Return c2, d2, n2, m2 (beta = 1; arXiv:1305.0007, 1409.6298, 1609.07483); 0 where undefined."""
    d = np.hypot(x[:, :, None] - x[:, None], y[:, :, None] - y[:, None])
    e2 = (z[:, :, None] * z[:, None] * d).sum((1, 2)) / 2
    zzz = z[:, :, None, None] * z[:, None, :, None] * z[:, None, None]
    sides = np.sort(np.stack([np.broadcast_to(a, zzz.shape) for a in (d[:, :, :, None], d[:, :, None], d[:, None])]), 0)
    e3 = {v: (zzz * sides[:v].prod(0)).sum((1, 2, 3)) / 6 for v in (1, 2, 3)}
    safe = np.where(e2 > 0, e2, np.inf)
    return {"c2": e3[3] / safe**2, "d2": e3[3] / safe**3, "n2": e3[2] / safe**2, "m2": e3[1] / safe}
