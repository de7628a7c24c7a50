"""Numbers of showers made normal at every energy: what a network then has to learn is how they hang together."""

from __future__ import annotations

from typing import Self

import numpy as np
import numpy.typing as npt
import torch
from scipy.special import ndtr
from torch import Tensor

from hepml_nb.calo.sample import Floats
from hepml_nb.core import InputError

__all__ = ["Marginals", "normal"]

_CELLS, _SPAN = 128, 4.0
"""Quantiles are kept at 129 normal numbers from -4 to 4: the tails have as many as the middle."""
_POWER = 4
"""Tables hold fourth roots, in which an empty voxel and a faint one lie near each other, but not on each other."""
_CHUNK = 2000
_EDGE = 1e-5


def normal(low: Tensor, high: Tensor, given: torch.Generator | None = None) -> Tensor:
    """Return normal numbers of the shape of low and high, whose probabilities are drawn between low and high."""
    share = torch.rand(low.shape, generator=given, dtype=low.dtype, device=low.device)
    drawn: Tensor = torch.special.ndtri((low + (high - low) * share).clamp(_EDGE, 1 - _EDGE))
    return drawn


class Marginals:
    """The map of columns (n, k) of numbers >= 0 to standard normal ones and back, by their distribution at each energy.

    groups (k,): columns of one group share a distribution, like the voxels of a ring. The distributions are quantiles
    at up to `most` energies (each energy that there is, or bins of equally many showers), interpolated in log E. A
    value that many showers have, above all an empty voxel's 0, becomes a range of normal numbers (`intervals`) of which
    `normal` draws one; back it is the same value.
    """

    def __init__(self, groups: npt.ArrayLike, most: int = 12) -> None:
        self.groups, self.most = np.asarray(groups, np.int64), most
        if self.groups.ndim != 1 or not len(self.groups) or most < 1:
            raise InputError(f"groups of shape {self.groups.shape}, most={most!r}; expected one per column and 1.")
        self.n_groups = int(self.groups.max()) + 1

    def fit(self, values: Floats, energies: Floats) -> Self:
        """Measure the quantiles of values (n, k) at energies (n,) in MeV; raise InputError for other shapes."""
        if values.shape != (len(energies), len(self.groups)) or not len(values) or values.min() < 0:
            raise InputError(f"values of shape {values.shape}; expected {(len(energies), len(self.groups))}, from 0.")
        logs = np.log(energies)
        knots = np.unique(logs)
        if len(knots) <= self.most:
            edges = (knots[1:] + knots[:-1]) / 2
        else:
            edges = np.unique(np.quantile(logs, np.arange(1, self.most) / self.most))
        place = np.searchsorted(edges, logs, side="right")
        self.knots = np.array([logs[place == i].mean() for i in np.unique(place)])
        levels = ndtr(np.linspace(-_SPAN, _SPAN, _CELLS + 1))
        self.table = np.empty((len(self.knots), self.n_groups, _CELLS + 1), np.float32)
        for k, i in enumerate(np.unique(place)):
            roots = values[place == i] ** (1 / _POWER)
            for group in range(self.n_groups):
                self.table[k, group] = np.quantile(roots[:, self.groups == group], levels)
        seen = np.where(self.table > 0, self.table, np.inf).min(axis=2)
        self._least = np.where(np.isfinite(seen), seen, _EDGE).astype(np.float32)
        self._below = (self.table <= 0).mean(axis=2, dtype=np.float32) * (2 * _SPAN) - _SPAN
        return self

    def _mixed(self, table: Floats, energies: Floats) -> Floats:
        """Return a table (knots, ...) between the knots on both sides of each energy, (n, ...)."""
        k, share = self._between(energies)
        share = share.reshape(-1, *[1] * (table.ndim - 1))
        return np.asarray((1 - share) * table[k] + share * table[np.minimum(k + 1, len(table) - 1)])

    def _between(self, energies: Floats) -> tuple[npt.NDArray[np.int64], Floats]:
        """Return the knot below each energy, and how far towards the next one it lies, in [0, 1]."""
        at = np.interp(np.log(energies), self.knots, np.arange(len(self.knots)))
        k = np.minimum(at.astype(np.int64), max(len(self.knots) - 2, 0))
        return k, (at - k).astype(np.float32)

    def empty_below(self, energies: Floats) -> Floats:
        """Return the normal number below which a column is 0, at each energy, (n, k)."""
        return np.asarray(self._mixed(self._below, energies)[:, self.groups])

    def least(self, energies: Floats) -> Floats:
        """Return the smallest value above 0 of each column, at each energy, (n, k)."""
        return np.asarray(self._mixed(self._least, energies)[:, self.groups] ** _POWER)

    def intervals(self, values: Floats, energies: Floats) -> tuple[Tensor, Tensor]:
        """Return the probabilities (n, k), float32, between which each value lies; equal for a value of its own."""
        low, high = (np.empty(values.shape, np.float32) for _ in range(2))
        roots = np.asarray(values, np.float32) ** (1 / _POWER)
        for start in range(0, len(values), _CHUNK):
            some = slice(start, start + _CHUNK)
            tables = self._mixed(self.table, energies[some])
            for group in range(self.n_groups):
                columns = np.flatnonzero(self.groups == group)
                table = np.ascontiguousarray(tables[:, group])
                low[some, columns], high[some, columns] = _levels(table, np.ascontiguousarray(roots[some][:, columns]))
        return tuple(torch.special.ndtr(torch.from_numpy(one)) for one in (low, high))

    def values(self, z: Floats, energies: Floats) -> Floats:
        """Return the values (n, k) whose normal numbers are z, at energies (n,) in MeV: the inverse of `intervals`."""
        place = np.clip((np.asarray(z, np.float32) + _SPAN) * (_CELLS / (2 * _SPAN)), 0, _CELLS * (1 - 1e-6))
        cell = place.astype(np.int64)
        share, (k, towards) = (place - cell).astype(np.float32), self._between(energies)
        flat, root = self.table.reshape(-1), np.zeros(place.shape, np.float32)
        for knot, weight in ((k, 1 - towards), (np.minimum(k + 1, len(self.knots) - 1), towards)):
            at = (knot[:, None] * self.n_groups + self.groups) * (_CELLS + 1) + cell
            root += weight[:, None] * (flat[at] * (1 - share) + flat[at + 1] * share)
        return np.asarray(root**_POWER)


def _levels(table: Floats, roots: Floats) -> tuple[Floats, Floats]:
    """Return the lowest and highest normal number of each value (n, columns) in a row's ascending table (n, cells)."""
    found = []
    for right in (False, True):
        at = torch.searchsorted(torch.from_numpy(table), torch.from_numpy(roots), right=right).numpy()
        cell = np.clip(at - 1, 0, _CELLS - 1)
        before, after = (np.take_along_axis(table, cell + i, 1) for i in (0, 1))
        inside = (roots - before) / np.where(after > before, after - before, 1)
        share = np.where(after > before, np.clip(inside, 0, 1), float(right))
        found.append((cell + share) * (2 * _SPAN / _CELLS) - _SPAN)
    return found[0], found[1]
