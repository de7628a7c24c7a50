"""The Lund plane: jets taken apart by their Cambridge/Aachen tree, all jets of a block at once (arXiv:1807.04758)."""

from __future__ import annotations

from typing import Any, NamedTuple

import awkward as ak
import numpy as np
import numpy.typing as npt

from hepml_nb.core import InputError, suggest
from hepml_nb.tagging.checks import check_jets

__all__ = ["LUND_FEATURES", "LundTrees", "decluster", "generations", "lund_features", "lund_plane", "lund_trees",
           "primary", "resolved"]  # fmt: skip

Array = npt.NDArray[Any]

LUND_FEATURES = ("ln_kt", "ln_delta", "ln_z", "ln_m", "psi")
"""Numbers of a declustering, as LundNet takes them: the first three for LundNet-3, all for LundNet-5."""
_BLOCK = 400  # jets declustered together; jets of like size share a block
_CLOSEST = 1e-6  # least angle: particles on the same point of a grid have none


class LundTrees(NamedTuple):
    """Declusterings of many jets, one jet after another, parents before children: arrays (sum of lengths,).

    lengths: (jets,) int64, declusterings of every jet. parent: number within the jet of the declustering that made
    the branch, -1 for the first. soft: the branch was the softer one there. delta: angle of the two branches; z: share
    of the softer one's pt; kt = z * pt * delta (GeV); psi (rad): azimuth of the softer around the harder one; mass and
    pt (GeV) of both together.
    """

    lengths: Array
    parent: Array
    soft: Array
    delta: Array
    z: Array
    kt: Array
    psi: Array
    mass: Array
    pt: Array

    def take(self, keep: Array) -> LundTrees:
        """Return the trees of some jets (indices or a mask), in that order."""
        index = np.arange(len(self.lengths))[keep]
        lengths = self.lengths[index]
        first = (np.cumsum(self.lengths) - self.lengths)[index]
        rows = np.repeat(first - (np.cumsum(lengths) - lengths), lengths) + np.arange(lengths.sum())
        return LundTrees(lengths, *(column[rows] for column in self[1:]))

    def only(self, keep: Array) -> LundTrees:
        """Return the trees with some declusterings (a mask) only; the parents of those that stay must stay."""
        jet = np.repeat(np.arange(len(self.lengths)), self.lengths)
        first = (np.cumsum(self.lengths) - self.lengths)[jet]
        lengths = np.bincount(jet[keep], minlength=len(self.lengths))
        place = np.cumsum(keep) - 1 - (np.cumsum(lengths) - lengths)[jet]
        parent = np.where(self.parent < 0, -1, place[first + self.parent])
        return LundTrees(lengths, parent[keep], self.soft[keep], *(column[keep] for column in self[3:]))


def lund_trees(jets: Any) -> LundTrees:
    """Return all declusterings of jets with `constituents` (pt in GeV, deta, dphi), widest first: one per merging.

    Particles are massless and merged by the sum of their momenta; the first declustering undoes the last merging. Jets
    of one constituent have none. Raises InputError for missing columns, NaN and empty jets.
    """
    check_jets(jets, ("constituents",), method="the Lund plane")
    parts = jets.constituents
    lengths = ak.to_numpy(ak.num(parts)).astype(np.int64)
    pt, y, phi = (ak.to_numpy(ak.flatten(parts[name])).astype(np.float64) for name in ("pt", "deta", "dphi"))
    owner = np.repeat(np.arange(len(lengths)), lengths)
    order = np.lexsort((phi, y, -pt, owner))  # equal angles occur, so ties need an order
    return decluster(pt[order], y[order], phi[order], lengths)


def decluster(pt: Array, eta: Array, phi: Array, lengths: Array) -> LundTrees:
    """Return the declusterings of jets from flat arrays (sum of lengths,) of massless particles and lengths (jets,).

    Work grows as the square of a jet's particles; jets are sorted by size and treated in blocks.
    """
    lengths = np.asarray(lengths, np.int64)
    starts = np.cumsum(lengths) - lengths
    by_size = np.argsort(lengths, kind="stable")
    number = np.maximum(lengths - 1, 0)
    out = np.empty((8, int(number.sum())))
    first = np.cumsum(number) - number
    for i in range(0, len(lengths), _BLOCK):
        jets = by_size[i : i + _BLOCK]
        rows = starts[jets, None] + np.arange(lengths[jets].max(initial=0))
        there = np.arange(rows.shape[1]) < lengths[jets, None]
        block = np.where(there, np.stack([pt, eta, phi])[:, np.where(there, rows, 0)], 0.0)
        merged = _merge(block, there)
        place = first[jets, None] + np.arange(merged.shape[2])
        kept = np.arange(merged.shape[2]) < number[jets, None]
        out[:, place[kept]] = merged[:, kept]
    parent, soft, *rest = out
    return LundTrees(number, parent.astype(np.int64), soft > 0, *rest)


