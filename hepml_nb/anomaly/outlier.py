"""What every outlier method is: it learns what is usual from events alone, and scores how unusual others are."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor, nn

from hepml_nb.anomaly.base import LEAST, AnomalyMethod, varying
from hepml_nb.anomaly.sample import Events, Floats
from hepml_nb.core import InputError, derive_seed, rng
from hepml_nb.learn import FitConfig, History, RowBatches, fit, predict

__all__ = ["NetworkOutlier", "OutlierMethod", "OutlierNetwork", "bottleneck"]

_ROWS = 8192
_HELD_OUT = 0.2  # share of the events that choose the epoch


class OutlierMethod(AnomalyMethod):
    """A method that knows nothing of windows: it learns what background-dominated events look like.

    In a search (`fit`) these are the events of the sideband, which a resonance in the window does not reach; `learn`
    takes any sample instead. A subclass writes `_learn` and `_score`.
    """

    def learn(self, events: Events, *, seed: int = 0, untrained: bool = False) -> Self:
        """Learn what is usual from these events, labels unread; return self. untrained=True takes no step.

        Raises InputError for fewer than `LEAST` events and for a feature that is the same for all of them.
        """
        if len(events) < LEAST:
            raise InputError(f"there are {len(events)} events; {self.name} needs at least {LEAST} to learn from.")
        varying(events)
        self._learn(events, seed, untrained)
        self._names, self._ready = events.names, True
        return self

    def _fit(
        self, sideband: Events, signal_region: Events, pure: Mapping[str, Events], seed: int, untrained: bool
    ) -> None:
        self._learn(sideband, seed, untrained)

    @abstractmethod
    def _learn(self, events: Events, seed: int, untrained: bool) -> None: ...


class OutlierNetwork(nn.Module, ABC):
    """A network of events (n, d) in their own units that knows its loss and how unusual an event is."""

    @abstractmethod
    def loss(self, *batch: Tensor) -> Tensor:
        """Return the mean loss of a batch, a scalar."""

    @abstractmethod
    def unusual(self, *batch: Tensor) -> Tensor:
        """Return how unusual each event of a batch is, (n,)."""

    @abstractmethod
    def prepare(self, *batch: Tensor) -> None:
        """Measure what the inputs are scaled by, on the training events."""


class NetworkOutlier(OutlierMethod):
    """An outlier method that is one network; a subclass writes `_network`, and `_train` where one loss is not enough.

    One event in five chooses the epoch and is not trained on. history: of the last training.
    """

    history: History

    def _learn(self, events: Events, seed: int, untrained: bool) -> None:
        keep = rng(seed, "held out").random(len(events)) >= _HELD_OUT
        rows = self._rows(events)
        train, val = (tuple(part[torch.from_numpy(which)] for part in rows) for which in (keep, ~keep))
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(derive_seed(seed, self.name, "weights"))
            self.model = self._network(events.features.shape[1])
        self.model.prepare(*train)
        self.history = History()
        if not untrained:
            self._train(train, val, seed)

    def _train(self, train: tuple[Tensor, ...], val: tuple[Tensor, ...], seed: int) -> None:
        self.history = self._minimise(_loss, train, val, self.config.fit, seed)

    def _minimise(
        self, loss: Any, train: tuple[Tensor, ...], val: tuple[Tensor, ...], config: FitConfig, seed: int
    ) -> History:
        source = RowBatches(*train, batch_size=config.batch_size, seed=derive_seed(seed, "order"))
        checked = RowBatches(*val, batch_size=_ROWS, shuffle=False)
        return fit(self.model, loss, source, checked, config, seed=seed, desc=self.name)

    def _score(self, events: Events) -> Floats:
        batches = RowBatches(*self._rows(events), batch_size=_ROWS, shuffle=False)
        scores: Floats = predict(self.model, batches, lambda net, batch: net.unusual(*batch)).double().numpy()
        return scores

    def _rows(self, events: Events) -> tuple[Tensor, ...]:
        """Return the tensors of a batch, one row per event: the features."""
        return (torch.from_numpy(events.features.astype(np.float32)),)

    @abstractmethod
    def _network(self, features: int) -> OutlierNetwork: ...


def _loss(model: OutlierNetwork, batch: Any) -> Tensor:
    return model.loss(*batch)


def bottleneck(latent: int, features: int, name: str) -> None:
    """Raise InputError where as many latent numbers as features would reconstruct every event."""
    if not 1 <= latent < features:
        raise InputError(
            f"{name} with latent={latent!r} for {features} features; expected 1 to {features - 1}: a bottleneck "
            "that is no narrower than its input reconstructs everything."
        )
