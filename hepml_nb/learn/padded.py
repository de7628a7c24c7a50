"""Sets of like size in one batch, padded to the longest of the batch only: for networks that look at pairs."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from hepml_nb.core import InputError
from hepml_nb.learn.batches import Indices, SetBatches, jagged_batches

__all__ = ["BucketBatches", "pad", "unpad"]


def pad(values: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
    """Return (block (sets, longest, features), mask (sets, longest)) of values (sum of lengths, features).

    The mask is True where there is a member; the others are zero. Raises InputError when the lengths do not add up.
    """
    longest = int(lengths.max()) if len(lengths) else 0
    mask = torch.arange(longest, device=values.device) < lengths[:, None]
    if int(lengths.sum()) != len(values):
        raise InputError(f"lengths add up to {int(lengths.sum())}, but values has {len(values)} rows.")
    block = values.new_zeros(len(lengths), longest, values.shape[1])
    return block.masked_scatter(mask[..., None], values), mask


def unpad(block: Tensor, mask: Tensor) -> Tensor:
    """Return the members (sum of lengths, features) of a padded block (sets, longest, features) and its mask."""
    return block[mask]


class BucketBatches(SetBatches):
    """Batches (values, lengths, *targets) of sets of like size: sorted within random pools of 32 batches.

    With shuffle=False all sets are sorted by size; `order()` says which set is where. Where size tells the classes
    apart, a batch has more of one class than of the other.
    """

    def __init__(
        self, values: Any, lengths: Any, *targets: Any, batch_size: int = 256, seed: int = 0, shuffle: bool = True
    ) -> None:
        # sets of a bucket never lie side by side, so the parent gathers them always
        super().__init__(values, lengths, *targets, batch_size=batch_size, seed=seed, shuffle=True)
        self.mixed = shuffle

    def order(self, epoch: int = 0) -> Indices:
        """Return the indices of the sets in the order in which `epoch` yields them, shape (n,)."""
        return np.concatenate(self._indices(epoch))

    def _indices(self, epoch: int) -> list[Indices]:
        return jagged_batches(self.lengths, self.batch_size, self.seed, epoch=epoch, shuffle=self.mixed)
