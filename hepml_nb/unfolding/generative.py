"""Generative unfolding: a network draws events before the detector given a measured one, and the prior is iterated."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from hepml_nb.core import InputError, derive_seed, rng, threads
from hepml_nb.learn import FitConfig, History, RowBatches, fit
from hepml_nb.unfolding.base import Events, EventUnfolder, Observable
from hepml_nb.unfolding.coordinates import Coordinates
from hepml_nb.unfolding.resampling import mean_weights, measured_weights, simulated_weights
from hepml_nb.unfolding.reweighting import Side
from hepml_nb.unfolding.sample import Floats, Measured, Simulation
from hepml_nb.unfolding.spectrum import Spectrum
from hepml_nb.unfolding.trees import TreeRatio, TreesConfig

__all__ = ["BridgeUnfolder", "GenerativeConfig", "GenerativeUnfolder", "Rows"]

Rows = tuple[Floats, ...]

_CHUNK = 100_000  # draws at a time
_HELD_OUT = 0.2  # share of the simulated events that early stopping sees


@dataclass(frozen=True)
class GenerativeConfig:
    """iterations: 1 unfolds with the simulation's prior; each further one replaces it by what was unfolded.

    draws: events drawn per measured event. hidden: widths of the network's layers. fit: the training of each iteration.
    ratio: the trees that reweight the simulation to the unfolded events, and correct for losses and fakes.
    """

    iterations: int = 1
    draws: int = 10
    hidden: tuple[int, ...] = (256, 256, 256, 256, 256)
    fit: FitConfig = field(default_factory=lambda: FitConfig(epochs=100, lr=1e-3, batch_size=512, patience=20))
    ratio: TreesConfig = field(default_factory=lambda: TreesConfig(trees=60, leaves=15))

    def __post_init__(self) -> None:
        for name in ("iterations", "draws"):
            if getattr(self, name) < 1:
                raise InputError(f"{name}={getattr(self, name)!r}; expected at least 1.")


class GenerativeUnfolder(EventUnfolder):
    """A network learns p(gen | sim) on simulated events that pass both before and after the detector.

    `draws` events are drawn for each measured one, the background standing in with negative weights that `resampling`
    makes positive. A draw of a measured event y weighs w(y) P(not a fake | y) / draws, and 1 / efficiency(gen) more:
    P(seen | gen) is learnt from the simulation as a function of all of gen, so it is right for any spectrum as far as
    gen holds what the efficiency depends on. The share of fakes at each y stays that of the simulation, as in
    D'Agostini's iteration.

    p(gen | sim) contains the simulation's spectrum before the detector, its prior. It is removed as in the iterative
    cINN (arXiv:2212.08674): trees learn the ratio of unfolded to simulated events, the simulation is reweighted with it
    and the network trained on, from the weights that it has. With infinite statistics one iteration is one of
    D'Agostini's.

    A subclass writes `_network` (a module with `standardise(x, context)`, `loss(x, context, weights[, source])`) and
    `_draw`. posterior: whether draws follow p(gen | sim); a map that carries one distribution into the other need not.
    """

    posterior_draws: ClassVar[bool] = True
    model: Any  # the network; None where untrained
    histories: list[History]  # of the trainings, one per iteration
    iterates: list[Events]  # the prior, and the unfolded events after each iteration
    bridges: ClassVar[bool] = False  # starts from the measured event: as many columns before as after the detector

    def posterior(self, sim: npt.ArrayLike, draws: int | None = None, seed: int = 0) -> Floats:
        """Return draws (n, draws, k) of gen for events (n, l) or (n,) after the detector, with the last prior."""
        self._must_be_ready("posterior")
        if self.model is None:
            raise InputError(f"an untrained {self.name} knows no posterior; fit without untrained=True.")
        values = np.asarray(sim, float)
        values = values[:, None] if values.ndim == 1 else values
        n = self.config.draws if draws is None else draws
        if n < 1:
            raise InputError(f"draws={draws!r}; expected at least 1.")
        return self._posterior(values, n, seed)

    def after(self, iteration: int) -> Events:
        """Return the events after an iteration, 0 for the prior; raise InputError for one that was not made."""
        self._must_be_ready("after")
        if not 0 <= iteration < len(self.iterates):
            raise InputError(f"iteration={iteration!r}; expected 0 (the prior) to {len(self.iterates) - 1}.")
        return self.iterates[iteration]

    def spectrum(self, observable: Observable, bins: npt.ArrayLike) -> Spectrum:
        """Return the spectrum; the draws of one measured event count as one in its covariance (bins, bins)."""
        found, events = super().spectrum(observable, bins), self.events()
        if len(self.iterates) == 1:
            return found
        values, edges, b = events.values(observable), found.edges, len(found.values)
        where = np.where(values == edges[-1], b - 1, np.searchsorted(edges, values, side="right") - 1)
        inside = (where >= 0) & (where < b)
        cell = (np.arange(len(values)) // self.config.draws * b + where)[inside]
        shares = np.bincount(cell, events.weights[inside], len(values) // self.config.draws * b).reshape(-1, b)
        return Spectrum(found.values, edges, shares.T @ shares, found.observable)

    @abstractmethod
    def _network(self, features: int, context: int) -> Any:
        """Return the network with fresh weights."""

    @abstractmethod
    def _draw(self, model: Any, context: Tensor, source: Tensor) -> Tensor:
        """Return one draw per row of the context, and of the source (bridges: the same event's coordinates)."""

    def _learn(self, rows: Rows, seed: int) -> History:
        """Train the network on rows (x, context, weights[, source]) with weights of mean 1."""
        keep = rng(seed, "held out").random(len(rows[0])) >= _HELD_OUT
        if keep.all() or not keep.any():
            raise InputError(f"{len(rows[0])} simulated events pass on both sides: too few to train and to validate.")
        train, val = (self._start(tuple(a[part] for a in rows), seed) for part in (keep, ~keep))
        c = self.config.fit
        batches = RowBatches(*train, batch_size=c.batch_size, seed=derive_seed(seed, "order"))
        checked = RowBatches(*val, batch_size=4096, shuffle=False)
        return fit(self.model, lambda model, batch: model.loss(*batch), batches, checked, c, seed=seed, desc=self.name)

    def _start(self, rows: Rows, seed: int) -> tuple[Tensor, ...]:
        """Return rows as tensors; the first ones make the network and its scales, if there is none yet."""
        tensors = tuple(torch.from_numpy(a.astype(np.float32)) for a in rows)
        if self.model is None:
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(derive_seed(seed, self.name, "weights"))
                self.model = self._network(rows[0].shape[1], rows[1].shape[1]).standardise(tensors[0], tensors[1])
        return tensors

    def _rows(self, gen: Floats, sim: Floats, weights: Floats, seed: int) -> Rows:
        """Return what the network is trained on, from observables of events that pass both and their weights."""
        generator = rng(seed, "coordinates")
        rows = self._gen.forward(gen, generator), self._sim.forward(sim), weights
        return (*rows, self._source(sim, generator)) if self.bridges else rows

    def _context(self, sim: Floats) -> Floats:
        """Return what the network is told of events (n, l) after the detector."""
        return self._sim.forward(sim)

    def _source(self, sim: Floats, generator: np.random.Generator) -> Floats:
        """Return where a bridge starts: the coordinates of sim, as if it were gen's column (n, k)."""
        return self._sim.forward(sim, generator)

    def _fit(self, simulation: Simulation, measured: Measured, seed: int, untrained: bool) -> None:
        if self.bridges and simulation.gen.shape[1] != simulation.sim.shape[1]:
            raise InputError(
                f"a bridge needs as many observables before as after the detector; got {simulation.gen.shape[1]} and "
                f"{simulation.sim.shape[1]}."
            )
        self.model, self.histories = None, []
        true = simulation.pass_gen
        self.iterates = [Events(simulation.gen[true], simulation.weights[true], simulation.names)]
        if untrained:
            return
        weights, both = simulated_weights(simulation, derive_seed(seed, "simulation")), true & simulation.pass_sim
        gen, sim, data = simulation.gen[both], simulation.sim[both], measured_weights(measured, seed)
        self._gen, self._sim = Coordinates().fit(gen), Coordinates().fit(simulation.sim[simulation.pass_sim])
        self._prepare(gen, data)
        real = data[1] * self._real(simulation, weights, data[0], seed) / self.config.draws
        prior = np.ones(len(gen))
        for i in range(self.config.iterations):
            now = derive_seed(seed, "iteration", i)
            prior = self._prior(gen, weights[both], now) if i else prior
            used = weights[both] * prior > 0
            scaled = (weights[both] * prior)[used]
            self.histories.append(self._learn(self._rows(gen[used], sim[used], scaled / scaled.mean(), now), now))
            drawn = self._posterior(data[0], self.config.draws, now).reshape(-1, gen.shape[1])
            self._unseen = np.repeat(real, self.config.draws)
            lost = self._lost(simulation, weights, drawn, now)
            self.iterates.append(Events(drawn, self._unseen * lost, simulation.names))

    def _events(self) -> Events:
        return self.iterates[-1]

    def _prepare(self, gen: Floats, data: tuple[Floats, Floats]) -> None:
        """Look at gen (n, k) and at the points and weights of the data before anything is trained."""

    def _posterior(self, sim: Floats, draws: int, seed: int) -> Floats:
        threads(self.config.fit.threads)
        where = next(self.model.parameters()).device
        repeated = np.repeat(np.arange(len(sim)), draws)
        generator, parts = rng(seed, "draws"), []
        with torch.random.fork_rng(devices=[where] if where.type == "cuda" else []), torch.inference_mode():
            torch.manual_seed(derive_seed(seed, self.name, "draws"))
            context, some = self._context(sim), range(0, len(repeated), _CHUNK)
            for rows in (repeated[start : start + _CHUNK] for start in some):
                source = self._source(sim[rows], generator) if self.bridges else context[rows, :0]
                given = (torch.from_numpy(a.astype(np.float32)).to(where) for a in (context[rows], source))
                parts.append(self._draw(self.model, *given).double().cpu().numpy())
        return self._gen.inverse(np.concatenate(parts)).reshape(len(sim), draws, -1)

    def _prior(self, gen: Floats, weights: Floats, seed: int) -> Floats:
        """Return unfolded over simulated density at gen (n, k), from the last draws, cross-fitted."""
        drawn, n = self.iterates[-1].gen, len(gen)
        rows, nothing = np.concatenate([gen, drawn]), np.zeros(len(drawn))
        side = Side(TreeRatio(rows, self.config.ratio, seed), self.config.ratio)
        found = side.learn(
            np.concatenate([weights, nothing]), np.concatenate([np.zeros(n), self._unseen]), derive_seed(seed, "prior")
        )
        return found[:n]

    def _real(self, simulation: Simulation, weights: Floats, points: Floats, seed: int) -> Floats:
        """Return the probability of not being a fake at points (m, l) after the detector."""
        seen, both = simulation.pass_sim, simulation.pass_gen & simulation.pass_sim
        if (both == seen).all():
            return np.ones(len(points))
        w0, w1 = weights[seen], np.where(both, weights, 0.0)[seen]
        return np.clip(self._ratio_at(points, simulation.sim[seen], w0, w1, seed), 0, 1)

    def _lost(self, simulation: Simulation, weights: Floats, points: Floats, seed: int) -> Floats:
        """Return the events before the detector per seen one, 1 / efficiency, at points (m, k) of gen."""
        true, both = simulation.pass_gen, simulation.pass_gen & simulation.pass_sim
        if (both == true).all():
            return np.ones(len(points))
        every = mean_weights(simulation.gen[true], np.where(both, weights, simulation.weights)[true], seed)
        w0 = np.where(both, weights, 0.0)[true]
        return np.maximum(self._ratio_at(points, simulation.gen[true], w0, every, seed), 1)

    def _ratio_at(self, points: Floats, rows: Floats, w0: Floats, w1: Floats, seed: int) -> Floats:
        """Return w1 / w0, learnt on rows (n, d), at other points (m, d)."""
        more = np.zeros(len(points))
        ratio = TreeRatio(np.concatenate([rows, points]), self.config.ratio, seed)
        learnt, asked = np.arange(len(rows)), np.arange(len(rows), len(rows) + len(points))
        both: Sequence[Floats] = [np.concatenate([w, more]) for w in (w0, w1)]
        return ratio.learn(learnt, asked, both[0], both[1], seed)


class BridgeUnfolder(GenerativeUnfolder):
    """A path leads from the measured event itself to gen; a subclass writes `_path` in the place of `_draw`."""

    bridges: ClassVar[bool] = True

    @abstractmethod
    def _path(self, model: Any, context: Tensor, source: Tensor) -> list[Tensor]:
        """Return the places (n, k) of the path from the source to gen."""

    def _draw(self, model: Any, context: Tensor, source: Tensor) -> Tensor:
        return self._path(model, context, source)[-1]

    def paths(self, sim: npt.ArrayLike, seed: int = 0) -> Floats:
        """Return one path (n, steps + 1, k) for each event (n, l) or (n,) after the detector, in the units of gen.

        It starts at the measured event in gen's place: as many standard deviations from gen's mean as it has from
        sim's. Raises InputError where the method is untrained.
        """
        self._must_be_ready("paths")
        values = np.asarray(sim, float)
        values = values[:, None] if values.ndim == 1 else values
        if self.model is None:
            raise InputError(f"an untrained {self.name} knows no paths; fit without untrained=True.")
        given = (self._context(values), self._source(values, rng(seed, "draws")))
        where = next(self.model.parameters()).device
        with torch.random.fork_rng(devices=[where] if where.type == "cuda" else []), torch.inference_mode():
            torch.manual_seed(derive_seed(seed, self.name, "paths"))
            path = self._path(self.model, *(torch.from_numpy(a.astype(np.float32)).to(where) for a in given))
        return np.stack([self._gen.inverse(x.double().cpu().numpy()) for x in path], axis=1)
