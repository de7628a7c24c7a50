"""A variational autoencoder of showers that is told the energy, after ATLAS's photon showers (arXiv:2210.06204)."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits, softplus

from hepml_nb.calo.base import ShowerModel
from hepml_nb.calo.coordinates import LayerCoordinates, filled_up
from hepml_nb.calo.sample import Floats, Showers
from hepml_nb.calo.training import epochs_of
from hepml_nb.core import InputError, derive_seed
from hepml_nb.learn import FitConfig, History, RowBatches, Standardise, fit, mlp
from hepml_nb.learn.flow_matching import validation_noise

__all__ = ["ShowerVae", "Vae", "VaeConfig", "elbo_terms"]

_NARROWEST = 0.02
"""Least width of a normal distribution of the decoder, in logarithms: a spike must not win the likelihood."""


@dataclass(frozen=True)
class VaeConfig:
    """latent: numbers of the latent space. energy_weight: of the terms of total and layers, 1 for a true bound.

    kl_weight: of the divergence. spread: draw voxels from the decoder's distributions; False takes their means, as is
    published.
    """

    latent: int = 10
    hidden: tuple[int, ...] = (180, 150, 120)
    energy_weight: float = 1.0
    kl_weight: float = 1.0
    spread: bool = True
    fit: FitConfig = field(default_factory=lambda: FitConfig(epochs=100, lr=1e-3, batch_size=100, patience=None))

    def __post_init__(self) -> None:
        if self.latent < 1 or self.energy_weight <= 0 or self.kl_weight <= 0:
            raise InputError(f"latent={self.latent} and both weights must be positive; see VaeConfig.")


class ShowerVae(nn.Module):
    """Encoder and decoder of rows: ratios of layers (n, layers), logarithms of shares (n, voxels), hits (n, voxels).

    The decoder gives for each ratio mean and width, for each voxel the logit of being hit, mean and width of the
    logarithm of its share.
    """

    def __init__(self, layers: int, voxels: int, config: VaeConfig) -> None:
        super().__init__()
        self.layers, self.voxels, self.latent = layers, voxels, config.latent
        self.ratio_scale, self.share_scale = Standardise(layers), Standardise(voxels)
        self.encoder = mlp([layers + 2 * voxels + 1, *config.hidden, 2 * config.latent])
        self.decoder = mlp([config.latent + 1, *config.hidden[::-1], 2 * layers + 3 * voxels])

    def encode(self, ratios: Tensor, shares: Tensor, hits: Tensor, context: Tensor) -> tuple[Tensor, Tensor]:
        """Return mean and logarithm of the variance (n, latent) of q(z | shower, energy), of standardised rows."""
        mean, log_var = self.encoder(torch.cat([ratios, shares, hits, context], 1)).chunk(2, 1)
        return mean, log_var.clamp(-12, 4)

    def decode(self, z: Tensor, context: Tensor) -> tuple[tuple[Tensor, Tensor], Tensor, tuple[Tensor, Tensor]]:
        """Return (mean, width) of ratios, logits of hits, (mean, width) of log shares, all standardised."""
        parts = [self.layers, self.layers, self.voxels, self.voxels, self.voxels]
        mean, width, hit, share, spread = self.decoder(torch.cat([z, context], 1)).split(parts, 1)
        return (mean, softplus(width) + _NARROWEST), hit, (share, softplus(spread) + _NARROWEST)


def elbo_terms(
    model: ShowerVae, ratios: Tensor, shares: Tensor, hits: Tensor, context: Tensor, noise: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Return three terms (n,) whose sum is minus the evidence lower bound: energies, voxels, divergence.

    Energies and voxels are -log p(ratios | z) and -log p(voxels | z) at z = mean + width * noise: a voxel is hit or
    not, and where it is, its log share is normal. The divergence is KL(q(z | x) || N(0, 1)) (arXiv:1312.6114).
    """
    u, s = model.ratio_scale(ratios), model.share_scale(shares) * hits
    mean, log_var = model.encode(u, s, hits, context)
    (centre, width), hit, (share, spread) = model.decode(mean + (log_var / 2).exp() * noise, context)
    energies = _normal(u, centre, width).sum(1)
    seen = binary_cross_entropy_with_logits(hit, hits, reduction="none")
    voxels = (seen + hits * _normal(s, share, spread)).sum(1)
    divergence = 0.5 * (mean.square() + log_var.exp() - 1 - log_var).sum(1)
    return energies, voxels, divergence


def _normal(x: Tensor, mean: Tensor, width: Tensor) -> Tensor:
    """Return -log N(x; mean, width)."""
    return 0.5 * ((x - mean) / width).square() + width.log() + 0.5 * math.log(2 * math.pi)


