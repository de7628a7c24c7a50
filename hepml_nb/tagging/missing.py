"""Attention over the inputs that are there: a classifier that needs no value for those that are missing.

Feature set embedding and self-attention for particle identification in ALICE (arXiv:2401.01905), after AMI-Net.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal, get_args

import awkward as ak
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from hepml_nb.core import InputError, suggest
from hepml_nb.learn import FitConfig, RowBatches, Standardise, mlp
from hepml_nb.tagging.multi import MultiTagger

__all__ = ["FeatureSet", "FeatureSetConfig", "FeatureSetNetwork"]

Missing = Literal["attention", "mean"]
_JET = ("mass", "msoftdrop", "tau1", "tau2", "tau3", "tau4", "c2", "d2", "n2", "m2")


@dataclass(frozen=True)
class FeatureSetConfig:
    """classes: names of the labels. signals: columns of the records, NaN where missing.

    embed: hidden widths of the network that embeds (value, which signal it is); width, layers, heads, hidden: of the
    encoder; head: hidden widths of the classifier. missing: "attention", or "mean", the baseline: a dense network
    (hidden widths `dense`) on all signals with the mean of the training split in the place of what is missing. The
    paper trains a binary classifier per species; this is one with an output for each.
    """

    classes: tuple[str, ...] = ("background", "signal")
    signals: tuple[str, ...] = _JET
    embed: tuple[int, ...] = (128,)
    width: int = 32
    layers: int = 2
    heads: int = 2
    hidden: int = 128
    head: tuple[int, ...] = (64,)
    dense: tuple[int, ...] = (64, 64)
    missing: Missing = "attention"
    fit: FitConfig = field(default_factory=lambda: FitConfig(epochs=50, lr=5e-4, batch_size=256))

    def __post_init__(self) -> None:
        if self.missing not in get_args(Missing):
            raise InputError(f"missing={self.missing!r} is unknown{suggest(str(self.missing), get_args(Missing))}")
        if not self.signals or len(set(self.signals)) < len(self.signals):
            raise InputError(f"signals={self.signals}; expected at least one, none twice.")


class FeatureSetNetwork(nn.Module):
    """Every signal there is becomes a vector; they look at each other, are pooled by attention and classified."""

    def __init__(self, config: FeatureSetConfig) -> None:
        super().__init__()
        c, n = config, len(config.signals)
        self.standardise = Standardise(n)
        self.embed = mlp([1 + n, *c.embed, c.width])
        self.nothing = nn.Parameter(torch.zeros(1, 1, c.width))  # stands beside the signals, so that a set is not empty
        self.encoder = nn.ModuleList(
            nn.TransformerEncoderLayer(c.width, c.heads, c.hidden, dropout=0.0, batch_first=True, norm_first=True)
            for _ in range(c.layers)
        )
        self.ask = nn.Sequential(nn.Linear(c.width, c.width), nn.Tanh(), nn.Linear(c.width, 1))
        self.head = mlp([c.width, *c.head, len(c.classes)])

    def forward(self, x: Tensor) -> Tensor:
        """Map signals x (n, signals), NaN where missing, to the logits of the classes (n, classes)."""
        there = ~x.isnan()
        value = self.standardise(x).nan_to_num()
        which = torch.eye(x.shape[1], dtype=x.dtype, device=x.device).expand(len(x), -1, -1)
        seen = self.embed(torch.cat([value[..., None], which], dim=2))
        block = torch.cat([self.nothing.expand(len(x), -1, -1), seen], dim=1)
        mask = torch.cat([torch.ones_like(there[:, :1]), there], dim=1)
        for layer in self.encoder:
            block = layer(block, src_key_padding_mask=~mask)
        weight = torch.softmax(self.ask(block)[..., 0].masked_fill(~mask, -torch.inf), dim=1)
        out: Tensor = self.head((weight[..., None] * block).sum(1))
        return out


class _Imputed(nn.Module):
    """A dense network on standardised signals, 0 (the mean) where they are missing."""

    def __init__(self, config: FeatureSetConfig) -> None:
        super().__init__()
        self.standardise = Standardise(len(config.signals))
        self.layers = mlp([len(config.signals), *config.dense, len(config.classes)])

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.layers(self.standardise(x).nan_to_num())
        return out


class FeatureSet(MultiTagger):
    """Classifies records (particles, jets) by columns of which any may be missing, in training and afterwards."""

    name = "feature-set"
    configs = {  # noqa: RUF012 - a Mapping, never changed
        "paper": FeatureSetConfig(),
        "small": FeatureSetConfig(
            embed=(32,), width=24, hidden=48, head=(32,), fit=FitConfig(epochs=15, lr=3e-3, batch_size=256)
        ),
    }
    columns = ()
    inputs = "signals"

    def build(self) -> nn.Module:
        """Return the network with fresh weights."""
        return FeatureSetNetwork(self.config) if self.config.missing == "attention" else _Imputed(self.config)

    def batches(
        self, x: Any, *targets: npt.NDArray[Any], batch_size: int, seed: int = 0, shuffle: bool = True
    ) -> RowBatches:
        """Return batches (signals, *targets)."""
        return RowBatches(x, *targets, batch_size=batch_size, seed=seed, shuffle=shuffle)

    def loss(self, model: nn.Module, batch: tuple[Tensor, ...]) -> Tensor:
        """Mean cross entropy of a batch (signals, labels)."""
        return nn.functional.cross_entropy(model(batch[0]), batch[1])

    def _standardise(self, model: Any, x: Any) -> None:
        for number, column in enumerate(x.T):
            seen = column[np.isfinite(column)]
            if len(seen):
                one = Standardise(1).fit(torch.as_tensor(seen[:, None]))
                model.standardise.mean[number], model.standardise.scale[number] = one.mean[0], one.scale[0]

    def _inputs(self, jets: Any) -> npt.NDArray[Any]:
        if lacking := [name for name in self.config.signals if name not in jets.fields]:
            raise InputError(f"records lack the column(s) {lacking} that {self.name} needs; they have {jets.fields}.")
        columns = [np.asarray(ak.to_numpy(jets[name]), dtype=self.dtype) for name in self.config.signals]
        for name, column in zip(self.config.signals, columns, strict=True):
            if bad := int(np.isinf(column).sum()):
                raise InputError(f"column {name!r} is infinite in {bad} of {len(column)} rows; nan means missing.")
        return np.stack(columns, axis=1)

    def _input_names(self) -> list[str]:
        return list(self.config.signals)
