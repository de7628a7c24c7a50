"""A conditional GAN maps the measured event and noise to gen: how generative unfolding began (arXiv:1912.00477)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn.functional import softplus

from hepml_nb.core import RunError, derive_seed, device, progress, threads, tune_allocator
from hepml_nb.learn import Epoch, FitConfig, History, RowBatches, Standardise, learning_rate, mlp
from hepml_nb.unfolding.generative import GenerativeConfig, GenerativeUnfolder, Rows

__all__ = ["CGAN", "CGANConfig", "GANNetwork", "adversarial"]


@dataclass(frozen=True)
class CGANConfig(GenerativeConfig):
    """noise: random numbers per draw. penalty: see `adversarial`. fit: nothing stops early, its losses say little."""

    hidden: tuple[int, ...] = (128, 128, 128, 128)
    noise: int = 8
    penalty: float = 1.0


class GANNetwork(nn.Module):
    """A generator (context, noise) -> x and a discriminator (x, context) -> logit of being simulated, standardised."""

    def __init__(self, config: CGANConfig, features: int, context: int) -> None:
        super().__init__()
        self.noise, self.penalty = config.noise, config.penalty
        self.x_scale, self.context_scale = Standardise(features), Standardise(context)
        self.generator = mlp([context + config.noise, *config.hidden, features])
        self.discriminator = mlp([features + context, *config.hidden, 1])

    def standardise(self, x: Tensor, context: Tensor) -> GANNetwork:
        """Measure the scales of gen (n, features) and of the context."""
        self.x_scale.fit(x)
        self.context_scale.fit(context)
        return self

    def draw(self, context: Tensor) -> Tensor:
        """Return one standardised draw (n, features) per standardised context."""
        noise = torch.randn(len(context), self.noise, dtype=context.dtype, device=context.device)
        drawn: Tensor = self.generator(torch.cat([context, noise], 1))
        return drawn

    def losses(self, x: Tensor, context: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
        """Return the losses of discriminator and generator on one batch; each is for its own weights only."""
        real, given = self.x_scale(x), self.context_scale(context)
        drawn = self.draw(given)
        rows = torch.cat([real, given], 1), torch.cat([drawn, given], 1)
        return adversarial(self.discriminator, *rows, weights, self.penalty)

    def sample(self, context: Tensor) -> Tensor:
        """Return one draw (n, features) per row of the context."""
        return self.draw(self.context_scale(context)) * self.x_scale.scale + self.x_scale.mean


def adversarial(
    judge: nn.Module, real: Tensor, made: Tensor, weights: Tensor, penalty: float = 0.0
) -> tuple[Tensor, Tensor]:
    """Return the cross entropy of a judge that tells real from made rows, and what the maker loses to it.

    The maker's is the non-saturating one, -log D(made) (arXiv:1406.2661). weights (n,) count for real and made alike.
    penalty: times the mean of (1 - D)^2 |slope of logit D|^2 on real rows and D^2 |slope|^2 on made ones is added to
    the judge's (arXiv:1705.09367): without it the two circle around each other for ever.
    """
    seen, caught = real.detach().requires_grad_(), made.detach().requires_grad_()
    yes, no = judge(seen)[:, 0], judge(caught)[:, 0]
    judged = (weights * (softplus(-yes) + softplus(no))).mean()
    if penalty:
        slopes = torch.autograd.grad(yes.sum() + no.sum(), (seen, caught), create_graph=True)
        unsure = torch.sigmoid(-yes), torch.sigmoid(no)
        steep = [(u.square() * slope.square().sum(1)).mean() for u, slope in zip(unsure, slopes, strict=True)]
        judged = judged + penalty * (steep[0] + steep[1])
    return judged, (weights * softplus(-judge(made)[:, 0])).mean()


def alternate(model: Any, rows: RowBatches, config: FitConfig, seed: int, makers: Any, judges: Any) -> History:
    """Train judges and makers in turn on model.losses(*batch) = (loss of the judges, loss of the makers).

    Raises RunError where a loss is not finite.
    """
    tune_allocator()
    threads(config.threads)
    where = device(config.device)
    model.to(where).train()
    parts = [list(judges), list(makers)]
    steppers = [torch.optim.Adam(part, config.lr, betas=(0.5, 0.9)) for part in parts]
    epochs, step, steps = [], 0, config.epochs * len(rows)
    with torch.random.fork_rng(devices=[where] if where.type == "cuda" else []):
        for epoch in progress(range(config.epochs), desc="adversarial", unit="epoch"):
            torch.manual_seed(derive_seed(seed, "epoch", epoch))
            total, seen = [0.0, 0.0], 0
            for batch in rows.epoch(epoch):
                rate = learning_rate(step, steps, config)
                for which, stepper in enumerate(steppers):
                    loss = model.losses(*(tensor.to(where) for tensor in batch))[which]
                    if not torch.isfinite(loss):
                        raise RunError(f"the adversarial loss is {loss.item()} at step {step + 1}; try a smaller lr.")
                    for group in stepper.param_groups:
                        group["lr"] = rate
                    gradients = torch.autograd.grad(loss, parts[which])
                    for weight, gradient in zip(parts[which], gradients, strict=True):
                        weight.grad = gradient
                    stepper.step()
                    total[which] += float(loss.detach()) * len(batch[-1])
                seen, step = seen + len(batch[-1]), step + 1
            epochs.append(Epoch(total[1] / seen, total[0] / seen, rate, seen, 0.0))
    model.eval()
    return History(tuple(epochs), len(epochs))


class CGAN(GenerativeUnfolder):
    """A conditional GAN as in arXiv:1912.00477, and in the A(i)DAPT program that unfolds electron scattering (S2/4).

    Generator and discriminator both see the measured event. In the ideal the generator draws from p(gen | sim); in
    practice no loss tells how near it is, and the two may circle around each other: kept for history, and to be
    compared. The slope of the discriminator is held down as in the paper, whose loss on the masses of resonances has no
    place in these observables.
    History: train_loss is the generator's, val_loss the discriminator's (2 log 2 = 1.39 where it can only guess).
    """

    name = "cgan"
    configs: ClassVar[Mapping[str, Any]] = {
        "paper": CGANConfig(fit=FitConfig(epochs=120, lr=1e-3, batch_size=1024, schedule="cosine")),
        "small": CGANConfig(
            draws=4, hidden=(64, 64), noise=4, fit=FitConfig(epochs=30, lr=1e-3, batch_size=128, schedule="cosine")
        ),
    }

    def _network(self, features: int, context: int) -> GANNetwork:
        return GANNetwork(self.config, features, context)

    def _learn(self, rows: Rows, seed: int) -> History:
        tensors = self._start(rows, seed)
        batches = RowBatches(*tensors, batch_size=self.config.fit.batch_size, seed=derive_seed(seed, "order"))
        makers, judges = self.model.generator.parameters(), self.model.discriminator.parameters()
        return alternate(self.model, batches, self.config.fit, seed, makers, judges)

    def _draw(self, model: Any, context: Tensor, source: Tensor) -> Tensor:
        drawn: Tensor = model.sample(context)
        return drawn
