"""What methods in the latent space of an autoencoder share: their network, and the numbers that it gives."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from hepml_nb.anomaly.autoencoder import AutoencoderNetwork
from hepml_nb.anomaly.outlier import NetworkOutlier, OutlierNetwork
from hepml_nb.anomaly.sample import Events, Floats
from hepml_nb.core import InputError, rng
from hepml_nb.learn import FitConfig, RowBatches, predict

__all__ = ["ROWS", "SMALL_ENCODER", "EncoderConfig", "LatentNetwork", "LatentOutlier"]

ROWS = 8192
"""Events at a time, which bounds memory."""

SMALL_ENCODER: dict[str, Any] = {
    "hidden": (32, 16),
    "fit": FitConfig(epochs=20, lr=5e-3, batch_size=256, patience=None, threads=1),
}
"""Settings of the encoder in every "small" configuration."""


@dataclass(frozen=True)
class EncoderConfig:
    """latent: numbers that the encoder gives; hidden: its widths; fit: its training.

    events: that are looked at in the latent space, drawn from those of the autoencoder.
    """

    hidden: tuple[int, ...] = (64, 32)
    latent: int = 4
    events: int = 600
    fit: FitConfig = field(
        default_factory=lambda: FitConfig(epochs=100, lr=1e-3, batch_size=256, schedule="constant", patience=10)
    )


class LatentNetwork(AutoencoderNetwork):
    """An autoencoder whose latent numbers end in a tanh: between -1 and 1 they can be angles."""

    def encode(self, y: Tensor) -> Tensor:
        """Return the latent numbers (n, latent) of standardised features (n, d)."""
        z: Tensor = torch.tanh(self.encoder(y))
        return z

    def reconstruct(self, y: Tensor) -> Tensor:
        """Return standardised features (n, d) as they come back."""
        back: Tensor = self.decoder(self.encode(y))
        return back


class LatentOutlier(NetworkOutlier):
    """A dense autoencoder, of whose encoder a subclass makes use in `_learn` and `_score`."""

    def _network(self, features: int) -> OutlierNetwork:
        if not 1 <= self.config.latent <= features:
            raise InputError(
                f"{self.name} with latent={self.config.latent!r} for {features} features; expected 1 to {features}."
            )
        return LatentNetwork(features, self.config.hidden, self.config.latent)

    def latent(self, events: Events) -> Floats:
        """Return the latent numbers (n, latent) of events, each between -1 and 1."""
        batches = RowBatches(*self._rows(events), batch_size=ROWS, shuffle=False)
        net: Any = self.model
        codes: Floats = predict(net, batches, lambda one, batch: one.encode(one.scale(batch[0]))).double().numpy()
        return codes

    def _chosen(self, events: Events, seed: int) -> Events:
        """Return the events that are looked at in the latent space."""
        return events[rng(seed, self.name, "chosen").permutation(len(events))[: self.config.events]]
