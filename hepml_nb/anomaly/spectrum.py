"""A mass spectrum: counted events in the bins of the resonance mass, and windows made of whole bins."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from hepml_nb.core import InputError

__all__ = ["Floats", "MassSpectrum", "MassWindow", "fill", "with_counts"]

Floats = npt.NDArray[np.float64]
_ON_EDGE = 1e-9


class MassWindow(Protocol):
    """Anything with a lower and an upper mass (TeV), such as `anomaly.Window`."""

    @property
    def low(self) -> float: ...
    @property
    def high(self) -> float: ...


@dataclass(frozen=True, eq=False)
class MassSpectrum:
    """Counted events (b,) in the bins between rising `edges` (b + 1,) of a mass in TeV.

    Counts need not be whole, so that an Asimov data set is a spectrum too. Raises InputError for shapes that do not
    fit, edges that do not rise or are not positive, counts that are negative or no numbers.
    """

    counts: Any
    edges: Any

    def __post_init__(self) -> None:
        edges, counts = np.asarray(self.edges, float), np.asarray(self.counts, float)
        _must_rise(edges)
        if counts.shape != (len(edges) - 1,):
            raise InputError(f"counts have shape {counts.shape}; {len(edges)} edges need ({len(edges) - 1},).")
        if not np.isfinite(counts).all() or (counts < 0).any():
            at = int(np.argmax(~(np.isfinite(counts) & (counts >= 0))))
            raise InputError(f"bin {at} counts {counts[at]:g} events; a count is a number of at least 0.")
        object.__setattr__(self, "edges", edges)
        object.__setattr__(self, "counts", counts)

    def __len__(self) -> int:
        return len(self.counts)

    @property
    def centres(self) -> Floats:
        """Middles of the bins (b,), TeV."""
        return np.asarray((self.edges[1:] + self.edges[:-1]) / 2)

    @property
    def widths(self) -> Floats:
        """Widths of the bins (b,), TeV."""
        return np.diff(self.edges)

    @property
    def total(self) -> float:
        """All counted events."""
        return float(self.counts.sum())

    def bins_in(self, window: MassWindow) -> npt.NDArray[np.bool_]:
        """Return which bins (b,) make up the window.

        Raises InputError where the window does not begin and end at bin edges, lies outside, or is all there is.
        """
        low, high = float(window.low), float(window.high)
        if not (low < high and high > self.edges[0] and low < self.edges[-1]):
            raise InputError(
                f"window {low:g} to {high:g} TeV lies outside of the spectrum, {self.edges[0]:g} to "
                f"{self.edges[-1]:g} TeV."
            )
        nearest = [float(self.edges[np.argmin(np.abs(self.edges - one))]) for one in (low, high)]
        if max(abs(nearest[0] - low), abs(nearest[1] - high)) > _ON_EDGE * self.edges[-1]:
            raise InputError(
                f"window {low:g} to {high:g} TeV does not begin and end at bin edges; the nearest are {nearest[0]:g} "
                f"and {nearest[1]:g} TeV."
            )
        inside = (self.centres > low) & (self.centres < high)
        if inside.all():
            raise InputError(f"window {low:g} to {high:g} TeV is the whole spectrum; no sideband is left.")
        return np.asarray(inside)


def fill(masses: npt.ArrayLike, edges: npt.ArrayLike) -> MassSpectrum:
    """Return the spectrum of the events with these masses (n,) in TeV; those outside of the edges are left out.

    Raises InputError for masses that are no numbers, and where no event lies between the edges.
    """
    m, e = np.asarray(masses, float), np.asarray(edges, float)
    _must_rise(e)
    if m.ndim != 1 or not np.isfinite(m).all():
        raise InputError(f"masses of shape {m.shape}, {int((~np.isfinite(m)).sum())} not finite; expected (n,) in TeV.")
    counts = np.histogram(m, e)[0]
    if not counts.any():
        raise InputError(f"none of {len(m)} events has a mass between {e[0]:g} and {e[-1]:g} TeV.")
    return MassSpectrum(counts, e)


def with_counts(spectrum: MassSpectrum, counts: npt.ArrayLike) -> MassSpectrum:
    """Return a spectrum with other counts (b,) in the same bins."""
    return MassSpectrum(counts, spectrum.edges)


def _must_rise(edges: Floats) -> None:
    if edges.ndim != 1 or len(edges) < 2 or not (np.diff(edges) > 0).all():
        raise InputError(f"edges={edges.tolist()!r} are no bin edges; expected at least two rising masses in TeV.")
    if edges[0] <= 0:
        raise InputError(f"the first edge is {edges[0]:g} TeV; a mass is positive.")