def _merge(block: Array, there: Array) -> Array:
    """Cluster a block (3: pt, eta, phi; jets, particles); return (8 columns, jets, declusterings), widest first."""
    n, width = there.shape
    out = np.zeros((8, n, max(width - 1, 0)))
    pt, y, phi = block.copy()
    p = np.stack([pt * np.cos(phi), pt * np.sin(phi), pt * np.sinh(y), pt * np.cosh(y)])
    live = there.copy()
    born = np.full((n, width), -1)  # the merging that made a slot
    near, who = np.full((n, width), np.inf), np.zeros((n, width), np.int64)
    jets = np.arange(n)
    for j in range(width):
        near[:, j], who[:, j] = _nearest(y, phi, live, jets, np.full(n, j))
    last = there.sum(1) - 2  # number of the declustering that the next merging is
    for _ in range(width - 1):
        jets = jets[last[jets] >= 0]
        i = near[jets].argmin(1)
        j = who[jets, i]
        swap = pt[jets, i] < pt[jets, j]
        i, j = np.where(swap, j, i), np.where(swap, i, j)  # i is the harder
        step = last[jets]
        out[:, jets, step] = _describe(pt, y, phi, p, jets, i, j)
        for slot, soft in ((i, 0.0), (j, 1.0)):
            made = born[jets, slot]
            known = made >= 0
            out[0, jets[known], made[known]], out[1, jets[known], made[known]] = step[known], soft
        born[jets, i] = step
        out[0, jets, step] = -1
        _combine(pt, y, phi, p, jets, i, j)
        live[jets, j], near[jets, j] = False, np.inf
        last[jets] -= 1
        _update(y, phi, live, near, who, jets, i, j)
    return out


def _describe(pt: Array, y: Array, phi: Array, p: Array, jets: Array, i: Array, j: Array) -> Array:
    """Return parent and soft (filled in later), delta, z, kt, psi, mass, pt of merging slots i (harder) and j."""
    dy, dphi = y[jets, j] - y[jets, i], _wrap(phi[jets, j] - phi[jets, i])
    delta = np.maximum(np.hypot(dy, dphi), _CLOSEST)
    a, b = pt[jets, i], pt[jets, j]
    e, both = p[3, jets, i] + p[3, jets, j], p[:3, jets, i] + p[:3, jets, j]
    mass = np.sqrt(np.maximum(e**2 - (both**2).sum(0), 0.0))
    zero = np.zeros(len(jets))
    return np.stack([zero, zero, delta, b / (a + b), b * delta, np.arctan2(dy, dphi), mass, np.hypot(*both[:2])])


def _combine(pt: Array, y: Array, phi: Array, p: Array, jets: Array, i: Array, j: Array) -> None:
    p[:, jets, i] += p[:, jets, j]
    px, py, pz, e = p[:, jets, i]
    pt[jets, i], phi[jets, i] = np.hypot(px, py), np.arctan2(py, px)
    y[jets, i] = np.arctanh(np.clip(pz / e, -1 + 1e-15, 1 - 1e-15))


def _nearest(y: Array, phi: Array, live: Array, jets: Array, slot: Array) -> tuple[Array, Array]:
    """Return squared distance and number of the nearest live slot to `slot` of `jets`; infinite for a dead one."""
    d2 = (y[jets] - y[jets, slot][:, None]) ** 2 + _wrap(phi[jets] - phi[jets, slot][:, None]) ** 2
    d2[~live[jets]] = np.inf
    rows = np.arange(len(jets))
    d2[rows, slot] = np.inf
    found = d2.argmin(1)
    return np.where(live[jets, slot], d2[rows, found], np.inf), found


def _update(y: Array, phi: Array, live: Array, near: Array, who: Array, jets: Array, i: Array, j: Array) -> None:
    """Bring the nearest neighbours up to date after j was merged into i."""
    d2 = (y[jets] - y[jets, i][:, None]) ** 2 + _wrap(phi[jets] - phi[jets, i][:, None]) ** 2
    d2[~live[jets]] = np.inf
    rows = np.arange(len(jets))
    d2[rows, i] = np.inf
    near[jets, i], who[jets, i] = d2.min(1), d2.argmin(1)
    lost = live[jets] & ((who[jets] == i[:, None]) | (who[jets] == j[:, None]))
    lost[rows, i] = False
    closer = (d2 < near[jets]) & ~lost
    row, slot = np.nonzero(closer)
    near[jets[row], slot], who[jets[row], slot] = d2[row, slot], i[row]
    row, slot = np.nonzero(lost)
    near[jets[row], slot], who[jets[row], slot] = _nearest(y, phi, live, jets[row], slot)


def _wrap(angle: Array) -> Array:
    return angle - 2 * np.pi * np.rint(angle / (2 * np.pi))


