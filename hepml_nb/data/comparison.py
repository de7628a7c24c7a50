"""Are two sets of records the same: record by record by their content, or in distribution, column by column?"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import awkward as ak
import numpy as np

from hepml_nb.core import InputError, NotFound, suggest
from hepml_nb.data.dataset import Dataset

__all__ = ["Comparison", "compare", "hashes"]

_NUMBERS = ("event",)
"""Columns that count records instead of describing them."""
_WIDE = 16
"""Columns with more components than this are compared by their mean and spread only."""


@dataclass(frozen=True)
class Comparison:
    """p-values of the columns of two sets of `n` and `m` records, and whether the sets are the same bit by bit."""

    n: int
    m: int
    p: dict[str, float]
    bitwise: bool

    @property
    def worst(self) -> str:
        """Return the column that differs most."""
        return min(self.p, key=lambda name: self.p[name])

    def same(self, p: float = 1e-4) -> bool:
        """Say whether no column differs at a familywise level `p` (Bonferroni: the least p times their number)."""
        return self.bitwise or min(1.0, self.p[self.worst] * len(self.p)) > p

    def __str__(self) -> str:
        """Return one line."""
        if self.bitwise:
            return f"the same {self.n:,} records"
        return f"{self.n:,} against {self.m:,} records: {self.worst} differs most, p = {self.p[self.worst]:.3g}"


def compare(a: Any, b: Any, split: str = "test") -> Comparison:
    """Compare two datasets (their `split`) or two arrays of records, column by column.

    Each column gets the p-value of a two-sample Kolmogorov-Smirnov test (asymptotic; for whole numbers it errs towards
    1). Things in a collection are not independent, so a collection is compared by their number per record and by the
    mean of each column per record. The same machine and versions give the same bits, others the same distributions.
    Raises InputError where the columns differ or a side has no records.
    """
    from scipy.stats import ks_2samp

    one, two = (x.split(split) if isinstance(x, Dataset) else x for x in (a, b))
    if set(one.fields) != set(two.fields):
        odd = sorted(set(one.fields) ^ set(two.fields))
        raise InputError(f"columns {', '.join(odd)} stand on one side only; the same schema is needed on both.")
    if not len(one) or not len(two):
        raise InputError(f"{len(one)} and {len(two)} records; both sides need at least one.")
    bitwise = len(one) == len(two) and bool((np.sort(hashes(one)) == np.sort(hashes(two))).all())
    others = dict(_described(two))
    p = {}
    for name, x in _described(one):
        y = others[name]
        kinds = [np.isfinite(values) for values in (x, y)]
        if not all(kind.all() for kind in kinds):  # how often a value is missing, then those that are there
            p[f"{name} is there"] = float(ks_2samp(*(kind.astype(float) for kind in kinds), method="asymp").pvalue)
        x, y = x[kinds[0]], y[kinds[1]]
        if len(x) and len(y):
            p[name] = float(ks_2samp(x, y, method="asymp").pvalue)
    return Comparison(len(one), len(two), p, bitwise)


def _described(records: Any) -> Iterator[tuple[str, np.ndarray]]:
    """Yield names and numbers, one per record, that describe the columns."""
    for name in records.fields:
        column = records[name]
        if name in _NUMBERS:
            continue
        if column.fields:
            yield f"{name}: number", ak.to_numpy(ak.num(column)).astype(np.float64)
            for inner in column.fields:
                mean = ak.mean(ak.values_astype(column[inner], np.float64), axis=1)
                yield f"{name}.{inner}: mean", ak.to_numpy(ak.fill_none(mean, np.nan)).astype(np.float64)
            continue
        values = ak.to_numpy(column).astype(np.float64)
        flat = values.reshape(len(values), -1)
        if values.ndim == 1:
            yield name, values
        elif flat.shape[1] <= _WIDE:
            yield from ((f"{name}[{i}]", flat[:, i]) for i in range(flat.shape[1]))
        else:
            yield f"{name}: mean", flat.mean(axis=1)
            yield f"{name}: spread", flat.std(axis=1)


def hashes(records: Any, columns: Sequence[str] | None = None) -> np.ndarray:
    """Return a 64-bit hash of the content of every record: (n,) of uint64, the same for the same bits.

    `columns` are names of columns or collections (None: all but the event number). Raises NotFound for other names.
    """
    names = [name for name in records.fields if name not in _NUMBERS] if columns is None else list(columns)
    for name in names:
        if name not in records.fields:
            raise NotFound(f"there is no column {name!r}{suggest(name, records.fields)}")
    found = np.zeros(len(records), np.uint64)
    for name in sorted(names):
        column = records[name]
        for inner in sorted(column.fields) or [""]:
            values = column[inner] if inner else column
            found = _mixed(found ^ _column(values, ragged=bool(inner)))
    return found


def _column(values: Any, *, ragged: bool) -> np.ndarray:
    """Return a hash of every record's entry in one column."""
    if ragged:
        counts = ak.to_numpy(ak.num(values))
        flat = _bits(ak.to_numpy(ak.flatten(values)))[:, 0]
    else:
        table = _bits(ak.to_numpy(values))
        counts, flat = np.full(len(table), table.shape[1]), table.ravel()
    ends = np.cumsum(counts)
    place = (np.arange(len(flat)) - np.repeat(ends - counts, counts)).astype(np.uint64)
    running = np.concatenate([np.zeros(1, np.uint64), np.cumsum(_mixed(flat ^ _mixed(place + np.uint64(1))))])
    return _mixed(running[ends] - running[ends - counts] + counts.astype(np.uint64))


def _bits(values: np.ndarray) -> np.ndarray:
    """Return the bits of numbers as uint64, (n, components); the two zeros are one."""
    table = values.reshape(len(values), int(np.prod(values.shape[1:])))
    if table.dtype.kind == "f":
        table = table.astype(np.float64) + 0.0
        return table.view(np.uint64)
    return table.astype(np.int64).view(np.uint64)


def _mixed(values: np.ndarray) -> np.ndarray:
    """Return numbers of which every bit depends on all bits of `values` (the finaliser of SplitMix64)."""
    with np.errstate(over="ignore"):
        values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return np.asarray(values ^ (values >> np.uint64(31)) ^ np.uint64(0x9E3779B97F4A7C15))
