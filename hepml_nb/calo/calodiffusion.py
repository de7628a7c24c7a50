"""CaloDiffusion: noise is taken off step by step, by convolutions around the shower's axis."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn.functional import pad, silu

from hepml_nb.calo.staged import StagedConfig, StagedModel
from hepml_nb.calo.velocity import Told
from hepml_nb.core import InputError
from hepml_nb.learn import FitConfig, denoise, signal_share
from hepml_nb.learn.diffusion import NoiseSchedule
from hepml_nb.simulate.calorimeter import Geometry

__all__ = ["CaloDiffusion", "CaloDiffusionConfig", "CylinderNet", "noise_loss", "told_noise"]


@dataclass(frozen=True)
class CaloDiffusionConfig(StagedConfig):
    """noise_steps, schedule: of the diffusion, see `learn.signal_share`. steps, eta: of the sampler (`learn.denoise`).

    channels: of the convolutions, level by level, each coarser by two than the last. radii: bins in radius of the
    regular grid that all layers are mapped to. deep: convolutions along the depth as well.
    """

    steps: int = 400
    eta: float = 1.0
    noise_steps: int = 400
    schedule: NoiseSchedule = "cosine"
    channels: tuple[int, ...] = (16, 16, 32)
    told: int = 128
    radii: int = 30
    deep: bool = True
    fit: FitConfig = field(default_factory=lambda: FitConfig(epochs=1000, lr=4e-4, batch_size=128, patience=20))

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.channels or self.radii < 1 or self.steps > self.noise_steps:
            raise InputError(
                f"channels={self.channels}, radii={self.radii}, steps={self.steps}; expected one level, one bin, "
                f"no more than {self.noise_steps} steps."
            )


def told_noise(network: nn.Module, share: Tensor, x: Tensor, step: Tensor, context: Tensor) -> Tensor:
    """Return the noise (n, k) seen in x (n, k) at steps (n,) from 1; share: alpha-bar (steps + 1,).

    The network gives what is left to say, noise = sqrt(1 - a) x + sqrt(a) network (arXiv:2202.00512), as in
    `learn.Diffusion`.
    """
    a = share[step][:, None]
    rest: Tensor = network(x, step / (len(share) - 1), context)
    return (1 - a).sqrt() * x + a.sqrt() * rest


def noise_loss(network: nn.Module, share: Tensor, x: Tensor, noise: Tensor, step: Tensor, context: Tensor) -> Tensor:
    """Return the mean squared error of the noise told in x_t = sqrt(a) x + sqrt(1 - a) noise (arXiv:2006.11239)."""
    a = share[step][:, None]
    return (told_noise(network, share, a.sqrt() * x + (1 - a).sqrt() * noise, step, context) - noise).square().mean()


class CylinderNet(nn.Module):
    """A U-Net of convolutions that close around the axis, between maps to a regular grid and back (GLaM).

    Each layer's bins in radius go to `radii` common ones by a matrix that is learnt; a layer of one bin in alpha counts
    in all. The grid is (depth, alpha, radius); where not `deep`, layers are channels of a grid (alpha, radius).
    """

    def __init__(self, geometry: Geometry, context: int, channels: tuple[int, ...], told: int, radii: int, deep: bool):
        super().__init__()
        self.shapes = [(layer.n_alpha, layer.n_r) for layer in geometry.layers]
        self.alphas, self.deep = max(n for n, _ in self.shapes), deep
        if {n for n, _ in self.shapes} - {1, self.alphas}:
            raise InputError(f"{geometry.name} has layers of different bins in alpha; expected one number, or 1.")
        self.told = Told(context, told)
        self.enter = nn.ModuleList(nn.Linear(n_r, radii) for _, n_r in self.shapes)
        self.leave = nn.ModuleList(nn.Linear(radii, n_r) for _, n_r in self.shapes)
        planes = 1 if deep else len(self.shapes)
        self.first, self.last = (Around(*one, deep) for one in ((planes, channels[0]), (channels[0], planes)))
        self.down = nn.ModuleList(Cell(c, c, told, deep) for c in channels[:-1])
        self.wider = nn.ModuleList(Around(a, b, deep) for a, b in pairwise(channels))
        self.middle = Cell(channels[-1], channels[-1], told, deep)
        self.up = nn.ModuleList(Cell(a + b, a, told, deep) for a, b in reversed([*pairwise(channels)]))
        self.past = nn.Linear(told, geometry.voxels)
        nn.init.zeros_(self.past.weight)
        nn.init.zeros_(self.past.bias)

    def forward(self, x: Tensor, t: Tensor, context: Tensor) -> Tensor:
        """Return one vector per row of x (n, voxels), for times t (n,)."""
        told = self.told(t, context)
        parts, planes = torch.split(x, [n * n_r for n, n_r in self.shapes], 1), []
        for way, part, (n, n_r) in zip(self.enter, parts, self.shapes, strict=True):
            planes.append(way(part.view(-1, n, n_r)).expand(-1, self.alphas, -1))
        grid = torch.stack(planes, 1)
        h, kept = self.first(grid[:, None] if self.deep else grid), []
        for cell, wider in zip(self.down, self.wider, strict=True):
            kept.append(h := cell(h, told))
            h = wider(_half(h))
        h = self.middle(h, told)
        for cell in self.up:
            skip = kept.pop()
            h = cell(torch.cat([skip, nn.functional.interpolate(h, skip.shape[2:])], 1), told)
        grid = self.last(h)[:, 0] if self.deep else self.last(h)
        out = []
        for i, (way, (n, _)) in enumerate(zip(self.leave, self.shapes, strict=True)):
            out.append(way(grid[:, i] if n > 1 else grid[:, i].mean(1, keepdim=True)).flatten(1))
        velocity: Tensor = torch.cat(out, 1) + self.past(told) * x
        return velocity


class Around(nn.Module):
    """A convolution of 3 bins that closes in alpha, the last axis but one, and ends with zeros in the others."""

    def __init__(self, before: int, after: int, deep: bool) -> None:
        super().__init__()
        self.conv = (
            nn.Conv3d(before, after, 3, padding=(1, 0, 1)) if deep else nn.Conv2d(before, after, 3, padding=(0, 1))
        )

    def forward(self, x: Tensor) -> Tensor:
        """Map a grid (n, channels, ..., alpha, radius)."""
        out: Tensor = self.conv(torch.cat([x[..., -1:, :], x, x[..., :1, :]], -2))
        return out


class Cell(nn.Module):
    """Two convolutions past which the input goes, with scale and shift by what is told (n, told)."""

    def __init__(self, before: int, after: int, told: int, deep: bool) -> None:
        super().__init__()
        self.norm = nn.GroupNorm(1, before)
        self.first, self.second = Around(before, after, deep), Around(after, after, deep)
        self.film = nn.Linear(told, 2 * after)
        self.past = nn.Identity() if before == after else (nn.Conv3d if deep else nn.Conv2d)(before, after, 1)

    def forward(self, x: Tensor, told: Tensor) -> Tensor:
        """Map a grid (n, before, ...) to (n, after, ...)."""
        h = self.first(silu(self.norm(x)))
        scale, shift = self.film(told).view(len(x), -1, *[1] * (x.ndim - 2)).chunk(2, 1)
        out: Tensor = self.past(x) + self.second(silu(h * (1 + scale) + shift))
        return out


def _half(x: Tensor) -> Tensor:
    """Return the means of neighbours in alpha and radius; the last of an odd number of bins counts twice."""
    flat = pad(x.flatten(0, -4), (0, x.shape[-1] % 2, 0, x.shape[-2] % 2), mode="replicate")
    halved: Tensor = nn.functional.avg_pool2d(flat, 2)
    return halved.reshape(*x.shape[:-3], *halved.shape[1:])


class CaloDiffusion(StagedModel):
    """CaloDiffusion (arXiv:2308.03876): a denoising diffusion of voxels by cylindrical convolutions.

    The paper's loss, schedule, steps and U-Net, with its learnt map to a regular grid (GLaM) for every geometry. Layers
    come from a dense diffusion, as in its later version. Different: numbers are made normal at every energy
    (`Marginals`) instead of logits, the first stage draws the hits of each layer, too, and there is no attention.
    "small" has layers as channels and fewer radii, and 25 steps of a deterministic sampler (DDIM, arXiv:2010.02502).
    """

    name = "calodiffusion"
    configs: ClassVar[Mapping[str, Any]] = {
        "paper": CaloDiffusionConfig(),
        "small": CaloDiffusionConfig(
            steps=25,
            eta=0.0,
            turned=True,
            channels=(48, 64),
            radii=10,
            deep=False,
            fit=FitConfig(epochs=20, lr=2e-3, batch_size=128, patience=None, clip=5.0, warmup=0.1),
            layer_fit=FitConfig(epochs=40, lr=2e-3, batch_size=256, patience=None, clip=5.0, warmup=0.1),
        ),
    }

    def _network(self, context: int, geometry: Geometry) -> nn.Module:
        c = self.config
        self.share = signal_share(c.noise_steps, c.schedule).float()
        return CylinderNet(geometry, context, c.channels, c.told, c.radii, c.deep)

    def _loss(self, model: Any, x: Tensor, context: Tensor, given: torch.Generator | None) -> Tensor:
        step = torch.randint(1, len(self.share), (len(x),), generator=given)
        return noise_loss(model, self.share, x, torch.randn(x.shape, generator=given), step, context)

    def _draw(self, model: Any, noise: Tensor, context: Tensor, steps: int) -> Tensor:
        def noise_in(x: Tensor, step: Tensor) -> Tensor:
            return told_noise(model, self.share, x, step, context)

        return denoise(noise_in, noise, self.share, steps=steps, eta=self.config.eta)
