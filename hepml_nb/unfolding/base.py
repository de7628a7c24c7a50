"""What every unfolding method promises: fit, and the spectrum of an observable before the detector."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np
import numpy.typing as npt

from hepml_nb.core import InputError, RunError
from hepml_nb.unfolding.sample import Floats, Measured, Simulation, place
from hepml_nb.unfolding.spectrum import Spectrum, histogram

__all__ = ["EventUnfolder", "Events", "Unfolder"]

Observable = str | int | npt.NDArray[Any] | Callable[[Floats], npt.ArrayLike]


@dataclass(frozen=True, eq=False)
class Events:
    """Unfolded events: gen (n, k) before the detector, NaN where not selected there, and their weights (n,)."""

    gen: Floats
    weights: Floats
    names: tuple[str, ...]

    def values(self, observable: Observable) -> Floats:
        """Return an observable (n,), NaN where not selected: a named one, a function of gen, or values (n,).

        Raises InputError for another number of values than of events.
        """
        if isinstance(observable, str | int):
            found = self.gen[:, place(observable, self.names)]
        else:
            found = np.asarray(observable(self.gen) if callable(observable) else observable, float)
        if found.shape != (len(self.weights),):
            raise InputError(f"the observable has shape {found.shape}; there are {len(self.weights)} events.")
        return np.where(np.isfinite(self.gen).all(axis=1), found, np.nan)


class Unfolder(ABC):
    """A method that estimates the spectrum before the detector from simulated and measured events.

    A subclass names itself and its configurations ("paper": the published defaults, "small": for two cores) and writes
    `_fit` and `spectrum`. A spectrum counts all events that pass before the detector, those that are lost included,
    in the luminosity of the measured events.
    """

    name: ClassVar[str]
    configs: ClassVar[Mapping[str, Any]]
    deterministic: ClassVar[bool] = False  # the seed changes nothing
    losses: ClassVar[bool] = True  # knows missed events and fakes; `fit` refuses them otherwise

    def __init__(self, config: Any = None) -> None:
        self.config = self.configs["paper"] if config is None else config
        self._ready = False

    def fit(self, simulation: Simulation, measured: Measured, seed: int = 0, *, untrained: bool = False) -> Self:
        """Unfold; return self. untrained=True takes no step: the spectrum is then the simulation's (the prior).

        Raises InputError where measured and simulated events have different columns, or where simulated events are
        lost or fakes and the method knows none (`losses`).
        """
        if measured.sim.shape[1] != simulation.sim.shape[1]:
            raise InputError(
                f"measured events have {measured.sim.shape[1]} columns, simulated ones have {simulation.sim.shape[1]} "
                f"({', '.join(simulation.sim_names)}); give both the same observables after the detector."
            )
        one_sided = int((~simulation.pass_gen | ~simulation.pass_sim).sum())
        if one_sided and not self.losses:
            raise InputError(
                f"{self.name} knows neither losses nor fakes, and {one_sided} of {len(simulation)} simulated events "
                "pass on one side only; take a method that does, or the events that pass on both sides."
            )
        self._fit(simulation, measured, seed, untrained)
        self._ready = True
        return self

    @abstractmethod
    def spectrum(self, observable: Observable, bins: npt.ArrayLike) -> Spectrum:
        """Return the unfolded spectrum of an observable before the detector in the bins between edges (b + 1,)."""

    @abstractmethod
    def _fit(self, simulation: Simulation, measured: Measured, seed: int, untrained: bool) -> None: ...

    def _must_be_ready(self, verb: str) -> None:
        if not self._ready:
            raise RunError(f"{verb} needs a fitted {self.name}; call .fit(simulation, measured) first.")


class EventUnfolder(Unfolder):
    """A method that gives unfolded events, weighted or drawn, so that any observable of them can be looked at.

    A subclass writes `_fit` and `_events`. The errors of its spectra are the statistics of those events only; what the
    measurement's and the trainings' fluctuations add is found by repetition (`unfolding.bootstrap`).
    """

    def events(self) -> Events:
        """Return the unfolded events."""
        self._must_be_ready("events")
        return self._events()

    def spectrum(self, observable: Observable, bins: npt.ArrayLike) -> Spectrum:
        """Return the spectrum of a named observable, of a function of gen (n, k), or of values (n,) per event."""
        events = self.events()
        name = str(observable) if isinstance(observable, str | int) else ""
        return histogram(events.values(observable), bins, events.weights, name)

    @abstractmethod
    def _events(self) -> Events: ...
