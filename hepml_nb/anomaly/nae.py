"""Autoencoders that are densities: normalised by chains that look for what they reconstruct well but never saw."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from hepml_nb.anomaly.autoencoder import AutoencoderNetwork
from hepml_nb.anomaly.langevin import ChainConfig, Replay, langevin
from hepml_nb.anomaly.outlier import NetworkOutlier, OutlierNetwork
from hepml_nb.core import InputError
from hepml_nb.learn import FitConfig

__all__ = ["EnergyNetwork", "Nae", "NaeConfig", "Wnae", "WnaeConfig", "energy_difference", "transport_cost"]

_MARGIN = 0.1  # chains may leave the range of the training events by this share of it
_PAIRS = 512  # events of a batch that are matched, at most: the cost of a matching grows with the third power


def transport_cost(x: Tensor, y: Tensor) -> Tensor:
    """Return the Wasserstein distance of two samples (n, d) of one size: the mean squared length of the best matching.

    The matching is exact; the gradient is that of the matched pairs (the optimal plan does not move to first order).
    Raises InputError for other shapes.
    """
    if x.ndim != 2 or x.shape != y.shape or not len(x):
        raise InputError(f"x has shape {tuple(x.shape)} and y {tuple(y.shape)}; expected the same (n, d).")
    costs = torch.cdist(x.detach().double(), y.detach().double()).square()
    rows, columns = linear_sum_assignment(costs.cpu().numpy())
    return (x[torch.from_numpy(rows)] - y[torch.from_numpy(columns)]).square().sum(1).mean()


def energy_difference(positive: Tensor, negative: Tensor, gamma: float = 0.0) -> Tensor:
    """Return mean E(data) - mean E(chains) + gamma mean E(chains)^2, of energies (n,) and (m,).

    Its gradient (gamma = 0) is T times that of the negative log-likelihood of exp(-E / T) / Z; the last term keeps the
    energies of the chains from running away.
    """
    return positive.mean() - negative.mean() + gamma * negative.square().mean()


@dataclass(frozen=True)
class WnaeConfig:
    """hidden, latent: of the autoencoder; latent may exceed the features, since the density is what holds it.

    chain: of the negative samples. again: share of the chains that go on from earlier ones. fit: the training.
    """

    hidden: tuple[int, ...] = (32,)
    latent: int = 32
    chain: ChainConfig = field(default_factory=ChainConfig)
    again: float = 0.95
    fit: FitConfig = field(
        default_factory=lambda: FitConfig(epochs=200, lr=3e-4, batch_size=512, schedule="constant", patience=None)
    )


@dataclass(frozen=True)
class NaeConfig(WnaeConfig):
    """latent: numbers of the latent space, normalised to length 1. latent_chain: of the chains there.

    gamma: price of high energies of chains, see `energy_difference`. pretraining: as a plain autoencoder, before `fit`.
    """

    hidden: tuple[int, ...] = (64, 32)
    latent: int = 3
    chain: ChainConfig = field(default_factory=lambda: ChainConfig(steps=30, noise=0.1))
    latent_chain: ChainConfig = field(default_factory=lambda: ChainConfig(steps=30, noise=0.1))
    gamma: float = 1.0
    pretraining: FitConfig = field(
        default_factory=lambda: FitConfig(epochs=500, lr=1e-3, batch_size=2048, schedule="constant", patience=50)
    )
    fit: FitConfig = field(
        default_factory=lambda: FitConfig(epochs=200, lr=1e-5, batch_size=2048, schedule="constant", patience=None)
    )


class EnergyNetwork(AutoencoderNetwork):
    """An autoencoder whose reconstruction error is the energy E of a Boltzmann density exp(-E / T).

    spherical: latent vectors have length 1. Chains stay in the range of the training events, a little widened.
    """

    low: Tensor
    high: Tensor

    def __init__(self, features: int, config: WnaeConfig, *, spherical: bool) -> None:
        super().__init__(features, config.hidden, config.latent)
        self.config, self.spherical = config, spherical
        self.register_buffer("low", torch.full((features,), -1.0))
        self.register_buffer("high", torch.full((features,), 1.0))
        self.replay, self.latent_replay = Replay(again=config.again), Replay(again=config.again)

    def prepare(self, *batch: Tensor) -> None:
        """Measure means, deviations and ranges of the features."""
        super().prepare(*batch)
        y = self.scale(batch[0])
        room = _MARGIN * (y.amax(0) - y.amin(0))
        self.low.copy_(y.amin(0) - room)
        self.high.copy_(y.amax(0) + room)

    def reconstruct(self, y: Tensor) -> Tensor:
        """Return standardised features (n, d) as they come back."""
        back: Tensor = self.decoder(self.on_sphere(self.encoder(y)))
        return back

    def on_sphere(self, z: Tensor) -> Tensor:
        """Return latent vectors (n, latent), of length 1 if they are spherical."""
        return z / z.norm(dim=1, keepdim=True).clamp(min=1e-6) if self.spherical else z

    def inside(self, y: Tensor) -> Tensor:
        """Return points (n, d), moved to the nearest place inside the range."""
        return torch.minimum(torch.maximum(y, self.low), self.high)

    def persistent(self, n: int, *, differentiable: bool = False) -> Tensor:
        """Return n negative samples (n, d): chains that go on from where earlier ones ended, or begin as noise."""
        start = self.inside(self.replay.start(torch.randn(n, len(self.low))))
        y = langevin(start, self.error, self.config.chain, self.inside, differentiable=differentiable)
        self._remember(self.replay, y)
        return y

    def on_manifold(self, n: int) -> Tensor:
        """Return n negative samples (n, d): chains in latent space, decoded, then chains among the features."""
        config: Any = self.config
        new = self.on_sphere(torch.randn(n, config.latent))
        z = langevin(
            self.latent_replay.start(new), lambda z: self.error(self.decoder(z)), config.latent_chain, self.on_sphere
        )
        self._remember(self.latent_replay, z)
        with torch.no_grad():
            start = self.inside(self.decoder(z))
        return langevin(start, self.error, config.chain, self.inside)

    def _remember(self, replay: Replay, points: Tensor) -> None:
        if self.training:
            replay.keep(points)


def _distance(y: Tensor, negative: Tensor) -> Tensor:
    return transport_cost(y[:_PAIRS], negative[:_PAIRS])


class Wnae(NetworkOutlier):
    """The Wasserstein normalised autoencoder (arXiv:2510.02168; settings of its authors' public tutorial).

    The loss is the Wasserstein distance between a batch of data and as many negative samples, drawn from exp(-E / T)
    with E the reconstruction error, and its gradient goes through the chain: the energy is changed such that chains end
    where the data are. The distance has a meaning and a smallest value, so that the epoch of the lowest one is kept.
    Chains go on from epoch to epoch (persistent contrastive divergence). The score is the energy.
    Chains stay in the range of the training events. "small": a fifth of the epochs, shorter chains.
    """

    name = "wnae"
    configs: ClassVar[Mapping[str, Any]] = {
        "paper": WnaeConfig(),
        "small": WnaeConfig(
            chain=ChainConfig(steps=5, noise=0.25),
            fit=FitConfig(epochs=20, lr=3e-3, batch_size=256, patience=None, threads=1),
        ),
    }

    def _network(self, features: int) -> OutlierNetwork:
        return EnergyNetwork(features, self.config, spherical=False)

    def _train(self, train: tuple[Tensor, ...], val: tuple[Tensor, ...], seed: int) -> None:
        self.history = self._minimise(_wasserstein, train, val, self.config.fit, seed)


def _wasserstein(model: EnergyNetwork, batch: Any) -> Tensor:
    y = model.scale(batch[0])[:_PAIRS]
    return _distance(y, model.persistent(len(y), differentiable=model.training))


class Nae(NetworkOutlier):
    """The normalised autoencoder (arXiv:2206.14225, after arXiv:2105.05735), on features of events.

    Pre-trained as a plain autoencoder with latent vectors on a sphere, then trained to give the data a lower energy
    (the reconstruction error) than negative samples, which chains look for where the energy is low: first in latent
    space (on-manifold initialisation), then among the features. What it reconstructs well without having seen it is
    found and pushed up. The score is the energy.
    The paper's chains, of images, have a temperature of practically zero (gradient steps with little noise) and
    Metropolis corrections; here they are Langevin chains at the temperature of arXiv:2510.02168. Its loss has no
    smallest value, so that the epoch is kept whose chains are nearest to held-out events, by Wasserstein distance.
    "small": fewer and larger steps.
    """

    name = "nae"
    configs: ClassVar[Mapping[str, Any]] = {
        "paper": NaeConfig(),
        "small": NaeConfig(
            hidden=(32, 16),
            chain=ChainConfig(steps=5, noise=0.2),
            latent_chain=ChainConfig(steps=5, noise=0.2),
            pretraining=FitConfig(epochs=10, lr=5e-3, batch_size=256, patience=None, threads=1),
            fit=FitConfig(epochs=10, lr=1e-3, batch_size=256, patience=None, threads=1),
        ),
    }

    def _network(self, features: int) -> OutlierNetwork:
        return EnergyNetwork(features, self.config, spherical=True)

    def _train(self, train: tuple[Tensor, ...], val: tuple[Tensor, ...], seed: int) -> None:
        plain = self.config.pretraining
        self._minimise(lambda model, batch: model.loss(*batch), train, val, plain, seed)
        self.history = self._minimise(self._step, train, val, self.config.fit, seed)

    def _step(self, model: EnergyNetwork, batch: Any) -> Tensor:
        y = model.scale(batch[0])
        if not model.training:
            y = y[:_PAIRS]
            return _distance(y, model.on_manifold(len(y)))
        return energy_difference(model.error(y), model.error(model.on_manifold(len(y))), self.config.gamma)
