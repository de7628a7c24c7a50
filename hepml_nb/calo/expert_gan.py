"""A mixture of GAN experts behind a router, made diverse where showers are (ExpertSim, arXiv:2508.20991)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import gumbel_softmax, softplus

from hepml_nb.calo.adversarial_model import AdversarialModel
from hepml_nb.calo.sample import Floats, Showers
from hepml_nb.calo.wgan import Generator
from hepml_nb.core import InputError, derive_seed
from hepml_nb.learn import FitConfig, mlp

__all__ = ["ExpertGan", "ExpertGanConfig", "diversity_loss"]

_GENTLY = 0.05
"""Share of the makers' losses that moves the router: with all of it one expert soon gets every shower."""


@dataclass(frozen=True)
class ExpertGanConfig:
    """experts: generators. Strengths of the terms: diversity (0 switches it off), intensity, differentiation, balance.

    balance holds the router to using all experts alike. average, and fit: see `Duel`.
    """

    experts: int = 3
    noise: int = 10
    hidden: tuple[int, ...] = (256, 512)
    critic: tuple[int, ...] = (512, 256)
    router: tuple[int, ...] = (32,)
    diversity: float = 0.1
    intensity: float = 0.01
    differentiation: float = 0.01
    balance: float = 2.0
    average: float = 0.998
    fit: FitConfig = field(default_factory=lambda: FitConfig(epochs=250, lr=1e-4, batch_size=256, schedule="constant"))

    def __post_init__(self) -> None:
        if self.experts < 1 or min(self.diversity, self.intensity, self.differentiation, self.balance) < 0:
            raise InputError(f"experts={self.experts} must be at least 1, and no strength of a term negative.")


def diversity_loss(first: Tensor, second: Tensor, noises: tuple[Tensor, Tensor], wanted: Tensor) -> Tensor:
    """Return the mean of wanted * |z1 - z2| / |x1 - x2|, each distance the mean absolute difference of numbers.

    first, second (n, d): rows made from two noises (n, k) under equal conditions; wanted (n,): how diverse the truth is
    under these, 0 to 1. It is large where noise changes nothing, and leaves alone inputs whose showers are all alike
    (selective diversity, arXiv:2207.01561).
    """
    near = (first - second).abs().mean(1) + 1e-3
    return (wanted * (noises[0] - noises[1]).abs().mean(1) / near).mean()


