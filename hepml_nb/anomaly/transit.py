"""TRANSIT: an adversarial residual network shifts sideband events to masses of the window (arXiv:2503.04342)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import mse_loss, softplus

from hepml_nb.anomaly.base import TemplateConfig, TemplateMethod
from hepml_nb.anomaly.classifiers import CONFIGS, ClassifierConfig
from hepml_nb.anomaly.density import tensors
from hepml_nb.anomaly.preprocess import LogitScaler
from hepml_nb.anomaly.sample import Events, Floats
from hepml_nb.core import InputError, RunError, derive_seed, progress, rng, threads, tune_allocator
from hepml_nb.learn import FitConfig, RowBatches, Standardise, learning_rate, mlp

__all__ = ["ResidualNet", "Transit", "TransitConfig", "TransitNetwork"]


@dataclass(frozen=True)
class TransitConfig(TemplateConfig):
    """latent: numbers between encoder and decoder, no fewer than features: nothing is squeezed.

    hidden, blocks: of encoder and decoder. judge: widths of the discriminator. consistency, adversarial: weights of
    these losses beside the reconstruction's. fit: of both; nothing stops early, adversarial losses say little.
    """

    classifier: ClassifierConfig = field(default_factory=lambda: CONFIGS["paper"])
    latent: int = 8
    hidden: int = 128
    blocks: int = 3
    judge: tuple[int, ...] = (64, 64, 64)
    consistency: float = 0.1
    adversarial: float = 0.2
    fit: FitConfig = field(
        default_factory=lambda: FitConfig(epochs=200, lr=2e-4, batch_size=1024, schedule="cosine", patience=None)
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if min(self.latent, self.hidden, self.blocks) < 1 or min(self.consistency, self.adversarial) < 0:
            raise InputError("latent, hidden and blocks must be at least 1; consistency and adversarial at least 0.")


class ResidualNet(nn.Module):
    """A residual dense network of x (n, features), told a mass (n, 1) in every block: out (n, outputs).

    A linear path leads around the blocks, so that what does not follow the mass can pass as it is.
    """

    def __init__(self, features: int, outputs: int, hidden: int, blocks: int) -> None:
        super().__init__()
        self.start, self.end = nn.Linear(features + 1, hidden), nn.Linear(hidden, outputs)
        self.around = nn.Linear(features, outputs, bias=False)
        self.blocks = nn.ModuleList(
            nn.Sequential(nn.Linear(hidden + 1, hidden), nn.SiLU(), nn.Linear(hidden, hidden)) for _ in range(blocks)
        )

    def forward(self, x: Tensor, mass: Tensor) -> Tensor:
        """Return one row per row of x."""
        h = self.start(torch.cat([x, mass], 1))
        for block in self.blocks:
            h = h + block(torch.cat([nn.functional.silu(h), mass], 1))
        out: Tensor = self.around(x) + self.end(nn.functional.silu(h))
        return out


class TransitNetwork(nn.Module):
    """Encoder (x, m) -> z, decoder (z, m') -> x', and a judge that tells (x, m) from (x', m'); masses standardised."""

    def __init__(self, features: int, config: TransitConfig) -> None:
        super().__init__()
        self.mass_scale, shape = Standardise(1), (config.hidden, config.blocks)
        self.encoder = ResidualNet(features, config.latent, *shape)
        self.decoder = ResidualNet(config.latent, features, *shape)
        self.judge = mlp([features + 1, *config.judge, 1])
        self.weights = (config.consistency, config.adversarial)

    def move(self, x: Tensor, mass: Tensor, to: Tensor) -> Tensor:
        """Return x (n, d), seen at `mass` (n, 1), as it would be at the mass `to` (n, 1), in TeV."""
        moved: Tensor = self.decoder(self.encoder(x, self.mass_scale(mass)), self.mass_scale(to))
        return moved

    def mapped(self, x: Tensor, mass: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return (x', m', loss of reconstruction and consistency): x moved to the shuffled masses of the batch."""
        m = self.mass_scale(mass)
        to, z = m[torch.randperm(len(m))], self.encoder(x, m)
        moved = self.decoder(z, to)
        again = mse_loss(self.encoder(moved, to), z)
        return moved, to, mse_loss(self.decoder(z, m), x) + self.weights[0] * again

    def judged(self, x: Tensor, mass: Tensor, moved: Tensor, to: Tensor) -> Tensor:
        """Return the cross entropy of the judge, log 2 where it can only guess."""
        real = self.judge(torch.cat([x, self.mass_scale(mass)], 1))
        made = self.judge(torch.cat([moved, to], 1))
        return (softplus(-real).mean() + softplus(made).mean()) / 2

    def losses(self, x: Tensor, mass: Tensor) -> Iterable[Tensor]:
        """Yield the judge's loss, then the map's: what it rebuilds badly, less what the judge loses to it."""
        moved, to, rebuilt = self.mapped(x, mass)
        yield self.judged(x, mass, moved.detach(), to)
        made = self.judge(torch.cat([moved, to], 1))
        yield rebuilt + self.weights[1] * softplus(-made).mean()


class Transit(TemplateMethod):
    """Transport adversarial network for smooth interpolation.

    An encoder takes the mass out of an event and a decoder puts another in. Three losses: at its own mass an event
    comes back (mean square); the encoder finds the same latent numbers in the moved event (consistency); and a
    discriminator cannot tell real pairs (x, m) from moved ones (x', m'), with m' the masses of other events: moved
    events then follow p(x | m'), and their latent numbers say nothing of the mass. Where a generative
    model learns all correlations, this learns a shift. The template are sideband events, drawn at random and moved to
    masses of the window.
    The map's adversarial loss is the non-saturating one (arXiv:1406.2661) where the paper's code takes minus the
    discriminator's; features are those of `LogitScaler`. "small": fewer nodes and epochs.
    """

    name = "transit"
    configs: ClassVar[Mapping[str, Any]] = {
        "paper": TransitConfig(),
        "small": TransitConfig(
            classifier=CONFIGS["small"],
            hidden=32,
            blocks=2,
            judge=(64, 64),
            fit=FitConfig(epochs=20, lr=2e-3, batch_size=1024, schedule="cosine", patience=None),
        ),
    }

    def _learn(self, sideband: Events, signal_region: Events, seed: int, untrained: bool) -> None:
        c: TransitConfig = self.config
        self.scaler = LogitScaler().fit(sideband.features)
        x, mass = tensors(self.scaler.forward(sideband.features), sideband.mjj[:, None])
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(derive_seed(seed, "weights"))
            self.model = TransitNetwork(x.shape[1], c)
        self.model.mass_scale.fit(mass)
        self._start = (x, mass)
        if not untrained:
            train(
                self.model,
                RowBatches(x, mass, batch_size=c.fit.batch_size, seed=derive_seed(seed, "order")),
                c.fit,
                seed,
            )

    def _template(self, mjj: Floats, seed: int) -> Floats:
        x, mass = self._start
        rows = torch.from_numpy(rng(seed, "sideband").integers(0, len(x), len(mjj)))
        threads(self.config.fit.threads)
        with torch.inference_mode():
            moved = self.model.move(x[rows], mass[rows], *tensors(np.asarray(mjj)[:, None]))
        return self.scaler.inverse(moved.double().numpy())


def train(model: TransitNetwork, batches: RowBatches, config: FitConfig, seed: int) -> None:
    """Train judge and map in turn; raise RunError where a loss is not finite."""
    tune_allocator()
    threads(config.threads)
    model.train()
    parts = [[*model.judge.parameters()], [*model.encoder.parameters(), *model.decoder.parameters()]]
    steppers = [
        torch.optim.AdamW(part, config.lr, betas=(0.5, 0.9), weight_decay=config.weight_decay) for part in parts
    ]
    step, steps = 0, config.epochs * len(batches)
    with torch.random.fork_rng(devices=[]):
        for epoch in progress(range(config.epochs), desc="transit", unit="epoch"):
            torch.manual_seed(derive_seed(seed, "epoch", epoch))
            for x, mass in batches.epoch(epoch):
                for stepper, part, loss in zip(steppers, parts, model.losses(x, mass), strict=True):
                    if not torch.isfinite(loss):
                        raise RunError(f"the adversarial loss is {loss.item()} at step {step + 1}; try a smaller lr.")
                    stepper.param_groups[0]["lr"] = learning_rate(step, steps, config)
                    for weight, gradient in zip(part, torch.autograd.grad(loss, part), strict=True):
                        weight.grad = gradient
                    stepper.step()
                step += 1
    model.eval()
