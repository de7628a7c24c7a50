"""Energy Flow Network: a sum over particles weighted by energy, so that soft and collinear ones change nothing."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar, cast

from torch import Tensor, nn

from hepml_nb.learn import FitConfig, Standardise, mlp, set_pool
from hepml_nb.tagging.particles import ParticleTagger

__all__ = ["EFN", "EFNConfig", "EFNNetwork"]


@dataclass(frozen=True)
class EFNConfig:
    """phi, f: widths of the filters' network and of the network on their sums; the paper's are the defaults.

    most: hardest particles taken (None: all; a cut on their number is not infrared and collinear safe). standardise:
    shift and scale the angles as measured on the training split (the paper does not; it saves epochs). fit: the
    training; the paper's is Adam, learning rate 1e-3, batches of 500.
    """

    phi: tuple[int, ...] = (100, 100, 256)
    f: tuple[int, ...] = (100, 100, 100)
    most: int | None = None
    standardise: bool = False
    fit: FitConfig = field(
        default_factory=lambda: FitConfig(epochs=50, lr=1e-3, batch_size=500, schedule="constant", patience=8)
    )
    features: ClassVar[tuple[str, ...]] = ("z", "deta", "dphi")  # nothing else is safe


class EFNNetwork(nn.Module):
    """F(sum of z Phi(deta, dphi)) -> logits; the last weights start at 0.

    Before training every jet then has one score. Random filters measure a random width, which tells tops already.
    """

    def __init__(self, config: EFNConfig) -> None:
        super().__init__()
        self.standardise = Standardise(len(config.features))
        self.phi = nn.Sequential(*mlp([2, *config.phi]), nn.ReLU(inplace=True))
        self.f = mlp([config.phi[-1], *config.f, 1])
        nn.init.zeros_(cast(nn.Linear, self.f[-1]).weight)

    def filters(self, angles: Tensor) -> Tensor:
        """Return Phi at the places angles (n, 2) (deta, dphi from the centroid, rad): (n, filters), not negative."""
        out: Tensor = self.phi((angles - self.standardise.mean[1:]) / self.standardise.scale[1:])
        return out

    def forward(self, x: Tensor, lengths: Tensor) -> Tensor:
        """Map particles x (sum of lengths, 3) of z, deta, dphi and lengths (n,) to logits (n,)."""
        out: Tensor = self.f(set_pool(x[:, :1] * self.filters(x[:, 1:]), lengths))[:, 0]
        return out


_SMALL = EFNConfig(
    phi=(64, 64, 128), f=(64, 64), standardise=True, fit=FitConfig(epochs=12, lr=4e-3, batch_size=128, patience=5)
)


class EFN(ParticleTagger):
    """Energy Flow Network (arXiv:1810.05165): the energy-weighted counterpart of the Particle Flow Network.

    z is a particle's share of pt, and Phi sees its direction only. An emission of no energy then adds nothing, and
    two particles of one direction add what one of both energies would: the score is infrared and collinear safe.
    """

    name = "efn"
    configs = {"paper": EFNConfig(), "small": _SMALL}  # noqa: RUF012 - a Mapping, never changed
    columns = ("constituents",)
    bucket = False

    def build(self) -> nn.Module:
        """Return the network with fresh weights."""
        return EFNNetwork(self.config)

    def _standardise(self, model: Any, x: Any) -> None:
        if self.config.standardise:
            super()._standardise(model, x)
