"""Deep SVDD: usual events are mapped into a small sphere, and the distance from its centre is the score."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from hepml_nb.anomaly.outlier import NetworkOutlier, OutlierNetwork
from hepml_nb.core import InputError
from hepml_nb.learn import FitConfig, mlp

__all__ = ["DeepSvdd", "SvddConfig", "SvddNetwork"]

_AWAY = 0.1  # a coordinate of the centre at zero could be reached with zero weights


@dataclass(frozen=True)
class SvddConfig:
    """hidden: widths of the layers. sphere: dimensions of the space in which the sphere is.

    pretraining: of the same layers as the encoder of an autoencoder, before `fit`.
    """

    hidden: tuple[int, ...] = (64, 32)
    sphere: int = 8
    pretraining: FitConfig = field(
        default_factory=lambda: FitConfig(
            epochs=150, lr=1e-4, batch_size=200, schedule="constant", patience=None, weight_decay=1e-6
        )
    )
    fit: FitConfig = field(
        default_factory=lambda: FitConfig(
            epochs=150, lr=1e-4, batch_size=200, schedule="constant", patience=None, weight_decay=1e-6
        )
    )

    def __post_init__(self) -> None:
        if self.sphere < 1 or not self.hidden or min(self.hidden) < 1:
            raise InputError(f"sphere={self.sphere!r}, hidden={self.hidden!r}; expected positive widths.")


class SvddNetwork(OutlierNetwork):
    """Layers without biases and with an unbounded activation: else one constant would map all events to the centre.

    Features come in units of their range, from 0 to 1 as the pixels of the paper: such layers map the origin to the
    origin, which must not be the middle of the events.
    """

    centre: Tensor
    low: Tensor
    reach: Tensor

    def __init__(self, features: int, config: SvddConfig) -> None:
        super().__init__()
        self.register_buffer("low", torch.zeros(features))
        self.register_buffer("reach", torch.ones(features))
        layers: list[nn.Module] = []
        for n_in, n_out in pairwise([features, *config.hidden, config.sphere]):
            layers += [nn.Linear(n_in, n_out, bias=False), nn.LeakyReLU(0.1)]
        self.map = nn.Sequential(*layers[:-1])
        self.back = mlp([config.sphere, *config.hidden[::-1], features])
        self.register_buffer("centre", torch.zeros(config.sphere))

    def prepare(self, *batch: Tensor) -> None:
        """Measure the ranges of the features, and where the map puts them now."""
        self.low.copy_(batch[0].amin(0))
        self.reach.copy_(batch[0].amax(0) - self.low)
        self.settle(batch[0])

    def scale(self, x: Tensor) -> Tensor:
        """Return features (n, d) in units of their range."""
        return (x - self.low) / self.reach

    def settle(self, x: Tensor) -> None:
        """Put the centre at the mean of mapped events (n, d), its coordinates at least 0.1 from zero."""
        with torch.no_grad():
            mean = self.map(self.scale(x)).mean(0)
        self.centre.copy_(torch.where(mean < 0, mean.clamp(max=-_AWAY), mean.clamp(min=_AWAY)))

    def reconstruction(self, x: Tensor) -> Tensor:
        """Return the mean squared error of the pre-training's autoencoder, a scalar."""
        y = self.scale(x)
        error: Tensor = (y - self.back(self.map(y))).square().mean()
        return error

    def loss(self, *batch: Tensor) -> Tensor:
        """Return the mean squared distance from the centre."""
        return self.unusual(*batch).mean()

    def unusual(self, *batch: Tensor) -> Tensor:
        """Return the squared distance of each mapped event from the centre (n,)."""
        distance: Tensor = (self.map(self.scale(batch[0])) - self.centre).square().sum(1)
        return distance


class DeepSvdd(NetworkOutlier):
    """Deep support vector data description, one-class objective (Ruff et al., ICML 2018), on features of events.

    Pre-trained as an encoder; the centre is then where the encoder puts the mean event, and stays. The loss is the mean
    squared distance from it, with weight decay. Searches have put a graph network in the place of the layers, for the
    particles of jets; here the input are features. "small": fewer and larger steps.
    """

    name = "deep-svdd"
    configs: ClassVar[Mapping[str, Any]] = {
        "paper": SvddConfig(),
        "small": SvddConfig(
            hidden=(32, 16),
            pretraining=FitConfig(epochs=10, lr=5e-3, batch_size=256, patience=None, weight_decay=1e-6, threads=1),
            fit=FitConfig(epochs=20, lr=5e-3, batch_size=256, patience=None, weight_decay=1e-6, threads=1),
        ),
    }

    def _network(self, features: int) -> OutlierNetwork:
        return SvddNetwork(features, self.config)

    def _train(self, train: tuple[Tensor, ...], val: tuple[Tensor, ...], seed: int) -> None:
        self._minimise(lambda net, batch: net.reconstruction(batch[0]), train, val, self.config.pretraining, seed)
        model: Any = self.model
        model.settle(train[0])
        super()._train(train, val, seed)
