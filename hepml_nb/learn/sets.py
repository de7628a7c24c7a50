"""Networks on sets of any size: particles of all jets lie one after another, so nothing is padded or masked."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from hepml_nb.core import InputError
from hepml_nb.learn.layers import mlp

__all__ = ["DeepSet", "set_pool"]


def set_pool(x: Tensor, lengths: Tensor) -> Tensor:
    """Sum the rows of every set: x (sum of lengths, features), lengths (sets,) int64 -> (sets, features).

    A set of length 0 gives zeros. `index_add` is the fastest of six ways on a CPU, forward and backward together
    (benchmarks/pfn_batching.py --pools). Raises InputError when the lengths do not add up to the rows.
    """
    # output_size spares a device synchronisation, and makes torch compare it with the lengths
    try:
        owner = torch.repeat_interleave(lengths, output_size=len(x))
    except RuntimeError as error:
        raise InputError(f"lengths add up to {int(lengths.sum())}, but x has {len(x)} rows.") from error
    return x.new_zeros(len(lengths), x.shape[1]).index_add(0, owner, x)


class DeepSet(nn.Module):
    """F(sum over particles of Phi(particle)), which no order of the particles can change (arXiv:1703.06114).

    features: numbers per particle. phi: widths of the per-particle network; its last layer has a ReLU too.
    f: hidden widths of the network on the sum. outputs: numbers per set.
    """

    def __init__(self, features: int, phi: Sequence[int], f: Sequence[int], outputs: int = 1) -> None:
        super().__init__()
        self.phi = nn.Sequential(*mlp([features, *phi]), nn.ReLU(inplace=True))
        self.f = mlp([phi[-1], *f, outputs])

    def forward(self, x: Tensor, lengths: Tensor) -> Tensor:
        """Map particles x (sum of lengths, features) and lengths (sets,) to (sets, outputs)."""
        out: Tensor = self.f(set_pool(self.phi(x), lengths))
        return out
