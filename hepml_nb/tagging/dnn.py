"""A dense network on the observables: what the trees see, learnt by gradient descent."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy.typing as npt
import torch
from torch import Tensor, nn

from hepml_nb.learn import FitConfig, RowBatches, Standardise, mlp
from hepml_nb.tagging.networks import NetworkTagger
from hepml_nb.tagging.observables import OBSERVABLES

__all__ = ["DNN", "DNNConfig", "DNNNetwork"]


@dataclass(frozen=True)
class DNNConfig:
    """hidden: widths of the hidden layers. dropout: share of hidden units dropped in training. fit: the training."""

    hidden: tuple[int, ...] = (64, 64, 64)
    dropout: float = 0.0
    fit: FitConfig = field(
        default_factory=lambda: FitConfig(epochs=40, lr=3e-3, batch_size=256, patience=10, threads=1)
    )


class DNNNetwork(nn.Module):
    """Standardised observables (n, k) -> logits (n,)."""

    def __init__(self, config: DNNConfig) -> None:
        super().__init__()
        self.standardise = Standardise(len(OBSERVABLES))
        self.layers = mlp([len(OBSERVABLES), *config.hidden, 1], dropout=config.dropout)

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits, shape (n,)."""
        out: Tensor = self.layers(self.standardise(x))[:, 0]
        return out


class DNN(NetworkTagger):
    """Dense network with ReLU on all of OBSERVABLES (deep networks on high-level variables: arXiv:1402.4735)."""

    name = "dnn"
    configs = {"paper": DNNConfig(), "small": DNNConfig()}  # noqa: RUF012 - a Mapping, never changed
    eval_batch = 8192

    def build(self) -> nn.Module:
        """Return the network with fresh weights."""
        return DNNNetwork(self.config)

    def batches(
        self, x: Any, *targets: npt.NDArray[Any], batch_size: int, seed: int = 0, shuffle: bool = True
    ) -> RowBatches:
        """Return batches (observables, *targets)."""
        return RowBatches(x, *targets, batch_size=batch_size, seed=seed, shuffle=shuffle)

    def _standardise(self, model: Any, x: Any) -> None:
        model.standardise.fit(torch.as_tensor(x))
