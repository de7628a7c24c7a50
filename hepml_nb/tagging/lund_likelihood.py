"""The analytic quark-gluon likelihood ratio on Lund declusterings, at single-logarithmic accuracy (arXiv:2112.09140).

Included: collinear branchings to all orders with strongly ordered angles, running coupling (one loop), hard-collinear
parts of the splitting functions, changes of flavour, energy loss along every branch, Sudakov factors with the same
ingredients. Not included: soft emissions at commensurate angles and energies (clustering logarithms, interference at
large angles), the edge of the jet and the initial state, two-loop coupling, anything below the cut on kt.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from hepml_nb.core import InputError
from hepml_nb.simulate.collinear import CA, CF, FLAVOURS, Shower, coupling, kernel, no_emission
from hepml_nb.tagging.lund import LundTrees, generations, primary, resolved

__all__ = ["counting", "log_likelihood", "log_ratio"]

Array = npt.NDArray[Any]


def log_likelihood(trees: LundTrees, shower: Shower | None = None, *, plane: str = "full", pt: Any = None) -> Array:
    """Return ln of the density of the declusterings above the cut if the jet is a gluon (0) or a quark (1): (jets, 2).

    plane: "full" for the whole tree, "primary" for the harder branches, what the softer ones become summed over.
    pt: of the jets in GeV, (jets,); None takes that of the first declustering, or the shower's where there is none.
    The measure (common to both) is d ln(1/delta) dz of every declustering. Raises InputError for an unknown plane.
    """
    if plane not in ("full", "primary"):
        raise InputError(f"plane={plane!r} is unknown; expected 'full' or 'primary'.")
    shower = shower or Shower()
    trees = resolved(trees, shower.kt_cut, shower.radius)
    if plane == "primary":
        trees = trees.only(primary(trees))
    first = np.cumsum(trees.lengths) - trees.lengths
    start = np.full(len(trees.lengths), shower.pt) if pt is None else np.asarray(pt, float)
    if pt is None:
        start = np.where(trees.lengths > 0, _at(trees.pt, first, shower.pt), start)
    owner = np.repeat(first, trees.lengths)
    above = np.where(trees.parent < 0, -1, owner + trees.parent)
    opened = np.where(above < 0, shower.radius, trees.delta[above])  # the angle at which the branch was made
    below = np.full((2, len(above)), -1)  # rows of the declusterings on the harder and softer branch
    below[trees.soft[above >= 0].astype(int), above[above >= 0]] = np.flatnonzero(above >= 0)
    branch = np.zeros((len(above), 2))  # ln density of a branch that ends in this declustering and all that follows
    for depth in reversed(generations(trees)):
        inside = [_rest(trees, branch, below[s, depth], depth, s, shower, plane) for s in (0, 1)]
        alpha = np.log(coupling(trees.kt[depth], shower) / np.pi)
        for flavour in (0, 1):
            ways = [
                _log(kernel(flavour, hard, soft, np.minimum(trees.z[depth], 0.5), shower))
                + inside[0][:, hard] + inside[1][:, soft]
                for hard in (0, 1) for soft in (0, 1)
            ]  # fmt: skip
            until = no_emission(flavour, trees.pt[depth], opened[depth], trees.delta[depth], shower)
            branch[depth, flavour] = until + alpha + np.logaddexp.reduce(ways, axis=0)
    alone = np.stack([no_emission(flavour, start, shower.radius, 0.0, shower) for flavour in (0, 1)], axis=1)
    root = np.where(trees.lengths > 0, first, 0)
    if not len(branch):
        return alone
    return np.where((trees.lengths > 0)[:, None], branch[root], alone)


def log_ratio(trees: LundTrees, shower: Shower | None = None, *, plane: str = "full", pt: Any = None) -> Array:
    """Return ln p(declusterings | quark) / p(declusterings | gluon), shape (jets,): the best score in this theory."""
    both = log_likelihood(trees, shower, plane=plane, pt=pt)
    quark = FLAVOURS.index("quark")
    return np.asarray(both[:, quark] - both[:, 1 - quark])


def counting(trees: LundTrees, kt_cut: float = 1.0, *, plane: str = "full") -> Array:
    """Return minus the number of declusterings above the cut, times ln(CA / CF): the ratio at leading logarithm.

    On the primary plane this is the iterated soft drop multiplicity (arXiv:1704.06266), on the full tree the Lund
    multiplicity. Sudakov factors are left out: at this accuracy they are the same for all jets of one pt.
    """
    trees = resolved(trees, kt_cut)
    on = primary(trees) if plane == "primary" else np.ones(len(trees.z), bool)
    owner = np.repeat(np.arange(len(trees.lengths)), trees.lengths)
    return np.asarray(-np.log(CA / CF) * np.bincount(owner[on], minlength=len(trees.lengths)))


def _rest(trees: LundTrees, branch: Array, child: Array, rows: Array, side: int, shower: Shower, plane: str) -> Array:
    """Return ln density (rows, 2 flavours) of what follows a declustering on one of its two branches."""
    if side and plane == "primary":
        return np.zeros((len(rows), 2))  # summed over all that it may become
    share = trees.z[rows] if side else 1 - trees.z[rows]
    none = [no_emission(flavour, share * trees.pt[rows], trees.delta[rows], 0.0, shower) for flavour in (0, 1)]
    return np.where((child >= 0)[:, None], branch[child], np.stack(none, axis=1))


def _at(values: Array, rows: Array, default: float) -> Array:
    return np.append(values, default)[np.minimum(rows, len(values))]


def _log(values: Array) -> Array:
    return np.log(values, out=np.full_like(values, -np.inf), where=values > 0)
