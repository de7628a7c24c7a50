"""OmniFold's loop: weights are learnt after the detector, taken back event by event, and learnt again before it."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from hepml_nb.core import InputError, RunError, derive_seed, progress, rng
from hepml_nb.stats import effective_size
from hepml_nb.unfolding.base import Events, EventUnfolder
from hepml_nb.unfolding.resampling import measured_weights, simulated_weights
from hepml_nb.unfolding.sample import Floats, Measured, Simulation

__all__ = ["LoopConfig", "Ratio", "Reweighting", "Side", "Step", "rows_of"]

Indices = npt.NDArray[np.int64]


@dataclass(frozen=True)
class LoopConfig:
    """iterations: of both steps. folds: an event's weight is learnt from the others' folds only (cross-fitting).

    ensemble: ratios averaged in every step, each with folds and a seed of its own. clip: largest factor, or its
    inverse, by which one step may change a weight (None: any).
    """

    iterations: int = 5
    folds: int = 2
    ensemble: int = 1
    clip: float | None = None

    def __post_init__(self) -> None:
        for name, least in (("iterations", 0), ("folds", 2), ("ensemble", 1)):
            if getattr(self, name) < least:
                raise InputError(f"{name}={getattr(self, name)!r}; expected at least {least}.")
        if self.clip is not None and not self.clip > 1:
            raise InputError(f"clip={self.clip!r}; expected a number above 1, or None.")


class Ratio(Protocol):
    """Learns how two weightings of the same rows differ; made once from the rows of one side, used in every iteration.

    One set of rows with two weights each, instead of two samples: the rows of step 2 are the same events twice.
    """

    def learn(self, train: Indices, val: Indices, w0: Floats, w1: Floats, seed: int) -> Floats:
        """Return the ratio of the densities w1 / w0 at the rows `val`, learnt from the rows `train`.

        w0, w1: (rows,), none negative. `val` may serve early stopping. The normalisation may be left to the loop.
        """


class Step(NamedTuple):
    """One iteration: push (n,), the factor of each simulated event's weight; pull (n,), the same after step 1 (NaN
    where not measured); effective_size and largest (over the mean) of the weights before the detector."""

    push: Floats
    pull: Floats
    effective_size: float
    largest: float


class Side:
    """The rows of one side of the detector, with the ratio learner that has seen them.

    Folds are drawn anew in every step. With the same halves A and B throughout, step 1 would correct A for what B has
    too much of, and the difference of their weights would about double, with the other sign, in every iteration.
    """

    def __init__(self, ratio: Ratio, config: LoopConfig) -> None:
        self.ratio, self.config = ratio, config

    def learn(self, w0: Floats, w1: Floats, seed: int) -> Floats:
        """Return the density ratio w1 / w0 (rows,), cross-fitted and averaged, with sum(w0 ratio) = sum(w1)."""
        total = np.zeros(len(w0))
        for member in range(self.config.ensemble):
            fold = rng(seed, "folds", member).permutation(len(w0)) % self.config.folds
            for f in range(self.config.folds):
                train, val = np.flatnonzero(fold != f), np.flatnonzero(fold == f)
                if len(val):
                    total[val] += self.ratio.learn(train, val, w0, w1, derive_seed(seed, "member", member, f))
        ratio = total / self.config.ensemble
        if not np.isfinite(ratio).all():
            raise RunError(f"{int((~np.isfinite(ratio)).sum())} of {len(ratio)} ratios are not finite; set a clip.")
        ratio *= w1.sum() / (w0 @ ratio)
        if self.config.clip is not None:
            ratio = np.clip(ratio, 1 / self.config.clip, self.config.clip)
            ratio *= w1.sum() / (w0 @ ratio)
        return ratio


class Reweighting(EventUnfolder):
    """OmniFold, arXiv:1911.09107, with losses, fakes and background (arXiv:2105.04448, OmniFoldHI arXiv:2507.06291).

    Step 1 learns the ratio of measured to simulated events after the detector; each event takes it back ("pull").
    Step 2 learns the mean of the pulled weight at each point before the detector ("push"), relative to the generator's
    weights. With infinite statistics this is D'Agostini's iteration: a lost event gets the mean over the events like
    it that are measured, and a fake the mean push of the others at the same point after the detector, so that the
    share of fakes there stays that of the simulation. Background is subtracted, so that this and iterative Bayesian
    unfolding agree after every iteration, not only in the end: it enters the measured sample with negative weights,
    and weights of both signs are replaced by their mean at each point before anything is learnt (`resampling`). The
    unfolded events carry the generator's own weights times the push: events in the measured luminosity.

    A subclass says with `_ratio` what learns. `steps` holds every iteration; `after` gives its events.
    """

    steps: tuple[Step, ...]

    @abstractmethod
    def _ratio(self, simulation: Simulation, measured: Measured) -> tuple[Ratio, Ratio]:
        """Return what learns after the detector (rows: simulated events that pass, measured, background) and before."""

    def after(self, iteration: int) -> Events:
        """Return the events after an iteration, 0 for the prior; raise InputError for one that was not made."""
        self._must_be_ready("after")
        if not 0 <= iteration <= len(self.steps):
            raise InputError(f"iteration={iteration!r}; expected 0 (the prior) to {len(self.steps)}.")
        push = self.steps[iteration - 1].push if iteration else np.ones(len(self._simulation))
        weights = np.where(self._simulation.pass_gen, self._simulation.weights * push, 0.0)
        return Events(self._simulation.gen, weights, self._simulation.names)

    def _events(self) -> Events:
        return self.after(len(self.steps))

    def _fit(self, simulation: Simulation, measured: Measured, seed: int, untrained: bool) -> None:
        self._simulation, self.steps = simulation, ()
        if untrained or self.config.iterations == 0:
            return
        loop = _Loop(self.config, simulation, measured, self._ratio(simulation, measured), seed)
        steps: list[Step] = []
        push = np.ones(len(simulation))
        for iteration in progress(range(self.config.iterations), desc=self.name, unit="iteration"):
            push, pull = loop.iterate(push, derive_seed(seed, "iteration", iteration))
            weights = (simulation.weights * push)[simulation.pass_gen]
            steps.append(Step(push, pull, effective_size(weights), float(np.abs(weights).max() / weights.mean())))
        self.steps = tuple(steps)


class _Loop:
    """The two sides with their rows, and one iteration over them."""

    def __init__(
        self, config: LoopConfig, simulation: Simulation, measured: Measured, ratios: tuple[Ratio, Ratio], seed: int
    ) -> None:
        self.seen, self.true = simulation.pass_sim, simulation.pass_gen
        self.weights = simulated_weights(simulation, derive_seed(seed, "simulation"))
        _, self.data = measured_weights(measured, derive_seed(seed, "measured"))
        self.detector, self.particle = Side(ratios[0], config), Side(ratios[1], config)

    def iterate(self, push: Floats, seed: int) -> tuple[Floats, Floats]:
        """Return push (n,) and pull (n,) after one more iteration."""
        nothing = np.zeros_like(self.data)
        simulated, unseen = (self.weights * push)[self.seen], np.zeros(int(self.seen.sum()))
        step1 = self.detector.learn(
            np.concatenate([simulated, nothing]), np.concatenate([unseen, self.data]), derive_seed(seed, 1)
        )
        pull = np.full(len(push), np.nan)
        pull[self.seen] = push[self.seen] * step1[: len(simulated)]
        both = self.seen & self.true
        prior, pulled = np.where(both, self.weights, 0.0), np.where(both, self.weights * pull, 0.0)
        new = np.ones_like(push)
        new[self.true] = self.particle.learn(prior[self.true], pulled[self.true], derive_seed(seed, 2))
        if (fakes := self.seen & ~self.true).any():
            w0, w1 = prior[self.seen], np.where(both, self.weights * new, 0.0)[self.seen]
            mean = self.detector.learn(
                np.concatenate([w0, nothing]), np.concatenate([w1, nothing]), derive_seed(seed, 3)
            )
            new[fakes] = mean[: len(simulated)][fakes[self.seen]]
        return new, pull


def rows_of(simulation: Simulation, measured: Measured) -> tuple[Floats, Any]:
    """Return the observables of the rows of either side: (seen + m + b, l) after the detector, (true, k) before it."""
    after = np.concatenate([simulation.sim[simulation.pass_sim], measured.sim, measured.background])
    return after, simulation.gen[simulation.pass_gen]
