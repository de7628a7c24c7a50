"""Generators of showers as point clouds: energies and numbers of hits of the layers first, then the points."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from hepml_nb.calo.base import ShowerModel
from hepml_nb.calo.coordinates import LayerCoordinates, LogScale, expit, logit
from hepml_nb.calo.points import PointCoordinates, PointNumbers, Points
from hepml_nb.calo.sample import Floats, Showers
from hepml_nb.calo.training import epochs_of, flow_loss
from hepml_nb.core import derive_seed, rng
from hepml_nb.learn import ConditionalFlow, FitConfig, History, RowBatches, SetBatches, Standardise, fit

__all__ = ["SMALL_POINTS", "PointConfig", "PointModel"]

SMALL_POINTS: dict[str, Any] = {
    "flow_transforms": 4,
    "flow_hidden": (64, 64),
    "flow_fit": FitConfig(epochs=30, lr=2e-3, batch_size=256, patience=None),
    "fit": FitConfig(epochs=30, lr=3e-3, batch_size=16, patience=None),
}
"""Settings that every "small" configuration shares."""


@dataclass(frozen=True)
class PointConfig:
    """steps: of the sampler. flow_*: transforms and widths of the flow of layers, trained by flow_fit.

    batch_size of `fit` counts showers; their points are drawn together.
    """

    steps: int = 13
    flow_transforms: int = 10
    flow_hidden: tuple[int, ...] = (256, 256)
    flow_fit: FitConfig = field(default_factory=lambda: FitConfig(epochs=100, lr=1e-3, batch_size=512, patience=10))
    fit: FitConfig = field(default_factory=lambda: FitConfig(epochs=100, lr=1e-3, batch_size=128, patience=None))


class PointModel(ShowerModel):
    """The scheme of CaloClouds II (arXiv:2309.05704): a flow draws the energy and the hits of every layer, a network
    draws as many points, points go into layers in the order of z, and their energies are scaled to the layer's.

    Points that fall into one voxel make one hit, so that more points than hits are asked for, by a polynomial that is
    fitted to showers made from the validation sample. A subclass writes `_network(context)`, `_loss` and `_draw`; its
    network gets points standardised to mean 0 and deviation 1, and the logarithms of energy and number of points.
    """

    most = 500
    history: History
    flow_history: History

    @abstractmethod
    def _network(self, context: int) -> Any:
        """Return the network with fresh weights; context: numbers that it is told of each shower."""

    @abstractmethod
    def _loss(self, model: Any, x: Tensor, lengths: Tensor, context: Tensor) -> Tensor:
        """Return the mean loss of showers with points x (points, 4), lengths (n,) and context (n, context)."""

    @abstractmethod
    def _draw(self, model: Any, lengths: Tensor, context: Tensor) -> Tensor:
        """Return points (sum of lengths, 4)."""

    def _fit(self, train: Showers, val: Showers, seed: int, untrained: bool) -> None:
        self._map = LayerCoordinates(train.geometry).fit(train)
        self._points, self._numbers = PointCoordinates(train.geometry).fit(train), PointNumbers()
        self._fit_flow(train, val, seed, untrained)
        self._fit_points(train, val, seed, untrained)
        if not untrained:
            self._fit_numbers(val, seed)

    def _fit_numbers(self, val: Showers, seed: int, most: int = 500) -> None:
        """Measure how many points make how many hits, on showers as those of the validation."""
        some = val[:most]
        made = Showers(some.energies, self._points_in(some.energies, some.layers, some.hits, seed), val.geometry)
        self._numbers = PointNumbers().fit(some.hits.sum(axis=1), made.hits.sum(axis=1))

    def _fit_flow(self, train: Showers, val: Showers, seed: int, untrained: bool) -> None:
        rows = [self._rows(showers, derive_seed(seed, "rows", i)) for i, showers in enumerate((train, val))]
        torch.manual_seed(derive_seed(seed, "flow"))
        hidden, transforms = self.config.flow_hidden, self.config.flow_transforms
        self.flow = ConditionalFlow(rows[0][0].shape[1], 1, transforms=transforms, hidden=hidden)
        self.flow.standardise(*rows[0])
        config = epochs_of(self.config.flow_fit, untrained)
        known, held = (RowBatches(*row, batch_size=config.batch_size, seed=seed) for row in rows)
        self.flow_history = fit(self.flow, flow_loss, known, held, config, seed=derive_seed(seed, "flow fit"))

    def _fit_points(self, train: Showers, val: Showers, seed: int, untrained: bool) -> None:
        config = epochs_of(self.config.fit, untrained)
        torch.manual_seed(derive_seed(seed, "points"))
        points = self._points.points(train[train.totals > 0], derive_seed(seed, "points", 0))
        self.model = self._network(2)
        self.model.scale = Standardise(4).fit(torch.from_numpy(points.values))
        self._log_n = LogScale(points.lengths)
        known, held = (self._clouds(showers, config, seed, i) for i, showers in enumerate((train, val)))
        self.history = fit(self.model, self._batch_loss, known, held, config, seed=derive_seed(seed, "points fit"))

    def _clouds(self, showers: Showers, config: FitConfig, seed: int, number: int) -> SetBatches:
        """Return batches of points, their numbers and what they are told, of showers that have any."""
        seen = showers[showers.totals > 0]
        points = self._points.points(seen, derive_seed(seed, "points", number))
        x = self.model.scale(torch.from_numpy(points.values))
        given = self._context(seen.energies, points.lengths)
        return SetBatches(x, points.lengths, given, batch_size=config.batch_size, seed=seed)

    def _batch_loss(self, model: Any, batch: Any) -> Tensor:
        return self._loss(model, *batch)

    def _rows(self, showers: Showers, seed: int) -> tuple[Tensor, Tensor]:
        """Return the flow's rows (n, 2 layers), ratios and shares of hits as logits, and its context (n, 1)."""
        share = showers.hits + rng(seed, "counts").random((len(showers), len(self._points.sizes)))
        rows = np.hstack([self._map.ratios(showers, seed), logit(share / (self._points.sizes + 1))])
        return torch.from_numpy(rows.astype(np.float32)), torch.from_numpy(self._map.context(showers.energies))

    def _context(self, energies: Floats, numbers: Floats) -> Tensor:
        log_n = self._log_n(np.maximum(numbers, 1))
        return torch.from_numpy(np.column_stack([self._map.context(energies), log_n]).astype(np.float32))

    def _sample(self, energies: Floats, seed: int) -> Floats:
        layers, counts = self._layers(energies, seed)
        return self._points_in(energies, layers, self._numbers(counts), seed)

    @torch.no_grad()
    def _layers(self, energies: Floats, seed: int) -> tuple[Floats, Floats]:
        """Draw the energy (n, layers), MeV, and the hits of each layer (n, layers)."""
        torch.manual_seed(derive_seed(seed, "layers"))
        rows = self.flow.eval().sample(torch.from_numpy(self._map.context(energies))).double().numpy()
        k = len(self._points.sizes)
        layers = self._map.layers(rows[:, :k], energies)
        counts = np.minimum(expit(rows[:, k:]) * (self._points.sizes + 1), self._points.sizes).astype(np.int64)
        seen = layers >= self.geometry.threshold
        return np.where(seen, layers, 0), np.where(seen, np.maximum(counts, 1), 0)

    @torch.no_grad()
    def _points_in(self, energies: Floats, layers: Floats, counts: Floats, seed: int) -> Floats:
        """Draw as many points as the layers want and put them into the voxels."""
        torch.manual_seed(derive_seed(seed, "draw"))
        lengths = counts.sum(axis=1)
        self.model.eval()
        drawn = self._draw(self.model, torch.from_numpy(lengths), self._context(energies, lengths))
        values = drawn * self.model.scale.scale + self.model.scale.mean
        return self._points.deposits(Points(values.numpy(), lengths), counts, layers)
