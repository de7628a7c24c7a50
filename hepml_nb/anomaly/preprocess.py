"""Features as flows like them: scaled to (0, 1), logit, then standardised, with the inverse and the log-determinant."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
import numpy.typing as npt

from hepml_nb.core import InputError, RunError

__all__ = ["LogitScaler"]

Floats = npt.NDArray[np.float64]

_EDGE = 1e-6  # what is kept between an event and the ends of the interval, as a share of it


class LogitScaler:
    """The map of CATHODE (arXiv:2109.00546): u = (x - low) / (high - low), v = log(u / (1 - u)), z = (v - mean) / std.

    low and high are the range of the events that `fit` saw, widened by `margin` of it on either side, so that the
    outermost events keep a finite place; CATHODE drops those two instead. Whatever is drawn in z comes back inside
    (low, high), so that no draw has to be refused. Events outside have no place of their own: `forward` moves them to
    the nearest end, and `inside` tells which.
    """

    low: Floats
    high: Floats
    mean: Floats
    std: Floats

    def __init__(self, margin: float = 1e-3) -> None:
        if not 0 < margin < 1:
            raise InputError(f"margin={margin!r}; expected a share of the range in (0, 1).")
        self.margin = margin

    def fit(self, x: npt.ArrayLike) -> Self:
        """Measure ranges, means and deviations of features (n, d); return self.

        Raises InputError for another shape, values that are not finite or a constant feature.
        """
        values = np.asarray(x, np.float64)
        if values.ndim != 2 or len(values) < 2:
            raise InputError(f"features have shape {values.shape}; expected (n, d) with at least 2 events.")
        if not np.isfinite(values).all():
            raise InputError("features have nan or infinite values; remove those events first.")
        low, high = values.min(axis=0), values.max(axis=0)
        if (low == high).any():
            raise InputError(f"feature(s) {np.flatnonzero(low == high).tolist()} are constant; leave them out.")
        room = self.margin * (high - low)
        self.low, self.high = low - room, high + room
        logits = self._logit(values)
        self.mean, self.std = logits.mean(axis=0), logits.std(axis=0)
        return self

    def inside(self, x: npt.ArrayLike) -> npt.NDArray[np.bool_]:
        """Return which events (n, d) lie in the range that `fit` saw, (n,)."""
        values = self._checked(x)
        return np.asarray(((values > self.low) & (values < self.high)).all(axis=1))

    def forward(self, x: npt.ArrayLike) -> Floats:
        """Return z (n, d) of features (n, d)."""
        z: Floats = (self._logit(self._checked(x)) - self.mean) / self.std
        return z

    def inverse(self, z: npt.ArrayLike) -> Floats:
        """Return the features (n, d) of z (n, d)."""
        v = self._checked(z) * self.std + self.mean
        with np.errstate(over="ignore"):  # exp of a far z is infinite: the end of the range, as it should be
            u = 1 / (1 + np.exp(-v))
        x: Floats = self.low + (self.high - self.low) * u
        return x

    def log_det(self, x: npt.ArrayLike) -> Floats:
        """Return log |dz / dx| (n,) at features (n, d): what is added to log p(z) to make it log p(x)."""
        u = self._unit(self._checked(x))
        slope = -np.log(u) - np.log1p(-u) - np.log((self.high - self.low) * self.std)
        total: Floats = slope.sum(axis=1)
        return total

    def _unit(self, x: Floats) -> Any:
        return np.clip((x - self.low) / (self.high - self.low), _EDGE, 1 - _EDGE)

    def _logit(self, x: Floats) -> Any:
        u = self._unit(x)
        return np.log(u) - np.log1p(-u)

    def _checked(self, x: npt.ArrayLike) -> Floats:
        if not hasattr(self, "low"):
            raise RunError("the scaler has seen no events yet; call .fit(features) first.")
        values = np.asarray(x, np.float64)
        if values.ndim != 2 or values.shape[1] != len(self.low):
            raise InputError(f"features have shape {values.shape}; expected (n, {len(self.low)}).")
        return values
