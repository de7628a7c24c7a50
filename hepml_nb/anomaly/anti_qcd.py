"""Anti-QCD tagging: a classifier of known jets whose masses say nothing, and whatever is not QCD to it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal, get_args

import torch
from torch import Tensor
from torch.nn import functional

from hepml_nb.anomaly.jets import JetNetwork
from hepml_nb.anomaly.knowing import ClassNetwork, KnowingJetOutlier, check_widths
from hepml_nb.core import InputError, suggest
from hepml_nb.learn import FitConfig, set_pool

__all__ = ["AntiQcd", "AntiQcdConfig", "AntiQcdNetwork", "spread", "stretched"]

Augment = Literal["all", "known", "none"]

_LEVELS = 101  # quantiles of the usual jets' spreads
_LEAST = 1e-3  # spread of a jet of one particle, which cannot be stretched


@dataclass(frozen=True)
class AntiQcdConfig:
    """phi, f: widths of the network per particle and of that on the sum. most: hardest particles taken (None: all).

    augment: which jets are given masses of usual ones in training: "all", "known" (usual ones stay as they are, and a
    jet that was stretched shows by that what it is), "none" (the classifier reads the mass).
    """

    phi: tuple[int, ...] = (100, 100, 256)
    f: tuple[int, ...] = (100, 100, 100)
    most: int | None = 100
    augment: Augment = "all"
    fit: FitConfig = field(default_factory=lambda: FitConfig(epochs=50, lr=1e-3, batch_size=256, patience=8))

    def __post_init__(self) -> None:
        check_widths(self.phi, self.f)
        if self.augment not in get_args(Augment):
            raise InputError(f"augment={self.augment!r} is unknown{suggest(str(self.augment), get_args(Augment))}")
        if self.most is not None and self.most < 2:
            raise InputError(f"most={self.most!r}; expected at least 2 particles, or None for all.")


def spread(values: Tensor, lengths: Tensor) -> Tensor:
    """Return the spread sqrt(sum z r^2) of jets (n,), r from the centroid: mass over pt where angles are small.

    values: (sum of lengths, 3) of z, deta, dphi about the centroid.
    """
    squared = values[:, :1] * values[:, 1:].square().sum(1, keepdim=True)
    return set_pool(squared, lengths)[:, 0].sqrt()


def stretched(values: Tensor, lengths: Tensor, factor: Tensor) -> Tensor:
    """Return particles with all angles of a jet times its factor (n,).

    It is what scaling all momenta and a boost along the jet that restores its pt do together (arXiv:1903.02032), where
    angles are small: the mass grows by the factor, momentum shares and the ratios of angles stay.
    """
    owner = torch.repeat_interleave(factor, lengths, output_size=len(values))
    return torch.cat([values[:, :1], values[:, 1:] * owner[:, None]], 1)


class AntiQcdNetwork(ClassNetwork):
    """A classifier by cross entropy that sees jets at masses drawn from those of the usual ones."""

    levels: Tensor

    def __init__(self, classes: int, config: AntiQcdConfig) -> None:
        super().__init__(classes, config.phi, config.f)
        self.augment = config.augment
        self.register_buffer("levels", torch.ones(_LEVELS))

    def prepare(self, values: Tensor, lengths: Tensor, classes: Tensor) -> None:
        """Measure the scales of the inputs, and how spreads of the usual jets are distributed."""
        super().prepare(values, lengths, classes)
        usual = spread(values, lengths)[classes == 0]
        self.levels.copy_(torch.quantile(usual, torch.linspace(0, 1, _LEVELS)))

    def augmented(self, values: Tensor, lengths: Tensor, classes: Tensor) -> Tensor:
        """Return particles of a batch in which all, or all known, jets have spreads of usual ones, drawn anew."""
        place = torch.rand(len(lengths), device=values.device) * (_LEVELS - 1)
        low = place.long()
        drawn = torch.lerp(self.levels[low], self.levels[low + 1], place - low)
        now = spread(values, lengths)
        which = (now > _LEAST) & ((classes > 0) | (self.augment == "all"))
        return stretched(values, lengths, torch.where(which, drawn / now, 1.0))

    def loss(self, values: Tensor, lengths: Tensor, classes: Tensor) -> Tensor:
        """Return the cross entropy of the classes, of augmented jets where that is asked for."""
        seen = values if self.augment == "none" else self.augmented(values, lengths, classes)
        return functional.cross_entropy(self(seen, lengths), classes)

    def unusual(self, values: Tensor, lengths: Tensor) -> Tensor:
        """Return log((1 - p) / p) with p the probability of the usual class: ordered as 1 - p, and finer near 1."""
        outputs = self(values, lengths)
        odds: Tensor = torch.logsumexp(outputs[:, 1:], 1) - outputs[:, 0]
        return odds


class AntiQcd(KnowingJetOutlier):
    """Anti-QCD tagger (arXiv:2201.07199): classify QCD, W and top jets, and call what is not QCD unusual, 1 - p(QCD).

    That classifier would know a W by its mass, miss other masses and bend the spectrum of QCD; so it is made invariant
    by data augmentation. Here every jet is stretched, anew in each epoch, to a mass drawn from the QCD jets', whatever
    its class: the mass says nothing of the class, nor does the stretching. QCD's spectrum is still bent where heavy QCD
    has more of the structure of a decay. Of the paper's recipe we had the abstract only; the stretching is our choice.
    The paper's network is larger; ours is a sum over particles.
    """

    name = "anti-qcd"
    configs: ClassVar[Mapping[str, Any]] = {
        "paper": AntiQcdConfig(),
        "small": AntiQcdConfig(
            phi=(32, 48),
            f=(48, 32),
            most=40,
            fit=FitConfig(epochs=25, lr=4e-3, batch_size=64, patience=None, threads=1),
        ),
    }

    def _network(self, features: int, classes: int) -> JetNetwork:
        return AntiQcdNetwork(classes, self.config)
