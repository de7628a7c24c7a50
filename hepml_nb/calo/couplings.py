"""A lean affine coupling flow with splines in front: an exact density of voxels, fast in both directions."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor, nn

from hepml_nb.calo.splines import RingSplines
from hepml_nb.core import InputError
from hepml_nb.learn import Standardise, mlp

__all__ = ["AffineCoupling", "CouplingFlow"]


class AffineCoupling(nn.Module):
    """One block (arXiv:1605.08803): half of the features, in a fixed random order, are scaled and shifted by a network
    of the other half and the context.

    Logarithms of scales are clamp * tanh(s / clamp). It is the identity before training.
    """

    order: Tensor
    back: Tensor

    def __init__(self, features: int, context: int, hidden: tuple[int, ...], clamp: float, order: Tensor) -> None:
        super().__init__()
        self.kept, self.clamp = features // 2, clamp
        self.register_buffer("order", order)
        self.register_buffer("back", order.argsort())
        self.network = mlp([self.kept + context, *hidden, 2 * (features - self.kept)])
        for weight in list(self.network.parameters())[-2:]:
            nn.init.zeros_(weight)

    def terms(self, kept: Tensor, context: Tensor) -> tuple[Tensor, Tensor]:
        """Return logarithms of scales and shifts for the moved half, told the kept half."""
        scale, shift = self.network(torch.cat([kept, context], 1)).chunk(2, 1)
        return self.clamp * torch.tanh(scale / self.clamp), shift

    def forward(self, x: Tensor, context: Tensor) -> tuple[Tensor, Tensor]:
        """Return y (n, features), in the block's order, and log |dy / dx| (n,)."""
        kept, moved = x[:, self.order].tensor_split([self.kept], 1)
        scale, shift = self.terms(kept, context)
        return torch.cat([kept, moved * scale.exp() + shift], 1), scale.sum(1)

    def inverse(self, y: Tensor, context: Tensor) -> Tensor:
        """Return x (n, features) of y."""
        kept, moved = y.tensor_split([self.kept], 1)
        scale, shift = self.terms(kept, context)
        return torch.cat([kept, (moved - shift) * (-scale).exp()], 1)[:, self.back]


class CouplingFlow(nn.Module):
    """An invertible map of x (n, features), given a context (n, context), to standard normal numbers.

    x is standardised, bent by `RingSplines` (voxel by voxel; None where bins is 0) and goes through affine couplings,
    which take out what voxels know of each other. Masking half of a wide network, as zuko does, would double the cost.
    group_of (features,): the group of each feature, whose features share spline, shift and scale.
    """

    def __init__(
        self,
        group_of: np.ndarray,
        context: int,
        *,
        blocks: int = 12,
        hidden: tuple[int, ...] = (256, 256),
        clamp: float = 2.0,
        bins: int = 10,
    ) -> None:
        super().__init__()
        if blocks < 1 or clamp <= 0 or len(group_of) < 2:
            raise InputError(f"blocks={blocks}, clamp={clamp}, {len(group_of)} features; expected 1, above 0, 2.")
        self.features, self.group_of = len(group_of), np.asarray(group_of)
        self.x_scale, self.context_scale = Standardise(self.features), Standardise(context)
        self.splines = RingSplines(group_of, context, bins) if bins else None
        orders = (torch.randperm(self.features) for _ in range(blocks))
        self.blocks = nn.ModuleList(AffineCoupling(self.features, context, hidden, clamp, order) for order in orders)

    def standardise(self, x: Tensor, context: Tensor) -> CouplingFlow:
        """Measure shift and scale of x (n, features), one for each group, and of the context (n, context)."""
        standardise_groups(self.x_scale, x, self.group_of)
        self.context_scale.fit(context)
        return self

    def encode(self, x: Tensor, context: Tensor) -> tuple[Tensor, Tensor]:
        """Return the normal numbers z (n, features) of x and log |dz / dx| (n,)."""
        told, z = self.context_scale(context), self.x_scale(x)
        log_det = -self.x_scale.scale.log().sum().expand(len(x))
        for step in (self.splines, *self.blocks):
            if step is not None:
                z, more = step(z, told)
                log_det = log_det + more
        return z, log_det

    def decode(self, z: Tensor, context: Tensor) -> Tensor:
        """Return the x (n, features) whose normal numbers are z: the inverse of `encode`."""
        told = self.context_scale(context)
        for step in reversed([step for step in (self.splines, *self.blocks) if step is not None]):
            z = step.inverse(z, told)
        return z * self.x_scale.scale + self.x_scale.mean

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


def standardise_groups(scale: Standardise, x: Tensor, group_of: np.ndarray) -> None:
    """Measure mean and deviation of x (n, features) over the rows and the features of a group together."""
    for group in np.unique(group_of):
        here = torch.from_numpy(group_of == group)
        one = x[:, here].double()
        deviation = float(one.std(correction=0))
        scale.mean[here], scale.scale[here] = float(one.mean()), deviation if deviation > 1e-6 else 1.0
