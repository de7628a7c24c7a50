"""Particle Flow Network: a network per particle, a sum over the jet, a network on the sum (arXiv:1810.05165)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from torch import Tensor, nn

from hepml_nb.core import InputError
from hepml_nb.learn import DeepSet, FitConfig, Standardise
from hepml_nb.tagging.base import Particles
from hepml_nb.tagging.checks import check_jets
from hepml_nb.tagging.networks import loss
from hepml_nb.tagging.particles import ParticleTagger, particles

__all__ = ["FEATURES", "PFN", "PFNConfig", "PFNNetwork", "features", "loss"]

FEATURES: tuple[str, ...] = ("z", "deta", "dphi", "charge", "charged", "photon", "neutral", "electron", "muon")


@dataclass(frozen=True)
class PFNConfig:
    """phi, f: widths of the per-particle network and of the network on the sum. features: names of FEATURES.

    most: hardest particles taken (None: all). standardise: shift and scale the features as measured on the
    training split (the paper does not; it saves epochs). fit: the training; the paper's is Adam, learning
    rate 1e-3, batches of 500.
    """

    phi: tuple[int, ...] = (100, 100, 256)
    f: tuple[int, ...] = (100, 100, 100)
    features: tuple[str, ...] = FEATURES
    most: int | None = None
    standardise: bool = False
    fit: FitConfig = field(
        default_factory=lambda: FitConfig(epochs=50, lr=1e-3, batch_size=500, schedule="constant", patience=8)
    )

    def __post_init__(self) -> None:
        if unknown := [name for name in self.features if name not in FEATURES]:
            raise InputError(f"features={unknown} are unknown; known: {list(FEATURES)}.")


def features(jets: Any, names: tuple[str, ...] = FEATURES) -> Particles:
    """Return what the network sees of every particle, the jets one after another.

    z: share of the jet's scalar pt sum; deta, dphi (rad): relative to the pt-weighted centroid, as in the paper;
    charge: +-1 or 0; flags 0 or 1 for charged hadron, photon, neutral hadron, electron, muon.
    Raises InputError for jets without constituents or with values that are not finite.
    """
    check_jets(jets, ("constituents",), method="pfn")
    return particles(jets, names)


class PFNNetwork(nn.Module):
    """F(sum of Phi(particle)) -> logits."""

    def __init__(self, config: PFNConfig) -> None:
        super().__init__()
        self.standardise = Standardise(len(config.features))
        self.deep_set = DeepSet(len(config.features), config.phi, config.f)

    def forward(self, x: Tensor, lengths: Tensor) -> Tensor:
        """Map particles x (sum of lengths, features) and lengths (n,) to logits (n,)."""
        out: Tensor = self.deep_set(self.standardise(x), lengths)[:, 0]
        return out


_SMALL = PFNConfig(
    phi=(64, 64, 128),
    f=(64, 64),
    standardise=True,
    fit=FitConfig(epochs=12, lr=2e-3, batch_size=128, patience=5),
)


class PFN(ParticleTagger):
    """Particle Flow Network on the constituents: no observables, no padding, no order."""

    name = "pfn"
    configs = {"paper": PFNConfig(), "small": _SMALL}  # noqa: RUF012 - a Mapping, never changed
    columns = ("constituents",)
    bucket = False

    @staticmethod
    def network(config: PFNConfig | None = None) -> PFNNetwork:
        """Return the network of a configuration (None: "small") with fresh weights, to be taken apart in a notebook."""
        return PFNNetwork(config or _SMALL)

    def build(self) -> nn.Module:
        """Return the network with fresh weights."""
        return PFNNetwork(self.config)

    def _standardise(self, model: Any, x: Any) -> None:
        if self.config.standardise:
            super()._standardise(model, x)
