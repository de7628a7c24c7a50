"""CaloDREAM: layers, then voxels, each carried from noise by a velocity that is regressed on straight lines."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn

from hepml_nb.calo.staged import StagedConfig, StagedModel
from hepml_nb.calo.velocity import PatchNet, ResidualNet, straight_velocity
from hepml_nb.core import InputError
from hepml_nb.learn import FitConfig, integrate
from hepml_nb.learn.flow_matching import OdeMethod
from hepml_nb.simulate.calorimeter import Geometry

__all__ = ["CaloDream", "CaloDreamConfig", "matching_loss"]


@dataclass(frozen=True)
class CaloDreamConfig(StagedConfig):
    """steps, method: of the solver, see `learn.integrate`. hidden, blocks: of the voxels' network.

    network: "patches", a transformer with `heads` of patches of `rings` rings, or "dense", a residual network.
    """

    steps: int = 50
    method: OdeMethod = "rk4"
    network: Literal["patches", "dense"] = "patches"
    hidden: int = 480
    blocks: int = 6
    heads: int = 6
    rings: int = 3

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.network not in ("patches", "dense") or (self.network == "patches" and self.hidden % self.heads):
            raise InputError(
                f"network={self.network!r}, hidden={self.hidden}, heads={self.heads}; expected patches or dense, and "
                "for patches as many heads as divide hidden."
            )


def matching_loss(
    network: nn.Module, x: Tensor, noise: Tensor, t: Tensor, context: Tensor, velocity: Any = straight_velocity
) -> Tensor:
    """Return the mean squared distance of the velocity from x - noise at x_t = (1 - t) noise + t x (arXiv:2210.02747).

    x, noise: (n, k); t: (n,); context: (n, c).
    """
    place = (1 - t[:, None]) * noise + t[:, None] * x
    loss: Tensor = (velocity(network, place, t, context) - (x - noise)).square().mean()
    return loss


class CaloDream(StagedModel):
    """CaloDREAM (arXiv:2405.09629, S0/73, S2/119): conditional flow matching of layer energies, then of voxels.

    The paper's losses and its two stages; its voxels' network, a transformer of patches, is that of "paper". Different:
    the layers' network is dense and draws all layers at once, where the paper's is an autoregressive transformer;
    numbers are made normal at every energy (`Marginals`) instead of logits; and the first stage draws the hits of each
    layer, too. "small" has a residual network of the voxels, which learnt more in equal time on two cores.
    """

    name = "calodream"
    configs: ClassVar[Mapping[str, Any]] = {
        "paper": CaloDreamConfig(),
        "small": CaloDreamConfig(
            steps=8,
            method="midpoint",
            turned=True,
            network="dense",
            hidden=512,
            blocks=3,
            fit=FitConfig(epochs=60, lr=1e-3, batch_size=256, patience=None, clip=5.0, warmup=0.1),
            layer_fit=FitConfig(epochs=40, lr=2e-3, batch_size=256, patience=None, clip=5.0, warmup=0.1),
        ),
    }

    def _network(self, context: int, geometry: Geometry) -> nn.Module:
        c = self.config
        if c.network == "dense":
            return ResidualNet(geometry.voxels, context, c.hidden, c.blocks)
        return PatchNet(ring_patches(geometry, c.rings), context, c.hidden, c.blocks, c.heads)

    def _loss(self, model: Any, x: Tensor, context: Tensor, given: torch.Generator | None) -> Tensor:
        noise, t = torch.randn(x.shape, generator=given), torch.rand(len(x), generator=given)
        return matching_loss(model, x, noise, t, context)

    def _draw(self, model: Any, noise: Tensor, context: Tensor, steps: int) -> Tensor:
        def velocity(x: Tensor, t: Tensor) -> Tensor:
            return straight_velocity(model, x, t, context)

        return integrate(velocity, noise, steps=steps, method=self.config.method)[-1]


def ring_patches(geometry: Geometry, rings: int) -> list[list[int]]:
    """Return the voxels of patches: `rings` neighbouring rings of a layer, with all their bins in alpha."""
    patches: list[list[int]] = []
    for i, layer in enumerate(geometry.layers):
        for begin in range(0, layer.n_r, rings):
            some = range(begin, min(begin + rings, layer.n_r))
            start = int(geometry.offsets[i])
            patches.append([start + alpha * layer.n_r + r for alpha in range(layer.n_alpha) for r in some])
    return patches
