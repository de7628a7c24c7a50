"""What binned unfolding methods share: a response, counts, and errors of the data and of the simulation."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from hepml_nb.core import InputError
from hepml_nb.unfolding.base import Observable, Unfolder
from hepml_nb.unfolding.response import Counts, Response, check_edges, response
from hepml_nb.unfolding.sample import Floats, Measured, Simulation, place
from hepml_nb.unfolding.spectrum import Spectrum

__all__ = ["Binned", "BinnedConfig", "moved"]


@dataclass(frozen=True)
class BinnedConfig:
    """observable: name or column; bins: edges before the detector; sim_bins: after it (None: `response` chooses)."""

    observable: str | int = 0
    bins: Any = ()
    sim_bins: Any = None

    def __post_init__(self) -> None:
        for name in ("bins", "sim_bins"):
            if (edges := getattr(self, name)) is not None:
                object.__setattr__(self, name, tuple(np.asarray(edges, float).ravel().tolist()))


class Binned(Unfolder):
    """A method that unfolds one observable in fixed bins. A subclass writes `_estimate`.

    After a fit `response` and `counts` are what was unfolded with and from. The spectrum's covariance holds the
    statistics of the measured events and their background, and those of the simulation.
    """

    deterministic: ClassVar[bool] = True
    response: Response
    counts: Counts
    _events: Floats

    def spectrum(self, observable: Observable, bins: npt.ArrayLike) -> Spectrum:
        """Return the unfolded spectrum; raise InputError for another observable or other edges than were unfolded."""
        self._must_be_ready("spectrum")
        asked = self._names[place(observable, self._names)] if isinstance(observable, str | int) else None
        if asked != self.response.observable:
            raise InputError(
                f"{self.name} unfolded the one observable {self.response.observable!r}; for another make a new one "
                f"with observable={observable if asked else 'its name'!r}."
            )
        if not np.array_equal(check_edges(bins, "bins"), self.response.edges):
            edges = self.response.edges
            raise InputError(
                f"{self.name} unfolded {len(edges) - 1} bins from {edges[0]:g} to {edges[-1]:g}, others were asked "
                "for; make a new one with these bins."
            )
        return self._spectrum

    def folded(self) -> Floats:
        """Return the unfolded events as they would be seen (s,), fakes included: the data less background are to agree.

        Large differences are a result that was stopped too early, or a response that is not the data's.
        """
        self._must_be_ready("folded")
        return self.response.fold(self._events)

    def _fit(self, simulation: Simulation, measured: Measured, seed: int, untrained: bool) -> None:
        config: BinnedConfig = self.config
        self._names = simulation.names
        self.response = filled = response(simulation, config.observable, config.bins, config.sim_bins)
        self.counts = filled.counts(measured)
        if untrained:
            values, covariance = filled.truth, np.diag(filled.squares[:, :-1].sum(axis=0))
        else:
            values, of_data = self._estimate(filled, self.counts)
            covariance = of_data + self._simulation_covariance(filled, self.counts)
        self._events, inner = values, filled.inner
        self._spectrum = Spectrum(values[inner], filled.edges, covariance[inner, inner], filled.observable)

    @abstractmethod
    def _estimate(self, response: Response, counts: Counts) -> tuple[Floats, Floats]:
        """Return the unfolded events (g,) and the covariance (g, g) that the measured counts give them."""

    def _values(self, response: Response, counts: Counts) -> Floats:
        """Return the unfolded events alone; a method for which the covariance costs time writes its own."""
        return self._estimate(response, counts)[0]

    def _simulation_covariance(self, response: Response, counts: Counts) -> Floats:
        """Return the covariance (g, g) from the simulation's statistics, to first order in every filled cell."""
        nominal = self._values(response, counts)
        changes = [(self._values(*now) - nominal) * (error / step) for now, step, error in moved(response, counts)]
        return np.asarray(np.transpose(changes) @ np.array(changes))


def moved(response: Response, counts: Counts) -> Iterator[tuple[tuple[Response, Counts], float, float]]:
    """Yield (response, counts) with one filled cell moved by a small step, the step, and the cell's error."""
    for cell in np.argwhere(response.squares > 0):
        at = tuple(cell)
        error = float(np.sqrt(response.squares[at]))
        content = response.content.copy()
        content[at] += (step := 1e-3 * error)
        changed = replace(response, content=content)
        yield (changed, replace(counts, genuine=changed.genuine)), step, error