class Vae(ShowerModel):
    """A VAE as in ATLAS's study of photon showers (arXiv:2210.06204): cells, total and layers are all reconstructed.

    The loss has the paper's parts: reconstruction of voxels, of the total and of each layer, and the divergence from
    the prior; encoder and decoder are told the energy. The paper's decoder gives one number per cell, which is blurred;
    ours gives a distribution per voxel (hit or not, lognormal share), so that the loss is a bound of the likelihood and
    voxels are drawn from it. Layers and totals are ratios as in `LayerCoordinates`, voxels are shares of their layer.
    """

    name = "vae"
    configs: ClassVar[Mapping[str, Any]] = {
        "paper": VaeConfig(),
        "small": VaeConfig(
            hidden=(256, 256), energy_weight=3.0, fit=FitConfig(epochs=40, lr=2e-3, batch_size=128, patience=None)
        ),
    }
    history: History

    def _fit(self, train: Showers, val: Showers, seed: int, untrained: bool) -> None:
        self._map = LayerCoordinates(train.geometry).fit(train)
        config = epochs_of(self.config.fit, untrained)
        rows = [self.rows(showers, derive_seed(seed, "rows", i)) for i, showers in enumerate((train, val))]
        torch.manual_seed(derive_seed(seed, "init"))
        self.model = ShowerVae(len(train.geometry.layers), train.geometry.voxels, self.config)
        self.model.ratio_scale.fit(rows[0][0])
        _fit_where_hit(self.model.share_scale, rows[0][1], rows[0][2])
        seen, held = (RowBatches(*row, batch_size=config.batch_size, seed=seed) for row in rows)
        self.history = fit(self.model, self.loss, seen, held, config, seed=derive_seed(seed, "fit"))

    def rows(self, showers: Showers, seed: int = 0) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return ratios (n, layers), logarithms of shares and hits, both (n, voxels), and the context (n, 1)."""
        hits = showers.deposits > 0
        values = self._map.ratios(showers, seed), np.log(np.where(hits, showers.shares, 1)), hits
        ratios, logs, seen = (torch.from_numpy(np.asarray(value, np.float32)) for value in values)
        return ratios, logs, seen, torch.from_numpy(self._map.context(showers.energies))

    def loss(self, model: ShowerVae, batch: Any) -> Tensor:
        """Return the mean of weighted minus evidence lower bounds of a batch of `rows`."""
        ratios, shares, hits, context = batch
        noise = torch.randn(len(ratios), model.latent, generator=validation_noise(model, ratios), device=ratios.device)
        energies, voxels, divergence = elbo_terms(model, ratios, shares, hits, context, noise)
        loss: Tensor = (self.config.energy_weight * energies + voxels + self.config.kl_weight * divergence).mean()
        return loss

    @torch.no_grad()
    def encode(self, showers: Showers, seed: int = 0) -> Floats:
        """Return the mean (n, latent) of q(z | shower, energy)."""
        ratios, shares, hits, context = self.rows(showers, seed)
        model = self.model.eval()
        mean, _ = model.encode(model.ratio_scale(ratios), model.share_scale(shares) * hits, hits, context)
        return np.asarray(mean.numpy())

    @torch.no_grad()
    def decode(self, z: Floats, energies: Floats, seed: int = 0, *, spread: bool = True) -> Floats:
        """Return deposits (n, voxels) in MeV of points z (n, latent) for energies (n,) in MeV.

        spread=False takes the mean of what the decoder may draw: each voxel's probability of a hit times its share.
        """
        torch.manual_seed(derive_seed(seed, "decode"))
        model = self.model.eval()
        point = torch.as_tensor(np.asarray(z, np.float32))
        (mean, width), hit, (share, log_width) = model.decode(point, torch.from_numpy(self._map.context(energies)))
        scale = model.share_scale
        centre, sigma = share * scale.scale + scale.mean, log_width * scale.scale
        if spread:
            mean = mean + width * torch.randn_like(mean)
            shares = (centre + sigma * torch.randn_like(sigma)).exp() * torch.bernoulli(hit.sigmoid())
        else:
            shares = (centre + sigma.square() / 2).exp() * hit.sigmoid()
        layers = self._map.layers((mean * model.ratio_scale.scale + model.ratio_scale.mean).numpy(), energies)
        return filled_up(shares.double().numpy(), layers, self.geometry).astype(np.float32)

    def _sample(self, energies: Floats, seed: int) -> Floats:
        torch.manual_seed(derive_seed(seed, "prior"))
        z = torch.randn(len(energies), self.config.latent).numpy()
        return self.decode(z, energies, seed, spread=self.config.spread)


def _fit_where_hit(scale: Standardise, shares: Tensor, hits: Tensor) -> None:
    """Measure mean and deviation of each voxel's log share where it is hit; of voxels hit at most once, of all."""
    n = hits.sum(0)
    mean = (shares * hits).sum(0) / n.clamp(min=1)
    width = (((shares - mean) * hits).square().sum(0) / n.clamp(min=1)).sqrt()
    rare = n < 2
    scale.mean.copy_(torch.where(n > 0, mean, mean[n > 0].mean()))
    scale.scale.copy_(torch.where(rare | (width < 1e-3), width[~rare].mean(), width))
