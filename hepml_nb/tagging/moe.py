"""Mixture-of-experts graph transformer: every particle goes to a few of many networks (arXiv:2501.03432)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy.typing as npt
import torch
from torch import Tensor, nn

from hepml_nb.core import InputError, derive_seed
from hepml_nb.learn import FitConfig, fit, pad, set_pool, unpad
from hepml_nb.learn.attention import Attention
from hepml_nb.learn.experts import Experts
from hepml_nb.tagging.particles import ParticleTagger, check_features

__all__ = ["MGT", "MGTConfig", "MGTNetwork", "loss"]


@dataclass(frozen=True)
class MGTConfig:
    """width: of a particle's state. heads: of the attention. layers: encoders. experts: networks per encoder, of
    `expert_width` hidden units, of which every particle sees `chosen`. balance: weight of the load balancing.

    features, most: what is seen of how many of the hardest particles. The published nodes are the objects of an event
    (12 numbers each) and carry eigenvectors of the graph's Laplacian; on our complete graphs of a jet's particles those
    tell nothing, and are left out. fit: the published training.
    """

    width: int = 80
    heads: int = 2
    layers: int = 2
    experts: int = 6
    expert_width: int = 20
    chosen: int = 2
    balance: float = 1.0
    features: tuple[str, ...] = ("deta_axis", "dphi_axis", "log_pt", "log_e", "log_pt_rel", "log_e_rel", "dr")
    most: int | None = 128
    fit: FitConfig = field(
        default_factory=lambda: FitConfig(epochs=60, lr=1e-3, batch_size=500, schedule="constant", patience=None)
    )

    def __post_init__(self) -> None:
        check_features(self.features)
        if self.layers < 1 or self.balance < 0:
            raise InputError(
                f"layers={self.layers!r}, balance={self.balance!r}; expected one layer, no negative weight."
            )


class _Encoder(nn.Module):
    """Attention among the particles of a jet, then the experts; the sum with the input is normalised after each."""

    def __init__(self, c: MGTConfig) -> None:
        super().__init__()
        self.attention = Attention(c.width, c.heads)
        self.experts = Experts(c.width, c.expert_width, c.experts, c.chosen)
        self.after_attention, self.after_experts = nn.LayerNorm(c.width), nn.LayerNorm(c.width)

    def forward(self, x: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        block, mask = pad(x, lengths)
        closed = torch.zeros(mask.shape, dtype=x.dtype, device=x.device).masked_fill_(~mask, -torch.inf)
        x = self.after_attention(x + unpad(self.attention(block, block, closed[:, None, None]), mask))
        mixed, load = self.experts(x)
        return self.after_experts(x + mixed), load


class MGTNetwork(nn.Module):
    """Encoders, a dense layer per particle, the mean over the particles -> logits."""

    def __init__(self, config: MGTConfig) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(len(config.features))
        self.embed = nn.Linear(len(config.features), config.width)
        self.encoders = nn.ModuleList(_Encoder(config) for _ in range(config.layers))
        self.cut, self.head = nn.Linear(config.width, config.width // 2), nn.Linear(config.width // 2, 1)
        self.balance = config.balance

    def forward(self, x: Tensor, lengths: Tensor) -> Tensor:
        """Map particles x (sum of lengths, features) and lengths (jets,) to logits (jets,)."""
        return self.with_loads(x, lengths)[0]

    def with_loads(self, x: Tensor, lengths: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Return the logits and, per encoder, how many particles each expert is expected to get, (experts,)."""
        x, loads = self.embed(self.norm(x)), []
        for encoder in self.encoders:
            x, load = encoder(x, lengths)
            loads.append(load)
        pooled = set_pool(torch.relu(self.cut(x)), lengths) / lengths[:, None]
        return self.head(pooled)[:, 0], loads


def loss(model: MGTNetwork, batch: tuple[Tensor, ...]) -> Tensor:
    """Mean binary cross entropy, in training plus `balance` times the mean squared variation of the experts' loads."""
    *inputs, labels = batch
    logits, loads = model.with_loads(*inputs)
    value = nn.functional.binary_cross_entropy_with_logits(logits, labels)
    if not model.training or not model.balance:
        return value
    uneven = torch.stack([load.var() / load.mean().square() for load in loads])
    return value + model.balance * uneven.mean()


_SMALL = MGTConfig(
    width=32,
    expert_width=20,
    most=40,
    fit=FitConfig(epochs=6, lr=3e-3, batch_size=128, patience=None),
)


class MGT(ParticleTagger):
    """Mixture-of-experts graph transformer: which expert a particle goes to can be looked at."""

    name = "moe"
    configs = {"paper": MGTConfig(), "small": _SMALL}  # noqa: RUF012 - a Mapping, never changed

    def build(self) -> nn.Module:
        """Return the network with fresh weights."""
        return MGTNetwork(self.config)

    def _learn(self, x: Any, y: npt.NDArray[Any], x_val: Any, y_val: npt.NDArray[Any], seed: int) -> None:
        self._start(x, y, seed)
        c = self.config.fit
        train = self.batches(x, y, batch_size=c.batch_size, seed=derive_seed(seed, self.name, "order"))
        val = self.batches(x_val, y_val, batch_size=self.eval_batch, shuffle=False)
        self.history = fit(self._fitted(), loss, train, val, c, seed=seed, desc=self.name)
