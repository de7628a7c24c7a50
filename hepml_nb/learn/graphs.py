"""Graphs of nearest neighbours on sets without padding, and the convolution along their edges."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from hepml_nb.core import InputError
from hepml_nb.learn.normed import NormedStack
from hepml_nb.learn.padded import pad

__all__ = ["EdgeConv", "nearest"]

_MEMBERS = 2**12  # more members than a set may have; leaves 40 of a float64's 52 digits, and all of a float32's
_INFINITE = 0x7FF << 52  # the bits of infinity in float64


def nearest(points: Tensor, lengths: Tensor, k: int) -> Tensor:
    """Return the rows of the k nearest other members of the same set, shape (sum of lengths, k), in no order.

    points: (sum of lengths, coordinates), set after set; distances are Euclidean. Where a set has fewer than k + 1
    members, the missing neighbours are row len(points), which stands for "nobody".
    Equally far members are taken in their order. Raises InputError for k below 1, sets of 4096 members or more, or
    lengths that do not add up.
    """
    if k < 1:
        raise InputError(f"k={k!r} neighbours; expected at least 1.")
    if len(lengths) and int(lengths.max()) >= _MEMBERS:
        raise InputError(f"a set has {int(lengths.max())} members; expected fewer than {_MEMBERS}.")
    block, mask = pad(points.detach(), lengths)
    n, squares = block.shape[1], block.square().sum(2)
    distance = torch.baddbmm(squares[:, :, None] + squares[:, None, :], block, block.transpose(1, 2), alpha=-2)
    distance.clamp_(min=0).masked_fill_(~mask[:, None, :], torch.inf)
    distance.diagonal(dim1=1, dim2=2).fill_(torch.inf)
    # positive floats are ordered as their bits are; the last bits take the member, so that ties fall alike always
    bits = distance.double().view(torch.int64)
    bits.bitwise_and_(-_MEMBERS).bitwise_or_(torch.arange(n, device=bits.device))
    first = bits.topk(min(k, n), dim=2, largest=False, sorted=False)
    starts = torch.cumsum(lengths, 0) - lengths
    rows = (first.values & (_MEMBERS - 1)) + starts[:, None, None]
    rows = rows.masked_fill_(first.values >= _INFINITE, len(points))[mask]
    return nn.functional.pad(rows, (0, k - rows.shape[1]), value=len(points))


class EdgeConv(nn.Module):
    """Mean over the neighbours j of MLP([x_i, x_j - x_i]), plus a shortcut of x_i (arXiv:1801.07829, 1902.08570).

    features: per member. widths: of the linear maps of the MLP; each is followed by batch normalisation and ReLU.
    k: neighbours per member. The first map is linear in x_i and x_j, so it is computed once per member, not per edge.
    A missing neighbour ("nobody") counts as one with x_j = 0, as padding does in the published network.
    """

    def __init__(self, features: int, widths: Sequence[int], k: int) -> None:
        super().__init__()
        self.first = nn.Linear(2 * features, widths[0], bias=False)
        self.rest = NormedStack(widths, group=k)
        self.shortcut = None if features == widths[-1] else nn.Linear(features, widths[-1], bias=False)
        self.shortcut_norm = None if features == widths[-1] else nn.BatchNorm1d(widths[-1])

    def forward(self, x: Tensor, neighbours: Tensor) -> Tensor:
        """Map members x (rows, features) and `nearest`'s table (rows, k) to (rows, widths[-1])."""
        ours, theirs = self.first.weight.chunk(2, dim=1)
        others = nn.functional.pad(x @ theirs.t(), (0, 0, 0, 1))
        edges = nn.functional.embedding(neighbours, others) + (x @ (ours - theirs).t())[:, None]
        mean: Tensor = self.rest(edges.flatten(0, 1))
        if self.shortcut is not None and self.shortcut_norm is not None:
            x = self.shortcut_norm(self.shortcut(x))
        return torch.relu(mean + x)
