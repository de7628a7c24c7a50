"""Networks that say where noisy showers go: one vector per row, told the time and what is known of the shower."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import silu

from hepml_nb.learn import Standardise

__all__ = ["PatchNet", "ResidualNet", "Told", "straight_velocity"]

_FREQUENCIES = 8


class Told(nn.Module):
    """Time (n,) in [0, 1] as sines and cosines, with the standardised context (n, context), embedded (n, width)."""

    steps: Tensor

    def __init__(self, context: int, width: int) -> None:
        super().__init__()
        self.scale = Standardise(context)
        self.register_buffer("steps", math.pi * torch.arange(1, _FREQUENCIES + 1, dtype=torch.float32))
        self.out = nn.Linear(context + 2 * _FREQUENCIES, width)

    def forward(self, t: Tensor, context: Tensor) -> Tensor:
        """Return the embedding."""
        phase = t[:, None] * self.steps
        return silu(self.out(torch.cat([self.scale(context), phase.sin(), phase.cos()], 1)))


class ResidualNet(nn.Module):
    """Dense residual blocks whose scale and shift the time and the context set: (n, features) to (n, features).

    A way past the blocks, with a factor per feature that time and context set, spares them the copying of what is noise
    in each feature alone.
    """

    def __init__(self, features: int, context: int, hidden: int = 512, blocks: int = 3) -> None:
        super().__init__()
        self.told = Told(context, hidden // 2)
        self.enter, self.leave = nn.Linear(features, hidden), nn.Linear(hidden, features)
        self.blocks = nn.ModuleList(_Block(hidden, hidden // 2) for _ in range(blocks))
        self.norm, self.past = nn.LayerNorm(hidden), nn.Linear(hidden // 2, features)
        nn.init.zeros_(self.past.weight)
        nn.init.zeros_(self.past.bias)

    def forward(self, x: Tensor, t: Tensor, context: Tensor) -> Tensor:
        """Return one vector per row, for times t (n,)."""
        told = self.told(t, context)
        h = self.enter(x)
        for block in self.blocks:
            h = block(h, told)
        out: Tensor = self.leave(self.norm(h)) + self.past(told) * x
        return out


class _Block(nn.Module):
    def __init__(self, hidden: int, told: int) -> None:
        super().__init__()
        self.norm, self.film = nn.LayerNorm(hidden, elementwise_affine=False), nn.Linear(told, 2 * hidden)
        self.first, self.second = nn.Linear(hidden, hidden), nn.Linear(hidden, hidden)
        nn.init.zeros_(self.second.weight)

    def forward(self, h: Tensor, told: Tensor) -> Tensor:
        scale, shift = self.film(told).chunk(2, 1)
        inner: Tensor = silu(self.first(silu(self.norm(h) * (1 + scale) + shift)))
        out: Tensor = h + self.second(inner)
        return out


class PatchNet(nn.Module):
    """A transformer of patches of voxels (a vision transformer), each with its own way in and out.

    patches: for each patch the features that it holds; each feature is in one. Time and context set scale, shift and
    gate in every block (arXiv:2212.09748).
    """

    order: Tensor
    back: Tensor

    def __init__(self, patches: Sequence[Sequence[int]], context: int, hidden: int, blocks: int, heads: int) -> None:
        super().__init__()
        self.sizes = [len(patch) for patch in patches]
        order = torch.tensor([feature for patch in patches for feature in patch])
        self.register_buffer("order", order)
        self.register_buffer("back", order.argsort())
        self.told = Told(context, hidden)
        self.enter = nn.ModuleList(nn.Linear(size, hidden) for size in self.sizes)
        self.leave = nn.ModuleList(nn.Linear(hidden, size) for size in self.sizes)
        self.place = nn.Parameter(0.02 * torch.randn(len(self.sizes), hidden))
        self.blocks = nn.ModuleList(_Attend(hidden, heads) for _ in range(blocks))
        self.norm = nn.LayerNorm(hidden)

    def forward(self, x: Tensor, t: Tensor, context: Tensor) -> Tensor:
        """Return one vector per row, for times t (n,)."""
        told = self.told(t, context)
        parts = torch.split(x[:, self.order], self.sizes, 1)
        h = torch.stack([way(part) for way, part in zip(self.enter, parts, strict=True)], 1) + self.place
        for block in self.blocks:
            h = block(h, told)
        h = self.norm(h)
        return torch.cat([way(h[:, i]) for i, way in enumerate(self.leave)], 1)[:, self.back]


class _Attend(nn.Module):
    def __init__(self, hidden: int, heads: int) -> None:
        super().__init__()
        self.film = nn.Linear(hidden, 6 * hidden)
        self.norm = nn.LayerNorm(hidden, elementwise_affine=False)
        self.attention = nn.MultiheadAttention(hidden, heads, batch_first=True)
        self.first, self.second = nn.Linear(hidden, 4 * hidden), nn.Linear(4 * hidden, hidden)

    def forward(self, h: Tensor, told: Tensor) -> Tensor:
        a, b, c, d, e, f = self.film(told)[:, None].chunk(6, 2)
        y = self.norm(h) * (1 + a) + b
        h = h + c * self.attention(y, y, y, need_weights=False)[0]
        y = self.norm(h) * (1 + d) + e
        out: Tensor = h + f * self.second(silu(self.first(y)))
        return out


def straight_velocity(network: nn.Module, x: Tensor, t: Tensor, context: Tensor) -> Tensor:
    """Return the velocity (n, k) at x (n, k) and times t (n,), where data and noise both have variance 1.

    At the time t, x_t = (1 - t) noise + t data has the variance s^2 = t^2 + (1 - t)^2. Were data normal and
    independent, the velocity would be (2 t - 1) x / s^2: the network adds what they are not, from inputs of variance
    1.
    """
    t_ = t[:, None]
    s = (t_.square() + (1 - t_).square()).sqrt()
    out: Tensor = (2 * t_ - 1) / s**2 * x + network(x / s, t, context)
    return out
