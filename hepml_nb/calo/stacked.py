"""Flows of voxels: splines of single voxels, then a stack of blocks that mix them."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from hepml_nb.calo.splines import RingSplines
from hepml_nb.core import InputError
from hepml_nb.learn import Standardise

__all__ = ["StackedFlow"]


class StackedFlow(nn.Module):
    """An invertible map of x (n, features), given a context (n, context), to standard normal numbers.

    x is standardised, bent by `RingSplines` (voxel by voxel; none where bins is 0) and goes through `blocks`, which a
    subclass fills: modules whose forward(x, context) gives y and log |dy / dx|, and inverse(y, context) x.
    group_of (features,): features of one group share spline, shift and scale. Raises InputError below two features.
    """

    blocks: nn.ModuleList

    def __init__(self, group_of: np.ndarray, context: int, bins: int) -> None:
        super().__init__()
        if len(group_of) < 2:
            raise InputError(f"{len(group_of)} features; blocks mix at least 2.")
        self.features, self.group_of = len(group_of), np.asarray(group_of)
        self.x_scale, self.context_scale = Standardise(self.features), Standardise(context)
        self.splines = RingSplines(group_of, context, bins) if bins else None

    def standardise(self, x: Tensor, context: Tensor) -> StackedFlow:
        """Measure shift and scale of x (n, features), one for each group, and of the context (n, context)."""
        for group in np.unique(self.group_of):
            here = torch.from_numpy(self.group_of == group)
            one = x[:, here].double()
            deviation = float(one.std(correction=0))
            self.x_scale.mean[here] = float(one.mean())
            self.x_scale.scale[here] = deviation if deviation > 1e-6 else 1.0
        self.context_scale.fit(context)
        return self

    def bend(self, x: Tensor, told: Tensor) -> tuple[Tensor, Tensor]:
        """Return x standardised and bent (n, features), for a standardised context, and log |d bent / dx| (n,)."""
        scaled, log_det = self.x_scale(x), -self.x_scale.scale.log().sum().expand(len(x))
        if self.splines is None:
            return scaled, log_det
        bent, more = self.splines(scaled, told)
        return bent, log_det + more

    def unbend(self, bent: Tensor, told: Tensor) -> Tensor:
        """Return the x (n, features) whose bent numbers these are: the inverse of `bend`."""
        scaled = bent if self.splines is None else self.splines.inverse(bent, told)
        return scaled * self.x_scale.scale + self.x_scale.mean

    def encode(self, x: Tensor, context: Tensor) -> tuple[Tensor, Tensor]:
        """Return the normal numbers z (n, features) of x and log |dz / dx| (n,)."""
        told = self.context_scale(context)
        z, log_det = self.bend(x, told)
        for block in self.blocks:
            z, more = block(z, told)
            log_det = log_det + more
        return z, log_det

    def decode(self, z: Tensor, context: Tensor) -> Tensor:
        """Return the x (n, features) whose normal numbers are z: the inverse of `encode`."""
        told = self.context_scale(context)
        blocks: list[Any] = list(self.blocks)
        for block in reversed(blocks):
            z = block.inverse(z, told)
        return self.unbend(z, told)

    def log_prob(self, x: Tensor, context: Tensor) -> Tensor:
        """Return log p(x | context) per row (n,), natural logarithm, in the units of x."""
        z, log_det = self.encode(x, context)
        return log_det - 0.5 * z.square().sum(1) - 0.5 * self.features * math.log(2 * math.pi)

    def loss(self, x: Tensor, context: Tensor) -> Tensor:
        """Return the mean of -log p(x | context): maximum likelihood."""
        return -self.log_prob(x, context).mean()

    def sample(self, context: Tensor) -> Tensor:
        """Draw one x per row of the context (n, context), from torch's generator."""
        return self.decode(torch.randn(len(context), self.features, device=context.device), context)
