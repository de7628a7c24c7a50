"""LundNet: messages along the edges of a jet's Lund tree (arXiv:2012.08526)."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn

from hepml_nb.core import InputError, suggest
from hepml_nb.learn import FitConfig, set_pool
from hepml_nb.tagging.base import Particles
from hepml_nb.tagging.lund import LUND_FEATURES, LundTrees, lund_features, lund_trees, primary, resolved
from hepml_nb.tagging.networks import loss
from hepml_nb.tagging.particles import ParticleTagger

__all__ = ["LundConv", "LundNet", "LundNetConfig", "LundNetNetwork", "loss", "lund_inputs"]


@dataclass(frozen=True)
class LundNetConfig:
    """convs: channels of the blocks, two layers each. fusion: width on all blocks' outputs together. fc, dropout: head.

    features: names of LUND_FEATURES, all five for LundNet-5, the first three for LundNet-3. primary: the primary plane
    only. kt_cut (GeV): declusterings below it are left out (0: none). pool: "mean" over declusterings, as published,
    or "sum", which tells the network how many there are: at leading logarithm that is all that quarks and gluons differ
    in, and a mean has to find it out from momenta, which takes many jets. The defaults are the published network with
    one logit instead of two outputs; the paper trains 30 epochs in batches of 256, Adam at 1e-3, in steps.
    """

    convs: tuple[int, ...] = (32, 32, 64, 64, 128, 128)
    fusion: int = 384
    fc: int = 256
    dropout: float = 0.1
    features: tuple[str, ...] = LUND_FEATURES
    primary: bool = False
    kt_cut: float = 0.0
    pool: Literal["mean", "sum"] = "mean"
    fit: FitConfig = field(default_factory=lambda: FitConfig(epochs=30, lr=1e-3, batch_size=256, schedule="cosine"))

    def __post_init__(self) -> None:
        for name in self.features:
            if name not in LUND_FEATURES:
                raise InputError(f"features={self.features}: {name!r} is unknown{suggest(str(name), LUND_FEATURES)}")
        if self.pool not in ("mean", "sum"):
            raise InputError(f"pool={self.pool!r} is unknown; expected 'mean' or 'sum'.")


class LundConv(nn.Module):
    """One block: every declustering hears the mean of what its parent and its children say, and adds it to itself.

    The message from j to i is an MLP of theta (x_j - x_i) + phi x_i, with batch normalisation.
    """

    def __init__(self, n_in: int, n_out: int) -> None:
        super().__init__()
        self.theta, self.phi = nn.Linear(n_in, n_out, bias=False), nn.Linear(n_in, n_out, bias=False)
        self.norm1, self.norm2 = nn.BatchNorm1d(n_out), nn.BatchNorm1d(n_out)
        self.second = nn.Linear(n_out, n_out, bias=False)
        same = n_in == n_out
        self.shortcut = nn.Identity() if same else nn.Sequential(nn.Linear(n_in, n_out, False), nn.BatchNorm1d(n_out))

    def forward(self, x: Tensor, source: Tensor, target: Tensor, share: Tensor) -> Tensor:
        """Map nodes x (n, n_in) to (n, n_out); edges source -> target, share: 1 / number of edges into the target."""
        said = self.theta(x)
        # the same linear layer on nodes as on edges, at a third of the cost: edges only add
        message = torch.relu_(self.norm1(said[source] + (self.phi(x) - said)[target]))
        message = torch.relu_(self.norm2(self.second(message)))
        mean = torch.zeros_like(said).index_add(0, target, message * share[:, None])
        out: Tensor = torch.relu(self.shortcut(x) + mean)
        return out


class LundNetNetwork(nn.Module):
    """Blocks along the tree, all their outputs fused per declustering, the mean (or sum) over the jet, and a head."""

    def __init__(self, config: LundNetConfig, outputs: int = 1) -> None:
        super().__init__()
        self.norm, self.mean = nn.BatchNorm1d(len(config.features)), config.pool == "mean"
        widths = (len(config.features), *config.convs)
        self.convs = nn.ModuleList(LundConv(a, b) for a, b in itertools.pairwise(widths))
        self.fusion = nn.Sequential(
            nn.Linear(sum(config.convs), config.fusion), nn.ReLU(inplace=True), nn.BatchNorm1d(config.fusion)
        )
        self.head = nn.Sequential(
            nn.Linear(config.fusion, config.fc), nn.ReLU(inplace=True), nn.Dropout(config.dropout),
            nn.Linear(config.fc, outputs),
        )  # fmt: skip

    def forward(self, values: Tensor, lengths: Tensor) -> Tensor:
        """Map declusterings (sum of lengths, features + 1: the last is the parent) and lengths (n,) to logits (n,)."""
        source, target, share = edges(values[:, -1], lengths)
        x, parts = self.norm(values[:, :-1]), []
        for conv in self.convs:
            x = conv(x, source, target, share)
            parts.append(x)
        pooled = set_pool(self.fusion(torch.cat(parts, dim=1)), lengths)
        if self.mean:
            pooled = pooled / lengths.clamp(min=1)[:, None]
        out: Tensor = self.head(pooled)[:, 0]
        return out


def edges(parent: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return source, target and 1 / (edges into the target) of the edges of all trees, in both directions."""
    first = torch.repeat_interleave(torch.cumsum(lengths, 0) - lengths, lengths, output_size=len(parent))
    child = torch.nonzero(parent >= 0)[:, 0]
    above = first[child] + parent[child].long()
    source, target = torch.cat([child, above]), torch.cat([above, child])
    degree = torch.bincount(target, minlength=len(parent)).to(parent.dtype)
    return source, target, 1 / degree[target]


def lund_inputs(trees: LundTrees, config: LundNetConfig, dtype: Any = np.float32) -> Particles:
    """Return what the network sees of trees: features and, last, the number of the parent within its jet (-1: none)."""
    if config.primary:
        trees = trees.only(primary(trees))
    if config.kt_cut > 0:
        trees = resolved(trees, config.kt_cut)
    columns = [lund_features(trees, config.features, dtype), trees.parent[:, None].astype(dtype)]
    return Particles(np.concatenate(columns, axis=1), trees.lengths)


class LundNet(ParticleTagger):
    """LundNet on the full Lund tree of the constituents, or on the primary plane."""

    name = "lundnet"
    configs = {  # noqa: RUF012 - a Mapping, never changed
        "paper": LundNetConfig(),
        "small": LundNetConfig(
            convs=(16, 32, 32), fusion=64, fc=64, dropout=0.0,
            fit=FitConfig(epochs=9, lr=3e-3, batch_size=128, patience=None),
        ),
    }  # fmt: skip
    columns = ("constituents",)
    inputs = "lund"
    bucket = False

    def build(self) -> nn.Module:
        """Return the network with fresh weights."""
        return LundNetNetwork(self.config)

    def _inputs(self, jets: Any) -> Particles:
        return lund_inputs(lund_trees(jets), self.config, self.dtype)

    def _input_names(self) -> list[str]:
        c = self.config
        return [*c.features, "parent", *(["primary"] if c.primary else []), *([f"kt > {c.kt_cut}"] if c.kt_cut else [])]
