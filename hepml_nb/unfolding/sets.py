"""Events as sets of particles of any number: all particles one after another, and how many each event has."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from hepml_nb.core import InputError

__all__ = ["Sets", "check_sets", "jet_sets", "join", "take"]

_CHARGED, _NEUTRAL = (211, 321, 2212), (130, 310, 2112)


class Sets(NamedTuple):
    """The members of n sets, one after another: values (sum of lengths, features) and lengths (n,)."""

    values: npt.NDArray[np.float32]
    lengths: npt.NDArray[np.int64]


def check_sets(given: Any, n: int, name: str) -> Sets | None:
    """Return (values, lengths) as Sets; raise InputError unless there are n, their lengths add up, all is finite."""
    if given is None:
        return None
    values, lengths = np.asarray(given[0], np.float32), np.asarray(given[1], np.int64)
    if lengths.shape != (n,) or (lengths < 0).any():
        raise InputError(f"{name} has lengths of shape {lengths.shape}; expected one count per event, ({n},).")
    if values.ndim != 2 or int(lengths.sum()) != len(values):
        raise InputError(
            f"{name} has values {values.shape}, lengths add up to {lengths.sum()}; expected (sum, features)."
        )
    if not np.isfinite(values).all():
        raise InputError(f"{name} is NaN or infinite for {int((~np.isfinite(values)).any(axis=1).sum())} particles.")
    return Sets(values, lengths)


def take(sets: Sets, rows: npt.NDArray[Any]) -> Sets:
    """Return the chosen sets; rows: a mask (n,) or indices in any order."""
    index = np.flatnonzero(rows) if rows.dtype == bool else rows
    lengths = sets.lengths[index]
    start = (np.cumsum(sets.lengths) - sets.lengths)[index]
    within = np.arange(lengths.sum()) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    return Sets(sets.values[np.repeat(start, lengths) + within], lengths)


def join(*several: Sets) -> Sets:
    """Return the sets of all, in their order."""
    return Sets(np.concatenate([s.values for s in several]), np.concatenate([s.lengths for s in several]))


def jet_sets(particles: Any) -> Sets:
    """Return what a Particle Flow Network sees of jets: log pt (GeV), dy, dphi (rad), and flags of the kind.

    particles: a collection of `zjets-particles` (n, var) with pt, dy, dphi and pdg. Flags: charged hadron, neutral
    hadron, photon, lepton. Source: the inputs of arXiv:1911.09107, kinematics and particle identity.
    """
    import awkward as ak

    flat = {name: ak.to_numpy(ak.flatten(particles[name])) for name in ("pt", "dy", "dphi", "pdg")}
    kind = np.abs(flat["pdg"])
    flags = [np.isin(kind, _CHARGED), np.isin(kind, _NEUTRAL), kind == 22, (kind >= 11) & (kind <= 14)]
    values = np.stack([np.log(flat["pt"]), flat["dy"], flat["dphi"], *flags], axis=1)
    return Sets(values.astype(np.float32), ak.to_numpy(ak.num(particles.pt)).astype(np.int64))
