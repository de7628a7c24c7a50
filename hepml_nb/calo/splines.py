"""Rational-quadratic splines that bend every voxel by itself, told the context: what affine maps cannot do."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import pad, softplus

from hepml_nb.core import InputError
from hepml_nb.learn import mlp

__all__ = ["RingSplines"]

_NARROWEST, _FLATTEST = 1e-3, 1e-3
"""Least share of a bin in width and height, and least slope at a knot, as in arXiv:1906.04032."""
_ONE = math.log(math.expm1(1 - _FLATTEST))  # softplus(_ONE) + _FLATTEST = 1


class RingSplines(nn.Module):
    """A monotonic rational-quadratic spline (arXiv:1906.04032) for each feature of x (n, features), told a context.

    Features of one group (voxels of one ring, which are alike) share their spline: `group_of` (features,) are numbers
    from 0. A small network of the context gives widths, heights and slopes of `bins` bins on [-bound, bound]; outside
    it is the identity, and so it is everywhere before training. Raises InputError for fewer than two bins.
    """

    group_of: Tensor

    def __init__(
        self,
        group_of: np.ndarray,
        context: int,
        bins: int = 10,
        hidden: tuple[int, ...] = (64, 64),
        bound: float = 5.0,
    ) -> None:
        super().__init__()
        if bins < 2:
            raise InputError(f"bins={bins}; a spline has at least 2.")
        self.bins, self.bound, self.groups = bins, bound, int(np.max(group_of)) + 1
        self.register_buffer("group_of", torch.from_numpy(np.asarray(group_of, np.int64)))
        self.network = mlp([context, *hidden, self.groups * (3 * bins - 1)])
        for weight in list(self.network.parameters())[-2:]:
            nn.init.zeros_(weight)

    def forward(self, x: Tensor, context: Tensor) -> tuple[Tensor, Tensor]:
        """Return y (n, features) and log |dy / dx| (n,) of x (n, features), for context (n, context)."""
        inside, at = self._inside(x)
        x0, width, y0, height, first, last = self._bin(at, context, inverse=False)
        slope, share = height / width, (at - x0) / width
        mixed = share * (1 - share)
        below = slope + (first + last - 2 * slope) * mixed
        y = y0 + height * (slope * share.square() + first * mixed) / below
        rise = last * share.square() + 2 * slope * mixed + first * (1 - share).square()
        log_det = 2 * slope.log() + rise.log() - 2 * below.log()
        return torch.where(inside, y, x), torch.where(inside, log_det, 0.0).sum(1)

    def inverse(self, y: Tensor, context: Tensor) -> Tensor:
        """Return x (n, features) of y: the root of a quadratic equation within the bin."""
        inside, at = self._inside(y)
        x0, width, y0, height, first, last = self._bin(at, context, inverse=True)
        slope, up = height / width, at - y0
        bend = up * (first + last - 2 * slope)
        a, b, c = height * (slope - first) + bend, height * first - bend, -slope * up
        share = 2 * c / (-b - (b.square() - 4 * a * c).clamp(min=0).sqrt())
        return torch.where(inside, x0 + share * width, y)

    def _inside(self, x: Tensor) -> tuple[Tensor, Tensor]:
        inside = x.abs() < self.bound
        return inside, torch.where(inside, x, 0.0)

    def _bin(self, at: Tensor, context: Tensor, *, inverse: bool) -> list[Tensor]:
        """Return of the bin that each number lies in: left edge, width, lower edge, height, slopes left and right."""
        tables = self.network(context).view(len(context), self.groups, -1)
        widths, heights, slopes = tables.split([self.bins, self.bins, self.bins - 1], -1)
        left, width = self._edges(widths)
        low, height = self._edges(heights)
        slope = pad(softplus(slopes + _ONE) + _FLATTEST, (1, 1), value=1.0)
        with torch.no_grad():
            inner = (low if inverse else left)[..., 1:-1].contiguous()
            place = torch.searchsorted(inner[:, self.group_of], at[..., None], right=True)[..., 0]
            bins, knots = self.group_of * self.bins + place, self.group_of * (self.bins + 1) + place
        chosen = ((left, knots), (width, bins), (low, knots), (height, bins), (slope, knots), (slope, knots + 1))
        return [table.flatten(1).gather(1, index) for table, index in chosen]

    def _edges(self, raw: Tensor) -> tuple[Tensor, Tensor]:
        """Return knots (..., bins + 1) from -bound to bound, and the sizes of the bins (..., bins)."""
        size = 2 * self.bound * (_NARROWEST + (1 - _NARROWEST * self.bins) * raw.softmax(-1))
        return pad(size.cumsum(-1), (1, 0)) - self.bound, size
