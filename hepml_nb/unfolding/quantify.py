"""Quantification learners: a classifier names each event's bin before the detector, and class shares are corrected."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import numpy as np
import numpy.typing as npt

from hepml_nb.core import InputError, derive_seed, rng
from hepml_nb.unfolding.binned import Binned, BinnedConfig
from hepml_nb.unfolding.response import Counts, Response, response
from hepml_nb.unfolding.sample import Floats, Measured, Simulation
from hepml_nb.unfolding.spectrum import Spectrum

__all__ = ["Acc", "Emq", "EmqConfig", "Pacc", "QuantifyConfig", "expectation_maximisation"]


@dataclass(frozen=True)
class QuantifyConfig(BinnedConfig):
    """trees, leaf: size of the random forest and least events of a leaf; toys: repetitions behind the covariance.

    The forest looks at all observables after the detector; `sim_bins` plays no part.
    """

    trees: int = 100
    leaf: int = 20
    toys: int = 100

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.trees < 20 or self.leaf < 1 or self.toys < 2:
            raise InputError(f"trees={self.trees}, leaf={self.leaf}, toys={self.toys}; expected at least 20, 1 and 2.")


@dataclass(frozen=True)
class EmqConfig(QuantifyConfig):
    """iterations: of expectation maximisation, from the simulation's shares on."""

    iterations: int = 100


class Events(NamedTuple):
    """Of simulated and measured events: probabilities of the classes (n, g), (m, g), and weights (n,), (m,).

    labels: (n,) the true class, -1 for fakes. Background has negative weights; the share of fakes is in the weights.
    """

    simulated: Floats
    weights: Floats
    labels: npt.NDArray[np.intp]
    measured: Floats
    measured_weights: Floats


class Quantifier(Binned):
    """What the learners share: unfolding as estimation of class shares under label shift (S2/33).

    The classes are the bins before the detector. A random forest (out-of-bag for the simulated events, so that their
    probabilities are honest) estimates them from all observables after it; fakes are a class of their own, whose
    probability is taken off each event's weight. Shares become events through the efficiency. Trees know no negative
    weights: the forest is trained with their size, all else uses them as they are. The covariance is that of toys which
    redraw measured, background and simulated events, the forest kept. A subclass writes `_shares`.
    """

    deterministic: ClassVar[bool] = False

    def _fit(self, simulation: Simulation, measured: Measured, seed: int, untrained: bool) -> None:
        config: QuantifyConfig = self.config
        self._names = simulation.names
        self.response = filled = response(simulation, config.observable, config.bins)
        self.counts = filled.counts(measured)
        values, covariance = filled.truth, np.diag(filled.squares[:, :-1].sum(axis=0))
        if not untrained:
            events = _classified(config, filled, simulation, measured, seed)
            values = self._shares(events) / filled.efficiency
            generator = rng(seed, "quantify", "toys")
            toys = [self._shares(_redrawn(events, generator)) / filled.efficiency for _ in range(config.toys)]
            covariance = np.cov(np.array(toys).T, ddof=1)
        inner = filled.inner
        self._spectrum = Spectrum(values[inner], filled.edges, covariance[inner, inner], filled.observable)

    @abstractmethod
    def _shares(self, events: Events) -> Floats:
        """Return the measured events (g,) of each class."""

    def _estimate(self, response: Response, counts: Counts) -> tuple[Floats, Floats]:
        raise InputError(f"{self.name} unfolds events, not counts; call fit.")


class Acc(Quantifier):
    """Adjusted classify and count (Forman, Data Min. Knowl. Disc. 17 (2008) 164): counts of the most likely class.

    The counts are corrected with the classifier's matrix of confusions, by least squares with shares >= 0: matrix
    inversion whose bins after the detector are the classifier's answers.
    """

    name = "acc"
    configs: ClassVar[Mapping[str, Any]] = {"paper": QuantifyConfig(), "small": QuantifyConfig(trees=40)}

    def _shares(self, events: Events) -> Floats:
        classes = np.arange(events.simulated.shape[1])
        answers = (np.argmax(p, axis=1)[:, None] == classes for p in (events.simulated, events.measured))
        return _adjusted(events, *(one.astype(float) for one in answers))


