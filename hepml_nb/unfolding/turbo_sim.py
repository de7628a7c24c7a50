"""Turbo-Sim: an autoencoder whose latent space is the physics before the detector (arXiv:2112.10629)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from hepml_nb.core import derive_seed
from hepml_nb.learn import FitConfig, History, RowBatches, Standardise, mlp
from hepml_nb.unfolding.gan import adversarial, alternate
from hepml_nb.unfolding.generative import GenerativeConfig, GenerativeUnfolder, Rows

__all__ = ["TurboSim", "TurboSimConfig", "TurboSimNetwork"]


@dataclass(frozen=True)
class TurboSimConfig(GenerativeConfig):
    """noise: random numbers that encoder and decoder are given. paired, adversary, cycle: weights of the terms of the
    loss: distance of an image from its own partner, a judge's verdict on images, distance after a round trip."""

    hidden: tuple[int, ...] = (256, 256, 256)
    noise: int = 4
    paired: float = 1.0
    adversary: float = 1.0
    cycle: float = 1.0


class TurboSimNetwork(nn.Module):
    """An encoder sim -> gen and a decoder gen -> sim, each with noise, and a judge of the images on either side."""

    def __init__(self, config: TurboSimConfig, features: int, context: int) -> None:
        super().__init__()
        self.config, noise, hidden = config, config.noise, config.hidden
        self.x_scale, self.context_scale = Standardise(features), Standardise(context)
        self.encoder = mlp([context + noise, *hidden, features])
        self.decoder = mlp([features + noise, *hidden, context])
        self.judges = nn.ModuleList([mlp([n, *hidden, 1]) for n in (features, context)])

    def standardise(self, x: Tensor, context: Tensor) -> TurboSimNetwork:
        """Measure the scales of gen (n, features) and sim (n, context)."""
        self.x_scale.fit(x)
        self.context_scale.fit(context)
        return self

    def losses(self, x: Tensor, context: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
        """Return the losses of the judges, and of encoder and decoder, on the paths sim-gen-sim and gen-sim-gen."""
        gen, sim, c = self.x_scale(x), self.context_scale(context), self.config
        image_gen, image_sim = self.encode(sim), self.decode(gen)
        back_sim, back_gen = self.decode(image_gen), self.encode(image_sim)

        def apart(a: Tensor, b: Tensor) -> Tensor:
            return (weights * (a - b).abs().mean(1)).mean()

        judged = [
            adversarial(judge, real, made, weights)
            for judge, real, images in zip(
                self.judges, (gen, sim), ((image_gen, back_gen), (image_sim, back_sim)), strict=True
            )
            for made in images
        ]
        paired = c.paired * (apart(image_gen, gen) + apart(image_sim, sim))
        cycle = c.cycle * (apart(back_sim, sim) + apart(back_gen, gen))
        against, fooled = (torch.stack([one[i] for one in judged]).sum() for i in (0, 1))
        return against, paired + cycle + c.adversary * fooled

    def encode(self, sim: Tensor) -> Tensor:
        """Return standardised gen (n, features) of standardised sim (n, context)."""
        return self._with_noise(self.encoder, sim)

    def decode(self, gen: Tensor) -> Tensor:
        """Return standardised sim (n, context) of standardised gen (n, features): the fast simulation."""
        return self._with_noise(self.decoder, gen)

    def sample(self, context: Tensor) -> Tensor:
        """Return one draw (n, features) per row of the context."""
        return self.encode(self.context_scale(context)) * self.x_scale.scale + self.x_scale.mean

    def _with_noise(self, network: nn.Module, x: Tensor) -> Tensor:
        noise = torch.randn(len(x), self.config.noise, dtype=x.dtype, device=x.device)
        out: Tensor = network(torch.cat([x, noise], 1))
        return out


class TurboSim(GenerativeUnfolder):
    """Turbo-Sim (S1/9): encoder and decoder trained both ways at once by bounds of mutual information.

    Four distances (an image from its partner, a round trip from its start) and judges of images and round trips. The
    distances are absolute ones, as for a Laplace density: they pull every image to the median of the posterior while
    the judges ask for its spectrum, so that a draw is no posterior. Kept for history.
    History: train_loss is the maps', val_loss the judges'.
    """

    name = "turbo-sim"
    posterior_draws: ClassVar[bool] = False
    configs: ClassVar[Mapping[str, Any]] = {
        "paper": TurboSimConfig(draws=1, fit=FitConfig(epochs=100, lr=1e-3, batch_size=256, schedule="cosine")),
        "small": TurboSimConfig(
            draws=1, hidden=(64, 64), fit=FitConfig(epochs=20, lr=1e-3, batch_size=128, schedule="cosine")
        ),
    }

    def _network(self, features: int, context: int) -> TurboSimNetwork:
        return TurboSimNetwork(self.config, features, context)

    def _learn(self, rows: Rows, seed: int) -> History:
        tensors = self._start(rows, seed)
        batches = RowBatches(*tensors, batch_size=self.config.fit.batch_size, seed=derive_seed(seed, "order"))
        makers = [*self.model.encoder.parameters(), *self.model.decoder.parameters()]
        return alternate(self.model, batches, self.config.fit, seed, makers, self.model.judges.parameters())

    def _draw(self, model: Any, context: Tensor, source: Tensor) -> Tensor:
        drawn: Tensor = model.sample(context)
        return drawn
