"""Coordinates for generative networks: smooth ones for observables that count, have spikes or end at zero."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from hepml_nb.core import InputError
from hepml_nb.unfolding.sample import Floats

__all__ = ["Coordinates"]

Kind = Literal["plain", "counts", "positive", "spiked"]

_SPIKE = 0.002  # share of the events from which an edge value is a point mass
_EDGE = 0.02  # of the range of a spiked observable, added at both ends before the logit
_GAP, _WIDTH = 0.5, 0.5  # between a spike's bin and the rest, and of the bin: standard deviations


class Coordinates:
    """An invertible map of observables (n, k) to coordinates (n, k) of mean about 0 and spread about 1.

    A density on smooth coordinates cannot hold a point mass. Each column is, as `fit` finds it,
    - counts (only whole numbers): spread evenly over [v - 1/2, v + 1/2), and rounded on the way back;
    - spiked (its smallest or largest value in at least 0.2 % of the events and 5 of them, such as zg = 0): the spike is
      spread evenly over a narrow bin that lies apart, the rest goes through a logit between its ends;
    - positive (all above 0, and less skewed on a logarithmic scale): the logarithm;
    - plain: as it is; and then shifted and scaled.
    `inverse` undoes `forward` to rounding, and spikes and counts to the bit. What lies outside of the range that `fit`
    saw is moved to its end where the scale is a logarithm or a logit.
    """

    def __init__(self) -> None:
        self.columns: tuple[_Column, ...] = ()

    @property
    def kinds(self) -> tuple[Kind, ...]:
        """What each column was found to be."""
        return tuple(column.kind for column in self.columns)

    def fit(self, x: Floats) -> Coordinates:
        """Look at observables (n, k); return self. Raises InputError for fewer than two events or NaN."""
        if x.ndim != 2 or len(x) < 2 or not np.isfinite(x).all():
            raise InputError(f"coordinates need at least 2 events of finite observables, (n, k); got {x.shape}.")
        self.columns = tuple(_look(column) for column in x.T)
        return self

    def forward(self, x: Floats, generator: np.random.Generator | None = None) -> Floats:
        """Return coordinates (n, k); counts and spikes fall at random in their bins (None: at the middle)."""
        self._check(x)
        within = np.full(x.shape, 0.5) if generator is None else generator.random(x.shape)
        return np.stack([c.forward(v, u) for c, v, u in zip(self.columns, x.T, within.T, strict=True)], axis=1)

    def inverse(self, z: Floats) -> Floats:
        """Return the observables (n, k) of coordinates."""
        self._check(z)
        return np.stack([c.inverse(v) for c, v in zip(self.columns, z.T, strict=True)], axis=1)

    def _check(self, x: Floats) -> None:
        if x.ndim != 2 or x.shape[1] != len(self.columns):
            raise InputError(f"values have shape {x.shape}; expected (n, {len(self.columns)}), the columns of `fit`.")


@dataclass(frozen=True)
class _Column:
    kind: Kind
    low: float
    high: float
    mean: float = 0.0
    scale: float = 1.0
    below: float | None = None  # the value of a spike under the rest, and of one above it
    above: float | None = None

    def forward(self, x: Floats, within: Floats) -> Floats:
        rest = self._smooth(x + within - 0.5 if self.kind == "counts" else x)
        z = np.asarray((rest - self.mean) / self.scale)
        low, high = self._ends()
        if self.below is not None:
            z = np.where(x <= self.below, low - _GAP - _WIDTH * (1 - within), z)
        if self.above is not None:
            z = np.where(x >= self.above, high + _GAP + _WIDTH * within, z)
        return z

    def inverse(self, z: Floats) -> Floats:
        rest = z * self.scale + self.mean
        if self.kind == "counts":
            return np.maximum(np.floor(rest + 0.5), self.low)
        x = rest if self.kind == "plain" else np.exp(rest)
        if self.kind == "spiked":
            start, end = self._outer()
            x = np.clip(start + (end - start) / (1 + np.exp(-rest)), self.low, self.high)
        low, high = self._ends()
        x = x if self.below is None else np.where(z < low - _GAP / 2, self.below, x)
        return np.asarray(x if self.above is None else np.where(z > high + _GAP / 2, self.above, x))

    def _smooth(self, x: Floats) -> Floats:
        if self.kind == "positive":
            return np.asarray(np.log(np.maximum(x, self.low)))
        if self.kind == "spiked":
            start, end = self._outer()
            share = (np.clip(x, self.low, self.high) - start) / (end - start)
            return np.asarray(np.log(share / (1 - share)))
        return x

    def _ends(self) -> tuple[float, float]:
        ends = (self._smooth(np.array([self.low, self.high])) - self.mean) / self.scale
        return float(ends[0]), float(ends[1])

    def _outer(self) -> tuple[float, float]:
        edge = _EDGE * (self.high - self.low)
        return self.low - edge, self.high + edge


def _look(x: Floats) -> _Column:
    """Return what kind of column this is, with its ends, mean and spread."""
    low, high = float(x.min()), float(x.max())
    if (x == np.round(x)).all():
        return _scaled(_Column("counts", low, high), x)
    below, above = (end if (x == end).sum() >= max(_SPIKE * len(x), 5) else None for end in (low, high))
    if below is not None or above is not None:
        rest = x[(x != low) if below is not None else np.ones(len(x), bool)]
        rest = rest[rest != high] if above is not None else rest
        if len(rest) > 1 and rest.max() > rest.min():
            found = _Column("spiked", float(rest.min()), float(rest.max()), below=below, above=above)
            return _scaled(found, rest)
    if low > 0 and abs(_skewness(np.log(x))) < abs(_skewness(x)) and _skewness(x) > 1:
        return _scaled(_Column("positive", low, high), x)
    return _scaled(_Column("plain", low, high), x)


def _scaled(column: _Column, x: Floats) -> _Column:
    smooth = column._smooth(x)
    spread = float(smooth.std()) or 1.0
    return _Column(column.kind, column.low, column.high, float(smooth.mean()), spread, column.below, column.above)


def _skewness(x: Floats) -> float:
    spread = x.std()
    return float(((x - x.mean()) ** 3).mean() / spread**3) if spread > 0 else 0.0
