"""A variational autoencoder: reconstruction and latent divergence, either of which can be the score."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal, get_args

import torch
from torch import Tensor

from hepml_nb.anomaly.autoencoder import AutoencoderNetwork
from hepml_nb.anomaly.outlier import NetworkOutlier, OutlierNetwork
from hepml_nb.core import InputError, suggest
from hepml_nb.learn import FitConfig, mlp

__all__ = ["SPREAD", "Vae", "VaeConfig", "VaeNetwork", "VaeScore"]

SPREAD = (-5.0, 5.0)
"""Where the decoder's log variances may lie: were a feature known to any precision, single events would dominate."""

VaeScore = Literal["reconstruction", "kl", "loss"]


@dataclass(frozen=True)
class VaeConfig:
    """hidden, latent: as of an autoencoder. beta: price of the divergence. fit: the training.

    score: "reconstruction" (arXiv:1811.10276), "kl" (the encoder alone, for triggers: arXiv:2108.03986), "loss": both.
    """

    hidden: tuple[int, ...] = (50, 50)
    latent: int = 4
    beta: float = 0.3
    score: VaeScore = "reconstruction"
    fit: FitConfig = field(
        default_factory=lambda: FitConfig(epochs=200, lr=3e-3, batch_size=1000, schedule="constant", patience=20)
    )

    def __post_init__(self) -> None:
        if self.score not in get_args(VaeScore):
            raise InputError(f"score={self.score!r} is unknown{suggest(str(self.score), get_args(VaeScore))}")
        if self.latent < 1 or self.beta < 0:
            raise InputError(f"latent={self.latent!r}, beta={self.beta!r}; expected at least 1 and 0.")


class VaeNetwork(AutoencoderNetwork):
    """The encoder gives mean and log variance of each latent number, the decoder the features' mean and log variance.

    reconstruction (n,) is -log p(x | z) with a normal density of every standardised feature, at a latent number drawn
    while training and at its mean afterwards; kl (n,) the divergence of the latent density from a standard normal one.
    """

    def __init__(self, features: int, config: VaeConfig) -> None:
        super().__init__(features, config.hidden, config.latent)
        self.config = config
        self.encoder = mlp([features, *config.hidden, 2 * config.latent])
        self.decoder = mlp([config.latent, *config.hidden[::-1], 2 * features])

    def terms(self, y: Tensor) -> tuple[Tensor, Tensor]:
        """Return (reconstruction, kl), each (n,), of standardised features (n, d)."""
        mean, log_variance = self.encoder(y).chunk(2, dim=1)
        log_variance = log_variance.clamp(-20, 20)
        z = mean + torch.randn_like(mean) * (0.5 * log_variance).exp() if self.training else mean
        back, spread = self.decoder(z).chunk(2, dim=1)
        spread = spread.clamp(*SPREAD)
        reconstruction = 0.5 * ((y - back).square() * (-spread).exp() + spread).sum(1)
        kl = 0.5 * (mean.square() + log_variance.exp() - log_variance - 1).sum(1)
        return reconstruction, kl

    def loss(self, *batch: Tensor) -> Tensor:
        """Return the mean of reconstruction + beta kl."""
        reconstruction, kl = self.terms(self.scale(batch[0]))
        return (reconstruction + self.config.beta * kl).mean()

    def unusual(self, *batch: Tensor) -> Tensor:
        """Return the score (n,) that the configuration names."""
        reconstruction, kl = self.terms(self.scale(batch[0]))
        scores = {"reconstruction": reconstruction, "kl": kl, "loss": reconstruction + self.config.beta * kl}
        return scores[self.config.score]


class Vae(NetworkOutlier):
    """A variational autoencoder in the manner of arXiv:1811.10276, on features of events.

    The decoder gives a density of every feature, the loss is the negative log-likelihood of the input plus beta times
    the divergence of the latent density from a standard normal one. The paper has densities fit to its features (log-
    normal, discrete) and a trained prior; here all features are standardised and normal, the prior fixed. "small" takes
    fewer and larger steps.
    """

    name = "vae"
    configs: ClassVar[Mapping[str, Any]] = {
        "paper": VaeConfig(),
        "small": VaeConfig(
            hidden=(32, 16), latent=2, fit=FitConfig(epochs=20, lr=1e-2, batch_size=128, patience=None, threads=1)
        ),
    }

    def _network(self, features: int) -> OutlierNetwork:
        return VaeNetwork(features, self.config)