def primary(trees: LundTrees) -> Array:
    """Return which declusterings lie on the primary plane (the harder branch all the way): (sum of lengths,) bool."""
    first = np.repeat(np.cumsum(trees.lengths) - trees.lengths, trees.lengths)
    on = trees.parent < 0
    wave = np.flatnonzero(on)
    hard = np.flatnonzero(~trees.soft & ~on)
    child = np.full(len(on), -1)
    child[(first + trees.parent)[hard]] = hard
    while len(wave):
        wave = child[wave]
        wave = wave[wave >= 0]
        on[wave] = True
    return on


def resolved(trees: LundTrees, kt_cut: float, radius: float = np.inf) -> LundTrees:
    """Return the trees above a cut: below it (or beyond the radius) the softer branch is dropped with all it holds.

    The harder branch takes the place of the declustering; kt in GeV.
    """
    first = np.repeat(np.cumsum(trees.lengths) - trees.lengths, trees.lengths)
    rows = np.arange(len(first))
    keep = (trees.kt > kt_cut) & (trees.delta < radius)
    alive, parent, soft = np.ones(len(rows), bool), np.where(trees.parent < 0, -1, first + trees.parent), trees.soft
    up, side = np.full(len(rows), -1), np.zeros(len(rows), bool)
    for depth in generations(trees):
        above = parent[depth]
        top = above < 0
        kept_above = ~top & keep[above]
        alive[depth] = top | (alive[above] & (keep[above] | ~soft[depth]))
        # the nearest kept ancestor, and whether this branch left it on the softer side
        up[depth] = np.where(top, -1, np.where(kept_above, above, up[above]))
        side[depth] = np.where(top, False, np.where(kept_above, soft[depth], side[above]))
    chosen = np.flatnonzero(keep & alive)
    jet = np.repeat(np.arange(len(trees.lengths)), trees.lengths)[chosen]
    lengths = np.bincount(jet, minlength=len(trees.lengths))
    place = np.full(len(rows), -1)
    place[chosen] = np.arange(len(chosen)) - (np.cumsum(lengths) - lengths)[jet]
    number = np.where(up[chosen] < 0, -1, place[up[chosen]])
    return LundTrees(lengths, number, side[chosen], *(column[chosen] for column in trees[3:]))


def generations(trees: LundTrees) -> list[Array]:
    """Return the rows of all first declusterings, then of their children, and so on."""
    first = np.repeat(np.cumsum(trees.lengths) - trees.lengths, trees.lengths)
    above = np.where(trees.parent < 0, -1, first + trees.parent)
    depth = _climb(above)
    order = np.argsort(depth, kind="stable")
    return list(np.split(order, np.cumsum(np.bincount(depth))[:-1])) if len(order) else []


def _climb(above: Array) -> Array:
    """Return how many ancestors every row has, by pointers whose reach doubles with every pass."""
    distance, pointer = np.where(above < 0, 0, 1), above.copy()
    while (pointer >= 0).any():
        there = pointer >= 0
        distance[there] += distance[pointer[there]]
        pointer[there] = pointer[pointer[there]]
    return distance


def lund_features(trees: LundTrees, names: tuple[str, ...] = LUND_FEATURES, dtype: Any = np.float32) -> Array:
    """Return the named numbers of every declustering, shape (sum of lengths, len(names)); kt and m in GeV.

    Raises InputError for an unknown name.
    """
    for name in names:
        if name not in LUND_FEATURES:
            raise InputError(f"features={list(names)}: {name!r} is unknown{suggest(str(name), LUND_FEATURES)}")
    columns = [trees.psi if n == "psi" else np.log(np.maximum(getattr(trees, _FIELD[n]), 1e-9)) for n in names]
    return np.stack(columns, axis=1).astype(dtype)


_FIELD = {"ln_kt": "kt", "ln_delta": "delta", "ln_z": "z", "ln_m": "mass"}


def lund_plane(trees: LundTrees, x: Array, y: Array, radius: float = 0.8) -> npt.NDArray[np.float64]:
    """Return the mean density of primary declusterings per jet, d2n / dln(radius/delta) dln(kt), in bins x and y.

    x: edges in ln(radius/delta); y: edges in ln(kt/GeV); the result has shape (len(x) - 1, len(y) - 1). For soft and
    collinear emissions the expectation is 2 alpha_s(kt) C_R / pi.
    """
    if not len(trees.lengths):
        raise InputError("there are no jets (0 rows); did a selection remove them all?")
    on = primary(trees)
    counts, _, _ = np.histogram2d(np.log(radius / trees.delta[on]), np.log(np.maximum(trees.kt[on], 1e-9)), (x, y))
    return np.asarray(counts / (len(trees.lengths) * np.diff(x)[:, None] * np.diff(y)))
