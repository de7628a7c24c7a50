"""Event shapes of e+e- collisions: exact thrust, jet masses, broadenings, C parameter, sphericity and Durham y23."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import awkward as ak
import numpy as np

from hepml_nb.core import InputError, rng

__all__ = ["SHAPES", "describe", "durham_y23", "padded", "thrust"]

SHAPES = ("thrust", "major", "minor", "c", "rho_heavy", "rho_light", "b_total", "b_wide", "y23", "sphericity")
"""What `describe` returns."""

_BATCH = 16
"""Events whose pairs of particles are held at a time: some ten MB at 60 particles each."""


def padded(particles: Mapping[str, np.ndarray], n_events: int) -> np.ndarray:
    """Return flat columns `event`, `px`, `py`, `pz`, `e`, sorted by event, as (events, most, 4), filled with zeros.

    Raises InputError for an event without particles.
    """
    counts = np.bincount(particles["event"], minlength=n_events)
    if n_events and counts.min() < 1:
        raise InputError(f"event {int(np.argmin(counts))} has no particles; drop empty events before.")
    place = np.arange(len(particles["event"])) - np.repeat(np.cumsum(counts) - counts, counts)
    out = np.zeros((n_events, int(counts.max(initial=0)), 4))
    for i, name in enumerate(("px", "py", "pz", "e")):
        out[particles["event"], place, i] = particles[name]
    return out


def thrust(momenta: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return thrust T = max sum |p n| / sum |p| and its axis n of (events, particles, 3): (events,) and (events, 3).

    Exact: the best way to divide the particles into two hemispheres is one by a plane through two of them (Brandt and
    Dahmen, Z. Phys. C 1 (1979) 61), so all planes are tried, with either particle on either side. Particles of zeros
    do not count.
    """
    best = np.zeros((len(momenta), 3))
    for chosen, most in _alike(momenta):
        best[chosen] = _largest_sum(_shifted(momenta[chosen], most))
    return _axis(best, momenta)


def _alike(momenta: np.ndarray) -> Iterator[tuple[np.ndarray, int]]:
    """Yield groups of events of like size, so that little is padded, with the number of particles of the largest."""
    sizes = np.count_nonzero(np.any(momenta != 0, axis=2), axis=1)
    order = np.argsort(sizes, kind="stable")
    for start in range(0, len(order), _BATCH):
        chosen = order[start : start + _BATCH]
        yield chosen, int(sizes[chosen].max(initial=1))


def _shifted(momenta: np.ndarray, most: int) -> np.ndarray:
    """Return the first `most` particles whose momentum is not zero."""
    empty = ~np.any(momenta[..., :3] != 0, axis=2)
    order = np.argsort(empty, axis=1, kind="stable")[:, :most]
    return np.take_along_axis(momenta, order[..., None], axis=1)


def _largest_sum(momenta: np.ndarray) -> np.ndarray:
    """Return the longest of the sums of +-p over all divisions by a plane: (events, 3)."""
    events, n, _ = momenta.shape
    if n == 1:
        return momenta[:, 0]
    first, second = np.triu_indices(n, 1)
    a, b, moved = momenta[:, first], momenta[:, second], _generic(momenta)
    side = np.sign(np.cross(moved[:, first], moved[:, second]) @ moved.transpose(0, 2, 1))
    pairs = np.arange(len(first))
    side[:, pairs, first] = side[:, pairs, second] = 0
    total = side @ momenta
    options = np.stack([total + x * a + y * b for x in (1, -1) for y in (1, -1)], axis=1).reshape(events, -1, 3)
    chosen = np.argmax(np.einsum("eoi,eoi->eo", options, options), axis=1)
    return np.asarray(options[np.arange(events), chosen])


def _generic(momenta: np.ndarray) -> np.ndarray:
    """Return momenta moved by 1e-9 of their size, so that no three lie in a plane and each has a side."""
    noise = rng(0, "sides").standard_normal(momenta.shape[1:])
    return np.asarray(momenta + 1e-9 * np.linalg.norm(momenta, axis=2, keepdims=True) * noise)


