"""Evidential deep learning: a classifier that says how much evidence it has, and little evidence is the score."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional

from hepml_nb.anomaly.jets import JetNetwork
from hepml_nb.anomaly.knowing import ClassNetwork, KnowingJetOutlier, check_widths
from hepml_nb.core import InputError
from hepml_nb.learn import FitConfig

__all__ = ["Evidential", "EvidentialConfig", "EvidentialNetwork", "bayes_risk", "divergence", "split"]


@dataclass(frozen=True)
class EvidentialConfig:
    """phi, f: widths of the network per particle and of that on the sum. most: hardest particles taken (None: all).

    strength: of the divergence in the loss, reached after `annealing` epochs in equal steps from 0 (1 and 10 in
    arXiv:1806.01768); 0 for none. evidence: what makes outputs positive. With the papers' "relu" an output below zero
    for all jets has no slope and its class is lost, as in half of our short trainings; "softplus" has one everywhere.
    """

    phi: tuple[int, ...] = (100, 100, 64)
    f: tuple[int, ...] = (64, 100, 100)
    most: int | None = 60
    strength: float = 1.0
    annealing: int = 10
    evidence: Literal["relu", "softplus"] = "relu"
    fit: FitConfig = field(
        default_factory=lambda: FitConfig(epochs=50, lr=1e-3, batch_size=250, schedule="constant", patience=None)
    )

    def __post_init__(self) -> None:
        check_widths(self.phi, self.f)
        if not 0 <= self.strength < math.inf or self.annealing < 0:
            raise InputError(f"strength={self.strength!r}, annealing={self.annealing!r}; neither may be negative.")
        if self.evidence not in ("relu", "softplus"):
            raise InputError(f"evidence={self.evidence!r}; expected 'relu' or 'softplus'.")


def bayes_risk(alpha: Tensor, classes: Tensor) -> Tensor:
    """Return the expected squared error of Dirichlet(alpha) (n, K) for true classes (n,), as (n,).

    Of drawn probabilities p: <sum_k (y_k - p_k)^2> = sum_k (y_k - m_k)^2 + m_k (1 - m_k) / (S + 1), with the sum S of
    alpha and the mean m = alpha / S.
    """
    total = alpha.sum(1, keepdim=True)
    mean = alpha / total
    truth = functional.one_hot(classes, alpha.shape[1])
    return ((truth - mean).square() + mean * (1 - mean) / (total + 1)).sum(1)


def divergence(alpha: Tensor) -> Tensor:
    """Return KL(Dirichlet(alpha) || Dirichlet(1, ..., 1)) in nats, (n,), for alpha (n, K)."""
    total = alpha.sum(1)
    constant = torch.lgamma(total) - torch.lgamma(alpha).sum(1) - math.lgamma(alpha.shape[1])
    slopes = torch.digamma(alpha) - torch.digamma(total)[:, None]
    return constant + ((alpha - 1) * slopes).sum(1)


def split(alpha: npt.NDArray[np.float64]) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Return (aleatoric, epistemic) variances (n,) of the class, for concentrations alpha (n, K).

    The variance of the class of a jet, sum_k m_k (1 - m_k), is that which would remain were the probabilities known,
    <sum_k p_k (1 - p_k)>, and that of the probabilities, sum_k var(p_k), which evidence reduces.
    """
    total = alpha.sum(axis=1)
    mean = alpha / total[:, None]
    whole = (mean * (1 - mean)).sum(axis=1)
    epistemic = whole / (total + 1)
    return whole - epistemic, epistemic


class EvidentialNetwork(ClassNetwork):
    """Outputs, made positive, are evidence for a class: Dirichlet concentrations less one."""

    seen: Tensor
    per_epoch: Tensor

    def __init__(self, classes: int, config: EvidentialConfig) -> None:
        super().__init__(classes, config.phi, config.f)
        self.config = config
        self.register_buffer("seen", torch.zeros((), dtype=torch.int64))
        self.register_buffer("per_epoch", torch.ones((), dtype=torch.int64))

    def prepare(self, values: Tensor, lengths: Tensor, classes: Tensor) -> None:
        """Measure the scales of the inputs, and how many jets an epoch has."""
        super().prepare(values, lengths, classes)
        self.per_epoch.fill_(len(lengths))

    def concentrations(self, values: Tensor, lengths: Tensor) -> Tensor:
        """Return alpha = 1 + evidence (n, classes)."""
        outputs = self(values, lengths)
        return 1 + (functional.relu(outputs) if self.config.evidence == "relu" else functional.softplus(outputs))

    @property
    def weight(self) -> float:
        """What the divergence counts: in training, what annealing has reached; else, to judge epochs alike, in full."""
        if not self.training or self.config.annealing == 0:
            return self.config.strength
        return self.config.strength * min(1.0, int(self.seen // self.per_epoch) / self.config.annealing)

    def loss(self, values: Tensor, lengths: Tensor, classes: Tensor) -> Tensor:
        """Return the mean Bayes risk plus the annealed divergence of the evidence for wrong classes from none."""
        weight = self.weight
        if self.training:
            self.seen += len(lengths)
        alpha = self.concentrations(values, lengths)
        truth = functional.one_hot(classes, alpha.shape[1])
        wrong = truth + (1 - truth) * alpha
        return (bayes_risk(alpha, classes) + weight * divergence(wrong)).mean()

    def probabilities(self, values: Tensor, lengths: Tensor) -> Tensor:
        """Return the mean probabilities alpha / S (n, classes)."""
        alpha = self.concentrations(values, lengths)
        return alpha / alpha.sum(1, keepdim=True)

    def unusual(self, values: Tensor, lengths: Tensor) -> Tensor:
        """Return the uncertainty K / S (n,): 1 without any evidence, 0 with much."""
        alpha = self.concentrations(values, lengths)
        return alpha.shape[1] / alpha.sum(1)


class Evidential(KnowingJetOutlier):
    """Evidential deep learning (arXiv:1806.01768) for jets (arXiv:2501.05656): uncertainty as an outlier score.

    A classifier of known jets gives the concentrations of a Dirichlet density of class probabilities, by the squared
    error's Bayes risk and an annealed divergence that takes away evidence for wrong classes. Nothing in this loss
    speaks of jets that were not seen: the jets' paper reports pitfalls in finding those. Its network is PFIN, ours the
    PFN part of that without the pairs of particles. "small": fewer and larger steps, evidence by softplus.
    """

    name = "evidential"
    configs: ClassVar[Mapping[str, Any]] = {
        "paper": EvidentialConfig(),
        "small": EvidentialConfig(
            phi=(32, 48),
            f=(48, 32),
            most=40,
            evidence="softplus",
            fit=FitConfig(epochs=25, lr=4e-3, batch_size=64, patience=None, threads=1),
        ),
    }

    def concentrations(self, jets: Any) -> npt.NDArray[np.float64]:
        """Return the Dirichlet concentrations of jets (n, classes), at least 1. Raises RunError before `learn`."""
        return self._of_jets(jets, lambda net, batch: net.concentrations(*batch))

    def _network(self, features: int, classes: int) -> JetNetwork:
        return EvidentialNetwork(classes, self.config)
