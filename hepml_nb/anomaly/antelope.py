"""ANTELOPE: what a Particle Flow Network has learnt to look at, and an autoencoder of how background looks to it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional

from hepml_nb.anomaly.jets import JetNetwork, NetworkJetOutlier
from hepml_nb.core import InputError
from hepml_nb.learn import DeepSet, FitConfig, Standardise, mlp, set_pool

__all__ = ["Antelope", "AntelopeConfig", "AntelopeNetwork"]

_SOFTEST = 1e-6  # of z: far below any particle, and the logarithm stays finite


@dataclass(frozen=True)
class AntelopeConfig:
    """phi, f: widths of the Particle Flow Network per particle, the last of phi the encoding, and on the sum.

    hidden, latent: of the autoencoder of the encoding. supervised: training of the first network. fit: of the second.
    most: hardest particles taken (None: all).
    """

    phi: tuple[int, ...] = (75, 75, 64)
    f: tuple[int, ...] = (75, 75)
    hidden: tuple[int, ...] = (32, 16)
    latent: int = 8
    most: int | None = 160
    supervised: FitConfig = field(default_factory=lambda: FitConfig(epochs=50, lr=1e-3, batch_size=256, patience=10))
    fit: FitConfig = field(
        default_factory=lambda: FitConfig(epochs=100, lr=1e-3, batch_size=256, schedule="constant", patience=10)
    )

    def __post_init__(self) -> None:
        widths = (*self.phi, *self.f, *self.hidden)
        if not self.phi or not self.f or min(widths) < 1 or not 1 <= self.latent < self.phi[-1]:
            raise InputError(
                f"phi={self.phi!r}, f={self.f!r}, hidden={self.hidden!r}, latent={self.latent!r}; expected positive "
                "widths, and fewer latent numbers than phi's last layer has: else the bottleneck is none."
            )


class AntelopeNetwork(JetNetwork):
    """F(sum over particles of Phi), and an autoencoder of the sum in units of how it varies for usual jets."""

    def __init__(self, config: AntelopeConfig) -> None:
        super().__init__()
        self.scale = Standardise(4)
        self.flow = DeepSet(4, config.phi, config.f)
        self.settled = Standardise(config.phi[-1])
        self.encoder = mlp([config.phi[-1], *config.hidden, config.latent])
        self.decoder = mlp([config.latent, *config.hidden[::-1], config.phi[-1]])

    def prepare(self, values: Tensor, lengths: Tensor, classes: Tensor) -> None:
        """Measure what the particles, and the encodings of usual jets, are scaled by."""
        self.scale.fit(_inputs(values))
        self.settle(values, lengths, classes)

    def settle(self, values: Tensor, lengths: Tensor, classes: Tensor) -> None:
        """Measure how the encodings of usual jets (class 0) vary."""
        with torch.no_grad():
            self.settled.fit(self.encoding(values, lengths)[classes == 0])

    def encoding(self, values: Tensor, lengths: Tensor) -> Tensor:
        """Return the sum of Phi over the particles (n, phi's last width): of z, deta, dphi (sum of lengths, 3)."""
        return set_pool(self.flow.phi(self.scale(_inputs(values))), lengths)

    def supervised(self, values: Tensor, lengths: Tensor, classes: Tensor) -> Tensor:
        """Return the mean cross entropy of the signal model (classes above 0) against usual jets, alike in weight."""
        logits = self.flow(self.scale(_inputs(values)), lengths)[:, 0]
        model = (classes > 0).to(logits)
        share = model.mean().clamp(1 / (2 * len(model)), 1 - 1 / (2 * len(model)))
        weights = torch.where(classes > 0, 0.5 / share, 0.5 / (1 - share))
        return functional.binary_cross_entropy_with_logits(logits, model, weights)

    def error(self, values: Tensor, lengths: Tensor) -> Tensor:
        """Return the mean squared error (n,) with which the encoding comes back."""
        y = self.settled(self.encoding(values, lengths))
        error: Tensor = (y - self.decoder(self.encoder(y))).square().mean(1)
        return error

    def loss(self, values: Tensor, lengths: Tensor, classes: Tensor) -> Tensor:
        """Return the mean error of the usual jets of a batch; the signal model's are not asked for."""
        usual = (classes == 0).to(values)
        return (self.error(values, lengths) * usual).sum() / usual.sum().clamp(min=1)

    def unusual(self, values: Tensor, lengths: Tensor) -> Tensor:
        """Return the error of the encoding (n,)."""
        return self.error(values, lengths)


class Antelope(NetworkJetOutlier):
    """ANomaly deTEction on particLe flOw latent sPacE (arXiv:2408.17409), on jets.

    A Particle Flow Network learns to tell a signal model (the known jets) from usual ones; the sum over particles
    inside it is an encoding that no order of the particles changes. It is frozen, and an autoencoder learns to give
    back the encodings of usual jets; its error is the score. Labels steer what is looked at, not what is anomalous: a
    signal unlike the model can be found as well. The paper works on whole events and encodes those; of its networks
    we had the abstract only, so that the widths are those of the usual Particle Flow Network, and our choice.
    """

    name = "antelope"
    knows = True
    configs: ClassVar[Mapping[str, Any]] = {
        "paper": AntelopeConfig(),
        "small": AntelopeConfig(
            phi=(32, 24),
            f=(32,),
            hidden=(16,),
            latent=6,
            most=None,
            supervised=FitConfig(epochs=15, lr=4e-3, batch_size=64, patience=None, threads=1),
            fit=FitConfig(epochs=25, lr=4e-3, batch_size=64, patience=None, threads=1),
        ),
    }

    def known_like(self, jets: Any) -> npt.NDArray[np.float64]:
        """Return how much each jet is like the signal model, (n,): the first network's logit, for comparison."""
        return self._forward(jets, lambda net, batch: net.flow(net.scale(_inputs(batch[0])), batch[1])[:, 0])

    def _network(self, features: int, classes: int) -> JetNetwork:
        return AntelopeNetwork(self.config)

    def _train(self, train: tuple[Tensor, ...], val: tuple[Tensor, ...], seed: int) -> None:
        model: Any = self.model
        self._minimise(lambda net, batch: net.supervised(*batch), train, val, self.config.supervised, seed)
        model.flow.requires_grad_(False)
        model.settle(*train)
        super()._train(train, val, seed)


def _inputs(values: Tensor) -> Tensor:
    return torch.cat([values, values[:, :1].clamp(min=_SOFTEST).log()], 1)