def _major(momenta: np.ndarray, axis: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return thrust major, the same maximum in the plane across the thrust axis, and its direction.

    There a line through one particle's transverse momentum divides them.
    """
    across = momenta - (momenta @ axis[..., None]) * axis[:, None, :]
    moved = _generic(across)
    side = np.sign(np.cross(axis[:, None, :], moved) @ moved.transpose(0, 2, 1))
    own = np.arange(momenta.shape[1])
    side[:, own, own] = 1
    total = side @ across
    chosen = np.argmax(np.einsum("eoi,eoi->eo", total, total), axis=1)
    return _axis(total[np.arange(len(total)), chosen], momenta)


def _axis(total: np.ndarray, momenta: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    length = np.linalg.norm(total, axis=1)
    scale = np.linalg.norm(momenta, axis=2).sum(axis=1)
    return length / scale, total / np.maximum(length, 1e-300)[:, None]


def describe(particles: Mapping[str, np.ndarray], n_events: int) -> dict[str, np.ndarray]:
    """Return the shapes SHAPES of events given as flat columns sorted by event (GeV), each of shape (events,).

    `thrust`, `major`, `minor`: largest share of momentum along an axis, across it, and along the third. `c` is the C
    parameter of the linear momentum tensor, `sphericity` that of the quadratic one. The plane across the thrust axis
    makes two hemispheres: `rho_heavy` and `rho_light` are their squared masses over the squared visible energy,
    `b_total` and `b_wide` the sum and the larger of their jet broadenings sum |p x n| / (2 sum |p|). `y23` is where
    Durham's three jets become two. Definitions as in the measurements of OPAL (hep-ex/0503051).
    """
    events = padded(particles, n_events)
    found = {name: np.zeros(n_events) for name in SHAPES}
    for chosen, most in _alike(events[..., :3]):
        for name, values in _shapes(_shifted(events[chosen], most)).items():
            found[name][chosen] = values
    found["y23"] = durham_y23(particles, n_events)
    return found


def _shapes(events: np.ndarray) -> dict[str, np.ndarray]:
    """Return all shapes but y23 of (events, particles, 4)."""
    p = events[..., :3]
    size = np.linalg.norm(p, axis=2)
    scale = size.sum(axis=1)
    value, axis = _axis(_largest_sum(p), p)
    major, across = _major(p, axis)
    minor = np.abs(p @ np.cross(axis, across)[..., None])[..., 0].sum(axis=1) / scale
    along = (p @ axis[..., None])[..., 0]
    energy = events[..., 3].sum(axis=1)
    sideways = np.sqrt(np.maximum(size**2 - along**2, 0.0))
    mass2, broad = [], []
    for side in (along > 0, along <= 0):
        jet = (events * side[..., None]).sum(axis=1)
        mass2.append(np.maximum(jet[:, 3] ** 2 - (jet[:, :3] ** 2).sum(axis=1), 0.0) / energy**2)
        broad.append((sideways * side).sum(axis=1) / (2 * scale))
    linear = np.linalg.eigvalsh(_tensor(p, 1 / np.maximum(size, 1e-300)))
    quadratic = np.linalg.eigvalsh(_tensor(p, np.ones_like(size)))
    return {
        "thrust": value,
        "major": major,
        "minor": minor,
        "c": 3 * (linear[:, 0] * linear[:, 1] + linear[:, 1] * linear[:, 2] + linear[:, 2] * linear[:, 0]),
        "rho_heavy": np.maximum(*mass2),
        "rho_light": np.minimum(*mass2),
        "b_total": broad[0] + broad[1],
        "b_wide": np.maximum(*broad),
        "sphericity": 1.5 * (quadratic[:, 0] + quadratic[:, 1]),
    }


def _tensor(p: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Return sum w p_i p_j of trace one: (events, 3, 3)."""
    tensor = (p * weight[..., None]).transpose(0, 2, 1) @ p
    return np.asarray(tensor / np.trace(tensor, axis1=1, axis2=2)[:, None, None])


def durham_y23(particles: Mapping[str, np.ndarray], n_events: int) -> np.ndarray:
    """Return y23 of the Durham algorithm, 2 min(Ei, Ej)^2 (1 - cos) / E_vis^2 where 3 jets become 2: (events,).

    Events of fewer than three particles have 0.
    """
    import fastjet
    import vector

    vector.register_awkward()
    fastjet.ClusterSequenceArea.set_fastjet_banner_stream(None)
    counts = np.bincount(particles["event"], minlength=n_events)
    enough = counts >= 3
    found = np.zeros(n_events)
    if not enough.any():
        return found
    keep = enough[particles["event"]]
    columns = {to: particles[name][keep] for to, name in (("px", "px"), ("py", "py"), ("pz", "pz"), ("E", "e"))}
    events = ak.unflatten(ak.zip(columns, with_name="Momentum4D"), counts[enough])
    sequence = fastjet.ClusterSequence(events, fastjet.JetDefinition0Param(fastjet.ee_kt_algorithm))
    found[enough] = np.maximum(ak.to_numpy(sequence.exclusive_ymerge(2)), 0.0)
    return found
