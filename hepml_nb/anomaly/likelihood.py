"""Outliers by a density: -log p of a normalising flow, of the features alone or given the mass."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from hepml_nb.anomaly.outlier import NetworkOutlier, OutlierNetwork
from hepml_nb.anomaly.sample import Events
from hepml_nb.learn import ConditionalFlow, FitConfig
from hepml_nb.learn.flows import FlowKind

__all__ = ["FlowConfig", "FlowLikelihood", "FlowNetwork"]


@dataclass(frozen=True)
class FlowConfig:
    """kind, transforms, hidden, bins: of the flow, see `learn.ConditionalFlow`. fit: the training.

    given_mass: p(x | mjj) in the place of p(x).
    """

    kind: FlowKind = "autoregressive"
    transforms: int = 8
    hidden: tuple[int, ...] = (128, 128)
    bins: int = 8
    given_mass: bool = False
    fit: FitConfig = field(
        default_factory=lambda: FitConfig(epochs=100, lr=1e-3, batch_size=512, schedule="cosine", patience=None)
    )


class FlowNetwork(OutlierNetwork):
    """A flow of features (n, d), given mjj (n, 1) or nothing."""

    def __init__(self, features: int, config: FlowConfig) -> None:
        super().__init__()
        self.flow = ConditionalFlow(
            features, int(config.given_mass), kind=config.kind, transforms=config.transforms, hidden=config.hidden,
            bins=config.bins,
        )  # fmt: skip

    def prepare(self, *batch: Tensor) -> None:
        """Measure shifts and scales of features and mass."""
        self.flow.standardise(*batch)

    def loss(self, *batch: Tensor) -> Tensor:
        """Return the mean of -log p."""
        return self.flow.loss(*batch)

    def unusual(self, *batch: Tensor) -> Tensor:
        """Return -log p of each event (n,)."""
        return -self.flow.log_prob(*batch)


class FlowLikelihood(NetworkOutlier):
    """-log p(x) of a flow trained on data by maximum likelihood, as the likelihood of a calorimeter's flow was used in
    arXiv:2312.11618 to find unusual showers.

    A density depends on the coordinates: a smooth map of the features changes the order of events, so that the score is
    one of features as they were chosen. given_mass=True asks how unusual an event is among those of its own mass.
    "small": fewer transforms and larger steps.
    """

    name = "flow-likelihood"
    configs: ClassVar[Mapping[str, Any]] = {
        "paper": FlowConfig(),
        "small": FlowConfig(
            transforms=3, hidden=(32, 32), fit=FitConfig(epochs=10, lr=5e-3, batch_size=512, patience=None, threads=1)
        ),
    }

    def _network(self, features: int) -> OutlierNetwork:
        return FlowNetwork(features, self.config)

    def _rows(self, events: Events) -> tuple[Tensor, ...]:
        rows = super()._rows(events)
        return (*rows, torch.from_numpy(events.mjj.astype(np.float32))[:, None]) if self.config.given_mass else rows