class ExpertGan(AdversarialModel):
    """ExpertSim's mixture of generators (arXiv:2508.20991; S2/182), with the diversity of S1/56.

    A router, told the energy, gives each shower to one of the experts (straight-through Gumbel softmax). The makers
    lose the non-saturating cross entropy of a discriminator, `diversity_loss`, and the squared difference of the energy
    seen to that of the true shower; the router is moved towards experts whose mean totals differ and that are all used.
    Different from the paper: one discriminator serves all experts, networks are dense, and the auxiliary regressor of
    the shower's centre is left out. How diverse the truth is at an energy is the spread of true showers around it.
    """

    name = "expert-gan"
    configs: ClassVar[Mapping[str, Any]] = {
        "paper": ExpertGanConfig(),
        "small": ExpertGanConfig(
            hidden=(128,), critic=(128, 64), fit=FitConfig(epochs=40, lr=1e-3, batch_size=128, schedule="cosine")
        ),
    }

    def _fit(self, train: Showers, val: Showers, seed: int, untrained: bool) -> None:
        c = self.config
        rows, context = self._begin(train, seed)
        self.experts = [Generator(train.geometry, c.noise, c.hidden) for _ in range(c.experts)]
        self.route = mlp([1, *c.router, c.experts])
        for expert in () if untrained else self.experts:
            expert.start_at(rows)
        self.critic = mlp([rows.shape[1] + 1, *c.critic, 1])
        self._spreads = _spreads(self.scale(rows), context)
        makers = nn.ModuleList([*self.experts, self.route])
        self._duel((rows, context), self.critic, makers, seed, untrained, 1, (0.5, 0.9))

    def wanted(self, context: Tensor) -> Tensor:
        """Return how diverse true showers are (n,) at energies as context (n, 1): 1 at the most diverse."""
        places, spreads = self._spreads
        return spreads[torch.bucketize(context[:, 0].contiguous(), places)]

    def router(self, energies: Floats) -> Floats:
        """Return the probabilities (n, experts) that a shower of energies (n,) in MeV goes to each expert."""
        with torch.no_grad():
            return np.asarray(self.route(self._map.context(energies)).softmax(1).numpy())

    def mixed(self, noise: Tensor, context: Tensor, gate: Tensor) -> Tensor:
        """Return rows (n, d), each of the expert that its gate (n, experts), a unit vector, points to."""
        made = torch.stack([expert(noise, context) for expert in self.experts], 1)
        return (made * gate[:, :, None]).sum(1)

    def draw(self, context: Tensor) -> Tensor:
        """Return one row of fractions for each context, of a random expert as the router has it."""
        gate = gumbel_softmax(self.route(context), hard=True)
        return self.mixed(torch.randn(len(context), self.experts[0].noise), context, gate)

    def judge(self, rows: Tensor, context: Tensor) -> Tensor:
        """Return the discriminator's logits (n,) of being true, of rows as `RootScale` has them."""
        logits: Tensor = self.critic(torch.cat([rows, context], 1))[:, 0]
        return logits

    def critic_loss(self, rows: Tensor, context: Tensor) -> Tensor:
        """Return the cross entropy of the discriminator, and the penalty on its slopes at true rows (1801.04406)."""
        with torch.no_grad():
            made = self.scale(self.draw(context))
        seen = self.scale(rows).requires_grad_()
        yes, no = self.judge(seen, context), self.judge(made, context)
        (slope,) = torch.autograd.grad(yes.sum(), seen, create_graph=True)
        loss: Tensor = (softplus(-yes) + softplus(no)).mean() + 0.5 * slope.square().sum(1).mean()
        return loss

    def maker_loss(self, rows: Tensor, context: Tensor) -> Tensor:
        """Return what experts and router lose on one batch: the sum of all terms."""
        c, n = self.config, len(context)
        logits = self.route(context)
        gate = gumbel_softmax(logits, hard=True)
        gate = gate.detach() + _GENTLY * (gate - gate.detach())
        noises = torch.randn(n, self.experts[0].noise), torch.randn(n, self.experts[0].noise)
        first, second = (self.scale(self.mixed(noise, context, gate)) for noise in noises)
        loss: Tensor = softplus(-self.judge(first, context)).mean()
        if c.diversity:
            loss = loss + c.diversity * diversity_loss(first, second, noises, self.wanted(context))
        true, made = (seen[:, -1] / self.scale.emphasis for seen in (self.scale(rows), first))
        loss = loss + c.intensity * (made - true).square().mean()
        share = logits.softmax(1)
        use = share.mean(0)
        totals = (share * made.detach()[:, None]).sum(0) / (share.sum(0) + 1e-6)
        apart = (totals[:, None] - totals[None]).square().mean()
        balance = (use * (use * c.experts + 1e-6).log()).sum()
        total: Tensor = loss - c.differentiation * apart + c.balance * balance
        return total

    @torch.no_grad()
    def _sample(self, energies: Floats, seed: int) -> Floats:
        torch.manual_seed(derive_seed(seed, "draw"))
        return self._map.deposits(self.draw(self._map.context(energies)), energies)


def _spreads(seen: Tensor, context: Tensor, bins: int = 10) -> tuple[Tensor, Tensor]:
    """Return edges of the context, and between them the mean spread of standardised rows, the largest 1."""
    edges = torch.quantile(context[:, 0], torch.linspace(0, 1, bins + 1)[1:-1])
    edges = torch.from_numpy(np.unique(edges.numpy()))
    where = torch.bucketize(context[:, 0].contiguous(), edges)
    spreads = [seen[where == i].std(0).mean() if (where == i).sum() > 1 else seen.new_zeros(()) for i in range(bins)]
    every = torch.stack(spreads[: len(edges) + 1])
    return edges, every / every.max().clamp(min=1e-6)
