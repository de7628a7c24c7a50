"""The ratio of two weightings of the same rows by a network, and MultiFold with one, as it was published."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from hepml_nb.core import InputError, derive_seed
from hepml_nb.learn import FitConfig, RowBatches, Standardise, fit, mlp, predict
from hepml_nb.unfolding.reweighting import LoopConfig, Ratio, Reweighting, rows_of
from hepml_nb.unfolding.sample import Floats, Measured, Simulation

__all__ = ["MultiFoldNet", "NetConfig", "NetworkRatio", "ObservablesNetwork", "ratio_loss"]

Indices = npt.NDArray[np.int64]


@dataclass(frozen=True)
class NetConfig(LoopConfig):
    """hidden: widths of the hidden layers. fit: each of the 2 x iterations x folds trainings."""

    hidden: tuple[int, ...] = (100, 100, 100)
    fit: FitConfig = field(
        default_factory=lambda: FitConfig(epochs=100, lr=1e-3, batch_size=500, schedule="constant", patience=10)
    )


def ratio_loss(model: nn.Module, batch: tuple[Tensor, ...]) -> Tensor:
    """Mean of w0 log(1 + e^f) + w1 log(1 + e^-f) over a batch (*inputs, w0, w1), f = model(*inputs), shape (n,).

    The cross entropy of a classifier of both weightings; it is smallest where f is the logarithm of their ratio.
    """
    *inputs, w0, w1 = batch
    f = model(*inputs)
    return (w0 * nn.functional.softplus(f) + w1 * nn.functional.softplus(-f)).mean()


class NetworkRatio(ABC):
    """Trains a fresh network for every fold of every step, stopped early on the fold that it will weight.

    A subclass says how the network is built and how rows are batched.
    """

    def __init__(self, config: Any) -> None:
        self.config = config

    def learn(self, train: Indices, val: Indices, w0: Floats, w1: Floats, seed: int) -> Floats:
        """Return the ratio w1 / w0 at the rows `val`, learnt from the rows `train`."""
        train = train[(w0 + w1)[train] > 0]
        checked = val[(w0 + w1)[val] > 0]
        sums = float(w0[train].sum()), float(w1[train].sum())
        if min(sums) <= 0 or not len(checked):
            raise InputError(f"a fold has no weight in one class ({sums[0]:g} and {sums[1]:g}); use more events.")
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(derive_seed(seed, "weights"))
            model = self.build(train)
        c = self.config.fit
        inside, outside = (
            [(w[rows] * (len(train) / 2 / s)).astype(np.float32) for w, s in zip((w0, w1), sums, strict=True)]
            for rows in (train, checked)
        )
        order = derive_seed(seed, "order")
        source = self.batches(train, *inside, seed=order)
        fit(model, ratio_loss, source, self.batches(checked, *outside, shuffle=False), c, seed=seed, desc="ratio")
        logits = predict(model, self.batches(val, shuffle=False), lambda network, batch: network(*batch))
        return np.asarray(np.exp(logits.double().numpy()) * (sums[1] / sums[0]))

    @abstractmethod
    def build(self, train: Indices) -> nn.Module:
        """Return a network with fresh weights, standardised to the rows `train`; model(*inputs) -> logits (n,)."""

    @abstractmethod
    def batches(self, rows: Indices, *weights: Any, seed: int = 0, shuffle: bool = True) -> RowBatches:
        """Return batches (*inputs, *weights) of rows; without weights, for scoring."""


class ObservablesNetwork(nn.Module):
    """Standardised observables (n, k) -> logits (n,)."""

    def __init__(self, x: Tensor, hidden: tuple[int, ...]) -> None:
        super().__init__()
        self.standardise = Standardise(x.shape[1]).fit(x)
        self.layers = mlp([x.shape[1], *hidden, 1])

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits."""
        out: Tensor = self.layers(self.standardise(x))[:, 0]
        return out


class _Rows(NetworkRatio):
    def __init__(self, x: Floats, config: NetConfig) -> None:
        super().__init__(config)
        self.x = x.astype(np.float32)

    def build(self, train: Indices) -> nn.Module:
        return ObservablesNetwork(torch.from_numpy(self.x[train]), self.config.hidden)

    def batches(self, rows: Indices, *weights: Any, seed: int = 0, shuffle: bool = True) -> RowBatches:
        size = self.config.fit.batch_size if shuffle else 8192
        return RowBatches(self.x[rows], *weights, batch_size=size, seed=seed, shuffle=shuffle)


class MultiFoldNet(Reweighting):
    """MultiFold with dense networks (arXiv:1911.09107): three layers of 100 with ReLU, Adam, stopped early.

    The paper weights the events that it trained on, too; here every weight is learnt on the other folds.
    """

    name = "multifold-net"
    configs: ClassVar[Mapping[str, Any]] = {
        "paper": NetConfig(),
        "small": NetConfig(
            iterations=3, hidden=(48, 48), fit=FitConfig(epochs=10, lr=5e-3, batch_size=512, patience=None, threads=1)
        ),
    }

    def _ratio(self, simulation: Simulation, measured: Measured) -> tuple[Ratio, Ratio]:
        after, before = rows_of(simulation, measured)
        return _Rows(after, self.config), _Rows(before, self.config)