class Pacc(Quantifier):
    """Probabilistic adjusted classify and count (Bella et al., ICDM 2010, 737): mean probabilities, not counts."""

    name = "pacc"
    configs: ClassVar[Mapping[str, Any]] = {"paper": QuantifyConfig(), "small": QuantifyConfig(trees=40)}

    def _shares(self, events: Events) -> Floats:
        return _adjusted(events, events.simulated, events.measured)


class Emq(Quantifier):
    """Expectation maximisation of class shares (Saerens et al., Neural Comput. 14 (2002) 21), event by event.

    Each event's probabilities are corrected for the shares, and the shares are their sums, over and over: D'Agostini's
    iteration with the classifier's probabilities in the place of bins after the detector. The paper iterates until
    nothing moves; fewer iterations regularise, as there.
    """

    name = "emq"
    configs: ClassVar[Mapping[str, Any]] = {"paper": EmqConfig(), "small": EmqConfig(trees=40, iterations=8, toys=50)}

    def _shares(self, events: Events) -> Floats:
        learnt, prior = _totals(events._replace(weights=np.abs(events.weights))), _totals(events)
        return expectation_maximisation(
            events.measured, events.measured_weights, learnt, self.config.iterations, start=prior
        )


def expectation_maximisation(
    probabilities: Floats, weights: Floats, prior: Floats, iterations: int, start: Floats | None = None
) -> Floats:
    """Return the events (g,) of each class among measured ones with probabilities (m, g) at the shares `prior` (g,).

    start: shares to begin with (None: the prior).
    """
    likelihood = probabilities / prior
    shares = prior if start is None else start
    shares = shares / shares.sum() * weights.sum()
    for _ in range(iterations):
        total = likelihood @ shares
        shares = shares * (likelihood.T @ np.divide(weights, total, out=np.zeros_like(total), where=total > 0))
    return np.asarray(shares)


def _adjusted(events: Events, simulated: Floats, measured: Floats) -> Floats:
    """Solve sum_i confusion_ji x_i = sum of the measured events' answers j, with x >= 0."""
    from scipy.optimize import nnls

    columns = [np.where(events.labels == i, events.weights, 0) @ simulated for i in range(simulated.shape[1])]
    confusion = np.array(columns).T / _totals(events)
    seen = measured.T @ events.measured_weights
    scale = 1 / np.sqrt(np.maximum(confusion @ _totals(events), 1e-9))
    return np.asarray(nnls(confusion * scale[:, None], seen * scale)[0])


def _totals(events: Events) -> Floats:
    known = events.labels >= 0
    return np.asarray(np.bincount(events.labels[known], events.weights[known], events.simulated.shape[1]), float)


def _classified(
    config: QuantifyConfig, filled: Response, simulation: Simulation, measured: Measured, seed: int
) -> Events:
    from sklearn.ensemble import RandomForestClassifier

    seen, g = simulation.pass_sim, len(filled.truth)
    gen = simulation.column(filled.observable)[seen]
    labels, weights = filled.classes(np.where(simulation.pass_gen[seen], gen, np.nan)), simulation.weights[seen]
    forest = RandomForestClassifier(
        config.trees, min_samples_leaf=config.leaf, oob_score=True, n_jobs=1, random_state=derive_seed(seed, "forest")
    )
    forest.fit(simulation.sim[seen], np.where(labels < 0, g, labels), sample_weight=np.abs(weights))
    simulated = forest.oob_decision_function_
    events = np.concatenate([measured.sim, measured.background])
    genuine, of_data = _genuine(forest.predict_proba(events), g)
    sign = np.concatenate([measured.weights, -measured.background_weights])
    return Events(_genuine(simulated, g)[1], weights, labels, of_data, sign * genuine)


def _genuine(probabilities: Floats, g: int) -> tuple[Floats, Floats]:
    """Return the probability (n,) to be no fake, and those of the classes (n, g) given that; both in [0, 1]."""
    positive = np.maximum(np.nan_to_num(probabilities), 0) + 1e-12
    genuine = positive[:, :g].sum(axis=1)
    return genuine / positive.sum(axis=1), positive[:, :g] / genuine[:, None]


def _redrawn(events: Events, generator: np.random.Generator) -> Events:
    first, second = (w * generator.poisson(1.0, len(w)) for w in (events.weights, events.measured_weights))
    return events._replace(weights=first, measured_weights=second)
