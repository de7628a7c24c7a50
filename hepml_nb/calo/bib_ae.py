"""The bounded information bottleneck autoencoder: an encoder and decoder that critics watch (arXiv:2005.05334)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from hepml_nb.calo.adversarial import critic_loss
from hepml_nb.calo.adversarial_model import AdversarialModel
from hepml_nb.calo.sample import Floats, Showers
from hepml_nb.calo.training import epochs_of
from hepml_nb.calo.wgan import Generator
from hepml_nb.core import derive_seed
from hepml_nb.learn import FitConfig, History, RowBatches, fit, mlp

__all__ = ["BibAe", "BibAeConfig", "mmd", "spectrum_mmd"]


@dataclass(frozen=True)
class BibAeConfig:
    """latent: numbers that the encoder fills; the decoder gets as many of pure noise beside them.

    The weights are of the makers' terms: critics of showers, of differences and of the latent space, the divergence,
    and the MMD of the latent space. post_*: width and training of the post-processing.
    """

    latent: int = 24
    hidden: tuple[int, ...] = (256, 512)
    critic: tuple[int, ...] = (512, 256)
    shower_weight: float = 1.0
    difference_weight: float = 1.0
    latent_weight: float = 1.0
    divergence_weight: float = 0.05
    mmd_weight: float = 5.0
    penalty: float = 10.0
    critic_steps: int = 5
    average: float = 0.998
    fit: FitConfig = field(default_factory=lambda: FitConfig(epochs=50, lr=5e-4, batch_size=256, schedule="constant"))
    post_hidden: tuple[int, ...] = (64, 64)
    post_fit: FitConfig = field(default_factory=lambda: FitConfig(epochs=10, lr=1e-3, batch_size=256, patience=None))


def mmd(first: Tensor, second: Tensor, widths: tuple[float, ...] = (1.0, 4.0, 16.0)) -> Tensor:
    """Return the maximum mean discrepancy squared of two samples (n, d) and (m, d), summed over Gaussian kernels.

    The kernels are exp(-|x - y|^2 / (2 width d)); the estimate is the biased one, so that it is never negative.
    """
    both = torch.cat([first, second])
    norms = both.square().sum(1)
    squares = (norms[:, None] + norms[None] - 2 * both @ both.T).clamp(min=0) / both.shape[1]
    kernel = torch.stack([(-squares / (2 * width)).exp() for width in widths]).sum(0)
    n = len(first)
    return kernel[:n, :n].mean() + kernel[n:, n:].mean() - 2 * kernel[:n, n:].mean()


def spectrum_mmd(first: Tensor, second: Tensor, window: int = 25) -> Tensor:
    """Return the mean `mmd` of the sorted voxels of two samples (n, voxels), over windows of neighbouring ranks.

    The sorted-kernel MMD of the paper, which compares spectra of voxels and not where these are.
    """
    a, b = (rows.sort(dim=1, descending=True).values for rows in (first, second))
    return torch.stack([mmd(a[:, i : i + window], b[:, i : i + window]) for i in range(0, a.shape[1], window)]).mean()


class BibAe(AdversarialModel):
    """A BIB-AE (arXiv:2005.05334, hadrons in S1/43): encoder, decoder, three critics and a post-processing network.

    The makers are told the energy and have no mean squared error: one critic compares showers with decoded ones, one
    the difference of a shower and its decoded self with 0, one the latent space with its prior, beside KL divergence
    and MMD there. Afterwards every voxel passes through one small network, trained to bring the spectrum of voxels
    right (`spectrum_mmd`) and to change little else. Networks are dense instead of convolutional, the shower is that
    of `Fractions`, and the paper's prior that is fitted to the encoded showers later (S1/43) is the plain normal one.
    """

    name = "bib-ae"
    configs: ClassVar[Mapping[str, Any]] = {
        "paper": BibAeConfig(),
        "small": BibAeConfig(
            latent=10,
            hidden=(128, 256),
            critic=(128, 64),
            critic_steps=2,
            fit=FitConfig(epochs=40, lr=1e-3, batch_size=128, schedule="cosine"),
            post_hidden=(16, 16),
            post_fit=FitConfig(epochs=3, lr=2e-3, batch_size=64, patience=None),
        ),
    }
    post_history: History

    def _fit(self, train: Showers, val: Showers, seed: int, untrained: bool) -> None:
        c = self.config
        parts = [self._begin(train, seed), self.rows(val)]
        width = parts[0][0].shape[1]
        self.encoder = mlp([width + 1, *c.hidden[::-1], 2 * c.latent])
        self.decoder = Generator(train.geometry, 2 * c.latent, c.hidden)
        if not untrained:
            self.decoder.start_at(parts[0][0])
        judges = {"showers": [width + 1, *c.critic, 1], "differences": [width + 1, *c.critic, 1]}
        self.critics = nn.ModuleDict(
            {name: mlp(sizes) for name, sizes in (judges | {"latent": [c.latent, 64, 64, 1]}).items()}
        )
        self.post = mlp([3, *c.post_hidden, 1])
        for weight in self.post[-1].parameters():
            nn.init.zeros_(weight)  # untrained it changes nothing
        makers, post = nn.ModuleList([self.encoder, self.decoder]), epochs_of(c.post_fit, untrained)
        self._duel(parts[0], self.critics, makers, seed, untrained, c.critic_steps)
        seen, held = (RowBatches(*part, batch_size=post.batch_size, seed=derive_seed(seed, "post")) for part in parts)
        self.post_history = fit(self.post, self._post_loss, seen, held, post, seed=derive_seed(seed, "post fit"))

    def encode(self, rows: Tensor, context: Tensor) -> tuple[Tensor, Tensor]:
        """Return mean and logarithm of the variance (n, latent) of the latent numbers of rows of `Fractions`."""
        mean, log_var = self.encoder(torch.cat([self.scale(rows), context], 1)).chunk(2, 1)
        return mean, log_var.clamp(-12, 4)

    def decode(self, z: Tensor, context: Tensor) -> Tensor:
        """Return rows (n, width) of latent numbers z (n, latent); what z leaves open is drawn."""
        made: Tensor = self.decoder(torch.cat([z, torch.randn(len(z), self.decoder.noise - z.shape[1])], 1), context)
        return made

    def _round(self, rows: Tensor, context: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return mean, logarithm of the variance and a draw of the latent numbers, and the rows decoded from it."""
        mean, log_var = self.encode(rows, context)
        z = mean + (log_var / 2).exp() * torch.randn_like(mean)
        return mean, log_var, z, self.decode(z, context)

    def critic_loss(self, rows: Tensor, context: Tensor) -> Tensor:
        """Return the sum of what the three critics lose (WGAN-GP each)."""
        with torch.no_grad():
            _, _, z, decoded = self._round(rows, context)
        true, made, c = self.scale(rows), self.scale(decoded), self.config.penalty
        showers = critic_loss(lambda x: self._score("showers", x, context), true, made, c)
        differences = critic_loss(
            lambda x: self._score("differences", x, context), torch.zeros_like(true), made - true, c
        )
        return showers + differences + critic_loss(lambda x: self._score("latent", x), torch.randn_like(z), z, c)

    def _score(self, which: str, x: Tensor, *told: Tensor) -> Tensor:
        """Return a critic's score (n,) of rows x, told the context where it judges showers."""
        scored: Tensor = self.critics[which](torch.cat([x, *told], 1))[:, 0]
        return scored

    def maker_loss(self, rows: Tensor, context: Tensor) -> Tensor:
        """Return what encoder and decoder lose: the critics' scores, the divergence and the MMD from the prior."""
        c = self.config
        mean, log_var, z, decoded = self._round(rows, context)
        true, made = self.scale(rows), self.scale(decoded)
        showers = self._score("showers", made, context).mean()
        differences = self._score("differences", made - true, context).mean()
        divergence = 0.5 * (mean.square() + log_var.exp() - 1 - log_var).sum(1).mean()
        scores = c.shower_weight * showers + c.difference_weight * differences
        scores = scores + c.latent_weight * self._score("latent", z).mean()
        loss: Tensor = c.divergence_weight * divergence + c.mmd_weight * mmd(z, torch.randn_like(z)) - scores
        return loss

    def refine(self, rows: Tensor, context: Tensor) -> Tensor:
        """Return rows whose voxels have passed the post-processing network one by one; empty ones stay empty."""
        voxels = self._map.geometry.voxels
        share = rows[:, :voxels]
        logs = (share + 1e-6).log()
        beside = [x[:, None].expand_as(logs) for x in (context[:, 0], rows[:, -1])]
        factor = self.post(torch.stack([logs / 5, *beside], 2))[:, :, 0].clamp(-8, 3).exp()
        return torch.cat([share * factor, rows[:, voxels:]], 1)

    def _post_loss(self, post: nn.Module, batch: Any) -> Tensor:
        rows, context = batch
        with torch.no_grad():
            made = self.decode(torch.randn(len(rows), self.config.latent), context)
        voxels = self._map.geometry.voxels
        before, after, true = ((r[:, :voxels] + 1e-8).sqrt() for r in (made, self.refine(made, context), rows))
        loss: Tensor = (
            spectrum_mmd(after / true.std(), true / true.std()) + ((after - before) / true.std()).square().mean()
        )
        return loss

    @torch.no_grad()
    def _sample(self, energies: Floats, seed: int) -> Floats:
        torch.manual_seed(derive_seed(seed, "draw"))
        context = self._map.context(energies)
        made = self.refine(self.decode(torch.randn(len(energies), self.config.latent), context), context)
        return self._map.deposits(made, energies)
