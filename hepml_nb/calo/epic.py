"""EPiC flow matching: points that know of each other through a few global numbers (arXiv:2310.00049)."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from hepml_nb.calo.point_model import SMALL_POINTS, PointConfig, PointModel
from hepml_nb.learn import integrate, set_pool
from hepml_nb.learn.flow_matching import validation_noise

__all__ = ["EpicConfig", "EpicFlowMatching", "EpicLayer", "EpicNet"]

_SUM = 0.01
"""The sum over points enters scaled down (arXiv:2301.08128)."""
_FREQUENCIES = 4


@dataclass(frozen=True)
class EpicConfig(PointConfig):
    """hidden: width of a point's numbers. shared: global numbers. layers: how often they exchange."""

    steps: int = 100
    hidden: int = 128
    shared: int = 16
    layers: int = 6


class EpicLayer(nn.Module):
    """An equivariant point cloud layer (arXiv:2301.08128): points -> mean and sum -> global numbers -> points."""

    def __init__(self, hidden: int, shared: int, context: int) -> None:
        super().__init__()
        self.globals = nn.Sequential(
            nn.Linear(2 * hidden + shared + context, hidden), nn.LeakyReLU(0.01), nn.Linear(hidden, shared)
        )
        self.point, self.told = nn.Linear(hidden, hidden), nn.Linear(shared + context, hidden)
        self.out = nn.Linear(hidden, hidden)

    def forward(self, x: Tensor, g: Tensor, context: Tensor, lengths: Tensor, owner: Tensor) -> tuple[Tensor, Tensor]:
        """Return points x (points, hidden) and global numbers g (n, shared) after the exchange."""
        total = set_pool(x, lengths)
        pooled = torch.cat([total / lengths.clamp(min=1)[:, None], _SUM * total, g, context], 1)
        g = nn.functional.leaky_relu(self.globals(pooled), 0.01) + g
        told = self.told(torch.cat([g, context], 1))[owner]
        x = self.out(nn.functional.leaky_relu(self.point(x) + told, 0.01)) + x
        return nn.functional.leaky_relu(x, 0.01), g


class EpicNet(nn.Module):
    """The velocity of points: embedded, a few EPiC layers, read out. Time and context are told to every layer."""

    def __init__(self, context: int, hidden: int, shared: int, layers: int) -> None:
        super().__init__()
        known = context + 1 + 2 * _FREQUENCIES
        self.embed, self.begin = nn.Linear(4, hidden), nn.Linear(known, shared)
        self.layers = nn.ModuleList(EpicLayer(hidden, shared, known) for _ in range(layers))
        self.read = nn.Linear(hidden, 4)

    def forward(self, x: Tensor, t: Tensor, context: Tensor, lengths: Tensor, owner: Tensor) -> Tensor:
        """Map points x (points, 4) at times t (n,) of showers to velocities (points, 4)."""
        phase = t[:, None] * (2 * math.pi * torch.arange(1, _FREQUENCIES + 1, dtype=x.dtype))
        known = torch.cat([t[:, None], phase.sin(), phase.cos(), context], 1)
        h, g = nn.functional.leaky_relu(self.embed(x), 0.01), self.begin(known)
        for layer in self.layers:
            h, g = layer(h, g, known, lengths, owner)
        out: Tensor = self.read(h)
        return out


class EpicFlowMatching(PointModel):
    """EPiC-FM (arXiv:2310.00049, S4) on the points of showers: conditional flow matching of the cloud as a whole.

    Written for jets; energy and number of points are the condition, and layers are calibrated as in CaloClouds II.
    """

    name = "epic-fm"
    configs: ClassVar[Mapping[str, Any]] = {
        "paper": EpicConfig(),
        "small": EpicConfig(
            steps=20,
            hidden=64,
            shared=16,
            layers=3,
            **SMALL_POINTS,
        ),
    }

    def _network(self, context: int) -> EpicNet:
        return EpicNet(context, self.config.hidden, self.config.shared, self.config.layers)

    def _loss(self, model: Any, x: Tensor, lengths: Tensor, context: Tensor) -> Tensor:
        given = validation_noise(model, x)
        owner = torch.repeat_interleave(lengths, output_size=len(x))
        noise, t = torch.randn(x.shape, generator=given), torch.rand(len(lengths), generator=given)
        here = t[owner][:, None]
        told: Tensor = model((1 - here) * noise + here * x, t, context, lengths, owner)
        return (told - (x - noise)).square().mean()

    def _draw(self, model: Any, lengths: Tensor, context: Tensor) -> Tensor:
        owner = torch.repeat_interleave(lengths)

        def velocity(x: Tensor, t: Tensor) -> Tensor:
            # integrate gives each row the same time; the network takes one per shower
            same = t[:1].expand(len(lengths))
            out: Tensor = model(x, same, context, lengths, owner)
            return out

        return integrate(velocity, torch.randn(len(owner), 4), steps=self.config.steps, method="midpoint")[-1]
