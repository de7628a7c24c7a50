"""Parts of networks on all pairs of members of a set: blocks (channels, sets, n, n), channels first for speed."""

from __future__ import annotations

import torch
from torch import Tensor, nn

__all__ = ["ChannelNorm", "dense", "others"]


def dense(linear: nn.Linear, x: Tensor) -> Tensor:
    """Apply a linear layer along the first axis of x (inputs, ...) -> (outputs, ...).

    One matrix product with a long second factor: several times faster on a CPU than channels last, where a few
    channels are all that a row has.
    """
    flat = x.flatten(1)
    out = linear.weight @ flat if linear.bias is None else torch.addmm(linear.bias[:, None], linear.weight, flat)
    return out.view(linear.out_features, *x.shape[1:])


class ChannelNorm(nn.BatchNorm1d):
    """Batch normalisation of blocks (channels, ...) over everything but the channels, padding left out."""

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """Normalise x (channels, ...); mask (...) is True where there is something (None: everywhere)."""
        if mask is None:
            return super().forward(x.flatten(1)[None])[0].view_as(x) if x.numel() else x
        out = torch.zeros_like(x)
        out[:, mask] = super().forward(x[:, mask][None])[0] if bool(mask.any()) else x[:, mask]
        return out


def others(x: Tensor) -> Tensor:
    """Return for every member the values of the others: x (..., n) -> (..., n, n - 1), without a copy.

    Row i holds j = i + 1, i + 2, ... and starts again at 0 after n - 1: no order that a sum would notice.
    """
    return torch.cat([x[..., 1:], x[..., :-1]], dim=-1).unfold(-1, x.shape[-1] - 1, 1)
