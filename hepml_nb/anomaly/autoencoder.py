"""Outliers by what a compression loses: principal components, and a dense autoencoder."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
from torch import Tensor

from hepml_nb.anomaly.outlier import NetworkOutlier, OutlierMethod, OutlierNetwork, bottleneck
from hepml_nb.anomaly.sample import Events, Floats
from hepml_nb.learn import FitConfig, Standardise, mlp

__all__ = ["Autoencoder", "AutoencoderConfig", "AutoencoderNetwork", "Pca", "PcaConfig"]


@dataclass(frozen=True)
class PcaConfig:
    """latent: components that are kept, fewer than features."""

    latent: int = 2


class Pca(OutlierMethod):
    """Principal components: the mean squared error with which the `latent` largest ones reconstruct an event.

    Features are scaled to mean 0 and deviation 1 first. The best linear autoencoder is this one, so that it is what a
    network has to beat. Untrained it keeps the first features as they stand, without turning the axes.
    """

    name = "pca"
    deterministic = True
    configs: ClassVar[Mapping[str, Any]] = {"paper": PcaConfig(), "small": PcaConfig()}

    def _learn(self, events: Events, seed: int, untrained: bool) -> None:
        x = events.features
        bottleneck(self.config.latent, x.shape[1], self.name)
        self._mean, self._scale = x.mean(axis=0), x.std(axis=0)
        axes = np.eye(x.shape[1])
        if not untrained:
            axes = np.linalg.svd(self._scaled(x), full_matrices=False)[2]
        self.components: Floats = axes[: self.config.latent]

    def _score(self, events: Events) -> Floats:
        x = self._scaled(events.features)
        return np.asarray(np.square(x - x @ self.components.T @ self.components).mean(axis=1))

    def _scaled(self, x: Floats) -> Floats:
        return np.asarray((x - self._mean) / self._scale)


@dataclass(frozen=True)
class AutoencoderConfig:
    """hidden: widths of the encoder's layers, the decoder's in reverse. fit: the training.

    latent: numbers in between, fewer than features.
    """

    hidden: tuple[int, ...] = (64, 32)
    latent: int = 2
    fit: FitConfig = field(
        default_factory=lambda: FitConfig(epochs=100, lr=1e-3, batch_size=256, schedule="constant", patience=10)
    )


class AutoencoderNetwork(OutlierNetwork):
    """Encoder and decoder of standardised features; `error` (n,) is the mean over features of (x - decoded)^2."""

    def __init__(self, features: int, hidden: tuple[int, ...], latent: int) -> None:
        super().__init__()
        self.scale = Standardise(features)
        self.encoder = mlp([features, *hidden, latent])
        self.decoder = mlp([latent, *hidden[::-1], features])

    def prepare(self, *batch: Tensor) -> None:
        """Measure means and deviations of the features."""
        self.scale.fit(batch[0])

    def reconstruct(self, y: Tensor) -> Tensor:
        """Return standardised features (n, d) as they come back."""
        back: Tensor = self.decoder(self.encoder(y))
        return back

    def error(self, y: Tensor) -> Tensor:
        """Return the reconstruction error (n,) of standardised features (n, d)."""
        return (y - self.reconstruct(y)).square().mean(1)

    def loss(self, *batch: Tensor) -> Tensor:
        """Return the mean reconstruction error."""
        return self.unusual(*batch).mean()

    def unusual(self, *batch: Tensor) -> Tensor:
        """Return the reconstruction error of each event (n,)."""
        return self.error(self.scale(batch[0]))


class Autoencoder(NetworkOutlier):
    """A dense autoencoder: events that it reconstructs badly are unusual (arXiv:2112.02864, on features of jets).

    It learns to reconstruct what it sees, by the mean squared error. Nothing keeps it from reconstructing something
    else as well, the more so the simpler that is (arXiv:2206.14225).
    Not the paper's: its features, and with them the widths; "small" takes fewer and larger steps.
    """

    name = "autoencoder"
    configs: ClassVar[Mapping[str, Any]] = {
        "paper": AutoencoderConfig(),
        "small": AutoencoderConfig(
            hidden=(32, 16), fit=FitConfig(epochs=20, lr=5e-3, batch_size=256, patience=None, threads=1)
        ),
    }

    def _network(self, features: int) -> OutlierNetwork:
        bottleneck(self.config.latent, features, self.name)
        return AutoencoderNetwork(features, self.config.hidden, self.config.latent)
