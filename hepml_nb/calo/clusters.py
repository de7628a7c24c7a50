"""Showers as a reconstruction sees them: voxels above a seed, grown over their neighbours, as clusters (S1/43)."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from functools import cache

import numpy as np
from scipy.sparse import csr_array
from scipy.sparse.csgraph import connected_components

from hepml_nb.calo.sample import Floats, Showers
from hepml_nb.core import InputError
from hepml_nb.simulate.calorimeter import Geometry, Layer

__all__ = ["Clusters", "clusters", "neighbour_pairs"]

_MOST = 500  # showers at a time


@dataclass(frozen=True, eq=False)
class Clusters:
    """Of each shower (n,): number of clusters, MeV in the leading one and in all, voxels of the leading one."""

    number: Floats
    leading: Floats
    energy: Floats
    size: Floats


def clusters(showers: Showers, seed: float = 0.01, grow: float = 1e-3) -> Clusters:
    """Return clusters of neighbouring voxels with more than `grow` of the incident energy, around a voxel above `seed`.

    A topological clustering with thresholds as shares of the energy, as there is no noise: voxels above `grow` that
    touch belong together (`neighbour_pairs`), and what holds no voxel above `seed` is dropped. A detector's thresholds
    in MeV are given as arrays (n, 1). Raises InputError unless 0 < grow <= seed.
    """
    high, low = np.asarray(seed, np.float64), np.asarray(grow, np.float64)
    if not ((low > 0).all() and (low <= high).all()):
        raise InputError(f"seed={seed!r}, grow={grow!r}; expected 0 < grow <= seed.")
    pairs, found = neighbour_pairs(showers.geometry), np.zeros((4, len(showers)))
    for begin in range(0, len(showers), _MOST):
        some = slice(begin, begin + _MOST)
        share = showers.deposits[some] / showers.energies[some, None]
        found[:, some] = _found(share, pairs, *(np.broadcast_to(x, (len(showers), 1))[some] for x in (high, low)))
    number, leading, energy, size = found
    return Clusters(number, leading * showers.energies, energy * showers.energies, size)


def _found(share: Floats, pairs: Floats, high: Floats, low: Floats) -> Floats:
    """Return number, leading share, share of all and size (4, n) of the clusters of shares (n, voxels)."""
    n, voxels = share.shape
    lit = share > low
    row, pair = np.nonzero(lit[:, pairs[0]] & lit[:, pairs[1]])
    ends = [row * voxels + pairs[side][pair] for side in (0, 1)]
    graph = csr_array((np.ones(len(row), bool), tuple(ends)), shape=(n * voxels, n * voxels))
    label = connected_components(graph, directed=False)[1]
    inside, flat = lit.ravel(), share.ravel()
    label, owner = np.unique(label[inside], return_inverse=True)[1], np.repeat(np.arange(n), voxels)[inside]
    energy = np.bincount(label, flat[inside])
    of_shower = np.zeros(len(energy), np.int64)
    of_shower[label] = owner
    best = np.zeros(len(energy))
    np.maximum.at(best, label, flat[inside])
    kept = best > high[of_shower, 0]
    energy, of_shower, size = energy[kept], of_shower[kept], np.bincount(label)[kept]
    leading = np.zeros(n)
    np.maximum.at(leading, of_shower, energy)
    largest = np.zeros(n)
    first = energy == leading[of_shower]
    largest[of_shower[first]] = size[first]
    return np.array([np.bincount(of_shower, minlength=n), leading, np.bincount(of_shower, energy, n), largest])


@cache
def neighbour_pairs(geometry: Geometry) -> Floats:
    """Return the voxels (2, pairs) that touch: next in radius or angle in a layer, or overlapping in the next layer."""
    pairs = [_within(layer, int(start)) for layer, start in zip(geometry.layers, geometry.offsets, strict=False)]
    for i, (one, two) in enumerate(itertools.pairwise(geometry.layers)):
        pairs.append(_between(one, two, int(geometry.offsets[i]), int(geometry.offsets[i + 1])))
    return np.concatenate(pairs, axis=1)


def _within(layer: Layer, start: int) -> Floats:
    at = start + np.arange(layer.n_alpha * layer.n_r).reshape(layer.n_alpha, layer.n_r)
    pairs = [(at[:, :-1], at[:, 1:])]
    if layer.n_alpha > 1:  # the angle is a circle
        pairs.append((at, np.roll(at, -1, axis=0)))
    if layer.n_alpha > 2:  # all angles meet at the axis
        a, b = np.triu_indices(layer.n_alpha, 1)
        pairs.append((at[a, 0], at[b, 0]))
    return np.array([np.concatenate([one.ravel() for one in side]) for side in zip(*pairs, strict=True)])


def _between(one: Layer, two: Layer, first: int, second: int) -> Floats:
    """Return the voxels of two layers whose ranges in radius and in angle overlap."""
    ranges = []
    for layer in (one, two):
        r, alpha = np.array(layer.r_edges), np.linspace(0, 1, layer.n_alpha + 1)
        grid = np.meshgrid(np.arange(layer.n_alpha), np.arange(layer.n_r), indexing="ij")
        a, k = (x.ravel() for x in grid)
        ranges.append((r[k], r[k + 1], alpha[a], alpha[a + 1]))
    (r0, r1, a0, a1), (s0, s1, b0, b1) = ranges
    radius = np.minimum(r1[:, None], s1) - np.maximum(r0[:, None], s0)
    angle = np.minimum(a1[:, None], b1) - np.maximum(a0[:, None], b0)
    i, j = np.nonzero((radius > 1e-9) & (angle > 1e-9))
    return np.array([first + i, second + j])
