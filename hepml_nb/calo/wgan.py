"""A Wasserstein GAN with gradient penalty that is told the energy, after CaloShowerGAN (arXiv:2309.06515)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn.functional import softplus

from hepml_nb.calo.adversarial import critic_loss
from hepml_nb.calo.adversarial_model import AdversarialModel
from hepml_nb.calo.fractions import FractionHead
from hepml_nb.calo.sample import Floats, Showers
from hepml_nb.core import derive_seed
from hepml_nb.learn import FitConfig, mlp
from hepml_nb.simulate.calorimeter import Geometry

__all__ = ["Generator", "WGan", "WGanConfig"]


@dataclass(frozen=True)
class WGanConfig:
    """noise: random numbers per shower. grain: one more for each voxel. penalty: of the critic's slope.

    critic_steps and average: see `Duel`.
    """

    noise: int = 100
    grain: bool = True
    hidden: tuple[int, ...] = (200, 400, 800)
    critic: tuple[int, ...] = (800, 400, 200)
    penalty: float = 3.0
    critic_steps: int = 8
    average: float = 0.998
    fit: FitConfig = field(
        default_factory=lambda: FitConfig(epochs=1000, lr=1e-4, batch_size=1024, schedule="constant")
    )


class Generator(nn.Module):
    """Noise (n, noise) and context (n, 1) to the fractions of a shower (n, voxels + layers + 1).

    Some of the noise goes through all layers. With grain one number per voxel is added at the end, with a width that
    the network learns (as in StyleGAN, arXiv:1812.04948), so that voxels can fluctuate, and be empty, each for itself:
    the AUC against the truth fell from 0.97 to 0.91. The first is added to the pull of the total, which so starts as
    wide as it should be: among hundreds of numbers its spread is what a short training loses first.
    """

    def __init__(self, geometry: Geometry, noise: int, hidden: tuple[int, ...], grain: bool = True) -> None:
        super().__init__()
        self.voxels, self.deep, self.head = geometry.voxels, noise, FractionHead(geometry)
        grains = self.voxels if grain else 0
        self.noise = noise + grains
        self.body = mlp([noise + 1, *hidden, self.head.width + grains])

    def forward(self, noise: Tensor, context: Tensor) -> Tensor:
        deep, grain = noise[:, : self.deep], noise[:, self.deep :]
        numbers = self.body(torch.cat([deep, context], 1))
        voxels, layers = numbers[:, : self.voxels], numbers[:, self.voxels : self.head.width - 1]
        pull, width = numbers[:, self.head.width - 1 : self.head.width], numbers[:, self.head.width :]
        if self.noise > self.deep:
            voxels = voxels + softplus(width) * grain
        fractions: Tensor = self.head(torch.cat([voxels, layers, pull + noise[:, :1]], 1))
        return fractions

    @torch.no_grad()
    def start_at(self, rows: Tensor) -> Generator:
        """Let the last bias make the mean of rows (n, voxels + layers + 1), so that training need not find it."""
        list(self.body.parameters())[-1][: self.head.width] = self.head.inverse(rows.mean(0))
        return self

    def draw(self, context: Tensor) -> Tensor:
        """Return one shower per row of the context, from new noise."""
        made: Tensor = self(torch.randn(len(context), self.noise, device=context.device), context)
        return made


class WGan(AdversarialModel):
    """A conditional WGAN-GP (arXiv:1704.00028) on fractions, as in CaloShowerGAN (arXiv:2309.06515), after CaloGAN
    (arXiv:1705.02355) and ATLAS's FastCaloGAN.

    Critic and generator are told the energy. Voxels are normalised to their layer, layers to the total, the total to
    the incident energy; unlike there, the total is a pull and the critic sees roots (`Fractions`, `RootScale`). One
    network serves all energies as in the paper, which trains long on a GPU and keeps the best of many checkpoints; ours
    are averaged weights of a short training.
    """

    name = "wgan-gp"
    configs: ClassVar[Mapping[str, Any]] = {
        "paper": WGanConfig(),
        "small": WGanConfig(
            noise=32,
            hidden=(128, 256),
            critic=(256, 128),
            critic_steps=3,
            fit=FitConfig(epochs=60, lr=5e-4, batch_size=128, schedule="cosine"),
        ),
    }

    def _fit(self, train: Showers, val: Showers, seed: int, untrained: bool) -> None:
        rows, context = self._begin(train, seed)
        self.generator = Generator(train.geometry, self.config.noise, self.config.hidden, self.config.grain)
        if not untrained:
            self.generator.start_at(rows)
        self.critic = mlp([rows.shape[1] + 1, *self.config.critic, 1])
        self._duel((rows, context), self.critic, self.generator, seed, untrained, self.config.critic_steps)

    def score(self, rows: Tensor, context: Tensor) -> Tensor:
        """Return the critic's score (n,) of rows of fractions for energies as context (n, 1)."""
        scored: Tensor = self.critic(torch.cat([self.scale(rows), context], 1))[:, 0]
        return scored

    def critic_loss(self, rows: Tensor, context: Tensor) -> Tensor:
        """Return what the critic loses on real rows and as many made for the same energies."""
        with torch.no_grad():
            made = self.scale(self.generator.draw(context))
        return critic_loss(
            lambda x: self.critic(torch.cat([x, context], 1))[:, 0], self.scale(rows), made, self.config.penalty
        )

    def maker_loss(self, rows: Tensor, context: Tensor) -> Tensor:
        """Return what the generator loses: minus the mean score of what it makes for the energies of the batch."""
        return -self.score(self.generator.draw(context), context).mean()

    @torch.no_grad()
    def _sample(self, energies: Floats, seed: int) -> Floats:
        torch.manual_seed(derive_seed(seed, "draw"))
        return self._map.deposits(self.generator.draw(self._map.context(energies)), energies)
