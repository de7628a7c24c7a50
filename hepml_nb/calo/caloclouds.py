"""CaloClouds II: points that a diffusion draws each for itself, told energy and number (arXiv:2309.05704)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from hepml_nb.calo.edm import MEAN, SIGMA_MAX, SPREAD, edm_loss, heun
from hepml_nb.calo.point_model import SMALL_POINTS, PointConfig, PointModel
from hepml_nb.learn.flow_matching import validation_noise

__all__ = ["CaloClouds", "CaloCloudsConfig", "PointWiseNet"]


@dataclass(frozen=True)
class CaloCloudsConfig(PointConfig):
    """hidden: widths of the network of one point, which gates each layer by the shower's context."""

    hidden: tuple[int, ...] = (128, 256, 512, 256, 128)


class PointWiseNet(nn.Module):
    """A network of one point (points, 4) with layers W x sigmoid(gate) + shift, gate and shift of the context.

    Noise level and context are the same for all points of a shower, so that gates are computed once per shower.
    """

    def __init__(self, context: int, hidden: tuple[int, ...]) -> None:
        super().__init__()
        sizes = list(pairwise([4, *hidden, 4]))
        self.layers = nn.ModuleList(nn.Linear(a, b) for a, b in sizes)
        self.gates = nn.ModuleList(nn.Linear(context + 3, b) for _, b in sizes)
        self.shifts = nn.ModuleList(nn.Linear(context + 3, b, bias=False) for _, b in sizes)

    def forward(self, x: Tensor, level: Tensor, context: Tensor, owner: Tensor) -> Tensor:
        """Map points x (points, 4) of the showers owner (points,), with level (n,) and context (n, context)."""
        known = torch.cat([level[:, None], level[:, None].sin(), level[:, None].cos(), context], 1)
        out = x
        for i, (layer, gate, shift) in enumerate(zip(self.layers, self.gates, self.shifts, strict=True)):
            out = layer(out) * torch.sigmoid(gate(known))[owner] + shift(known)[owner]
            out = nn.functional.leaky_relu(out, 0.02) if i + 1 < len(self.layers) else out
        return x + out


class CaloClouds(PointModel):
    """CaloClouds II (arXiv:2309.05704; S0/83 for its successor): a flow of layers, then independent points.

    Given energy and number, points know nothing of each other: the diffusion (arXiv:2206.00364, 13 steps of Heun) is of
    one point, which makes it fast and limits it. The paper's points are up to 36 times finer than the cells and were
    clustered from the steps of Geant4; ours are hits of voxels, placed anywhere in them.
    """

    name = "caloclouds"
    configs: ClassVar[Mapping[str, Any]] = {
        "paper": CaloCloudsConfig(),
        "small": CaloCloudsConfig(
            hidden=(64, 128, 128, 64),
            **SMALL_POINTS,
        ),
    }

    def _network(self, context: int) -> PointWiseNet:
        return PointWiseNet(context, self.config.hidden)

    def _loss(self, model: Any, x: Tensor, lengths: Tensor, context: Tensor) -> Tensor:
        given = validation_noise(model, x)
        owner = torch.repeat_interleave(lengths, output_size=len(x))
        sigma = (MEAN + SPREAD * torch.randn(len(lengths), generator=given)).exp()
        noise = torch.randn(x.shape, generator=given)
        # each point has the noise level of its shower; the network gets it once per shower
        return edm_loss(lambda y, _: model(y, sigma.log() / 4, context, owner), x, sigma[owner], noise).mean()

    def _draw(self, model: Any, lengths: Tensor, context: Tensor) -> Tensor:
        owner = torch.repeat_interleave(lengths)
        start = torch.randn(len(owner), 4) * SIGMA_MAX

        def network(x: Tensor, level: Tensor) -> Tensor:
            same = level[:1].expand(len(lengths))
            out: Tensor = model(x, same, context, owner)
            return out

        return heun(network, start, self.config.steps)
